"""Networks of every kind in a studio: classes, words, labels, two ways, style codes, faces."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from organza.cli.main import main
from organza.contract.data import DataSpec, LabelSet
from organza.core.config import to_plain
from organza.core.version import __version__
from organza.models.load import load
from organza.presets import METHODS, preset
from organza.studio.codes import draw, load_codes
from organza.training import checkpoint
from organza.web.studio import at_once
from organza.web.studio.settings import OPENED, Room
from organza.web.studio.workspace import Workspace
from tests.web.conftest import pixels, png
from tests.web.studio import studio

SPECS = {
    "cgan": DataSpec((16, 16), 3, 3, label_names=("cat", "dog", "owl"), label_sets=(LabelSet(3, "classes"),)),
    "stackgan": DataSpec((16, 16), 3, words=("blonde", "hair", "pink"), text_length=3),
    "cyclegan": DataSpec((16, 16), 3, source=3),
    "bicyclegan": DataSpec((16, 16), 3, source=3),
    "stargan": DataSpec((16, 16), 3, 2, source=3, label_names=("Smile", "Young"), label_sets=(LabelSet(2),)),
    "stylegan2": DataSpec((16, 16), 4),
}


def write(name, spec, folder):
    """A toy of a preset with random weights, as a checkpoint."""
    torch.manual_seed(0)
    config = preset(name).run.method.toy().resolve(spec, 4)
    method = config.build(spec)
    kind = next(name for name, each in METHODS.items() if each is type(config))
    about = {"format": checkpoint.FORMAT, "organza": __version__, "method": kind}
    about |= {"spec": to_plain(spec), "config": to_plain(config)}
    checkpoint.write(folder, about, {"ema": checkpoint.flatten(method.nets), "nets": checkpoint.flatten(method.nets)})


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    found = Workspace.at(tmp_path_factory.mktemp("networks"))
    for name, spec in SPECS.items():
        write(name, spec, found.root / name)
    return found


@pytest.fixture(scope="module")
def client(workspace):
    with studio(workspace, Room(side=64)) as client:
        yield client


def about(client, id, **more):
    answer = client.post("/api/network", json={"id": id, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def image(client, **recipe):
    answer = client.post("/api/image", json=recipe)
    assert answer.status_code == 200, answer.text
    return pixels(answer.content)


def loaded(workspace, id, **more):
    return load(workspace.path(id), precision="auto", device="cpu", **more)


def test_all_are_listed(client):
    listed = {each["id"]: each for each in client.get("/api/workspace").json()["networks"]}
    for name, spec in SPECS.items():
        assert listed[name]["does"] == ("translate" if spec.source else "generate"), name
        assert (listed[name]["width"], listed[name]["kind"]) == (16, name)


def test_classes_by_number_and_by_name(client, workspace):
    told = about(client, "cgan")
    assert told["labels"] == 3 and told["classes"] and told["label_names"] == ["cat", "dog", "owl"]
    G = loaded(workspace, "cgan")
    assert np.array_equal(image(client, network="cgan", seed=3, **{"class": 1}), G.generate([3], 1)[0])
    assert np.array_equal(image(client, network="cgan", seed=3, **{"class": "owl"}), G.generate([3], 2)[0])
    mixed = image(client, network="cgan", seed=3, label=[0.5, 0.5, 0])
    assert np.array_equal(mixed, G.generate([3], np.array([0.5, 0.5, 0], np.float32))[0])
    for wrong in ({"class": 7}, {"class": "lion"}, {"label": [1]}, {"class": 1, "label": "cat"}, {}):
        answer = client.post("/api/image", json={"network": "cgan", **wrong})
        assert answer.status_code == 422, (wrong, answer.text)


def test_words(client, workspace):
    assert about(client, "stackgan")["text"]
    G = loaded(workspace, "stackgan")
    wanted = G.generate([1], text="pink hair")[0]
    assert np.array_equal(image(client, network="stackgan", seed=1, text="pink hair"), wanted)
    for wrong in ({}, {"text": "zzz"}):
        assert client.post("/api/image", json={"network": "stackgan", **wrong}).status_code == 422


def test_transparency_and_jpeg(client):
    assert image(client, network="stylegan2", seed=1).shape == (16, 16, 4)
    answer = client.post("/api/image", json={"network": "stylegan2", "seed": 1, "format": "jpeg"})
    assert answer.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(answer.content)) as found:
        assert found.format == "JPEG" and found.size == (16, 16)


def test_codes_of_keyframes(client, workspace):
    recipes = [{"network": "stylegan2", "seed": 1}, {"network": "stylegan2", "seed": 2, "psi": 0.5}]
    answer = client.post("/api/codes", json={"recipes": recipes})
    assert answer.status_code == 200, answer.text
    G = loaded(workspace, "stylegan2")
    found = load_codes(workspace.path(answer.json()["id"]), G)
    for place, recipe in enumerate(recipes):
        assert np.array_equal(draw(G, found[place : place + 1])[0], image(client, **recipe))


def translated(client, **query):
    answer = client.post("/api/translate", params=query, content=png())
    assert answer.status_code == 200, answer.text
    return pixels(answer.content)


def test_translations_are_those_of_the_library(client, workspace):
    source = pixels(png(20, 24))
    told = about(client, "cyclegan")
    assert told["does"] == "translate" and told["models"] == ["AtoB", "BtoA"] and told["model"] == "AtoB"
    for model in ("AtoB", "BtoA"):
        T = loaded(workspace, "cyclegan", model=model)
        assert np.array_equal(translated(client, network="cyclegan", model=model), T.photo(source).eight())
        own = translated(client, network="cyclegan", model=model, size="own")
        assert np.array_equal(own, T.photo(source, size="own").eight()) and own.shape[:2] == (20, 24)
    T = loaded(workspace, "stargan")
    assert about(client, "stargan")["targets"] == ["Smile", "Young"]
    found = translated(client, network="stargan", target="Young, no Smile")
    assert np.array_equal(found, T.photo(source, target="Young, no Smile").eight())
    T = loaded(workspace, "bicyclegan")
    assert about(client, "bicyclegan")["codes"]
    assert np.array_equal(translated(client, network="bicyclegan", seed=4), T.photo(source, seed=4).eight())
    answer = client.post("/api/translate", params={"network": "cyclegan", "format": "jpeg"}, content=png())
    assert answer.headers["content-type"] == "image/jpeg"


def test_translations_that_can_not_be(client):
    for query, data, status in [
        ({"network": "stylegan2"}, png(), 422),
        ({"network": "nowhere"}, png(), 404),
        ({"network": "cyclegan", "model": "CtoD"}, png(), 422),
        ({"network": "cyclegan", "target": "Young"}, png(), 422),
        ({"network": "stargan"}, png(), 422),
        ({"network": "cyclegan", "size": "own"}, png(70, 70), 422),
        ({"network": "cyclegan", "size": "9999x9999"}, png(), 422),
        ({"network": "cyclegan"}, b"", 422),
        ({"network": "cyclegan"}, b"\x80\x04.", 422),
        ({"network": "cyclegan", "x": 1}, png(), 422),
        ({}, png(), 422),
    ]:
        answer = client.post("/api/translate", params=query, content=data)
        assert answer.status_code == status, (query, answer.text)
        assert "\n" not in answer.json()["error"]


def test_a_cartoon_without_its_networks_says_so(client):
    assert client.get("/api/about").json()["faces"] is False
    answer = client.post("/api/cartoon", params={"network": "cyclegan"}, content=png(64, 64))
    assert answer.status_code == 422 and "find faces" in answer.json()["error"]


def test_a_cartoon_is_made_by_the_stages_of_the_command(client, workspace, monkeypatch):
    from organza.translate.faces.pipeline import Cartoonist, translating
    from organza.vision.mtcnn import Face

    points = np.array([[24, 28], [40, 28], [32, 36], [26, 44], [38, 44]], np.float32)
    face = Face(np.array([16, 16, 48, 52], np.float32), 0.99, points)
    opened = []

    def open_(T, weights_dir=None, *, border="white"):
        opened.append(T)
        return Cartoonist(
            lambda photo: [face] if photo.mean() > 0 else [],
            lambda crop: np.ones(crop.shape[:2], np.float32),
            translating(T),
            border=border,
        )

    monkeypatch.setattr(Cartoonist, "open", open_)
    monkeypatch.setattr(at_once, "faces_at_hand", lambda: True)
    data = png(64, 64)
    answer = client.post("/api/cartoon", params={"network": "cyclegan"}, content=data)
    assert answer.status_code == 200, answer.text
    T = loaded(workspace, "cyclegan")
    C = open_(T)
    made = C.portraits(pixels(data))
    assert np.array_equal(pixels(answer.content), made[0].cartoon)
    answer = client.post("/api/cartoon", params={"network": "cyclegan", "paste": True, "faces": "all"}, content=data)
    assert np.array_equal(pixels(answer.content), C.pasted(pixels(data), made))
    assert len(opened) == 2  # the server's once, and ours
    black = io.BytesIO()
    Image.new("RGB", (64, 64)).save(black, format="PNG")
    answer = client.post("/api/cartoon", params={"network": "cyclegan"}, content=black.getvalue())
    assert answer.status_code == 422 and "no face" in answer.json()["error"]


def test_few_networks_are_open(client, workspace):
    import threading

    names = [*SPECS, "zoo/digits-vae"]
    assert len(names) > OPENED
    for name in names:
        about(client, name)
    alive = [thread for thread in threading.enumerate() if thread.name.startswith("lane ")]
    for _ in range(100):
        alive = [thread for thread in alive if thread.is_alive()]
        if len(alive) <= OPENED:
            break
        threading.Event().wait(0.02)
    assert len(alive) <= OPENED
    assert image(client, network="stylegan2", seed=1).shape == (16, 16, 4)


@pytest.mark.parametrize(
    "recipe",
    [
        {"network": "cgan", "class": "owl", "seeds": [1, 2, 3]},
        {"network": "cgan", "class": 1, "seed": 4},
        {"network": "cgan", "label": [0.25, 0.5, 0.25], "seed": 4},
        {"network": "stackgan", "text": "pink hair", "seed": 2},
        {"network": "stylegan2", "seed": 4, "psi": -0.5, "cutoff": 2, "noise": "random"},
        {"network": "stylegan2", "seed": 4, "mix": [{"seed": 1, "layers": "0-1"}], "noise": "random"},
    ],
    ids=range(6),
)
def test_what_is_saved_comes_again(client, workspace, recipe, capsys):
    answer = client.post("/api/save", json={**recipe, "name": "../kept: 1"})
    assert answer.status_code == 200, answer.text
    first, record, _ = (workspace.path(each["id"]) for each in answer.json()["files"])
    assert first.parent == workspace.results and first.name.startswith("kept-1")
    before = first.read_bytes()
    if "seeds" not in recipe and recipe.get("noise") != "random":
        assert np.array_equal(pixels(before), image(client, **recipe))
    first.unlink()
    assert main(["redo", str(record)]) == 0, capsys.readouterr().err
    assert "the same bytes as before" in capsys.readouterr().out
    assert first.read_bytes() == before
