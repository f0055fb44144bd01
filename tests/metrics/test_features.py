"""Feature networks: one interface for all, and what each must do."""

from __future__ import annotations

import pytest
import torch

from organza.core.errors import UserError
from organza.metrics.features import metric_prefix, open_features


def pictures(count: int, height: int, width: int, channels: int, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, height, width, channels), dtype=torch.uint8, generator=rng)


@pytest.mark.parametrize("shape", [(64, 64, 3), (32, 48, 3), (28, 28, 1), (96, 80, 4)])
def test_organza64_takes_every_kind_of_picture(shape: tuple[int, int, int]) -> None:
    features = open_features("organza64", device="cpu")
    images = pictures(3, *shape)
    found = features(images)
    assert found.features.shape == (3, features.dim) and found.features.dtype == torch.float32
    assert torch.isfinite(found.features).all() and found.logits is None
    assert torch.equal(found.features, features(images).features)
    torch.testing.assert_close(found.features[1:2], features(images[1:2]).features)


def test_grey_is_the_same_as_grey_in_rgb_and_opaque_the_same_as_no_alpha() -> None:
    features = open_features("organza64", device="cpu")
    grey = pictures(2, 40, 40, 1)
    rgb = grey.expand(-1, -1, -1, 3)
    opaque = torch.cat([rgb, torch.full_like(grey, 255)], 3)
    torch.testing.assert_close(features(grey).features, features(rgb).features)
    torch.testing.assert_close(features(opaque).features, features(rgb).features)


def test_wrong_pictures_and_names_are_refused() -> None:
    features = open_features("organza64", device="cpu")
    with pytest.raises(ValueError, match="expected uint8"):
        features(torch.zeros(1, 8, 8, 3))
    with pytest.raises(UserError, match="no feature network is called 'resnet'"):
        open_features("resnet")


def test_only_the_standard_inception_gives_fid() -> None:
    features = open_features("organza64", device="cpu")
    assert metric_prefix(features) == "fd_organza64"
