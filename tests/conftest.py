"""Small networks and feature networks that many tests share."""

import hashlib

import pytest
import torch

from organza.contract.data import DataSpec
from organza.methods.basic.dcgan import DCGAN
from organza.methods.stylegan.lucidrains import LucidStyleGAN2
from organza.methods.stylegan.stylegan2 import StyleGAN2
from organza.metrics import evaluation
from organza.models.generator import Generator
from organza.vision import features
from organza.vision.features import Features, Output


def tiny(spec: DataSpec) -> Generator:
    torch.manual_seed(0)
    config = StyleGAN2(z_dim=8, w_dim=8, channel_base=256, channel_max=8).resolve(spec, 4)
    method = config.build(spec)
    net = method.nets[method.model.net].eval().requires_grad_(False)
    return Generator("stylegan2", spec, method.model, net, None, torch.device("cpu"), torch.float32)


@pytest.fixture(scope="session")
def G():
    """An untrained StyleGAN2 that draws RGB images 24 wide and 16 high."""
    return tiny(DataSpec((16, 24), 3, 0))


@pytest.fixture(scope="session")
def G_classes():
    """The same with five classes and transparency."""
    return tiny(DataSpec((16, 16), 4, 5))


@pytest.fixture(scope="session")
def G_noisy():
    """A StyleGAN2 whose noise inputs are heard."""
    G = tiny(DataSpec((16, 16), 3, 0))
    for name, value in G.net.named_parameters():
        if name.endswith("noise_strength"):
            value.fill_(0.3)
    return G


@pytest.fixture(scope="session")
def G_plain():
    """A DCGAN: z only, so w is z."""
    torch.manual_seed(0)
    spec = DataSpec((16, 16), 3, 0)
    method = DCGAN(z_dim=8, width=8, latent="normal").resolve(spec, 4).build(spec)
    net = method.nets[method.model.net].eval().requires_grad_(False)
    return Generator("dcgan", spec, method.model, net, None, torch.device("cpu"), torch.float32)


@pytest.fixture(scope="session")
def G_lucid():
    """lucidrains' StyleGAN2: one plane of noise for all layers."""
    torch.manual_seed(0)
    spec = DataSpec((16, 16), 3, 0)
    method = LucidStyleGAN2(z_dim=8, mapping_layers=2, capacity=2, channel_max=16).resolve(spec, 4).build(spec)
    net = method.nets[method.model.net].eval().requires_grad_(False)
    return Generator("lucidrains", spec, method.model, net, None, torch.device("cpu"), torch.float32)


def make_features(name="toy", dim=6, standard=False):
    """A feature network that is fast, and looks at where colours are."""
    weight = torch.randn(dim, 3 * 16, generator=torch.Generator().manual_seed(7))

    def run(images):
        images = images.expand(-1, 3, -1, -1)[:, :3]
        small = torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1) / 64
        found = small @ weight.T
        return Output(found, found[:, :4])

    digest = hashlib.sha256(f"{name}{dim}".encode()).hexdigest()
    return Features(name, dim, digest, "means over 4x4 tiles", torch.device("cpu"), run, standard)


@pytest.fixture(name="toy_features")
def _toy_features():
    return make_features


@pytest.fixture
def toys(monkeypatch):
    """Make every feature network a toy; gives the names that were asked for."""
    asked = []

    def open_features(name="voile64", *, device=None):
        asked.append(str(name))
        return make_features(str(name), standard=name == "inception")

    monkeypatch.setattr(evaluation, "open_features", open_features)
    monkeypatch.setattr(features, "open_features", open_features)
    return asked
