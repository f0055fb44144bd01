"""organza64's features tell better images from worse ones: on faces that Organza draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from organza.data.drawn_faces.drawing import draw
from organza.data.drawn_faces.face import CHOICES, random_faces
from organza.metrics.frechet import frechet_distance
from organza.vision.features import open_features
from organza.vision.features.organza64 import WEIGHTS

REAL, HELD = 160, 80


def of(images: torch.Tensor) -> torch.Tensor:
    return open_features("organza64", device="cpu")(images.round().clamp(0, 255).byte()).features


@pytest.fixture(scope="module")
def drawn() -> tuple[list, torch.Tensor]:
    found = list(random_faces(REAL + HELD, seed=5))
    return found, torch.from_numpy(np.stack([draw(face, 64) for face in found])).float()


@pytest.fixture(scope="module")
def real(drawn: tuple[list, torch.Tensor]) -> torch.Tensor:
    return of(drawn[1][:REAL])


def rising(real: torch.Tensor, sets: list[torch.Tensor]) -> list[float]:
    """Distances that rise, and end well above the first."""
    found = [frechet_distance(real, of(images)) for images in sets]
    assert found == sorted(found), found
    assert found[-1] > 2 * found[0], found
    return found


def test_noise_and_blur_raise_the_distance(drawn: tuple[list, torch.Tensor], real: torch.Tensor) -> None:
    held = drawn[1][REAL:]
    noise = torch.randn(held.shape, generator=torch.Generator().manual_seed(0))
    rising(real, [held + strength * noise for strength in (0, 8, 20, 50)])
    planes = held.permute(0, 3, 1, 2)
    blurred = [F.avg_pool2d(planes, k, 1, k // 2, count_include_pad=False).permute(0, 2, 3, 1) for k in (1, 3, 5, 9)]
    rising(real, blurred)


def test_a_mode_left_out_raises_the_distance(drawn: tuple[list, torch.Tensor], real: torch.Tensor) -> None:
    faces, images = drawn
    held = images[REAL:]
    places = [CHOICES["background"].index(face.background) for face in faces[REAL:]]
    sets = []
    for kept in (8, 4, 2):
        some = held[torch.tensor([place < kept for place in places])]
        sets.append(some.repeat(-(-HELD // len(some)), 1, 1, 1)[:HELD])
    rising(real, sets)


def test_other_pictures_mixed_in_raise_the_distance(drawn: tuple[list, torch.Tensor], real: torch.Tensor) -> None:
    held, rng = drawn[1][REAL:], torch.Generator().manual_seed(1)
    cells = torch.rand(HELD, 3, 6, 6, generator=rng) * 255
    other = F.interpolate(cells, (64, 64), mode="nearest").permute(0, 2, 3, 1)
    counts = (0, HELD // 8, HELD // 3, HELD)
    rising(real, [torch.cat([other[:count], held[count:]]) for count in counts])


def test_the_weights_say_where_they_come_from() -> None:
    from safetensors import safe_open

    with safe_open(WEIGHTS, "pt") as file:
        about = file.metadata()
        kinds = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
    assert {"about", "recipe", "trained_on", "licence", "held_out"} <= about.keys()
    assert kinds == {torch.float16} and WEIGHTS.stat().st_size < 1_200_000
