import pytest
import torch

import organza.models.load
from organza.contract.data import DataSpec
from organza.methods.stylegan.stylegan2 import StyleGAN2
from organza.models.generator import Generator


@pytest.fixture
def network(monkeypatch):
    """Make every path lead to an untrained network of 16 x 16 images; gives the paths that were asked for."""
    spec = DataSpec((16, 16), 3, 0)
    method = StyleGAN2(z_dim=8, w_dim=8, channel_base=128, channel_max=8).resolve(spec, 4).build(spec)
    net = method.nets[method.model.net].eval().requires_grad_(False)
    G = Generator("stylegan2", spec, method.model, net, None, torch.device("cpu"), torch.float32)
    asked = []

    def load(path, device=None, precision="float32"):
        asked.append((str(path), device))
        return G

    monkeypatch.setattr(organza.models.load, "load_generator", load)
    return asked
