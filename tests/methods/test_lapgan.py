"""LAPGAN: a step written out by hand, with labels and without; sampling from coarse to fine; the grid of all sizes."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from organza import UserError, load, train
from organza.contract.data import DataSpec
from organza.contract.method import Clock
from organza.methods.ensembles.lapgan import LAPGAN, slower
from organza.training.loop import advance, generator
from organza.training.preview import preview
from organza.training.settings import Training
from organza.training.state import State
from tests.shapes import batch_of, toy

CPU = torch.device("cpu")


def state_of(spec):
    torch.manual_seed(0)
    return State.fresh(replace(LAPGAN(dropout=0.0).toy(), smallest=8).resolve(spec, 4).build(spec), CPU)


def up(images):
    return F.interpolate(images, scale_factor=2, mode="bilinear", align_corners=True)


@pytest.mark.parametrize("labels", [0, 3])
def test_a_step_is_the_papers(labels):
    """Each size is a GAN of its own: they are trained here one by one, with SGD of their own."""
    spec = DataSpec((32, 32), 3, labels)
    state, batch = state_of(spec), batch_of(spec, 4)
    G, D = copy.deepcopy(state.method.nets["G"]), copy.deepcopy(state.method.nets["D"])
    d_phase, g_phase = state.method.phases
    first = advance(state, d_phase, batch, Training())
    second = advance(state, g_phase, batch, Training())

    y, sizes = batch.labels, [8, 16, 32]
    images = {32: batch.images, 16: F.avg_pool2d(batch.images, 2), 8: F.avg_pool2d(batch.images, 4)}

    def fakes(phase):
        z = torch.randn([4, 8 + 16**2 + 32**2], generator=generator(CPU, 0, 0, phase, 0))
        z, noise16, noise32 = torch.erf(z / 2**0.5).split([8, 256, 1024], 1)
        made = [G.small(torch.cat([z, y], 1))]
        for k, noise in ((0, noise16.reshape(4, 1, 16, 16)), (1, noise32.reshape(4, 1, 32, 32))):
            low = up(images[sizes[k]])  # of the real image, not of what the smaller network made
            residual = G.levels[k](noise, low, y)
            made.append(low + residual)
        return made

    made = [image.detach() for image in fakes("D")]
    sgd = {"lr": 0.02, "momentum": 0.5}
    for k, size in enumerate(sizes):
        real, fake = torch.sigmoid(D.each[k](images[size], y)), torch.sigmoid(D.each[k](made[k], y))
        loss = -0.5 * (real.log() + (1 - fake).log()).mean()
        torch.testing.assert_close(first.stats[f"loss/D{size}"], loss.detach())
        optimizer = torch.optim.SGD(D.each[k].parameters(), **sgd)
        loss.backward()
        optimizer.step()
    made = fakes("G")
    for k, size in enumerate(sizes):
        loss = -torch.sigmoid(D.each[k](made[k], y)).log().mean()
        torch.testing.assert_close(second.stats[f"loss/G{size}"], loss.detach())
        own = G.small if k == 0 else G.levels[k - 1]
        optimizer = torch.optim.SGD(own.parameters(), **sgd)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for name, by_hand in (("G", G), ("D", D)):
        for got, expected in zip(state.method.nets[name].parameters(), by_hand.parameters(), strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6)


def test_sampling_goes_from_coarse_to_fine():
    spec = DataSpec((24, 16), 1, 2)
    G = state_of(spec).method.nets["G"].eval()
    codes = torch.rand(3, G.length + 2)
    small, image = G.all(codes)
    assert small.shape == (3, 1, 12, 8) and image.shape == (3, 1, 24, 16)
    first, noise = G.parts(codes)
    torch.testing.assert_close(first, torch.cat([codes[:, :8], codes[:, -2:]], 1))
    torch.testing.assert_close(image - up(small), G.levels[0](noise, up(small), codes[:, -2:]))
    assert torch.equal(G(codes), image)


def test_the_grid_shows_every_size():
    spec = DataSpec((32, 32), 3)
    state = state_of(spec)
    found = preview(state, batch_of(spec, 20))  # more than are made at once
    assert [*found] == ["8x8", "16x16", "samples"]
    assert all(images.shape == (20, 32, 32, 3) for images in found.values())
    eights = found["8x8"].reshape(20, 8, 4, 8, 4, 3)
    assert (eights == eights[:, :, :1, :, :1]).all()
    # The samples are those of the seeds, as everywhere.
    model, net = state.method.model, state.ema["G"]
    z = np.random.RandomState(17).randn(1, model.z_dim)
    image = model.synthesis(net, model.mapping(net, torch.from_numpy(z).float(), torch.zeros(1, 0)), "const", None)
    assert np.abs((image[0].permute(1, 2, 0).numpy() + 1) * 127.5 - found["samples"][17]).max() < 1


def test_a_run_shows_and_loads(faces: Path, tmp_path: Path) -> None:
    run = train(toy("lapgan"), faces, outdir=tmp_path, kimg=0.008, batch=4, grid="2x1", labels="dataset.json").folder
    with Image.open(run / "samples" / "000000008.png") as image:
        assert image.size == (67 + 4 + 35, 18)  # two pairs of sizes, and the real images beside them
    G = load(run)
    assert G.label_dim > 0 and G.generate([0, 1], labels=0).shape == (2, 16, 16, 3)


def test_sizes_that_do_not_fit():
    for resolution in ((12, 16), (17, 17), (8, 8)):
        with pytest.raises(UserError, match="a pyramid needs two sizes; take a --resolution such as 32"):
            LAPGAN().toy().build(DataSpec(resolution, 3))
    assert LAPGAN(smallest=5).toy().build(DataSpec((12, 16), 3)).models


def test_the_rate_falls_with_the_epochs():
    assert slower(Clock(0)).rate == 1
    assert slower(Clock(50_000, count=1000)).rate == pytest.approx(1 / 1.00004**50)
