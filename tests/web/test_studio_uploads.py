"""What is sent is looked at, by its content, before it is among the things of a workspace; what is refused is gone."""

from __future__ import annotations

import io
import os
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from organza.models.load import load
from organza.studio.codes import codes, save_codes
from organza.studio.directions import save_directions, sefa
from organza.web.studio.settings import Room
from organza.web.studio.uploads import Uploads
from organza.web.studio.workspace import Workspace
from tests import golden
from tests.web.conftest import png
from tests.web.studio import fill, studio
from tests.web.test_hostile import BAD, bomb

EVIL = golden.HERE / "evil"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, tiny_run, faces):
    return fill(tmp_path_factory.mktemp("uploads"), tiny_run, faces)


@pytest.fixture(scope="module")
def client(workspace):
    with studio(workspace) as client:
        yield client


def send(client, data, name="x", **more):
    return client.post("/api/uploads", params={"name": name, **more}, content=data)


def everything(workspace):
    return sorted(path for path in workspace.root.parent.rglob("*"))


def encoded(kind, mode="RGB"):
    buffer = io.BytesIO()
    Image.new(mode, (12, 10), 3 if mode == "P" else None).save(buffer, format=kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "ending"),
    [("PNG", ".png"), ("JPEG", ".jpg"), ("WEBP", ".webp"), ("GIF", ".gif"), ("BMP", ".bmp"), ("TIFF", ".tif")],
)
def test_images_are_known_by_their_content(client, workspace, kind, ending):
    answer = send(client, encoded(kind), "../A photo.txt")
    assert answer.status_code == 201, answer.text
    found = answer.json()
    assert found["what"] == "image" and found["note"] == "12x10"
    assert found["id"].startswith("studio/uploads/A-photo") and found["id"].endswith(ending)
    assert workspace.path(found["id"]).read_bytes() == encoded(kind)
    listed = [each["id"] for each in client.get("/api/workspace").json()["images"]]
    assert found["id"] in listed


def test_two_of_one_name(client):
    ids = {send(client, png(seed=seed), "same.png").json()["id"] for seed in (1, 2, 3)}
    assert ids == {f"studio/uploads/same{end}.png" for end in ("", "-2", "-3")}


def test_images_make_a_dataset(client, workspace):
    for seed in range(4):
        assert (
            send(client, png(seed=seed), f"{seed}.png", into="my-set").json()["id"].startswith("studio/uploads/my-set/")
        )
    listed = client.get("/api/workspace").json()["datasets"]
    assert {"id": "studio/uploads/my-set", "name": "my-set", "count": 4} in listed
    for part in ("trainA", "trainB"):
        assert send(client, png(), "a.png", into=f"two/{part}").json()["id"] == f"studio/uploads/two/{part}/a.png"
    assert {"id": "studio/uploads/two", "name": "two", "count": None} in client.get("/api/workspace").json()["datasets"]
    before = everything(workspace)
    for into in ("../x", "a/b/c", "a/..", "a/", "same.png/x", ".x", "", "con", "a.b", "x" * 90, "same.png"):
        answer = send(client, png(), "a.png", into=into)
        assert answer.status_code == 422, (into, answer.text)
    assert send(client, zipped(), "a.zip", into="my-set").status_code == 422
    assert everything(workspace) == before


@pytest.fixture
def looked_at_here(monkeypatch):
    """What a process of its own would say, without its second of starting."""
    from organza.core.errors import UserError
    from organza.web.studio import look, uploads

    def look_(path):
        data = path.read_bytes()
        if (image := look.look_at_image(data)) is not None:
            return vars(image) | {"about": {}}
        try:
            return vars(look.look_at(path))
        except UserError as error:
            raise UserError(error.what, hint=error.hint) from None

    monkeypatch.setattr(uploads, "_look", look_)


def zipped(count=3, name="{}.png"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(count):
            archive.writestr(name.format(number), png(seed=number))
    return buffer.getvalue()


def test_archives_weights_codes_and_directions(client, workspace, tiny_run, tmp_path, looked_at_here):
    G = load(tiny_run)
    answer = send(client, zipped(), "photos.bin").json()
    assert (answer["what"], answer["count"]) == ("images", 3) and answer["id"].endswith("/photos.zip")
    theirs = EVIL / "nvidia_G_ema_state.pkl"
    answer = send(client, theirs.read_bytes(), "theirs.pkl").json()
    assert (answer["what"], answer["width"], answer["does"]) == ("network", 8, "generate"), answer
    assert client.post("/api/network", json={"id": answer["id"]}).json()["width"] == 8
    path = save_codes(tmp_path / "w.npz", codes(G, [1, 2]))
    assert send(client, path.read_bytes(), "w").json()["what"] == "codes"
    path = save_directions(tmp_path / "d.safetensors", sefa(G, 2))
    answer = send(client, path.read_bytes(), "d.safetensors").json()
    assert (answer["what"], answer["note"]) == ("directions", "sefa0, sefa1")
    table = send(client, b"seed,smile\n3,1\n5,0\n", "smile.csv").json()
    assert (table["what"], table["note"]) == ("table", "2 seeds, smile")
    found = client.get("/api/workspace").json()
    assert table["id"] in [each["id"] for each in found["tables"]]
    assert answer["id"] in [each["id"] for each in found["directions"]]
    assert answer["id"] not in [each["id"] for each in found["networks"]]


REFUSED = {
    **BAD,
    "html": b"<!doctype html><script>alert(1)</script>",
    "svg with script": b"<svg onload='x'/>",
    "elf": b"\x7fELF" + bytes(200),
    "shell": b"#!/bin/sh\ntouch pwned\n",
    "pdf": b"%PDF-1.7\n",
    "empty zip": zipped(0),
    "zip of text": zipped(2, "{}.txt")[:0] or b"PK\x05\x06" + bytes(18),
    "cut zip": zipped()[:-40],
    "a zip of climbing names": None,
    "npy of objects": None,
    "a large array of nothing": b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, "
    b"'shape': (99999999, 99999999), }".ljust(118)
    + b"\n",
    "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "safetensors that lies": (1 << 60).to_bytes(8, "little") + b"{}",
    "safetensors that is deep": (200_000).to_bytes(8, "little") + b"[" * 200_000,
    "mp4 of nothing": b"\x00\x00\x00\x18ftypmp42" + bytes(300),
    "webm of nothing": b"\x1aE\xdf\xa3" + bytes(300),
}
del REFUSED["too large for this server"]


def hostile(kind):
    if kind == "a zip of climbing names":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("../../../pwned.txt", b"x")
        return buffer.getvalue()
    if kind == "npy of objects":
        buffer = io.BytesIO()
        np.save(buffer, np.array([object()], dtype=object), allow_pickle=True)
        return buffer.getvalue()
    return REFUSED[kind]


IN_PROCESS = [
    kind for kind in REFUSED if kind.split()[0] in ("cut", "head", "flipped", "a", "half") and "zip" not in kind
]
OTHERS = [kind for kind in REFUSED if kind not in IN_PROCESS]


def refused(client, workspace, data, name="x.png"):
    before = everything(workspace)
    answer = send(client, data, name)
    assert answer.status_code == 422, answer.text
    (said,) = answer.json().values()
    assert said and "\n" not in said and "Traceback" not in said and str(workspace.root) not in said
    assert everything(workspace) == before


@pytest.mark.parametrize("kind", IN_PROCESS)
def test_what_is_no_good_image(client, workspace, kind):
    refused(client, workspace, hostile(kind))


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_nothing_for_a_studio(client, workspace, kind, looked_at_here):
    refused(client, workspace, hostile(kind), "x.pkl" if "zip" not in kind else "x.zip")


@pytest.mark.parametrize("name", sorted(path.name for path in EVIL.glob("*.p*") if path.suffix in (".pkl", ".pt")))
def test_no_pickle_is_run(client, workspace, name, looked_at_here, tmp_path, monkeypatch):
    monkeypatch.setenv("ORGANZA_EVIL_MARKER", str(tmp_path / "marker"))
    data = (EVIL / name).read_bytes()
    if name in ("nvidia_G_ema_state.pkl", "nvidia_module_src.pkl"):
        answer = send(client, data, name)
        assert answer.status_code == 201
        assert client.delete("/api/items", params={"id": answer.json()["id"]}).status_code == 204
    else:
        refused(client, workspace, data, name)
    assert not list(tmp_path.iterdir())


def test_a_process_of_its_own_says_the_same(client, workspace):
    refused(client, workspace, (EVIL / "os_system.pkl").read_bytes(), "evil.pkl")
    answer = send(client, (EVIL / "nvidia_G_ema_state.pkl").read_bytes(), "theirs.bin").json()
    assert (answer["what"], answer["width"], answer["does"]) == ("network", 8, "generate"), answer
    assert client.delete("/api/items", params={"id": answer["id"]}).status_code == 204


def test_a_reader_that_dies_is_a_refusal(client, workspace, monkeypatch):
    from organza.web.studio import uploads

    monkeypatch.setattr(uploads, "LOOKING", ("-c", "import os; os.abort()"))
    refused(client, workspace, b"\x80\x04whatever", "x.pkl")
    monkeypatch.setattr(uploads, "LOOKING", ("-c", "import time; time.sleep(60)"))
    monkeypatch.setattr(uploads, "LOOK", 0.3)
    refused(client, workspace, b"\x80\x04whatever", "x.pkl")


def test_there_is_a_most(tmp_path, tiny_run, faces):
    workspace = fill(tmp_path, tiny_run, faces)
    with studio(workspace, Room(upload_mb=1, uploads_gb=0.0015)) as client:
        before = everything(workspace)
        assert send(client, bytes((1 << 20) + 1)).status_code == 413
        pieces = (bytes(1 << 18) for _ in range(5))  # of a length that nobody says
        assert client.post("/api/uploads", params={"name": "x"}, content=pieces).status_code == 413
        assert everything(workspace) == before
        noise = np.random.RandomState(0).randint(0, 256, [500, 500, 3], np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noise).save(buffer, format="PNG")
        assert len(buffer.getvalue()) > 700_000
        assert send(client, buffer.getvalue(), "one.png").status_code == 201
        answer = send(client, buffer.getvalue(), "two.png")
        if answer.status_code == 201:
            answer = send(client, buffer.getvalue(), "three.png")
        assert answer.status_code == 413 and "--uploads-gb" in answer.json()["error"]
        assert not list(workspace.incoming.iterdir())
        assert client.delete("/api/items", params={"id": "studio/uploads/one.png"}).status_code == 204
        assert send(client, png(), "four.png").status_code == 201


def test_what_a_killed_server_left_is_removed(tmp_path):
    workspace = Workspace.at(tmp_path)
    (workspace.incoming / "abc").mkdir()
    (workspace.incoming / "abc" / "half.bin").write_bytes(b"x")
    (workspace.results / ".a.0123abcd.tmp.png").write_bytes(b"x")
    (workspace.results / "a.png").write_bytes(b"x")
    Uploads(workspace, Room())
    assert not list(workspace.incoming.iterdir())
    assert [path.name for path in workspace.results.iterdir()] == ["a.png"]


def test_a_client_that_goes_away_leaves_nothing(workspace):
    import socket
    import time

    from organza.cli.web.forms import forms
    from organza.web.studio.app import make_studio
    from tests.web.conftest import at_a_port, until

    with at_a_port(make_studio(workspace, forms(), device="cpu")) as place:
        with socket.create_connection(place) as wire:
            wire.sendall(
                b"POST /api/uploads?name=x.bin HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n"
                + bytes(3 << 20)
            )
            until(lambda: list(workspace.incoming.iterdir()))
            time.sleep(0.1)
        until(lambda: not list(workspace.incoming.iterdir()))


def test_names_are_anything_at_all(client, workspace):
    before = {*everything(workspace)}
    for name in ("/etc/passwd", "a\0b.png", "..\\..\\x.png", "\u202egnp.exe", "%2e%2e%2f", " ", "a" * 399, "é.png"):
        answer = send(client, png(), name)
        assert answer.status_code == 201, (name, answer.text)
    new = {*everything(workspace)} - before
    assert len(new) == 8 and {path.parent for path in new} == {workspace.uploads}


def test_a_bomb_is_refused_before_it_is_unpacked(client, workspace):
    refused(client, workspace, bomb(60_000, 60_000))
    assert os.path.isdir(workspace.uploads) and torch.get_num_threads() >= 1
