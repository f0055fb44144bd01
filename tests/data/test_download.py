import email.utils
import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from data_helpers import encoded, noise, pngs, write_zip

from organza.core.download import cache_path, cached_download, download
from organza.core.errors import UserError
from organza.data import catalogue, open_dataset
from organza.data.catalogue import PUBLIC, File, Public
from organza.models.load import load
from organza.runs.dataset import fetch

BODY = bytes(range(256)) * 4000
SUM = hashlib.sha256(BODY).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """A server with manners that tests choose: `server.script` is called before the usual answer, for each request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("Range")))
        self.close_connection = True
        if server.script is not None and server.script(self):
            return
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

    def answer(self, status, body, **headers):
        """Send ``body`` with just these headers."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)
        return True

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, *_):
        """A client that hangs up is no news."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr("organza.core.download.PAUSE", 0.0)
    with Server(("127.0.0.1", 0), Handler) as running:
        running.files, running.requests, running.flaky, running.script = {}, [], 0, None
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
    server.flaky = 10**6
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
    with pytest.raises(UserError, match="no public dataset is called 'petz'; there are mnist, "):
        fetch("petz")


def test_the_catalogue_is_sound():
    for about in PUBLIC.values():
        for file in about.files:
            assert file.url.startswith("http")
            assert file.sha256 is None or (len(file.sha256) == 64 and int(file.sha256, 16))


def ranged(server, first, body, total, **headers):
    """A server whose answer to a range is what the test says, and breaks off before."""

    def script(handler):
        if handler.headers.get("Range"):
            last = first + len(body) - 1
            return handler.answer(
                206, body, Content_Range=f"bytes {first}-{last}/{total}", Content_Length=len(body), **headers
            )
        if len(server.requests) > 1:
            return False
        return handler.answer(200, BODY[:5000], Content_Length=len(BODY), ETag='"1"')

    return script


@pytest.mark.parametrize(
    ("first", "body", "total", "tag"),
    [
        (6000, BODY[6000:], len(BODY), '"1"'),  # starts elsewhere
        (0, BODY[:5000], 5000, '"1"'),  # from the start
        (5000, b"x" * (len(BODY) - 5000), len(BODY), '"2"'),  # of another version
        (5000, BODY[5000:6000], len(BODY), '"1"'),  # a part of the rest only
    ],
)
def test_a_wrong_part_is_not_taken(server, tmp_path, first, body, total, tag):
    server.script = ranged(server, first, body, total, ETag=tag)
    assert download(f"{server.url}/x", tmp_path / "x").read_bytes() == BODY
    assert [asked for _, asked in server.requests] == [None, "bytes=5000-", None]


def test_a_part_that_nobody_asked_for(server, tmp_path):
    server.script = lambda handler: handler.answer(206, BODY, Content_Range=f"bytes 0-{len(BODY) - 1}/{len(BODY)}")
    with pytest.raises(UserError, match="the server sent another part than it was asked for; try again later"):
        download(f"{server.url}/x", tmp_path / "x")
    assert list(tmp_path.glob("x*")) == []


def test_a_body_without_end_is_given_up(server, tmp_path):
    def script(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(bytes(1 << 16))
        return True

    server.script = script
    with pytest.raises(UserError, match="the server sends more than 2 MB without end"):
        download(f"{server.url}/x", tmp_path / "x", most=1 << 21)
    assert list(tmp_path.glob("x*")) == []


@pytest.mark.parametrize("length", [1 << 39, 10**18])
def test_a_size_that_nobody_has_room_for(server, tmp_path, length):
    server.script = lambda handler: handler.answer(200, b"abc", Content_Length=length)
    with pytest.raises(
        UserError, match=r"MB is more than the .* MB that it may have|MB are to come and .* MB are free"
    ):
        download(f"{server.url}/x", tmp_path / "x")
    assert list(tmp_path.glob("x*")) == []


@pytest.mark.parametrize("where", ["head", "body"])
def test_a_trickle_is_given_up(server, tmp_path, monkeypatch, where):
    monkeypatch.setattr("organza.core.download.TRIES", 2)

    def script(handler):
        if where == "body":
            handler.send_response(200)
            handler.send_header("Content-Length", "1000000")
            handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b"x")
            time.sleep(0.02)
        return True

    server.script = script
    with pytest.raises(UserError, match=r"the connection is too slow|the connection broke"):
        download(f"{server.url}/x", tmp_path / "x", timeout=0.2)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<!doctype html><html><title>Google Drive - Quota exceeded</title>", r"web page.*Quota exceeded"),
        (b"\n<html><body>sign in</body></html>" + bytes(1000), "web page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "XML answer"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "Git LFS pointer"),
    ],
)
def test_a_page_in_place_of_the_file_is_not_kept(server, tmp_path, body, message):
    server.files["/x.zip"] = body
    with pytest.raises(UserError, match=message):
        download(f"{server.url}/x.zip", tmp_path / "x.zip")
    assert list(tmp_path.glob("x*")) == []
    server.files["/x.zip"] = BODY
    assert download(f"{server.url}/x.zip", tmp_path / "x.zip").read_bytes() == BODY


def test_what_does_not_open_is_fetched_again(server, tmp_path):
    whole = write_zip(tmp_path / "pets.zip", pngs(3)).read_bytes()
    server.files["/pets.zip"] = whole[:-40]
    with pytest.raises(UserError, match="not a complete zip"):
        open_dataset(f"{server.url}/pets.zip")
    server.files["/pets.zip"] = whole
    assert len(open_dataset(f"{server.url}/pets.zip")) == 3

    server.files["/net.pkl"] = b"no pickle"
    with pytest.raises(UserError):
        load(f"{server.url}/net.pkl")
    with pytest.raises(UserError):
        load(f"{server.url}/net.pkl")
    assert [path for path, _ in server.requests].count("/net.pkl") == 2


def test_pauses(server, tmp_path, monkeypatch):
    pauses = []
    monkeypatch.setattr("organza.core.download.PAUSE", 1.0)
    monkeypatch.setattr("organza.core.download.time.sleep", pauses.append)
    with pytest.raises(UserError, match="503"):
        download(f"{server.url}/busy", tmp_path / "x")
    assert pauses == [1, 2, 4, 8]
    pauses.clear()
    server.script = lambda handler: len(server.requests) < 8 and handler.answer(429, b"", Retry_After=7)
    download(f"{server.url}/x", tmp_path / "x", sha256=SUM)
    assert pauses == [7, 7]
    server.script = lambda handler: handler.answer(503, b"", Retry_After=email.utils.formatdate(time.time() + 3600))
    with pytest.raises(UserError, match=r"503 .*; it asks to wait 3\d\d\d seconds"):
        download(f"{server.url}/y", tmp_path / "y")
    assert len(pauses) == 2


def test_progress_renews_the_tries_and_no_progress_does_not(server, tmp_path):
    piece = len(BODY) // 20

    def script(handler):
        asked = handler.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        about = {"Content_Range": f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"} if asked else {}
        length = len(BODY) - start
        return handler.answer(206 if asked else 200, BODY[start:][:piece], Content_Length=length, ETag='"1"', **about)

    server.script = script
    download(f"{server.url}/x", tmp_path / "x", sha256=SUM)
    assert len(server.requests) >= 20
    server.requests.clear()
    piece = 0
    with pytest.raises(UserError, match=r"the connection broke \(after 0 of"):
        download(f"{server.url}/y", tmp_path / "y")
    assert len(server.requests) == 5


@pytest.mark.parametrize("about", [{}, {"ETag": '"1"', "Accept_Ranges": "none"}, {"ETag": 'W/"1"'}])
def test_a_server_without_ranges_is_not_promised_to_continue(server, tmp_path, about):
    server.script = lambda handler: handler.answer(200, BODY[:9000], Content_Length=len(BODY), **about)
    with pytest.raises(UserError, match=r"after 9,000 of 1,024,000 bytes\); try again later"):
        download(f"{server.url}/x", tmp_path / "x")
    assert all(asked is None for _, asked in server.requests)


def test_a_packed_answer_is_refused(server, tmp_path):
    server.script = lambda handler: handler.answer(200, b"...", Content_Encoding="gzip")
    with pytest.raises(UserError, match="packs its answer"):
        download(f"{server.url}/x", tmp_path / "x")


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://x"])
def test_redirections_stay_on_http(server, tmp_path, target):
    server.script = lambda handler: handler.answer(302, b"", Location=target)
    with pytest.raises(UserError):
        download(f"{server.url}/x", tmp_path / "x")
    assert list(tmp_path.glob("x*")) == []


@pytest.mark.parametrize(
    "url", ["http://[::1/x", "http://a b/x", "http://" + "a" * 5000 + "/x", "http:///x", "http://h:99999/x"]
)
def test_odd_addresses(url):
    with pytest.raises(UserError):
        cached_download(url)


@pytest.mark.parametrize("path", ["/..", "/a/%2e%2e", "/" + "n" * 400 + ".zip", "/a\x1b[31m.zip", "/\u732b.zip"])
def test_names_in_the_cache(path):
    found = cache_path(f"http://host{path}", "downloads")
    assert found.parent.parent.name == "downloads"
    assert len(found.name) <= 100 and found.name.isprintable() and not found.name.startswith(".")
