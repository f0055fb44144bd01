"""Images through an autoencoder, from Python and from the command line; what has no encoder says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from organza import UserError, load, train
from organza.cli.main import main
from organza.media.images import to_tensor
from organza.studio.codes import load_codes
from organza.studio.reconstruct import reconstruct
from organza.training.checkpoint import newest_first
from tests.shapes import toy

SHORT = {"kimg": 0.008, "batch": 4, "grid": "2x2", "metrics": "none", "precision": "float32", "resolution": "16"}


@pytest.fixture(scope="module", params=["vae", "vae-mlp", "autoencoder"])
def run(request, faces, tmp_path_factory):
    return train(toy(request.param), faces, outdir=tmp_path_factory.mktemp("runs"), **SHORT).folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three images of another size."""
    folder, random = tmp_path_factory.mktemp("photos"), np.random.RandomState(0)
    for name in "abc":
        Image.fromarray(random.randint(0, 255, [40, 30, 3]).astype(np.uint8)).save(folder / f"{name}.png")
    return folder


def pixels(path):
    with Image.open(path) as image:
        return np.array(image)


def test_codes_are_those_of_the_encoder(run):
    G = load(run)
    images = to_tensor(np.random.RandomState(0).randint(0, 255, [5, 16, 16, 3]).astype(np.uint8))
    ws = G.encode(images)
    assert ws.shape == (5, 1, G.w_dim)
    with torch.no_grad():
        torch.testing.assert_close(ws[:, 0], G.encoder(images)[:, : G.w_dim])
    torch.testing.assert_close(G.encode(images[2:3]), ws[2:3], rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match=r"can't encode images of \[3, 8, 8\]; this network takes \[3, 16, 16\] each"):
        G.encode(images[:, :, :8, :8])


def test_a_figure_of_inputs_and_what_comes_back(run, photos, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = f"reconstruct --network {run} {photos} --save-w c.npz --output r.png --scale 2"
    assert main(line.split()) == 0
    assert capsys.readouterr().out.split() == ["r.png", "c.npz"]
    assert pixels("r.png").shape[:2] == (2 * (2 * 17 + 1), 2 * (3 * 17 + 1))
    G = load(run)
    assert load_codes("c.npz", G).shape == (3, 1, G.w_dim)
    first = Path("r.png").read_bytes()
    assert main(["redo", "r.png.json"]) == 0
    assert capsys.readouterr().out.endswith("the same bytes as before\n")
    assert Path("r.png").read_bytes() == first


def test_what_lies_between_two_images(run, photos, tmp_path):
    G = load(run)
    ws, path = reconstruct(G, [photos / "a.png", photos / "b.png"], tmp_path / "b.png", between=3)
    assert pixels(path).shape[:2] == (18, 7 * 17 + 1)
    middle = pixels(path)[1:17, 3 * 17 + 1 : 3 * 17 + 17]
    expected = G.synthesis(ws.mean(0, keepdim=True))
    assert (to_tensor(middle[None]) - expected.clamp(-1, 1)).abs().max() < 0.02
    with pytest.raises(UserError, match="there is nothing between one image and itself"):
        reconstruct(G, [photos / "a.png"], tmp_path / "c.png", between=3)


def test_a_gan_can_not(tiny_run, photos, capsys):
    assert main(f"reconstruct --network {tiny_run} {photos}".split()) == 2
    error = capsys.readouterr().err
    assert "stylegan2 makes images and can't read them: it has no encoder; vae and autoencoder have one" in error
    assert error.count("\n") == 1


def test_a_run_of_before_has_its_encoder(faces, tmp_path):
    """Settings of the VAE that are younger than a run mean what they meant."""
    folder = train(toy("vae"), faces, outdir=tmp_path, hidden=500, **SHORT).folder
    checkpoint = next(newest_first(folder / "checkpoints"))
    old = {"z_dim", "width", "sigma", "lr"}
    for path in (folder / "config.json", checkpoint / "config.json"):
        config = json.loads(path.read_text())
        config["config"] = {name: value for name, value in config["config"].items() if name in old}
        path.write_text(json.dumps(config))
    (checkpoint / "checksums.json").unlink(missing_ok=True)
    assert load(folder).encode(torch.zeros(1, 3, 16, 16)).shape == (1, 1, 8)
    assert train(toy("vae"), faces, outdir=tmp_path, resume=True, hidden=500, **{**SHORT, "kimg": 0.012}).seen == 12
