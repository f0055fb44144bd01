"""Generators of linear layers from files: read as the first GAN, and told from other chains."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

import organza
from organza import UserError

DIGITS = Path(__file__).parents[3] / "shared" / "weights" / "mnist_gan_mlp" / "G--300.ckpt"


def test_it_generates_what_the_chain_does(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 192), nn.Tanh())
    torch.save(net.state_dict(), tmp_path / "G.ckpt")
    G = organza.load(tmp_path / "G.ckpt")
    assert (G.kind, G.resolution, G.channels, G.z_dim) == ("gan", (8, 8), 3, 6)
    z = torch.randn(3, 6)
    with torch.no_grad():
        torch.testing.assert_close(G.synthesis(G.mapping(z)), net(z).reshape(3, 3, 8, 8))


@pytest.mark.parametrize("sizes", [(64, 32, 2), (64, 32, 100, 784), (784, 256, 256), (16, 8, 65)])
def test_other_chains_are_none_of_its(sizes, tmp_path):
    layers = [layer for one, other in pairwise(sizes) for layer in (nn.Linear(one, other), nn.ReLU())]
    torch.save(nn.Sequential(*layers).state_dict(), tmp_path / "x.pt")
    with pytest.raises(UserError, match="a plain chain of layers"):
        organza.load(tmp_path / "x.pt")


def test_the_pretrained_generator_of_digits():
    if not DIGITS.exists():
        pytest.skip("needs the pretrained generator beside the checkout")
    G = organza.load(DIGITS)
    assert (G.kind, G.resolution, G.channels, G.z_dim) == ("gan", (28, 28), 1, 64)
    images = G.generate(range(64)).astype(float)
    ink, middle = (images > 127).mean(), (abs(images - 127.5) < 64).mean()
    assert 0.05 < ink < 0.3 and middle < 0.15  # white strokes on black, few greys
    assert images[:, :2].mean() < 5  # a margin
