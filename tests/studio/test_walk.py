import wave

import av
import numpy as np
import pytest
import torch
from PIL import Image

from organza.core.errors import UserError
from organza.media.audio import QUIET, RATE, Sound
from organza.models.sampling import Sampling
from organza.studio.codes import codes
from organza.studio.interpolate import interpolate
from organza.studio.walk import random_walk, walk


@pytest.mark.parametrize("count", [60, 61])
def test_walk_is_normal_smooth_and_closed(count):
    path = random_walk(3, count, 4000, smooth=5)
    assert np.abs(path.std(axis=1) - 1).max() < 0.06
    steps = np.linalg.norm(np.diff(path, axis=0, append=path[:1]), axis=1)
    assert steps.max() < 1.1 * steps.min()
    assert np.corrcoef(path[0], path[count // 2])[0, 1] < 0.1
    assert not np.array_equal(path, random_walk(4, count, 4000, smooth=5))


def test_walk_without_smoothing_is_white():
    path = random_walk(0, 50, 100, smooth=1e-9)
    assert abs(np.corrcoef(path[:-1].ravel(), path[1:].ravel())[0, 1]) < 0.05
    assert abs(path.std() - 1) < 0.05


def test_walk_on_disk(G, tmp_path):
    calm = Sampling(psi=0.5)
    path = walk(G, [1, 2], tmp_path / "w.gif", grid=(2, 1), seconds=0.8, fps=10, smooth=0.3, sampling=calm)
    with Image.open(path) as film:
        assert (film.n_frames, film.size) == (8, (48, 16))
    assert (
        path.read_bytes()
        == walk(
            G, [1, 2], tmp_path / "again.gif", grid=(2, 1), seconds=0.8, fps=10, smooth=0.3, sampling=calm
        ).read_bytes()
    )


def test_walk_without_mapping(G_plain, tmp_path):
    assert walk(G_plain, [1], tmp_path / "w.webp", seconds=0.3, fps=10).exists()


def test_short_walks_move(G, tmp_path):
    with Image.open(walk(G, [1], tmp_path / "w.webp", seconds=0.8, fps=10)) as film:
        first = np.asarray(film.convert("RGB"), int)
        film.seek(film.n_frames // 2)
        assert np.abs(first - np.asarray(film.convert("RGB"))).mean() > 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": []}, "no seeds; give at least one, such as 0-3"),
        ({"grid": (3, 1)}, "2 seeds for a grid of 3x1; give one seed for each cell"),
        ({"seconds": 0.1}, "0.1 seconds at 10 frames a second make no video; make it longer"),
        ({"smooth": 0}, "a smoothness of 0; give a positive number of seconds"),
        ({"sampling": Sampling(1)}, "this network has no classes"),
        ({"output": "w.png"}, "w.png: no format is known for '.png'; end the name in .mp4, .gif or .webp"),
    ],
)
def test_wrong_walks(G, tmp_path, arguments, message):
    with pytest.raises(UserError) as caught:
        walk(G, **{"seeds": [1, 2], "output": tmp_path / "w.gif", "seconds": 1, "fps": 10, **arguments})
    assert message in str(caught.value)


@pytest.fixture
def beep(tmp_path):
    """Half a second of silence, then half a second of a tone."""
    tone = np.concatenate([np.zeros(8000), 0.5 * np.sin(np.arange(8000) * 440 * 2 * np.pi / 16000)])
    path = tmp_path / "beep.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes((tone * 32767).astype("<i2").tobytes())
    return path


def test_loudness_drives_speed(beep):
    sound = Sound.read(beep)
    assert abs(sound.seconds - 1) < 0.02
    places = sound.places(40, 40)
    assert places[0] == 0 and places[-1] < 1
    steps = np.diff(places)
    assert steps[:10].max() < 1.05 * QUIET * steps[-10:].min()
    np.testing.assert_allclose(np.diff(Sound(np.zeros(RATE, np.float32)).places(10, 10)), 0.1)


def test_film_with_sound(G, tmp_path, beep):
    path = interpolate(G, [1, 2], tmp_path / "film.mp4", fps=10, audio=beep)
    with av.open(str(path)) as film:
        assert sum(1 for _ in film.decode(video=0)) == 10
    with av.open(str(path)) as film:
        frames = [frame.to_ndarray() for frame in film.decode(audio=0)]
    heard = np.concatenate(frames, axis=1)[0]
    assert 0.9 < len(heard) / 44100 < 1.2
    assert np.abs(heard[30000:40000]).mean() > 20 * np.abs(heard[5000:15000]).mean()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["beep.wav", "film.mp4"]


def test_silent_film_from_sound(G, tmp_path, beep):
    with Image.open(interpolate(G, [1, 2], tmp_path / "film.gif", fps=10, seconds=0.5, audio=beep)) as film:
        assert film.n_frames == 5


def test_keyframes_from_saved_codes(G, tmp_path):
    calm = Sampling(psi=0.7)
    ws = codes(G, [1, 2, 3, 4], calm)
    one = interpolate(G, ws[:2], tmp_path / "a.gif", seconds=0.6, fps=10)
    assert (
        one.read_bytes() == interpolate(G, [1, 2], tmp_path / "b.gif", seconds=0.6, fps=10, sampling=calm).read_bytes()
    )
    with Image.open(interpolate(G, ws, tmp_path / "c.gif", grid=(2, 1), seconds=0.6, fps=10)) as film:
        assert film.size == (48, 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"grid": (2, 1)}, "3 w's are not two keyframes for each of 2 cells; save more w's or make the grid smaller"),
        ({"grid": (0, 1)}, "a grid without cells; give at least 1x1"),
        ({"space": "z"}, "saved w's have no z; leave --space z out"),
        ({"audio": "none.wav"}, "none.wav: does not exist; give a file with sound"),
        ({"audio": __file__}, "holds no sound that can be read; give a .wav or .mp3"),
    ],
)
def test_wrong_keyframes(G, tmp_path, arguments, message):
    with pytest.raises(UserError) as caught:
        interpolate(G, torch.zeros(3, 6, 8), tmp_path / "a.gif", **{"seconds": 1, "fps": 10, **arguments})
    assert message in str(caught.value)


def test_too_little_sound(tmp_path):
    path = tmp_path / "short.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(200))
    with pytest.raises(UserError, match="is too short to drive a video; give a tenth of a second at least"):
        Sound.read(path)
