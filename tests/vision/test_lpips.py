"""LPIPS against its formula written out, with bodies built as torchvision builds them and the published heads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from organza.core.errors import UserError
from organza.tensors.state_dict import read_state_dict
from organza.vision import lpips, published
from organza.vision.lpips import BODIES, LPIPS, open_distance

HEADS = Path(__file__).parents[3] / "shared" / "weights" / "lpips_lin"


def body(net: str, folder: Path) -> Path:
    """A file with torchvision's names and random numbers, and a classifier that nobody needs."""
    torch.manual_seed(0)
    features = nn.Sequential(*BODIES[net].layers())
    for layer in features.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.uniform_(layer.bias, -0.1, 0.1)
    tensors = {f"features.{name}": value for name, value in features.state_dict().items()}
    torch.save(tensors | {"classifier.6.weight": torch.zeros(3, 3)}, folder / f"{net}.pth")
    return folder / f"{net}.pth"


def heads(net: str, folder: Path) -> Path:
    """A file of heads: random, never negative."""
    torch.manual_seed(1)
    found = {f"lin{i}.model.1.weight": torch.rand(1, width, 1, 1) for i, width in enumerate(BODIES[net].widths)}
    torch.save(found, folder / f"{net}-heads.pth")
    return folder / f"{net}-heads.pth"


def fire(x: torch.Tensor, tensors: dict[str, torch.Tensor], index: int) -> torch.Tensor:
    def conv(y: torch.Tensor, name: str, padding: int = 0) -> torch.Tensor:
        full = f"features.{index}.{name}"
        return F.relu(F.conv2d(y, tensors[f"{full}.weight"], tensors[f"{full}.bias"], padding=padding))

    x = conv(x, "squeeze")
    return torch.cat([conv(x, "expand1x1"), conv(x, "expand3x3", 1)], 1)


def layers_written_out(net: str, x: torch.Tensor, tensors: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """What is compared, step by step as the papers' tables have it."""

    def conv(index: int, **more: int) -> torch.Tensor:
        weight, bias = tensors[f"features.{index}.weight"], tensors[f"features.{index}.bias"]
        return F.relu(F.conv2d(x, weight, bias, **more))

    found = []
    if net == "vgg":
        for block in ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)):
            for index in block:
                x = conv(index, padding=1)
            found.append(x)
            x = F.max_pool2d(x, 2, 2)
    elif net == "alex":
        for index, more, pooled in (
            (0, {"stride": 4, "padding": 2}, True),
            (3, {"padding": 2}, True),
            (6, {"padding": 1}, False),
            (8, {"padding": 1}, False),
            (10, {"padding": 1}, False),
        ):
            x = conv(index, **more)
            found.append(x)
            x = F.max_pool2d(x, 3, 2) if pooled else x
    else:
        x = conv(0, stride=2)
        found.append(x)
        for group in ((3, 4), (6, 7), (9,), (10,), (11,), (12,)):
            if group[0] in (3, 6, 9):
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            for index in group:
                x = fire(x, tensors, index)
            found.append(x)
    return found


def written_out(net: str, a: torch.Tensor, b: torch.Tensor, body: Path, heads: Path) -> torch.Tensor:
    tensors, weights = torch.load(body), read_state_dict(heads)
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    both = [layers_written_out(net, (x - shift[:, None, None]) / scale[:, None, None], tensors) for x in (a, b)]
    total = torch.zeros(len(a))
    for index, (x, y) in enumerate(zip(*both, strict=True)):
        x, y = (z / (z.square().sum(1, keepdim=True).sqrt() + 1e-10) for z in (x, y))
        total += F.conv2d((x - y) ** 2, weights[f"lin{index}.model.1.weight"]).mean((2, 3))[:, 0]
    return total


@pytest.mark.parametrize("real", [False, True], ids=["random-heads", "published-heads"])
@pytest.mark.parametrize("net", list(BODIES))
def test_it_is_the_formula(net: str, real: bool, tmp_path: Path) -> None:
    if real and not HEADS.is_dir():
        pytest.skip("needs the published heads beside the checkout")
    torch.manual_seed(2)
    a = torch.rand(2, 3, 67, 64) * 2 - 1
    b = (a + 0.3 * torch.randn_like(a)).clamp(-1, 1)
    paths = body(net, tmp_path), HEADS / f"{net}.pth" if real else heads(net, tmp_path)
    distance = LPIPS.open(net, *paths, device="cpu")  # type: ignore[arg-type]
    expected = written_out(net, a, b, *paths)
    assert (expected > 0).all()
    torch.testing.assert_close(distance(a, b), expected, rtol=1e-4, atol=1e-6)
    assert distance(a, a).tolist() == [0, 0]
    embedded = (distance.embed(a) - distance.embed(b)).square().sum(1)
    torch.testing.assert_close(embedded, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(not HEADS.is_dir(), reason="needs the published heads beside the checkout")
@pytest.mark.parametrize("net", list(BODIES))
def test_the_heads_are_the_published_ones(net: str) -> None:
    from organza.core.download import digest

    assert digest(HEADS / f"{net}.pth") == published.PUBLISHED[f"{net}-heads"].sha256


@pytest.mark.parametrize("kind", ["lpips", "voile64"])
def test_gradients_flow_and_stay_finite_where_nothing_is_active(kind: str, tmp_path: Path) -> None:
    if kind == "lpips":
        distance = LPIPS.open("alex", body("alex", tmp_path), heads("alex", tmp_path), device="cpu")
    else:
        distance = open_distance("voile64", device="cpu")
    a = torch.zeros(1, 3, 64, 64, requires_grad=True)
    distance(a, torch.ones(1, 3, 64, 64)).sum().backward()
    assert torch.isfinite(a.grad).all() and a.grad.abs().max() > 0
    assert lpips.unit(torch.zeros(1, 4, 1, 1, requires_grad=True)).sum().item() == 0


def test_grey_and_transparent_pictures_are_taken(tmp_path: Path) -> None:
    torch.manual_seed(3)
    grey, other = torch.rand(2, 1, 1, 64, 64) * 2 - 1
    alpha, rgb = torch.ones(1, 1, 64, 64), (grey.expand(1, 3, 64, 64), other.expand(1, 3, 64, 64))
    lpips_alex = LPIPS.open("alex", body("alex", tmp_path), heads("alex", tmp_path), device="cpu")
    for distance in (lpips_alex, open_distance("voile64", device="cpu")):
        expected = distance(*rgb)
        torch.testing.assert_close(distance(grey, other), expected)
        torch.testing.assert_close(distance(*(torch.cat([x, alpha], 1) for x in rgb)), expected, rtol=1e-4, atol=1e-6)
        with pytest.raises(ValueError, match="expected"):
            distance(grey, other[:, :, :32])


def test_voile64_perceptual_grows_with_blur() -> None:
    torch.manual_seed(0)
    picture = F.interpolate(torch.rand(1, 3, 16, 16) * 2 - 1, (64, 64), mode="bilinear")
    blurred = [F.avg_pool2d(picture, k, 1, k // 2, count_include_pad=False) for k in (1, 3, 5, 9, 15)]
    found = [open_distance("voile64", device="cpu")(picture, other).item() for other in blurred]
    assert found[0] == 0 and found == sorted(found)


def test_the_distance_is_chosen_by_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORGANZA_CACHE", str(tmp_path))
    monkeypatch.setenv("ORGANZA_OFFLINE", "1")
    assert open_distance(device="cpu").name == "voile64 perceptual (not LPIPS)"
    with pytest.raises(UserError, match="not downloaded yet, and offline"):
        open_distance("lpips", device="cpu")
    with pytest.raises(UserError, match="no perceptual distance is called 'lpips-resnet'"):
        open_distance("lpips-resnet", device="cpu")


def test_a_wrong_body_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no tensor 'features\.\d+\.weight'"):
        LPIPS.open("vgg", body("squeeze", tmp_path), heads("vgg", tmp_path), device="cpu")
    with pytest.raises(UserError, match="the tensor '1' is"):
        LPIPS.open("alex", body("alex", tmp_path), heads("vgg", tmp_path), device="cpu")
