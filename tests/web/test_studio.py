"""The studio's page asks, and gets what the command line would have made."""

from __future__ import annotations

import io
import json
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import organza
from organza.cli.main import main
from organza.core.errors import UserError
from organza.models.sampling import Sampling
from organza.studio.codes import codes, draw, save_codes
from organza.studio.directions import load_directions, save_directions, sefa
from organza.web.studio.settings import Room
from organza.web.studio.workspace import NotThereError, Workspace, allowed, clean
from tests.web.conftest import pixels, png
from tests.web.studio import fill, studio


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, tiny_run, faces):
    return fill(tmp_path_factory.mktemp("studio"), tiny_run, faces)


@pytest.fixture(scope="module")
def client(workspace):
    with studio(workspace) as client:
        yield client


@pytest.fixture(scope="module")
def run(workspace):
    return f"runs/{next(workspace.runs.iterdir()).name}"


@pytest.fixture(scope="module")
def G(workspace, run):
    return organza.load(workspace.path(run), precision="auto")


def test_what_a_studio_is(client):
    about = client.get("/api/about").json()
    assert about["workspace"] == "workspace" and about["device"] == "cpu" and about["token"] is False
    assert about["limits"]["images"] == 64


def test_the_page_and_its_headers(client):
    answer = client.get("/")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
    csp = answer.headers["content-security-policy"]
    assert "script-src 'self'" in csp and "unsafe" not in csp and "default-src 'none'" in csp
    for name in ("../app.py", "%2e%2e%2fapp.py", "app.py", "index.html%00.js", ".hidden.js", "none.js"):
        assert client.get(f"/page/{name}").status_code == 404, name


def test_what_is_in_a_workspace(client, run):
    found = client.get("/api/workspace").json()
    by = {each["id"]: each for each in found["networks"]}
    assert by["zoo/digits-vae"]["where"] == "zoo" and by["zoo/digits-vae"]["width"] == 32
    assert by[run]["kind"] == "stylegan2" and by[run]["does"] == "generate" and by[run]["height"] == 16
    assert by[run]["sample"].startswith(f"{run}/samples/")
    assert {"id": "faces.zip", "name": "faces.zip", "count": None} in found["datasets"]
    assert {"id": "photos", "name": "photos", "count": 3} in found["datasets"]
    (training,) = found["runs"]
    assert training["id"] == run and training["state"] == "finished" and training["kimg"] == 0.016
    assert client.get("/api/thumbnail", params={"id": by[run]["sample"]}).status_code == 200


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_nothing_to_wait_for(client, workspace):
    (workspace.root / "odd").mkdir()
    places = [workspace.root / "a.safetensors", workspace.root / "odd" / "config.json"]
    for place in [*places, workspace.root / "odd" / "ema.safetensors", workspace.runs / "b.png"]:
        os.mkfifo(place)
    found = client.get("/api/workspace").json()
    assert not [each for kind in found.values() for each in kind if "a.safe" in each["id"] or "odd" in each["id"]]
    for id in ("a.safetensors", "odd/config.json", "odd", "runs/b.png"):
        assert client.post("/api/network", json={"id": id}).status_code in (404, 422), id
        for path in ("files", "thumbnail", "runs", "directions"):
            assert client.get(f"/api/{path}", params={"id": id}).status_code in (404, 422), (path, id)


def test_errors_name_fields_and_ids_alone(client):
    answer = client.post("/api/image", json={"network": "zoo/digits-vae", "label": [1e7]})
    assert answer.json()["error"].startswith("label.0: Input should be less than or equal to 1000000")
    answer = client.post("/api/image", json={"network": "zoo/digits-vae", "mix": [{"seed": 1, "layers": ""}]})
    assert answer.json()["error"].startswith("mix.0.layers: ")
    answer = client.get("/api/directions", params={"id": "zoo/digits-vae"})
    assert answer.json()["error"].startswith("zoo/digits-vae: ")
    answer = client.post("/api/uploads", params={"name": "a.pdf"}, content=b"%PDF-1.7\n")
    assert answer.json()["error"] == "this is a PDF, which the studio does not take"


def test_a_network_says_what_it_can_do(client, run, G):
    about = client.post("/api/network", json={"id": run}).json()
    assert about["does"] == "generate" and about["layers"] == G.num_ws and about["w_dim"] == G.w_dim
    assert (about["width"], about["height"], about["channels"]) == (16, 16, 3)
    assert about["styles"] and about["truncation"] and not about["text"] and about["labels"] == 0
    digits = client.post("/api/network", json={"id": "zoo/digits-vae"}).json()
    assert not digits["styles"] and not digits["noise"] and digits["licence"].startswith("CC BY-SA")


def image(client, **recipe):
    answer = client.post("/api/image", json=recipe)
    assert answer.status_code == 200, answer.text
    assert float(answer.headers["x-organza-ms"]) > 0
    return pixels(answer.content)


def test_an_image_is_that_of_the_command_line(client, run, tmp_path, monkeypatch, workspace, capsys):
    monkeypatch.chdir(workspace.root)
    line = f"generate --network {run} --seeds 5 --trunc 0.6 --cutoff 3 --noise none --scale 2 --output {tmp_path}/a.png"
    assert main(line.split()) == 0, capsys.readouterr().err
    wanted = pixels((tmp_path / "a.png").read_bytes())
    found = image(client, network=run, seed=5, psi=0.6, cutoff=3, noise="none", scale=2)
    assert np.array_equal(found, wanted)


def test_mixing_and_moving(client, run, G, workspace):
    folder = workspace.results
    ways = sefa(G, 2)
    save_directions(folder / "ways.safetensors", ways)
    saved = codes(G, [8, 9])
    save_codes(folder / "two.npz", saved)
    ws = codes(G, [1], Sampling(psi=0.7))
    ws[:, [2, 3]] = codes(G, [2], Sampling(psi=0.7))[:, [2, 3]]
    ws[:, [4]] = G.truncate(saved[1:], 0.7)[:, [4]]
    ws += 1.5 * ways[1].vector
    recipe = {
        "mix": [{"seed": 2, "layers": "2-3"}, {"w": "studio/results/two.npz", "row": 1, "layers": "4"}],
        "edits": [{"id": "studio/results/ways.safetensors", "index": 1, "amount": 1.5}],
    }
    found = image(client, network=run, seed=1, psi=0.7, **recipe)
    assert np.array_equal(found, draw(G, ws)[0])
    one = image(client, network=run, w="studio/results/two.npz")
    assert np.array_equal(one, draw(G, saved[:1])[0])


def test_a_grid(client, run, G):
    answer = client.post("/api/grid", json={"network": run, "seeds": [3, 1, 2], "columns": 2, "psi": 0.5})
    found = pixels(answer.content)
    assert found.shape == (32, 32, 3)
    for place, seed in enumerate([3, 1, 2]):
        part = found[16 * (place // 2) :, 16 * (place % 2) :][:16, :16]
        assert np.array_equal(part, image(client, network=run, seed=seed, psi=0.5))
    assert (found[16:, 16:] == 255).all()


@pytest.mark.parametrize(
    "recipe",
    [
        {"seed": 4, "psi": 0.7},
        {"seeds": [4, 5, 6], "columns": 3, "psi": 0.7, "noise": "none"},
        {"seed": 4, "mix": [{"seed": 5, "layers": "0-2"}], "psi": 0.7, "scale": 2},
    ],
    ids=["one", "grid", "mixed"],
)
def test_what_is_saved_comes_again(client, run, workspace, recipe, capsys):
    files = client.post("/api/save", json={"network": run, **recipe}).json()["files"]
    image_, record, saved = (workspace.path(each["id"]) for each in files)
    before = image_.read_bytes()
    if "seeds" not in recipe:
        assert np.array_equal(pixels(before), image(client, network=run, **recipe))
    image_.unlink()
    assert main(["redo", str(record)]) == 0, capsys.readouterr().err
    assert "the same bytes as before" in capsys.readouterr().out
    assert image_.read_bytes() == before
    with np.load(saved) as arrays:
        assert arrays["w"].shape[0] == len(recipe.get("seeds", [0]))


def test_what_a_network_can_not_do(client, run):
    wrong = {
        "no classes": {"network": run, "class": 3},
        "layers": {"network": run, "cutoff": 99},
        "no text": {"network": run, "text": "hair"},
        "no layer": {"network": run, "mix": [{"seed": 1, "layers": "99"}]},
        "styles to mix": {"network": "zoo/digits-vae", "mix": [{"seed": 1, "layers": "0"}]},
        "pixels": {"network": run, "scale": 999},
    }
    for word, recipe in wrong.items():
        answer = client.post("/api/image", json=recipe)
        assert answer.status_code == 422, (word, answer.text)
        assert list(answer.json()) == ["error"] and "\n" not in answer.json()["error"]
    assert client.post("/api/image", json={"network": "nowhere"}).status_code == 404
    assert client.post("/api/grid", json={"network": run, "seeds": list(range(65))}).status_code == 422


def test_directions_are_renamed(client, run, G, workspace):
    path = save_directions(workspace.results / "some.safetensors", sefa(G, 3))
    before = [each.vector for each in load_directions(path)]
    id = workspace.id_of(path)
    listed = client.get("/api/directions", params={"id": id, "network": run}).json()["directions"]
    assert [each["name"] for each in listed] == ["sefa0", "sefa1", "sefa2"]
    assert client.post("/api/directions", json={"id": id, "index": 1, "name": "smile"}).status_code == 200
    after = load_directions(path)
    assert [each.name for each in after] == ["sefa0", "smile", "sefa2"]
    assert all(torch.equal(one, other.vector) for one, other in zip(before, after, strict=True))
    for bad in ({"index": 0, "name": "smile"}, {"index": 9, "name": "x"}, {"index": 0, "name": "a/b"}):
        assert client.post("/api/directions", json={"id": id, **bad}).status_code == 422
    assert client.get("/api/directions", params={"id": id, "network": "zoo/digits-vae"}).status_code == 422


def test_a_run_in_curves(client, run, workspace):
    facts = client.get("/api/runs", params={"id": run}).json()
    assert facts["state"] == "finished" and facts["total_kimg"] == 0.016
    log = [json.loads(line) for line in (workspace.path(run) / "log.jsonl").read_text().splitlines()]
    wanted = [[each["kimg"], each["loss/D"]] for each in log if "loss/D" in each]
    assert wanted and facts["series"]["loss/D"] == wanted
    assert facts["settings"]["training.batch"] == 4
    assert facts["grids"][-1]["kimg"] == 0.016
    assert client.get("/api/files", params={"id": facts["grids"][-1]["id"]}).headers["content-type"] == "image/png"
    assert client.get("/api/runs", params={"id": "photos"}).status_code == 404


def test_a_newer_preview_takes_the_place_of_an_older_one(workspace, run):
    """Of three requests of one page the second has not begun when the third comes."""
    import threading

    from organza.web.studio import at_once

    begun, go = threading.Event(), threading.Event()
    real = at_once.image_of

    def slow(G, recipe, *rest):
        if recipe.seed == 1:
            begun.set()
            assert go.wait(20)
        return real(G, recipe, *rest)

    with studio(workspace) as client, pytest.MonkeyPatch.context() as patch:
        patch.setattr(at_once, "image_of", slow)
        client.post("/api/network", json={"id": run})
        answers = {}

        def ask(seed):
            answers[seed] = client.post(
                "/api/image", json={"network": run, "seed": seed}, headers={"x-organza-page": "p"}
            )

        threads = [threading.Thread(target=ask, args=[seed]) for seed in (1, 2, 3)]
        threads[0].start()
        assert begun.wait(20)
        for thread in threads[1:]:
            thread.start()
            thread.join(0.4)
        go.set()
        for thread in threads:
            thread.join(20)
    assert {seed: answer.status_code for seed, answer in answers.items()} == {1: 200, 2: 409, 3: 200}
    assert answers[2].json() == {"error": "superseded"}


def test_a_newer_checkpoint_is_opened(tmp_path, tiny_run, faces):
    workspace = fill(tmp_path, tiny_run, faces)
    folder = workspace.runs / tiny_run.name
    id = workspace.id_of(folder)
    with studio(workspace) as client:
        before = image(client, network=id, seed=1)
        shutil.rmtree(folder / "checkpoints")
        shutil.copytree(organza.load("zoo/digits-vae").source, folder / "checkpoints" / "000000020")
        (folder / "checkpoints" / "latest").write_text("000000020")
        assert image(client, network=id, seed=1).shape == (32, 32, 1) != before.shape


def test_names_of_uploads():
    assert clean("../../etc/passwd") == "passwd"
    assert clean("a b\x00c\u202e.png") == "a-b-c-.png"
    assert clean("a" * 500 + ".png") == "a" * 80 + ".png"
    for name in ("", ".", "..", "con", "NUL.txt", "💥", "-", "....", "a/", "LPT1.png"):
        assert allowed(clean(name)), name


BAD = [
    "",
    ".",
    "..",
    "../secret.png",
    "photos/../../secret.png",
    "photos/..",
    "/etc/passwd",
    "//etc/passwd",
    "photos//0.png",
    "photos/0.png/",
    "photos/0.png\0",
    "photos\\0.png",
    "C:\\x",
    "c:x",
    "link/x.png",
    "link.png",
    "zoo/../workspace",
    "zoo/nothing",
    "zoo/digits-vae/../../web/app.py",
    "~/x",
    "~root",
    ".lock",
    "studio/.lock",
    "photos/0.png ",
    "photos/0.png.",
    "photos/" + "a" * 3000,
    "\ud800",
    "loop",
    "hf:someone/thing",
    "http://example.org/x.png",
    "file:///etc/passwd",
    "con",
    "pipe",
]


@pytest.fixture(scope="module")
def trap(workspace):
    """Links that lead out, in circles, and what is neither file nor folder."""
    import os

    root = workspace.root
    (root / "link").symlink_to(root.parent / "secret")
    (root / "link.png").symlink_to(root.parent / "secret.png")
    (root / "loop").symlink_to(root / "loop")
    os.mkfifo(root / "pipe")
    return workspace


@pytest.mark.parametrize("id", BAD, ids=range(len(BAD)))
def test_ids_that_lead_nowhere(trap, id):
    with pytest.raises((NotThereError, UserError)):
        trap.path(id)


def test_what_is_asked_for_by_such_ids(trap, client):
    for id in BAD:
        if id == "\ud800":
            continue
        for answer in (
            client.get("/api/files", params={"id": id}),
            client.get("/api/thumbnail", params={"id": id}),
            client.delete("/api/items", params={"id": id}),
            client.get("/api/runs", params={"id": id}),
            client.get("/api/directions", params={"id": id}),
            client.post("/api/network", json={"id": id}),
            client.post("/api/image", json={"network": "zoo/digits-vae", "w": id}),
            client.post("/api/jobs", json={"verb": "inspect", "options": {"file": id}}),
        ):
            assert answer.status_code in (404, 422), (id, answer.text)
    assert (trap.root.parent / "secret.png").is_file() and (trap.root / "photos" / "0.png").is_file()


def test_links_that_stay_inside_are_followed(workspace):
    (workspace.root / "inside.png").symlink_to(workspace.root / "photos" / "0.png")
    assert workspace.path("inside.png").is_file()


def test_files_are_given_as_what_they_are(client, workspace):
    (workspace.results / "a.html").write_text("<script>alert(1)</script>")
    (workspace.results / "a.svg").write_text("<svg/>")
    for name in ("a.html", "a.svg"):
        answer = client.get("/api/files", params={"id": f"studio/results/{name}"})
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["x-content-type-options"] == "nosniff"
    answer = client.get("/api/files", params={"id": "photos/0.png"}, headers={"range": "bytes=0-7"})
    assert answer.status_code == 206 and answer.content == b"\x89PNG\r\n\x1a\n"
    (workspace.root / "notes.txt").write_text("mine")
    assert client.get("/api/files", params={"id": "notes.txt"}).status_code == 422
    assert client.get("/api/files", params={"id": "photos"}).status_code == 422
    small = client.get("/api/thumbnail", params={"id": "photos/0.png", "side": 16})
    assert max(Image.open(io.BytesIO(small.content)).size) <= 16


def test_only_what_the_studio_made_is_removed(client, workspace):
    made = workspace.results / "gone.png"
    made.write_bytes(png())
    assert client.delete("/api/items", params={"id": "studio/results/gone.png"}).status_code == 204
    assert not made.exists()
    for id in ("photos/0.png", "studio", "studio/uploads", "studio/results", "runs", "studio/jobs", "zoo/digits-vae"):
        assert client.delete("/api/items", params={"id": id}).status_code in (404, 422), id
    assert workspace.uploads.is_dir() and workspace.results.is_dir() and (workspace.root / "photos").is_dir()


def test_a_workspace_whose_places_lead_out(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "studio").symlink_to(tmp_path / "out")
    with pytest.raises(UserError, match="is a link"):
        Workspace.at(tmp_path / "w")
    (tmp_path / "v").mkdir()
    for target in (tmp_path / "out", tmp_path / "nowhere"):  # trainings would be written there
        (tmp_path / "v" / "runs").symlink_to(target)
        with pytest.raises(UserError, match="runs: is a link"):
            Workspace.at(tmp_path / "v")
        (tmp_path / "v" / "runs").unlink()
    Workspace.at(tmp_path / "v")
    assert not (tmp_path / "v" / "runs").exists() and not (tmp_path / "nowhere").exists()


def test_pages_of_other_ports_may_not_ask(client):
    for headers, status in [
        ({"origin": "http://localhost"}, 200),
        ({"origin": "http://localhost:3000"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"host": "evil.example"}, 421),
        ([("origin", "http://localhost"), ("origin", "http://evil.example")], 400),
        ([("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], 400),
    ]:
        assert client.get("/api/about", headers=headers).status_code == status, headers


def test_a_token(workspace):
    from organza.web.guard import Gate

    with studio(workspace, Room(), Gate((), "a-token-of-some-length")) as client:
        assert client.get("/").status_code == 200
        for path in ("/api/about", "/api/workspace", "/openapi.json", "/api/nothing", "/api/files?id=photos/0.png"):
            assert client.get(path).status_code == 401, path
        right = {"authorization": "Bearer a-token-of-some-length"}
        assert client.get("/api/about", headers=right).json()["token"] is True


def test_clients_that_hang_up(workspace, run):
    """Sixty requests whose clients go away at once: nothing stays in the queue, and the next one is answered."""
    import http.client
    import socket

    from organza.cli.web.forms import forms
    from organza.web.studio.app import make_studio
    from tests.web.conftest import at_a_port

    body = json.dumps({"network": run, "seed": 1}).encode()
    head = (
        b"POST /api/image HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    with at_a_port(make_studio(workspace, forms(), device="cpu")) as place:
        for number in range(60):
            with socket.create_connection(place) as wire:
                wire.sendall((head % len(body) + body)[: None if number % 3 else 150])
        wire = http.client.HTTPConnection(*place, timeout=30)
        for seed in range(3):
            asked = json.dumps({"network": run, "seed": seed})
            for _ in range(100):
                wire.request("POST", "/api/image", asked, {"Content-Type": "application/json", "Host": "localhost"})
                answer = wire.getresponse()
                found = answer.read()
                if answer.status != 503:  # what was asked before may still be in the queue for a moment
                    break
            assert answer.status == 200 and pixels(found).shape == (16, 16, 3)
        wire.close()
