"""ProGAN in TensorFlow's pickles: without official arrays at hand, layers are computed here as TensorFlow does."""

from __future__ import annotations

import itertools
import pickle
import sys
import types

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import organza
from organza.core.errors import UserError
from organza.formats import read_weights

WIDTHS, Z, LABELS = (7, 6, 5), 8, 2


class Network:
    """NVIDIA's class of the time, as far as a pickle is concerned."""

    def __init__(self, state):
        self.state = state

    def __getstate__(self):
        return self.state


@pytest.fixture(autouse=True)
def _their_module(monkeypatch):
    module = types.ModuleType("tfutils")
    module.Network = Network
    monkeypatch.setattr(Network, "__module__", "tfutils")
    monkeypatch.setitem(sys.modules, "tfutils", module)


def network(variables, **kwargs):
    """A network as it pickles itself."""
    state = {"version": 2, "name": "G", "static_kwargs": kwargs, "build_module_src": "", "build_func_name": "G_paper"}
    return Network(state | {"variables": list(variables.items())})


def variables(fused, labels, seed=0):
    rng = np.random.RandomState(seed)

    def draw(*shape):
        return rng.randn(*shape).astype(np.float32)

    generator = {"lod": np.float32(0.0), "4x4/Dense/weight": draw(Z + labels, WIDTHS[0] * 16)}
    generator |= {"4x4/Dense/bias": draw(WIDTHS[0]), "4x4/Conv/weight": draw(3, 3, WIDTHS[0], WIDTHS[0])}
    generator |= {"4x4/Conv/bias": draw(WIDTHS[0]), "ToRGB_lod2/weight": draw(1, 1, WIDTHS[0], 3)}
    generator["ToRGB_lod2/bias"] = draw(3)
    critic = {
        "lod": np.float32(0.0),
        "FromRGB_lod2/weight": draw(1, 1, 3, WIDTHS[0]),
        "FromRGB_lod2/bias": draw(WIDTHS[0]),
    }
    for level, (before, after) in enumerate(itertools.pairwise(WIDTHS), start=1):
        size, lod = 4 << level, 2 - level
        up = draw(3, 3, after, before) if fused else draw(3, 3, before, after)
        name = f"{size}x{size}/{'Conv0_up' if fused else 'Conv0'}"
        generator |= {f"{name}/weight": up, f"{name}/bias": draw(after)}
        generator |= {f"{size}x{size}/Conv1/weight": draw(3, 3, after, after), f"{size}x{size}/Conv1/bias": draw(after)}
        generator |= {f"ToRGB_lod{lod}/weight": draw(1, 1, after, 3), f"ToRGB_lod{lod}/bias": draw(3)}
        critic |= {f"FromRGB_lod{lod}/weight": draw(1, 1, 3, after), f"FromRGB_lod{lod}/bias": draw(after)}
        critic |= {f"{size}x{size}/Conv0/weight": draw(3, 3, after, after), f"{size}x{size}/Conv0/bias": draw(after)}
        name = f"{size}x{size}/{'Conv1_down' if fused else 'Conv1'}"
        critic |= {f"{name}/weight": draw(3, 3, after, before), f"{name}/bias": draw(before)}
    critic |= {"4x4/Conv/weight": draw(3, 3, WIDTHS[0] + 1, WIDTHS[0]), "4x4/Conv/bias": draw(WIDTHS[0])}
    critic |= {"4x4/Dense0/weight": draw(WIDTHS[0] * 16, WIDTHS[0]), "4x4/Dense0/bias": draw(WIDTHS[0])}
    critic |= {"4x4/Dense1/weight": draw(WIDTHS[0], 1 + labels), "4x4/Dense1/bias": draw(1 + labels)}
    return generator, critic


def tensor(value):
    return torch.from_numpy(np.asarray(value))


def pixel_norm(x):
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def scaled(value, gain=2**0.5):
    """A weight times He's constant: all but its last axis count (but see `enlarge`)."""
    return tensor(value) * gain / np.prod(value.shape[:-1]) ** 0.5


def conv(x, v, name, gain=2**0.5):
    w = scaled(v[f"{name}/weight"], gain)
    return F.conv2d(x, w.permute(3, 2, 0, 1), padding=w.shape[0] // 2) + tensor(v[f"{name}/bias"])[:, None, None]


def enlarge(x, v, size, fused):
    """The kernel's four shifted copies added, as a transposed convolution; or pixels repeated, then convolved."""
    if not fused:
        return conv(F.interpolate(x, scale_factor=2), v, f"{size}x{size}/Conv0")
    w = tensor(v[f"{size}x{size}/Conv0_up/weight"])  # [3, 3, out, in]
    w = w * 2**0.5 / (9 * w.shape[3]) ** 0.5
    w = F.pad(w.permute(2, 3, 0, 1), (1, 1, 1, 1))
    w = w[..., 1:, 1:] + w[..., :-1, 1:] + w[..., 1:, :-1] + w[..., :-1, :-1]
    y = F.conv_transpose2d(x, w.transpose(0, 1), stride=2, padding=1)
    return y + tensor(v[f"{size}x{size}/Conv0_up/bias"])[:, None, None]


def draw(v, code, fused):
    x = pixel_norm(code) @ (tensor(v["4x4/Dense/weight"]) * (2**0.5 / 4 / code.shape[1] ** 0.5))
    x = x.reshape(len(x), -1, 4, 4) + tensor(v["4x4/Dense/bias"])[:, None, None]
    x = pixel_norm(F.leaky_relu(x, 0.2))
    x = pixel_norm(F.leaky_relu(conv(x, v, "4x4/Conv"), 0.2))
    for size in (8, 16):
        x = pixel_norm(F.leaky_relu(enlarge(x, v, size, fused), 0.2))
        x = pixel_norm(F.leaky_relu(conv(x, v, f"{size}x{size}/Conv1"), 0.2))
    return conv(x, v, "ToRGB_lod0", gain=1)


def judge(v, x, fused):
    x = F.leaky_relu(conv(x, v, "FromRGB_lod0"), 0.2)
    for size in (16, 8):
        x = F.leaky_relu(conv(x, v, f"{size}x{size}/Conv0"), 0.2)
        if not fused:
            x = F.avg_pool2d(F.leaky_relu(conv(x, v, f"{size}x{size}/Conv1"), 0.2), 2)
            continue
        w = F.pad(scaled(v[f"{size}x{size}/Conv1_down/weight"]).permute(3, 2, 0, 1), (1, 1, 1, 1))
        w = (w[..., 1:, 1:] + w[..., :-1, 1:] + w[..., 1:, :-1] + w[..., :-1, :-1]) / 4
        y = F.conv2d(x, w, stride=2, padding=1) + tensor(v[f"{size}x{size}/Conv1_down/bias"])[:, None, None]
        x = F.leaky_relu(y, 0.2)
    group = min(4, len(x))
    y = x.reshape(group, -1, *x.shape[1:])
    y = ((y - y.mean(0)).square().mean(0) + 1e-8).sqrt().mean((1, 2, 3), keepdim=True).repeat(group, 1, 4, 4)
    x = F.leaky_relu(conv(torch.cat([x, y], 1), v, "4x4/Conv"), 0.2)
    x = F.leaky_relu(x.flatten(1) @ scaled(v["4x4/Dense0/weight"]) + tensor(v["4x4/Dense0/bias"]), 0.2)
    return (x @ scaled(v["4x4/Dense1/weight"], 1) + tensor(v["4x4/Dense1/bias"]))[:, :1]


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("labels", [0, LABELS])
def test_progan_of_tensorflow(fused, labels, tmp_path):
    generator, critic = variables(fused, labels)
    kwargs = {"num_channels": 3, "resolution": 16, "label_size": labels, "fused_scale": fused}
    three = (network(generator, **kwargs), network(critic, **kwargs), network(generator, **kwargs))
    path = tmp_path / "karras2018iclr.pkl"
    path.write_bytes(pickle.dumps(three, 2))
    weights = read_weights(path)
    assert not weights.problems and not weights.foreign and weights.method == "progan"
    G = organza.load(path, networks="all")
    z, about = torch.randn(4, Z), torch.eye(max(labels, 1))[[0, 1, 1, 0]] if labels else torch.zeros(4, 0)
    images = G.synthesis(G.mapping(z, about))
    expected = draw(generator, torch.cat([z, about], 1), fused)
    torch.testing.assert_close(images, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(G.discriminator(images, about), judge(critic, images, fused), atol=1e-4, rtol=1e-4)


def test_progan_in_the_middle_of_its_growth(tmp_path):
    generator, critic = variables(True, 0)
    generator["lod"] = np.float32(1.25)
    kwargs = {"num_channels": 3, "resolution": 16, "label_size": 0}
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(tuple(network(v, **kwargs) for v in (generator, critic, generator)), 2))
    G = organza.load(path)
    assert G.net.progress() == pytest.approx(0.75)
    assert G.generate([1]).shape == (1, 16, 16, 3)
    strange = network(generator, **kwargs, use_pixelnorm=False)
    path.write_bytes(pickle.dumps((strange, network(critic, **kwargs), strange), 2))
    with pytest.raises(UserError, match="use_pixelnorm is False"):
        organza.load(path)
