import os
import subprocess
import sys

import av
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.interpolate import CubicSpline

from organza.core.errors import UserError
from organza.models.sampling import Sampling
from organza.studio.interpolate import frames, interpolate, periodic_cubic, periodic_linear, periodic_slerp, plan
from organza.studio.walk import walk
from tests.peak import PRINT_PEAK


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


def test_linear_is_straight_and_closes():
    keys = torch.randn(3, 5, 2)
    way = periodic_linear(keys, [0, 0.5, 2, 2.25, 3])
    torch.testing.assert_close(way[[0, 2, 4]], keys[[0, 2, 0]])
    torch.testing.assert_close(way[1], (keys[0] + keys[1]) / 2)
    torch.testing.assert_close(way[3], 0.75 * keys[2] + 0.25 * keys[0])


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


@pytest.mark.parametrize(("space", "curve"), [("w", "cubic"), ("w", "linear"), ("z", "cubic")])
def test_frames_pass_through_the_seeds_and_close(G, space, curve):
    film = np.stack(list(frames(G, [(3, 8), (4, 9)], 12, columns=1, space=space, curve=curve))).astype(int)
    assert film.shape == (12, 32, 24, 3)
    seeds = G.generate([3, 8, 4, 9]).astype(int)
    assert np.abs(film[0] - np.concatenate([seeds[0], seeds[2]])).max() <= 1
    assert np.abs(film[6] - np.concatenate([seeds[1], seeds[3]])).max() <= 1
    steps = np.abs(np.diff(film, axis=0, append=film[:1])).mean(axis=(1, 2, 3))
    assert steps[-1] <= 1.3 * steps[:-1].max()


def test_random_noise_can_be_made_again(G):
    first, second = (np.stack(list(frames(G, [(0, 1)], 3, sampling=Sampling(noise="random")))) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_classes(G_classes):
    film = np.stack(list(frames(G_classes, [(0, 1)], 2, sampling=Sampling(3))))
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


@pytest.mark.parametrize(("seconds", "fps"), [(1.5, 24), (2, 29.97), (1, 50)])
@pytest.mark.parametrize("make", [interpolate, walk])
def test_films_are_as_long_and_fast_as_asked_and_close(G, tmp_path, make, seconds, fps):
    path = make(
        G, [1, 2], tmp_path / "a.mp4", grid=(2, 1) if make is walk else (1, 1), seconds=seconds, fps=fps, scale=2
    )
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert float(stream.average_rate) == pytest.approx(fps, rel=1e-4)
        assert float(stream.duration * stream.time_base) == pytest.approx(seconds, abs=1 / fps)
        shown = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(stream)]
    assert len(shown) == round(seconds * fps) and shown[0].shape == (32, 96 if make is walk else 48, 3)
    steps = [np.abs(a - b).mean() for a, b in zip(shown, [*shown[1:], shown[0]], strict=True)]
    # The encoder itself moves levels by about one.
    assert steps[-1] <= 1.5 * max(steps[:-1]) + 1.5


@pytest.mark.slow
def test_a_minute_at_256_in_flat_memory(tmp_path):
    """The peak of a video of a minute is that of one of six seconds, give or take what the encoder keeps."""
    peaks = [
        int(
            subprocess.run(
                [sys.executable, "-c", FILM, str(tmp_path / f"{s}.mp4"), str(s)],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for s in (6, 60)
    ]
    with av.open(str(tmp_path / "60.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.frames, stream.width, stream.height) == (1800, 256, 256)
    assert peaks[1] < peaks[0] + 30_000


FILM = f"""
import sys, torch
from organza.models.sampling import Sampling
from organza.studio.interpolate import interpolate
from organza.contract.data import DataSpec
from organza.models.generator import Generator
from organza.methods.stylegan.stylegan2 import StyleGAN2
spec = DataSpec((256, 256), 3, 0)
method = StyleGAN2(z_dim=8, w_dim=8, channel_base=256, channel_max=8).resolve(spec, 4).build(spec)
net = method.nets[method.model.net].eval().requires_grad_(False)
G = Generator("stylegan2", spec, method.model, net, None, torch.device("cpu"), torch.float32)
interpolate(G, [1, 2, 3], sys.argv[1], seconds=float(sys.argv[2]), fps=30)
{PRINT_PEAK}
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": [1]}, "an interpolation needs two seeds or more; give several, such as 1,5,9,13"),
        ({"grid": (0, 1)}, "a grid without cells; give at least 1x1"),
        ({"seconds": 0}, "0 seconds at 10 frames a second make no video; make it longer"),
        ({"seconds": float("nan")}, "nan seconds at 10 frames a second make no video"),
        ({"output": "loop.avi"}, "loop.avi: no format is known for '.avi'; end the name in .mp4, .gif or .webp"),
        ({"fps": 0}, "0 frames a second; .gif takes more than 0 and at most 50"),
        ({"fps": 60}, "60 frames a second; .gif takes more than 0 and at most 50"),
        ({"sampling": Sampling(1)}, "this network has no classes; leave the class out"),
    ],
)
def test_wrong_requests(G, tmp_path, arguments, message):
    with pytest.raises(UserError) as caught:
        interpolate(G, **{"seeds": [1, 2], "output": tmp_path / "a.gif", "seconds": 1, "fps": 10, **arguments})
    assert message in str(caught.value)
    assert os.listdir(tmp_path) == []
