import os

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.interpolate import CubicSpline

from organza.apps.interpolate import frames, interpolate, periodic_cubic, periodic_slerp, plan
from organza.core.errors import UserError


@pytest.mark.parametrize("count", [2, 3, 5])
def test_cubic_is_scipys_periodic_spline(count):
    keys = np.random.RandomState(0).randn(count, 4)
    times = np.linspace(-1, 2 * count, 50)
    wanted = CubicSpline(np.arange(count + 1), np.concatenate([keys, keys[:1]]), bc_type="periodic")(times)
    np.testing.assert_allclose(periodic_cubic(torch.from_numpy(keys), times).numpy(), wanted, atol=1e-9)


def test_cubic_keeps_shape_and_type():
    keys = torch.randn(3, 5, 2)
    curve = periodic_cubic(keys, [0, 1, 2, 3])
    assert curve.dtype == torch.float32
    torch.testing.assert_close(curve, torch.cat([keys, keys[:1]]))


def test_slerp_turns_evenly_and_closes():
    keys = torch.tensor([[2.0, 0], [0, 4.0]])
    path = periodic_slerp(keys, [0, 0.25, 0.5, 1, 1.5, 2])
    torch.testing.assert_close(path[[0, 3, 5]], keys[[0, 1, 0]])
    torch.testing.assert_close(path.norm(dim=1), torch.tensor([2, 2.5, 3, 4, 3, 2.0]))
    angles = torch.atan2(path[:3, 1], path[:3, 0])
    torch.testing.assert_close(angles, torch.tensor([0, torch.pi / 8, torch.pi / 4]))


@pytest.mark.parametrize("sign", [1, -1])
def test_slerp_between_equal_or_opposite_ends_is_finite(sign):
    assert periodic_slerp(torch.tensor([[1.0, 0], [sign * 1.0, 0]]), np.linspace(0, 2, 9)).isfinite().all()


def test_plan_shares_seeds_out():
    assert plan(range(12), 6).seeds == ((0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (10, 11))
    assert plan(range(12), 6).note == ""
    assert plan(range(13), 6).note == "6 cells x 2 keyframes: the last 1 of the seeds stay out"


def test_plan_derives_seeds_and_says_how():
    planned = plan([1, 5, 9, 13], 6)
    assert planned.seeds[0] == (1, 5, 9, 13)
    assert planned.seeds[5] == (5001, 5005, 5009, 5013)
    assert planned.note == "6 cells x 4 keyframes need 24 seeds: each cell adds 1000 to those of the cell before"
    assert plan([2**32 - 1, 0], 2).seeds[1] == (999, 1000)


@pytest.mark.parametrize("space", ["w", "z"])
def test_frames_pass_through_the_seeds_and_close(G, space):
    film = np.stack(list(frames(G, [(3, 8), (4, 9)], 12, columns=1, space=space))).astype(int)
    assert film.shape == (12, 32, 24, 3)
    seeds = G.generate([3, 8, 4, 9]).astype(int)
    assert np.abs(film[0] - np.concatenate([seeds[0], seeds[2]])).max() <= 1
    assert np.abs(film[6] - np.concatenate([seeds[1], seeds[3]])).max() <= 1
    steps = np.abs(np.diff(film, axis=0, append=film[:1])).mean(axis=(1, 2, 3))
    assert steps[-1] <= 1.3 * steps[:-1].max()


def test_random_noise_can_be_made_again(G):
    first, second = (np.stack(list(frames(G, [(0, 1)], 3, noise="random"))) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_classes(G_classes):
    film = np.stack(list(frames(G_classes, [(0, 1)], 2, labels=3)))
    assert np.abs(film.astype(int) - G_classes.generate([0, 1], labels=3)).max() <= 1


def test_loop_on_disk(G, tmp_path):
    seen = []
    path = interpolate(
        G,
        [1, 2],
        tmp_path / "new" / "loop.webp",
        grid=(2, 1),
        seconds=1,
        fps=6,
        scale=2,
        progress=lambda *a: seen.append(a),
    )
    with Image.open(path) as film:
        assert (film.n_frames, film.size) == (6, (96, 32))
    assert seen == [(i, 6) for i in range(1, 7)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": [1]}, "an interpolation needs two seeds or more; give several, such as 1,5,9,13"),
        ({"grid": (0, 1)}, "a grid without cells; give at least 1x1"),
        ({"seconds": 0}, "0 seconds at 10 frames a second make no film; make it longer"),
        ({"seconds": float("nan")}, "nan seconds at 10 frames a second make no film"),
        ({"output": "loop.avi"}, "loop.avi: no format is known for '.avi'; end the name in .mp4, .gif or .webp"),
        ({"fps": 0}, "0 frames a second; .gif takes more than 0 and at most 50"),
        ({"fps": 60}, "60 frames a second; .gif takes more than 0 and at most 50"),
        ({"labels": 1}, "this network has no classes; leave the class out"),
    ],
)
def test_wrong_requests(G, tmp_path, arguments, message):
    with pytest.raises(UserError) as caught:
        interpolate(G, **{"seeds": [1, 2], "output": tmp_path / "a.gif", "seconds": 1, "fps": 10, **arguments})
    assert message in str(caught.value)
    assert os.listdir(tmp_path) == []
