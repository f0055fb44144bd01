"""Whatever is sent, the answer is an image or one line that says what is wrong, and nothing is written."""

from __future__ import annotations

import io
import json
import os
import socket
import struct
import tempfile
import time
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient

from organza.core.errors import UserError
from organza.web.app import make_app
from organza.web.guard import LOOPBACK, Gate
from organza.web.limits import REQUEST_BYTES, Limits
from organza.web.run import gate_of, listen
from organza.web.served import serve
from tests.web.conftest import at_a_port, png, until

TOKEN = "a-token-of-some-length"
JSON = {"content-type": "application/json"}


def inside(app, **more):
    return TestClient(app, base_url="http://localhost", **more)


@pytest.fixture
def small(networks):
    """An application with little room."""
    limits = Limits(upload_mb=1, side=32)
    return make_app({name: serve(name, networks[name], limits) for name in ("plain", "paint")}, limits)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width, height):
    """A PNG that says it is large, of few bytes."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")


def as_format(name):
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, format=name)
    return buffer.getvalue()


BAD = {
    "nothing": b"",
    "text": b"hello",
    "pickle": b"cos\nsystem\n(S'touch pwned'\ntR.",
    "zip": b"PK\x03\x04" + bytes(100),
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
    "icon": as_format("ICO"),
    "cut": png(64, 64)[:-200],
    "head only": png()[:20],
    "flipped": png(64, 64)[:300] + b"\x00" + png(64, 64)[301:],
    "cut jpeg": as_format("JPEG")[:200],
    "a wide bomb": bomb(60_000, 60_000),
    "a bomb within Pillow's limit": bomb(8000, 8000),
    "a line": bomb(2**31 - 1, 1),
    "half of it": bomb(1000, 1000),
    "too large for this server": png(1, 2000),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_uploads(small, kind):
    with inside(small) as client:
        answer = client.post("/v1/paint/translate", content=BAD[kind])
        assert answer.status_code == 422, answer.text
        (said,) = answer.json().values()
        assert said and "\n" not in said and "Traceback" not in said
        assert client.post("/v1/paint/translate", content=png()).status_code == 200


def test_uploads_have_a_most(small):
    with inside(small) as client:
        assert client.post("/v1/paint/translate", content=bytes((1 << 20) + 1)).status_code == 413
        pieces = (bytes(1 << 18) for _ in range(5))  # of a length that nobody says
        assert client.post("/v1/paint/translate", content=pieces).status_code == 413
        assert client.post("/v1/plain/generate", content=bytes(REQUEST_BYTES + 1)).status_code == 413
        assert client.post("/v1/paint/translate", params={"size": "own"}, content=png(64, 64)).status_code == 422
        assert client.post("/v1/paint/translate", params={"size": "9999x9999"}, content=png()).status_code == 422
        assert client.post("/v1/paint/translate", params={"size": "0x9"}, content=png()).status_code == 422


BROKEN = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"seeds"',
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"seeds":' * 20_000,
    b'{"seeds": [' + b"9" * 5000 + b"]}",
    b'{"seeds": [1e400]}',
    b'{"seeds": [0], "psi": NaN}',
    b'{"seeds": [0], "psi": -Infinity}',
    b'{"seeds": [0], "label": [1e39]}',
    b'{"seeds": [0], "text": "\\ud800"}',
    b'{"seeds": [0], "class": "\\u0000"}',
    b'{"seeds": [0], "__proto__": {}}',
    b'{"seeds": {"0": 0}}',
    b'{"seeds": [0], "noise": "../../etc/passwd"}',
    b'{"seeds": [0], "network": "/etc/passwd"}',
]


@pytest.mark.parametrize("body", BROKEN, ids=range(len(BROKEN)))
def test_broken_requests(client, body):
    answer = client.post("/v1/classes/generate", content=body, headers=JSON)
    assert answer.status_code in (400, 422), answer.text
    (said,) = answer.json().values()
    assert said and "\n" not in said and len(said) < 600


def test_other_types_of_body_are_refused(client):
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
    ):
        answer = client.post("/v1/plain/generate", content=b'{"seeds": [0]}', headers={"content-type": kind})
        assert answer.status_code == 422, kind


@pytest.mark.parametrize("path", ["../../etc/passwd", "%2e%2e/generate", "plain%00", "a/b/c", "plain/train", "\u202e"])
def test_paths_lead_nowhere(client, path):
    assert client.post(f"/v1/{path}", json={"seeds": [0]}).status_code in (404, 405)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
LIKELY = {
    "seeds": st.lists(st.integers(-1, 2**32), max_size=3),
    "class": st.sampled_from([0, 1, 2, 3, "cat", "dog", [0, 1], []]),
    "label": st.lists(st.floats(-2e6, 2e6), max_size=4) | st.just("cat"),
    "text": st.sampled_from(["pink hair", "", "blond", ["pink"], ["pink", "hair"]]),
    "psi": st.floats() | st.integers(-2000, 2000),
    "cutoff": st.integers(-2, 20),
    "noise": st.sampled_from(["const", "random", "none", "x"]),
    "format": st.sampled_from(["png", "json", "gif"]),
}


@st.composite
def bodies(draw):
    """Requests: each field missing, likely, or anything at all."""
    found = {"seeds": [draw(st.integers(0, 2**32 - 1))]}
    for name, likely in LIKELY.items():
        how = draw(st.sampled_from(["missing", "missing", "likely", "likely", "wild"]))
        if how != "missing":
            found[name] = draw(likely if how == "likely" else ANYTHING)
    if draw(st.integers(0, 9)) == 0:
        found[draw(st.text(max_size=6))] = draw(ANYTHING)
    return found


def fuzz(examples, client, folder):
    @settings(
        max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
    )
    @given(st.sampled_from(["plain", "classes", "words"]), bodies())
    def generate(name, body):
        answer = client.post(f"/v1/{name}/generate", content=json.dumps(body).encode(), headers=JSON)
        assert answer.status_code in (200, 400, 422), (body, answer.text)
        if answer.status_code != 200:
            (said,) = answer.json().values()
            assert said and "\n" not in said, said

    queries = st.dictionaries(
        st.sampled_from(["target", "class", "size", "seed", "format", "x"]),
        st.sampled_from(
            ["Young", "no Smile", "0", "-1", "own", "16x16", "1x60000", "json", "", "9" * 50, "\u202e", "é"]
        ),
        max_size=3,
    )

    @settings(
        max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
    )
    @given(
        st.sampled_from(["paint", "dice", "star"]),
        queries,
        st.binary(max_size=40) | st.sampled_from([png(), png(3, 1)]),
    )
    def translate(name, query, data):
        answer = client.post(f"/v1/{name}/translate", params=query, content=data)
        assert answer.status_code in (200, 422), (query, answer.text)

    before = sorted(os.walk(folder))
    generate()
    translate()
    assert sorted(os.walk(folder)) == before


def test_anything_at_all(client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fuzz(60, client, tmp_path)


@pytest.mark.slow
def test_anything_at_length(client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fuzz(3000, client, tmp_path)


def test_headers_of_every_answer(client):
    for answer in (
        client.get("/health"),
        client.get("/nowhere"),
        client.get("/health", headers={"host": "evil.example"}),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "", "127.0.0.1.evil.example", "LOCALHOST@x"]
)
def test_foreign_names_are_refused(client, host):
    assert client.get("/v1/networks", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:80", "LOCALHOST"])
def test_our_names(client, host):
    assert client.get("/v1/networks", headers={"host": host}).status_code == 200


def test_pages_from_elsewhere_may_not_ask(client):
    for origin, status in [("http://evil.example", 403), ("null", 403), ("http://localhost:8000", 200)]:
        answer = client.post("/v1/plain/generate", json={"seeds": [0]}, headers={"origin": origin})
        assert answer.status_code == status


def test_a_token(networks):
    app = make_app({"plain": serve("plain", networks["plain"])}, gate=Gate((), TOKEN))
    with inside(app) as client:
        for headers in ({}, {"authorization": "Bearer no"}, {"authorization": TOKEN}, {"authorization": "Bearer é"}):
            sent = {name: value.encode("utf-8") for name, value in headers.items()}
            answer = client.get("/v1/networks", headers=sent)
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        assert client.get("/metrics").status_code == 401
        assert client.get("/health").status_code == 200
        right = {"authorization": f"Bearer {TOKEN}", "host": "anything.example"}
        assert client.get("/v1/networks", headers=right).status_code == 200


def test_who_may_ask():
    assert gate_of("127.0.0.1", None) == Gate(LOOPBACK, None, 0)
    assert gate_of("0.0.0.0", TOKEN) == Gate((), TOKEN, 600)
    assert gate_of("127.0.0.1", None, ("GAN.example",)).hosts == (*LOOPBACK, "gan.example")
    for host, token in [("0.0.0.0", None), ("::", None), ("0.0.0.0", "short"), ("127.0.0.1", "with a blank in it all")]:
        with pytest.raises(UserError):
            gate_of(host, token)


def test_a_rate(networks):
    app = make_app({"plain": serve("plain", networks["plain"])}, gate=Gate(rate=3))
    with inside(app) as client:
        answers = [client.get("/health") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 20


def test_small_answers_are_sent_at_once():
    """Otherwise each waits 40 ms for the client to say that it has the headers."""
    with listen("127.0.0.1", 0) as at:
        assert at.proto == socket.IPPROTO_TCP


def test_a_port_that_is_taken():
    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(UserError, match=r"can't listen there.*--port 0 takes one that is free"):
            listen("127.0.0.1", taken.getsockname()[1])


def test_a_body_that_does_not_come(networks):
    limits = Limits(timeout=0.2)
    app = make_app({"plain": serve("plain", networks["plain"], limits)}, limits)
    with at_a_port(app) as address, socket.create_connection(address) as slow:
        head = "POST /v1/plain/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        began = time.monotonic()
        slow.sendall(f"{head}Content-Length: 14\r\n\r\n{{".encode())
        assert slow.recv(100).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - began < 5


def test_uploads_at_a_time_have_a_most(networks):
    app = make_app({"paint": serve("paint", networks["paint"])})
    head = b"POST /v1/paint/translate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
    with at_a_port(app) as address:
        slow = [socket.create_connection(address) for _ in range(4)]
        for each in slow:
            each.sendall(head + b"x")

        def full():
            with socket.create_connection(address) as other:
                other.settimeout(0.3)
                other.sendall(head)
                try:
                    return other.recv(100).startswith(b"HTTP/1.1 503")
                except TimeoutError:
                    return False

        until(full)
        for each in slow:
            each.close()
        until(lambda: not full())
