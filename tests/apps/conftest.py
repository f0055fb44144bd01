import pytest
import torch

from organza.core.method import DataSpec
from organza.generator import Generator
from organza.methods.stylegan2 import StyleGAN2


def tiny(spec: DataSpec) -> Generator:
    torch.manual_seed(0)
    config = StyleGAN2(z_dim=8, w_dim=8, channel_base=256, channel_max=8).resolve(spec, 4)
    method = config.build(spec)
    net = method.nets[method.latents.net].eval().requires_grad_(False)
    return Generator("stylegan2", spec, method.latents, net, None, torch.device("cpu"), torch.float32)


@pytest.fixture(scope="session")
def G():
    """An untrained StyleGAN2 that draws RGB pictures 24 wide and 16 high."""
    return tiny(DataSpec((16, 24), 3, 0))


@pytest.fixture(scope="session")
def G_classes():
    """The same with five classes and transparency."""
    return tiny(DataSpec((16, 16), 4, 5))
