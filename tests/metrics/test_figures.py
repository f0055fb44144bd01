"""The figures on arrays, against other people's code, plain re-computation and closed forms."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.linalg
import scipy.ndimage
import torch
from torch import nn

from organza.metrics import (
    Moments,
    density_coverage,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall,
    separability,
)
from organza.metrics import linear as planes
from organza.metrics.frechet import distance_of, influence
from organza.metrics.linear import logistic_regression
from organza.metrics.manifold import manifold
from organza.metrics.path_length import filtered, path_distances, prepare, slerp
from organza.metrics.similarity import ms_ssim
from organza.metrics.sliced import normalise, patches, pyramid, sliced_wasserstein


class Small(nn.Module):
    """A fixed network that stands for Inception."""

    def __init__(self, dim: int = 24) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(1)
        self.weight = nn.Parameter(torch.randn(dim, 3, 5, 5, generator=rng) / 8, requires_grad=False)
        self.num_features = dim

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = nn.functional.conv2d(images.to(self.weight) / 255, self.weight, stride=2).relu()
        return found.mean((2, 3)) * 5 + found[:, :, 0, 0]


def pictures(count: int, seed: int, gain: float = 1.0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    smooth = nn.functional.interpolate(torch.rand(count, 3, 4, 4, generator=rng), 16, mode="bicubic")
    return (smooth * 255 * gain).clamp(0, 255).byte()


def gaussian(count: int, dim: int, seed: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=rng) @ torch.randn(dim, dim, generator=rng) / dim**0.5


@pytest.fixture(scope="module")
def sets() -> tuple[torch.Tensor, torch.Tensor]:
    return pictures(300, 0), pictures(260, 1, gain=0.8)


@pytest.mark.filterwarnings("ignore")
def test_frechet_is_torchmetrics(sets) -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    theirs = FrechetInceptionDistance(feature=Small(), antialias=False)
    theirs.set_dtype(torch.float64)
    for real, images in ((True, sets[0]), (False, sets[1])):
        theirs.update(images, real=real)
    ours = frechet_distance(Small()(sets[0]), Small()(sets[1]))
    assert ours == pytest.approx(theirs.compute().item(), rel=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_kernel_is_torchmetrics(sets) -> None:
    from torchmetrics.image.kid import KernelInceptionDistance

    theirs = KernelInceptionDistance(feature=Small(), subsets=50, subset_size=260)
    for real, images in ((True, sets[0]), (False, sets[1])):
        theirs.update(images, real=real)
    torch.manual_seed(0)
    mean, _ = theirs.compute()
    ours = kernel_distance(Small()(sets[0]), Small()(sets[1]), subsets=50, subset_size=260)
    assert ours.value == pytest.approx(mean.item(), abs=4 * ours.std / 50**0.5)  # other subsets
    theirs = KernelInceptionDistance(feature=Small(), subsets=1, subset_size=260)
    for real, images in ((True, sets[0][:260]), (False, sets[1])):
        theirs.update(images, real=real)
    exact = kernel_distance(Small()(sets[0][:260]), Small()(sets[1]), subsets=1, subset_size=260)
    assert exact.value == pytest.approx(theirs.compute()[0].item(), rel=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_inception_score_is_torchmetrics(sets) -> None:
    from torchmetrics.image.inception import InceptionScore

    theirs = InceptionScore(feature=Small(10), splits=1)
    theirs.update(sets[0])
    ours, _ = inception_score(Small(10)(sets[0]), splits=1)
    assert ours == pytest.approx(theirs.compute()[0].item(), rel=1e-4)


@pytest.mark.parametrize(("count", "dim"), [(200, 16), (12, 16)], ids=["many", "fewer than dimensions"])
def test_frechet_is_scipy(count: int, dim: int) -> None:
    x, y = gaussian(count, dim, 0).double(), gaussian(count, dim, 1).double() + 0.3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = scipy.linalg.sqrtm(np.cov(x.T) @ np.cov(y.T)).real
    expected = (x.mean(0) - y.mean(0)).square().sum().item() + np.trace(np.cov(x.T) + np.cov(y.T) - 2 * root)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-4)
    assert frechet_distance(y, x) == pytest.approx(expected, rel=1e-4)


def test_frechet_of_known_gaussians() -> None:
    """Diagonal covariances: the distance is |m|^2 + sum (s1 - s2)^2."""
    rng = np.random.RandomState(0)
    s1, s2, m = np.linspace(0.5, 2, 6), np.linspace(1, 3, 6), np.full(6, 0.7)
    x, y = rng.randn(200_000, 6) * s1, rng.randn(200_000, 6) * s2 + m
    expected = (m**2).sum() + ((s1 - s2) ** 2).sum()
    assert frechet_distance(x, y) == pytest.approx(expected, rel=0.01)


def test_moments_merge() -> None:
    x = gaussian(500, 12, 0).double() + 1e4
    whole = Moments.of(x)
    parts = [Moments.of(part) for part in x.split([3, 250, 0, 247])]
    merged = Moments(12)
    for part in parts:
        merged.merge(part)
    assert merged.count == 500
    torch.testing.assert_close(merged.mean, x.mean(0))
    torch.testing.assert_close(merged.covariance, x.T.cov(), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(whole.covariance, x.T.cov(), rtol=1e-8, atol=1e-8)


def test_the_error_of_a_frechet_distance() -> None:
    """The standard error from one sample is the deviation over many samples."""
    real = Moments.of(gaussian(20_000, 8, 0))
    rng = torch.Generator().manual_seed(5)
    mix = torch.randn(8, 8, generator=rng) / 2.5
    draws = [torch.randn(400, 8, generator=rng) @ mix + 0.2 for _ in range(150)]
    deviation = np.std([distance_of(Moments.of(x), real) for x in draws])
    errors = [influence(Moments.of(x), real, x)[1].std().item() / 400**0.5 for x in draws[:20]]
    assert np.mean(errors) == pytest.approx(deviation, rel=0.2)
    value, _ = influence(Moments.of(draws[0]), real, draws[0])
    assert value == pytest.approx(distance_of(Moments.of(draws[0]), real), rel=1e-9)


def test_the_error_of_a_kernel_distance() -> None:
    real = gaussian(5000, 8, 0)
    rng = torch.Generator().manual_seed(5)
    draws = [torch.randn(300, 8, generator=rng) * 0.8 + 0.3 for _ in range(80)]
    found = [kernel_distance(real, x, subsets=10, subset_size=300) for x in draws]
    deviation = np.std([kernel.value for kernel in found])
    error = np.mean([(kernel.error_b**2 + kernel.error_subsets**2) ** 0.5 for kernel in found])
    assert deviation / 1.3 < error < deviation * 1.6  # an upper estimate, not far off


def test_manifolds_by_brute_force() -> None:
    real, fake = gaussian(60, 4, 0).double().numpy(), gaussian(50, 4, 1).double().numpy() * 1.3 + 0.2
    k = 3

    def radii(points):
        return [sorted(np.linalg.norm(points - p, axis=1))[k] for p in points]

    ball_real, ball_fake = radii(real), radii(fake)
    apart = np.linalg.norm(real[:, None] - fake, axis=2)
    precision = np.mean([any(apart[i, j] <= ball_real[i] for i in range(60)) for j in range(50)])
    recall = np.mean([any(apart[i, j] <= ball_fake[j] for j in range(50)) for i in range(60)])
    density = np.mean([sum(apart[i, j] < ball_real[i] for i in range(60)) / k for j in range(50)])
    coverage = np.mean([any(apart[i, j] < ball_real[i] for j in range(50)) for i in range(60)])
    assert precision_recall(real, fake, k) == pytest.approx((precision, recall))
    assert density_coverage(real, fake, k) == pytest.approx((density, coverage))


def test_manifolds_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = gaussian(70, 4, 0), gaussian(50, 4, 1)
    whole = manifold(real, fake, 4)
    monkeypatch.setattr("organza.metrics.manifold.TILE", 16)
    tiled = manifold(real, fake, 4)
    assert all(torch.equal(getattr(whole, name), getattr(tiled, name)) for name in ("precision", "recall", "density"))


def test_pyramid_by_scipy() -> None:
    image = np.random.RandomState(0).rand(64, 48).astype(np.float32)
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    half = scipy.ndimage.convolve(image, kernel, mode="mirror")[::2, ::2]
    wide = np.zeros_like(image)
    wide[::2, ::2] = half
    top, bottom = pyramid(torch.from_numpy(image)[None, None])
    np.testing.assert_allclose(top[0, 0], image - scipy.ndimage.convolve(wide, 4 * kernel, mode="mirror"), atol=1e-5)
    np.testing.assert_allclose(bottom[0, 0], half, atol=1e-6)
    assert [tuple(level.shape[2:]) for level in pyramid(torch.rand(1, 3, 109, 89))] == [(109, 89), (55, 45), (28, 23)]


def test_patches_and_projections_by_hand() -> None:
    level = torch.arange(2 * 3 * 16 * 12.0).reshape(2, 3, 16, 12)
    found = patches(level, torch.Generator().manual_seed(0), 20)
    assert found.shape == (40, 3, 7, 7)
    for index, patch in enumerate(found):
        corner = int(patch[0, 0, 0]) - index // 20 * 3 * 16 * 12
        y, x = divmod(corner, 12)
        assert torch.equal(patch, level[index // 20, :, y : y + 7, x : x + 7])
    a, b = normalise(found[:20]), normalise(found[20:].square())
    np.testing.assert_allclose(a.reshape(20, 3, 49).numpy().mean((0, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(a.reshape(20, 3, 49).numpy().std((0, 2)), 1, atol=1e-5)
    directions = torch.randn(147, 128, generator=torch.Generator().manual_seed(3)).numpy()
    directions /= np.linalg.norm(directions, axis=0)
    plain = np.abs(np.sort(a.numpy() @ directions, 0) - np.sort(b.numpy() @ directions, 0)).mean()
    assert sliced_wasserstein(a, b, seed=3)[0] == pytest.approx(plain, rel=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_ms_ssim_is_torchmetrics() -> None:
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    rng = torch.Generator().manual_seed(0)
    a = nn.functional.interpolate(torch.rand(3, 3, 24, 24, generator=rng), 192, mode="bicubic").clamp(0, 1) * 255
    b = (a + 25 * torch.randn(a.shape, generator=rng)).clamp(0, 255)
    theirs = multiscale_structural_similarity_index_measure(
        a, b, data_range=255.0, reduction="none", kernel_size=11, sigma=1.5
    )
    np.testing.assert_allclose(ms_ssim(a, b), theirs, rtol=1e-3)
    assert ms_ssim(a[:1, :, :32, :32], b[:1, :, :32, :32]).item() < 1


@pytest.mark.parametrize("sampling", ["full", "end"])
def test_path_length_of_a_linear_generator(sampling: str) -> None:
    """Images A w at squared pixel distance: each step moves A (w2 - w1) epsilon, wherever it is."""
    rng = torch.Generator().manual_seed(0)
    matrix = torch.randn(3 * 8 * 8, 5, generator=rng, dtype=torch.float64)
    z = torch.randn(2, 40, 5, generator=rng, dtype=torch.float64)
    t = torch.rand(40, generator=rng, dtype=torch.float64) if sampling == "full" else torch.zeros(40)
    found = path_distances(
        lambda z: z[:, None],
        lambda ws: (ws[:, 0] @ matrix.T).reshape(-1, 3, 8, 8),
        lambda a, b: (a - b).square().sum((1, 2, 3)),
        (z[0], z[1]),
        t.double(),
        space="w",
    )
    torch.testing.assert_close(found, ((z[1] - z[0]) @ matrix.T).square().sum(1), rtol=1e-6, atol=0)


def test_path_length_in_z_on_a_sphere() -> None:
    """Codes of length 1 on an arc: an isometric generator moves by the arc's angle."""
    rng = torch.Generator().manual_seed(0)
    z = nn.functional.normalize(torch.randn(2, 30, 6, generator=rng, dtype=torch.float64), dim=2)
    basis = torch.linalg.qr(torch.randn(48, 6, generator=rng, dtype=torch.float64))[0]
    found = path_distances(
        lambda z: z[:, None],
        lambda ws: (ws[:, 0] @ basis.T).reshape(-1, 3, 4, 4),
        lambda a, b: (a - b).square().sum((1, 2, 3)),
        (z[0], z[1]),
        torch.rand(30, generator=rng, dtype=torch.float64),
        space="z",
    )
    angle = (z[0] * z[1]).sum(1).arccos()
    torch.testing.assert_close(found, angle.square(), rtol=1e-5, atol=0)
    ends = slerp(z[0], 2 * z[1], torch.ones(30, 1))
    torch.testing.assert_close(ends, 2 * z[1])


def test_what_a_path_length_sees() -> None:
    images = torch.arange(64 * 64.0).reshape(1, 1, 64, 64)
    cropped = prepare(images, crop=True)
    assert cropped.shape == (1, 3, 32, 32)
    assert cropped[0, 0, 0, 0] == images[0, 0, 24, 16]
    assert prepare(torch.zeros(1, 4, 1024, 1024), crop=True).shape == (1, 3, 256, 256)
    values = torch.cat([torch.ones(998), torch.tensor([-1e9, 1e9])])
    assert filtered(values).mean() == 1


def test_separability_falls_with_entanglement() -> None:
    codes = torch.randn(3000, 6, generator=torch.Generator().manual_seed(0)).double()
    linear = codes[:, :2] * 5
    curved = torch.stack([codes[:, 0] * codes[:, 1], codes[:, 2] * codes[:, 3]], 1) * 5
    assert separability(codes, linear.sigmoid()) < 1.1
    # Nothing can be told of either attribute by a plane: exp(2 ln 2).
    assert separability(codes, curved.sigmoid()) == pytest.approx(4, rel=0.05)
    with pytest.raises(ValueError, match="the same answer"):
        separability(codes, torch.ones(3000, 1))


def test_logistic_regression_finds_probabilities() -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(20_000, 3, generator=rng).double() * torch.tensor([1.0, 10.0, 0.1]) + 4
    logits = 1.0 * (x[:, 0] - 4) - 0.05 * (x[:, 1] - 4) + 0.5
    y = (torch.rand(20_000, generator=rng).double() < logits.sigmoid()).double()
    found = logistic_regression(x, y[:, None], penalty=0)(x)[:, 0]
    assert (found - logits).abs().mean() < 0.05


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: frechet_distance(x, x[:, :2]), "features of 4 and of 2"),
        (lambda x: frechet_distance(x, x[:1]), "at least two images"),
        (lambda x: kernel_distance(x, x[:, :2]), "features of 4 and of 2"),
        (lambda x: precision_recall(x, x, k=10), "10 neighbours can't be found among 10"),
        (lambda x: inception_score(x, splits=11), "10 images can't be split into 11"),
        (lambda x: frechet_distance(x * np.nan, x), "not all finite"),
        (lambda x: frechet_distance(x[0], x), r"expected features \[N, D\], got \[4\]"),
    ],
)
def test_unusable_features(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(gaussian(10, 4, 0))


def test_separability_of_classes() -> None:
    """Classes are one attribute with several values: none of them is a rare one that nobody misses."""
    rng = torch.Generator().manual_seed(0)
    codes = torch.randn(4000, 10, generator=rng).double()
    near = torch.eye(10).double()[codes.argmax(1)]
    assert separability(codes, near) < 1.6
    strange = torch.eye(10).double()[torch.randint(10, (4000,), generator=rng)]
    assert separability(codes, strange) == pytest.approx(10, rel=0.05)
    assert separability(codes, strange * 0.6 + 0.04) == pytest.approx(10, rel=0.05)  # as sure of each


def test_separability_says_which_attributes_it_skips() -> None:
    codes = torch.randn(600, 4, generator=torch.Generator().manual_seed(0)).double()
    rare, never = torch.full((600,), 0.01), torch.zeros(600)
    rare[0] = 1.0
    found = planes.entropies(codes, torch.stack([rare, codes[:, 0].sigmoid(), never], 1))
    assert [entropy is None for entropy in found] == [True, False, True]
    with pytest.raises(ValueError, match="the same answer"):
        separability(codes, torch.stack([rare, never], 1))
