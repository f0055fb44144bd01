"""Whatever is sent to whichever address: an answer that OpenAPI knows, never a 500, and nothing outside is written."""

from __future__ import annotations

import json
import os
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from organza.web.studio import jobs
from organza.web.studio.settings import Room
from tests.web.conftest import png
from tests.web.studio import fill, studio

GOOD = [
    "zoo/digits-vae",
    "faces.zip",
    "photos",
    "photos/0.png",
    "studio/results/ways.safetensors",
    "studio/results/two.npz",
]
PLACES = [
    "runs",
    "studio",
    "studio/jobs",
    "studio/uploads/x.png",
    "../secret.png",
    "/etc/passwd",
    "..",
    ".",
    "photos\\0.png",
    "%2e%2e/x",
]
IDS = st.sampled_from([*GOOD, *PLACES, "", "a\0b", "zoo/", "zoo/x/y", "~", "-h", "photos/0.png/x", "a" * 2000])
WORDS = st.text(max_size=10) | st.sampled_from(["const", "png", "all", "4-7", "coarse", "smile", "train", "dcgan"])
NUMBERS = st.integers(-(2**70), 2**70) | st.integers(-2, 40) | st.floats() | st.sampled_from([0, 1, 2**32 - 1, 2**32])
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS | IDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def resolved(schema, spec):
    while "$ref" in schema:
        schema = spec["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def fitting(schema, spec, depth=0):
    """Values that a schema allows, more or less: ids are ids, and numbers are small."""
    schema = resolved(schema, spec)
    if "anyOf" in schema:
        return st.one_of([fitting(each, spec, depth) for each in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema.get("type")
    if kind == "integer":
        return st.integers(max(0, int(schema.get("minimum", 0))), min(40, int(schema.get("maximum", 40))))
    if kind == "number":
        return st.floats(-3, 3)
    if kind == "boolean":
        return st.booleans()
    if kind == "array":
        return st.lists(fitting(schema.get("items", {}), spec, depth + 1), max_size=4)
    if kind == "object" and "properties" in schema and depth < 3:
        needed = set(schema.get("required", ()))
        must = {n: fitting(s, spec, depth + 1) for n, s in schema["properties"].items() if n in needed}
        may = {n: fitting(s, spec, depth + 1) for n, s in schema["properties"].items() if n not in needed}
        return st.fixed_dictionaries(must, optional=may)
    if kind == "object":
        return st.dictionaries(st.text(string.ascii_lowercase, max_size=6), ANYTHING, max_size=3)
    if kind == "string":
        return IDS | WORDS
    return ANYTHING


def wild(value):
    """The same with something of it replaced by anything at all."""
    if not isinstance(value, dict) or not value:
        return ANYTHING
    return st.tuples(st.sampled_from(sorted(value)), ANYTHING).map(lambda pair: {**value, pair[0]: pair[1]})


def operations(spec):
    return [
        (method, path, about)
        for path, methods in spec["paths"].items()
        for method, about in methods.items()
        if path.startswith("/api")
    ]


def query_of(value):
    return "" if value is None else json.dumps(value) if not isinstance(value, str) else value


def fuzz(client, workspace, examples):
    spec = client.get("/openapi.json").json()
    ways = operations(spec)
    assert len(ways) >= 24

    @st.composite
    def requests(draw):
        method, path, about = draw(st.sampled_from(ways))
        query, headers, where = {}, {}, path
        for each in about.get("parameters", ()):
            usual = fitting(each.get("schema", {}), spec)
            value = draw(usual | ANYTHING if draw(st.booleans()) else usual)
            if each["in"] == "path":
                safe = query_of(value).replace("/", "%2F").replace("?", "%3F").replace("#", "%23")
                where = where.replace(f"{{{each['name']}}}", "".join(c if c.isprintable() else "%00" for c in safe))
            elif each["in"] == "query" and (each.get("required") or draw(st.booleans())):
                query[each["name"]] = query_of(value).encode("utf-8", "replace").decode()
        content = about.get("requestBody", {}).get("content", {})
        body = b""
        if "application/json" in content:
            headers["content-type"] = "application/json"
            value = draw(fitting(content["application/json"]["schema"], spec))
            if draw(st.integers(0, 2)) == 0:
                value = draw(wild(value))
            body = json.dumps(value).encode()
        elif content:
            body = draw(st.binary(max_size=60) | st.sampled_from([png(), b"PK\x05\x06" + bytes(18), b"\x80\x04}."]))
        return method, path, where, query, headers, body

    seen: dict[int, int] = {}

    @settings(
        max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
    )
    @given(requests())
    def ask(request):
        method, path, where, query, headers, body = request
        answer = client.request(method.upper(), where, params=query, headers=headers, content=body)
        seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
        known = spec["paths"][path][method]["responses"]
        assert answer.status_code != 500, (request, answer.text)
        if answer.url.path.count("/") == where.count("/"):
            assert str(answer.status_code) in known or answer.status_code in (404, 405), (request, answer.text)
        if answer.status_code >= 400 and answer.status_code != 405:
            (said,) = answer.json().values()
            assert said and "\n" not in said and "Traceback" not in said, said
            assert str(workspace.root) not in said, said
        elif answer.headers.get("content-type") == "application/json":
            json.loads(answer.content)

    ask()
    return seen


@pytest.fixture
def quiet(monkeypatch):
    """Jobs wait for ever, and files are looked at without a process."""
    from organza.core.errors import UserError
    from organza.web.studio import look, uploads

    def look_(path):
        if (image := look.look_at_image(path.read_bytes())) is not None:
            return vars(image) | {"about": {}}
        try:
            return vars(look.look_at(path))
        except UserError as error:
            raise UserError(error.what, hint=error.hint) from None

    monkeypatch.setattr(uploads, "_look", look_)
    monkeypatch.setattr(jobs.Queue, "look", lambda self: None)


def snapshot(root):
    return {
        (here, name): os.lstat(os.path.join(here, name)).st_mtime_ns
        for here, folders, names in os.walk(root)
        for name in [*folders, *names]
        if "workspace/studio" not in os.path.join(here, name)
    }


def attacked(tmp_path, tiny_run, faces, examples):
    workspace = fill(tmp_path, tiny_run, faces)
    before = snapshot(tmp_path)
    with studio(workspace, Room(upload_mb=1, side=64), raise_server_exceptions=False) as client:
        seen = fuzz(client, workspace, examples)
    assert snapshot(tmp_path) == before
    return seen


def test_every_address_with_anything_at_all(tmp_path, tiny_run, faces, quiet, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = attacked(tmp_path, tiny_run, faces, 100)
    assert 200 in seen and 404 in seen and 422 in seen


@pytest.mark.slow
def test_every_address_at_length(tmp_path, tiny_run, faces, quiet, monkeypatch):
    monkeypatch.chdir(tmp_path)
    attacked(tmp_path, tiny_run, faces, 5000)


BROKEN = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"network":' * 20_000,
    b'{"network": "zoo/digits-vae", "seed": ' + b"9" * 5000 + b"}",
    b'{"network": "zoo/digits-vae", "psi": NaN}',
    b'{"network": "zoo/digits-vae", "psi": 1e400}',
    b'{"network": "zoo/digits-vae", "text": "\\ud800"}',
    b'{"network": "\\ud800"}',
    b'{"network": "zoo/digits-vae", "network": "../x", "x": 1}',
    b'{"verb": "walk", "options": {"network": "\\ud800"}}',
    b'{"verb": "walk", "options": {"network": "zoo/digits-vae", "text": ["\\ud800"]}}',
    b'{"verb": "walk", "options": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
]


def test_broken_bodies(tmp_path, tiny_run, faces, quiet):
    workspace = fill(tmp_path, tiny_run, faces)
    with studio(workspace, raise_server_exceptions=False) as client:
        for path in ("/api/image", "/api/grid", "/api/save", "/api/network", "/api/jobs", "/api/directions"):
            for body in BROKEN:
                answer = client.post(path, content=body, headers={"content-type": "application/json"})
                assert answer.status_code in (400, 404, 422), (path, body[:60], answer.text)
                (said,) = answer.json().values()
                assert said and "\n" not in said and len(said) < 700
            for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
                body = b'{"network": "zoo/digits-vae", "id": "zoo/digits-vae", "verb": "demo"}'
                answer = client.post(path, content=body, headers={"content-type": kind})
                assert answer.status_code == 422, (path, kind)
        assert client.get("/api/jobs").json() == []
        many = {"range": "bytes=" + ",".join(f"{n}-{n}" for n in range(2000))}
        for range_ in (
            many["range"][:8000],
            "bytes=-1",
            "bytes=9-1",
            "bytes=99999999999999999999-",
            "x=1",
            "bytes=a-b",
        ):
            answer = client.get("/api/files", params={"id": "photos/0.png"}, headers={"range": range_})
            assert answer.status_code in (200, 206, 400, 416), (range_[:40], answer.status_code)


def test_a_rate(tmp_path, tiny_run, faces):
    from organza.web.studio.run import studio_gate

    assert studio_gate("127.0.0.1", None, (), None).rate == 0
    gate = studio_gate("0.0.0.0", "a-token-of-some-length", (), 3)
    assert gate.rate == 3 and gate.hosts == ()
    workspace = fill(tmp_path, tiny_run, faces)
    with studio(workspace, gate=gate) as client:
        right = {"authorization": "Bearer a-token-of-some-length"}
        answers = [client.get("/api/about", headers=right).status_code for _ in range(4)]
        assert answers == [200, 200, 200, 429]
