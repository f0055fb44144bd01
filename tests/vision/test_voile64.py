"""voile64's features tell better images from worse ones: on faces that Organza draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from organza import PRESETS
from organza.core.config import check
from organza.data.drawn_faces.drawing import draw
from organza.data.drawn_faces.face import CHOICES, random_faces
from organza.metrics.frechet import frechet_distance
from organza.metrics.names import parse_metric
from organza.vision.features import open_features
from organza.vision.features.voile64 import WEIGHTS
from organza.vision.lpips import open_distance
from organza.vision.perceptor import Voile64Layers, open_perceptor

REAL, HELD = 160, 80


def of(images: torch.Tensor) -> torch.Tensor:
    return open_features("voile64", device="cpu")(images.round().clamp(0, 255).byte()).features


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


def test_who_asks_for_organza64_is_given_its_successor() -> None:
    assert open_features("organza64", device="cpu").name == "voile64"
    assert open_distance("organza64", device="cpu").name == "voile64 perceptual (not LPIPS)"
    assert parse_metric("fd_organza64_2k").title("fd_voile64") == "fd_voile64_2k"
    assert {parse_metric(f"{name}_organza64_2k").network for name in ("fd", "kd", "pr", "perceptual")} == {"voile64"}
    assert isinstance(open_perceptor("organza64"), Voile64Layers)
    old, new = (replace(PRESETS["animegan"].run.method, perceptor=name) for name in ("organza64", "voile64"))
    assert replace(check(old), perceptor="voile64") == new


def test_nothing_that_it_was_trained_on_is_for_research_alone() -> None:
    from safetensors import safe_open

    with safe_open(WEIGHTS, "pt") as file:
        told = file.metadata()["trained_on"]
    for licence in ("CC0", "CC BY 4.0", "public domain", "MIT", "OFL 1.1", "CC BY-SA 3.0", "Apache 2.0"):
        assert licence in told
    for name in ("CelebA", "anime", "selfie", "facades"):
        assert name.lower() not in told.lower()


def test_the_weights_say_where_they_come_from() -> None:
    from safetensors import safe_open

    with safe_open(WEIGHTS, "pt") as file:
        about = file.metadata()
        kinds = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
    assert {"about", "recipe", "trained_on", "licence", "held_out"} <= about.keys()
    assert kinds == {torch.float16} and WEIGHTS.stat().st_size < 1_200_000
