import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from data_helpers import encoded, noise, pngs, write_zip

from organza.apps.dataset import fetch
from organza.core.errors import UserError
from organza.data import catalogue, open_dataset
from organza.data.catalogue import PUBLIC, File, Public
from organza.data.download import download

BODY = bytes(range(256)) * 4000
SUM = hashlib.sha256(BODY).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("Range")))
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/busy":
            self.send_error(503)
            return
        body = server.files.get(self.path, BODY)
        tag = '"' + hashlib.sha256(body).hexdigest() + '"'
        start = 0
        asked = self.headers.get("Range")
        if asked and self.headers.get("If-Range") == tag:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - start))
        self.send_header("ETag", tag)
        self.end_headers()
        # A flaky server gives up after a part of what is left.
        stop = len(body) if server.flaky == 0 else start + (len(body) - start) // 2
        server.flaky = max(0, server.flaky - 1)
        self.wfile.write(body[start:stop])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.files, running.requests, running.flaky = {}, [], 0
        running.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_file_is_fetched_once(server, tmp_path):
    calls = []
    for _ in range(2):
        path = download(f"{server.url}/x", tmp_path / "d" / "x", sha256=SUM, progress=lambda *a: calls.append(a))
        assert path.read_bytes() == BODY
    assert len(server.requests) == 1
    assert calls[-1] == (len(BODY), len(BODY))
    assert not list(tmp_path.rglob("*.part*"))


def test_broken_connections_are_continued(server, tmp_path):
    server.flaky = 3
    download(f"{server.url}/x", tmp_path / "x", sha256=SUM)
    ranges = [asked for _, asked in server.requests]
    assert ranges[0] is None
    assert all(asked.startswith("bytes=") for asked in ranges[1:])
    assert len(ranges) == 4


def test_what_has_come_is_kept_for_the_next_time(server, tmp_path):
    server.flaky = 99
    with pytest.raises(UserError, match=r"the connection broke.*; what has come is kept: the same command continues"):
        download(f"{server.url}/x", tmp_path / "x", sha256=SUM)
    assert not (tmp_path / "x").exists()
    server.flaky = 0
    server.requests.clear()
    download(f"{server.url}/x", tmp_path / "x", sha256=SUM)
    assert server.requests[0][1] > "bytes=0-"


def test_a_file_that_changed_meanwhile_starts_anew(server, tmp_path):
    server.flaky = 99
    with pytest.raises(UserError):
        download(f"{server.url}/x", tmp_path / "x")
    server.flaky, server.files["/x"] = 0, b"new" * 1000
    assert download(f"{server.url}/x", tmp_path / "x").read_bytes() == b"new" * 1000


def test_wrong_checksum(server, tmp_path):
    with pytest.raises(UserError, match=rf"what came has another checksum \(SHA-256 {SUM}, expected 00\)"):
        download(f"{server.url}/x", tmp_path / "x", sha256="00")
    assert list(tmp_path.glob("x*")) == []


def test_a_damaged_copy_is_fetched_again(server, tmp_path):
    (tmp_path / "x").write_bytes(b"bit rot")
    assert download(f"{server.url}/x", tmp_path / "x", sha256=SUM).read_bytes() == BODY


@pytest.mark.parametrize(
    ("path", "message"),
    [("/missing", "the server answers 404 (Not Found)"), ("/busy", "the server answers 503 (Service Unavailable)")],
)
def test_refusals(server, tmp_path, path, message):
    with pytest.raises(UserError) as caught:
        download(server.url + path, tmp_path / "x")
    assert str(caught.value).startswith(f"{server.url}{path}: {message}")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "http://nowhere.invalid/x"])
def test_nobody_there(tmp_path, url):
    with pytest.raises(UserError, match=r"x: can't be reached \("):
        download(url, tmp_path / "x")


def test_offline(server, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="not downloaded yet, and offline; go online once, or put the file there"):
        download(f"{server.url}/x", tmp_path / "x", offline=True)
    download(f"{server.url}/x", tmp_path / "x")
    assert download(f"{server.url}/x", tmp_path / "x", offline=True).exists()
    monkeypatch.setenv("ORGANZA_OFFLINE", "1")
    with pytest.raises(UserError, match="and offline"):
        download(f"{server.url}/y", tmp_path / "y")
    assert len(server.requests) == 1


def test_a_data_set_by_its_address(server, tmp_path):
    server.files["/pets.zip"] = write_zip(tmp_path / "pets.zip", pngs(3)).read_bytes()
    data = open_dataset(f"{server.url}/pets.zip")
    assert (data.name, len(data)) == ("pets", 3)
    assert len(open_dataset(f"{server.url}/pets.zip")) == 3
    assert len(server.requests) == 1


def test_other_addresses_go_through_fsspec():
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://bucket/a.png", "wb") as file:
        file.write(encoded(noise(0, 64, 64)))
    assert len(open_dataset("memory://bucket/a.png")) == 1000
    with pytest.raises(UserError, match=r"memory://bucket/none.zip: can't be fetched \("):
        open_dataset("memory://bucket/none.zip")


def test_public_sets(server, tmp_path, monkeypatch):
    zipped = write_zip(tmp_path / "pets.zip", pngs(2)).read_bytes()
    server.files["/pets.zip"] = zipped
    entry = Public("pets", (File(f"{server.url}/pets.zip", hashlib.sha256(zipped).hexdigest()),), "here")
    monkeypatch.setitem(catalogue.PUBLIC, "pets", entry)
    path, about = fetch("pets")
    assert about is entry
    assert len(open_dataset(path)) == 2
    assert fetch("pets", offline=True)[0] == path
    with pytest.raises(UserError, match="no public data set is called 'petz'; there are mnist, "):
        fetch("petz")


def test_the_catalogue_is_sound():
    for about in PUBLIC.values():
        for file in about.files:
            assert file.url.startswith("http")
            assert file.sha256 is None or (len(file.sha256) == 64 and int(file.sha256, 16))
