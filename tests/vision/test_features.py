"""Feature networks: one interface for all, and what each must do."""

from __future__ import annotations

import gzip
import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from organza.core.download import digest
from organza.core.errors import UserError
from organza.vision import published
from organza.vision.features import inception, metric_prefix, open_features
from tests.vision.inception_weights import pictures as smooth_pictures
from tests.vision.inception_weights import write

SHARED = Path(__file__).parents[3] / "shared"
LENET, MNIST = SHARED / "weights" / "mnist_lenet" / "lenet.pth", SHARED / "data" / "mnist"


def pictures(count: int, height: int, width: int, channels: int, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, height, width, channels), dtype=torch.uint8, generator=rng)


@pytest.mark.parametrize("shape", [(64, 64, 3), (32, 48, 3), (28, 28, 1), (96, 80, 4)])
def test_voile64_takes_every_kind_of_picture(shape: tuple[int, int, int]) -> None:
    features = open_features("voile64", device="cpu")
    images = pictures(3, *shape)
    found = features(images)
    assert found.features.shape == (3, features.dim) and found.features.dtype == torch.float32
    assert torch.isfinite(found.features).all() and found.logits is None
    assert torch.equal(found.features, features(images).features)
    torch.testing.assert_close(found.features[1:2], features(images[1:2]).features)


def test_grey_is_the_same_as_grey_in_rgb_and_opaque_the_same_as_no_alpha() -> None:
    features = open_features("voile64", device="cpu")
    grey = pictures(2, 40, 40, 1)
    rgb = grey.expand(-1, -1, -1, 3)
    opaque = torch.cat([rgb, torch.full_like(grey, 255)], 3)
    torch.testing.assert_close(features(grey).features, features(rgb).features)
    torch.testing.assert_close(features(opaque).features, features(rgb).features)


def test_wrong_pictures_and_names_are_refused() -> None:
    features = open_features("voile64", device="cpu")
    with pytest.raises(ValueError, match="expected uint8"):
        features(torch.zeros(1, 8, 8, 3))
    with pytest.raises(UserError, match="no feature network is called 'resnet'"):
        open_features("resnet")


def test_only_the_standard_inception_gives_fid() -> None:
    features = open_features("voile64", device="cpu")
    assert metric_prefix(features) == "fd_voile64"


# ---------------------------------------------------------------- Inception

# What torch-fidelity 0.4.0 gives for the same random weights and images, to its last digit but one.
FIDELITY = (
    [0.00744, 1.08696, 0.05432, 1.37663, 0.05067, 1.22547, 0.55042, 0.03537],
    [-0.37803, 0.5877, -2.96022, -0.78382],
)


def test_inception_is_the_one_that_fid_is_defined_by(tmp_path: Path) -> None:
    features = open_features(f"inception:{write(tmp_path / 'inception.pth')}", device="cpu")
    found = features(smooth_pictures())
    assert found.logits is not None
    torch.testing.assert_close(found.features[0, :1600:200], torch.tensor(FIDELITY[0]), atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(found.logits[0, :1000:250], torch.tensor(FIDELITY[1]), atol=2e-5, rtol=1e-4)
    assert features.name.startswith("inception-") and features.dim == 2048
    assert metric_prefix(features) == f"fd_{features.name}"  # random weights are not FID


def test_inception_agrees_with_torch_fidelity(tmp_path: Path) -> None:
    other = pytest.importorskip("torch_fidelity").FeatureExtractorInceptionV3
    path = write(tmp_path / "inception.pth")
    found = open_features(f"inception:{path}", device="cpu")(smooth_pictures())
    theirs = other("i", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path))
    expected = theirs(smooth_pictures().permute(0, 3, 1, 2).contiguous())
    torch.testing.assert_close(found.features, expected[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.logits, expected[1], atol=1e-4, rtol=1e-4)


def test_only_the_published_file_gives_fid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "inception.pth"
    torch.save({}, path)
    monkeypatch.setattr(inception, "load", lambda path, device: None)
    known = replace(published.PUBLISHED["inception"], sha256=digest(path))
    monkeypatch.setitem(published.PUBLISHED, "inception", known)
    features = open_features(f"inception:{path}", device="cpu")
    assert [metric_prefix(features, metric) for metric in ("fd", "kd")] == ["fid", "kid"]


def test_inception_without_a_network_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORGANZA_CACHE", str(tmp_path))
    monkeypatch.setenv("ORGANZA_OFFLINE", "1")
    with pytest.raises(UserError, match=r"6726825d\.pth: not downloaded yet, and offline") as caught:
        open_features("inception", device="cpu")
    assert f"put the file at {tmp_path}" in str(caught.value)  # where
    assert "inception:FILE" in str(caught.value) and "fd_voile64_2k_full" in str(caught.value)  # or what instead


def test_inception_of_another_shape_is_refused(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(10, 10)}, tmp_path / "a.pth")
    with pytest.raises(UserError, match="has no tensor 'Conv2d_1a_3x3"):
        open_features(f"inception:{tmp_path / 'a.pth'}", device="cpu")
    with pytest.raises(UserError, match="does not exist"):
        open_features(f"inception:{tmp_path / 'b.pth'}", device="cpu")


class LikeNVIDIA(torch.nn.Module):
    """A stand-in with the interface of the published TorchScript file."""

    def forward(self, img: torch.Tensor, return_features: bool = False, no_output_bias: bool = False) -> torch.Tensor:
        means = img.float().mean((2, 3))
        if return_features:
            return means.mean(1, keepdim=True).expand(-1, 2048)
        return torch.softmax(means / 255, 1)


def test_inception_as_torchscript_is_called_as_published(tmp_path: Path) -> None:
    script(LikeNVIDIA(), tmp_path / "inception.pt")
    features = open_features(f"inception:{tmp_path / 'inception.pt'}", device="cpu")
    images = pictures(3, 20, 20, 3)
    found = features(images)
    torch.testing.assert_close(found.features[:, 0], images.float().mean((1, 2, 3)))
    assert found.logits is not None
    torch.testing.assert_close(found.logits.softmax(1), torch.softmax(images.float().mean((1, 2)) / 255, 1))
    script(Means(), tmp_path / "other.pt")
    with pytest.raises(UserError, match="is no Inception such as NVIDIA publishes"):
        open_features(f"inception:{tmp_path / 'other.pt'}", device="cpu")


# ---------------------------------------------------------------- LeNet


@pytest.mark.skipif(not LENET.exists(), reason="needs the LeNet beside the checkout")
def test_lenet_reads_digits() -> None:
    features = open_features(f"lenet:{LENET}", device="cpu")
    assert (features.name, features.dim) == ("lenet", 84)
    raw = [gzip.decompress((MNIST / f"t10k-{name}-ubyte.gz").read_bytes()) for name in ("images-idx3", "labels-idx1")]
    images = torch.from_numpy(np.frombuffer(raw[0], np.uint8, offset=16).reshape(-1, 28, 28, 1).copy())
    labels = torch.from_numpy(np.frombuffer(raw[1], np.uint8, offset=8).astype(np.int64))
    said = torch.cat([features(part).logits for part in images.split(2500)]).argmax(1)  # type: ignore[misc]
    assert 0.985 <= (said == labels).float().mean() < 0.987
    padded = torch.nn.functional.pad(images, (0, 0, 2, 2, 2, 2))
    again = torch.cat([features(part).logits for part in padded.split(2500)]).argmax(1)  # type: ignore[misc]
    assert torch.equal(again, said)
    colour = torch.nn.functional.interpolate(images[:200].permute(0, 3, 1, 2).float(), scale_factor=2, mode="bilinear")
    large = colour.byte().permute(0, 2, 3, 1).expand(-1, -1, -1, 3)
    assert (features(large).logits.argmax(1) == labels[:200]).float().mean() > 0.95  # type: ignore[union-attr]


def test_lenet_needs_a_file_of_lenet(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="say which file: --features lenet:PATH"):
        open_features("lenet", device="cpu")
    (tmp_path / "a.pth").write_bytes(b"no")
    with pytest.raises(UserError, match="refused"):
        open_features(f"lenet:{tmp_path / 'a.pth'}", device="cpu")


# ---------------------------------------------------------------- anybody's files


class Means(torch.nn.Module):
    """Means over the image, and the image itself."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.mean((2, 3)), x


def script(net: torch.nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(net), str(path))
    return path


def onnx_mean(path: Path, shape: tuple[int | str, ...] = ("n", 3, "h", "w")) -> Path:
    """An ONNX file that averages over places, written by hand: fields of the protobuf messages of onnx.proto."""

    def number(field: int, value: int) -> bytes:
        return bytes([field << 3]) + varint(value)

    def varint(value: int) -> bytes:
        return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)

    def text(field: int, value: bytes | str) -> bytes:
        value = value.encode() if isinstance(value, str) else value
        return bytes([field << 3 | 2]) + varint(len(value)) + value

    def value_info(name: str, sides: tuple[int | str, ...]) -> bytes:
        dims = b"".join(text(1, number(1, s) if isinstance(s, int) else text(2, s)) for s in sides)
        return text(1, name) + text(2, text(1, number(1, 1) + text(2, dims)))

    node = text(1, "x") + text(2, "y") + text(4, "GlobalAveragePool")
    graph = text(1, node) + text(2, "g") + text(11, value_info("x", shape)) + text(12, value_info("y", ("n", 3, 1, 1)))
    path.write_bytes(number(1, 8) + text(7, graph) + text(8, number(2, 13)))
    return path


def test_any_torchscript_file(tmp_path: Path) -> None:
    path = script(Means(), tmp_path / "my net.pt")
    images = pictures(3, 20, 30, 3)
    features = open_features(f"{path}?range=-1,1", device="cpu")
    torch.testing.assert_close(features(images).features, images.float().mean((1, 2)) / 127.5 - 1)
    assert features.name == f"my_net-{digest(path)[:8]}" and features.dim == 3
    maps = open_features(f"{path}?output=1&size=8x4&mean=0.5,0.5,0.5&std=2,2,2", device="cpu")
    assert maps.resize == "antialiased bicubic to 8x4" and maps.digest != features.digest
    means = torch.nn.functional.interpolate(images.permute(0, 3, 1, 2).float(), (8, 4), mode="bicubic", antialias=True)
    expected = (means.clamp(0, 255).mean((2, 3)) / 255 - 0.5) / 2
    torch.testing.assert_close(maps(images).features, expected)
    assert open_features(path, device="cpu")(images[:1]).features.shape == (1, 3)


@pytest.mark.parametrize("shape", [("n", 3, "h", "w"), (2, 3, 32, 32)], ids=["free", "fixed"])
def test_any_onnx_file(shape: tuple[int | str, ...], tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    features = open_features(f"{onnx_mean(tmp_path / 'mean.onnx', shape)}?range=0,255", device="cpu")
    images = pictures(3, 32, 32, 3)
    torch.testing.assert_close(features(images).features, images.float().mean((1, 2)), rtol=1e-4, atol=1e-3)
    assert features.dim == 3 and ("32x32" in features.resize) == (shape[2] == 32)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("size=0", "the option size=0 makes no sense; give size=224"),
        ("range=1,-1", "the option range=1,-1 makes no sense"),
        ("layout=chw", "the option layout=chw makes no sense"),
        ("colour=1", "no option is called 'colour'; there are size, range"),
        ("mean=1,2", "mean has 2 numbers for 3 channels"),
        ("std=0,1,1", "the option std=0,1,1 makes no sense"),
        ("output=2", "has no tensor as output 2"),
        ("channels=1&layout=nhwc&output=9", "has no tensor as output 9"),
    ],
)
def test_wrong_options_are_named(options: str, why: str, tmp_path: Path) -> None:
    path = script(Means(), tmp_path / "a.pt")
    with pytest.raises(UserError, match=re.escape(why)):
        open_features(f"{path}?{options}", device="cpu")


def test_broken_files_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"nothing")
    (tmp_path / "b.pt").write_bytes(script(Means(), tmp_path / "c.pt").read_bytes()[:-100])
    torch.save({"a": torch.zeros(2)}, tmp_path / "d.pt")
    pytest.importorskip("onnxruntime")
    for name, why in (
        ("a.onnx", "a broken ONNX file"),
        ("b.pt", "neither"),
        ("d.pt", "neither"),
        ("e.pt", "not exist"),
    ):
        with pytest.raises(UserError, match=why) as caught:
            open_features(tmp_path / name, device="cpu")
        assert "\n" not in str(caught.value)
