"""Large images in tiles equal whole ones, where nothing is normalised over the whole image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import organza
from organza import UserError, train
from organza.cli.main import main
from organza.data.photo import Photo
from organza.models.tiles import check_tiles, in_tiles
from organza.nn.resnet import ResNetGenerator
from tests.shapes import toy

SHORT = {"batch": 4, "grid": "2x1", "kimg": 0.008, "resolution": "16"}


def test_a_network_that_reaches_less_far_than_the_overlap_is_the_same_in_tiles():
    torch.manual_seed(0)
    net = ResNetGenerator(3, 3, blocks=2, width=4, norm="none")
    for layer in net.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            torch.nn.init.kaiming_normal_(layer.weight)
    x = torch.rand(1, 3, 148, 212) * 2 - 1
    with torch.no_grad():
        whole, parts = net(x), in_tiles(x, net, tile=104, overlap=88, step=net.multiple)
        few = in_tiles(x, net, tile=32, overlap=8, step=net.multiple)
    assert parts.shape == whole.shape
    assert (parts - whole).abs().max() < 1 / 255
    assert (few - whole).abs().max() > 1 / 255  # too little is shared


@pytest.mark.parametrize(("size", "tile", "overlap"), [((40, 24), 16, 8), ((33, 70), 20, 0), ((8, 50), 16, 15)])
def test_blending_adds_up(size, tile, overlap):
    x = torch.rand(1, 2, *size)
    found = in_tiles(x, lambda part: part.repeat_interleave(2, 2).repeat_interleave(2, 3), tile, overlap)
    assert torch.allclose(found, x.repeat_interleave(2, 2).repeat_interleave(2, 3), atol=1e-6)


def test_tiles_that_are_too_small():
    for tile, overlap, step, least in ((16, 16, 4, 1), (0, 0, 4, 1), (16, -1, 1, 1), (16, 0, 4, 32)):
        with pytest.raises(UserError, match="make tiles larger"):
            check_tiles(tile, overlap, step, least)


@pytest.fixture(scope="module")
def run(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(toy("cyclegan"), pairs, outdir=tmp_path_factory.mktemp("runs"), **SHORT).folder


def test_a_translator_in_tiles(run):
    T = organza.load(run)
    seen = []

    def apply(net, x, labels, z):
        seen.append(tuple(x.shape[2:]))
        return -x

    T = replace(T, model=replace(T.model, apply=apply))
    photo = Photo(np.random.RandomState(0).randint(0, 256, (50, 70, 3)).astype(np.uint8))
    made = T.tiled(24, 8).photo(photo, size="own")
    assert np.abs(made.eight().astype(int) - (255 - photo.pixels.astype(int))).max() <= 1
    assert max(seen) == (24, 24) and len(seen) > 6


def test_the_command(run, tmp_path, capsys):
    Image.fromarray(np.random.RandomState(0).randint(0, 256, (60, 90, 3)).astype(np.uint8)).save(tmp_path / "a.png")
    common = ["translate", "--network", f"{run}", "--input", f"{tmp_path / 'a.png'}"]
    assert main([*common, "--output", f"{tmp_path / 'b.png'}", "--tile", "32", "--overlap", "16"]) == 0
    with Image.open(tmp_path / "b.png") as image:
        assert image.size == (90, 60)
    assert main([*common, "--tile", "32"]) == 2
    assert "make tiles larger: --tile 512" in capsys.readouterr().err
