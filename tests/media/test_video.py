import os
import sys
import tracemalloc

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from organza.core.errors import UserError
from organza.data.drawn_faces.drawing import draw
from organza.data.drawn_faces.face import Face
from organza.media import animation
from organza.media.video import write_video


def film(count=12, size=(30, 41), channels=3):
    """A face that turns its head and comes back."""
    frames = [draw(Face(yaw=float(np.sin(2 * np.pi * i / count))), size) for i in range(count)]
    if channels == 1:
        return [frame[:, :, :1] for frame in frames]
    if channels == 4:
        return [np.dstack([frame, np.full(size, 255, np.uint8)]) for frame in frames]
    return frames


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_mp4(tmp_path, channels):
    frames = film(channels=channels)
    path = write_video(tmp_path / "a.mp4", iter(frames), len(frames), fps=24)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.average_rate == 24
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(decoded) == 12
    assert decoded[0].shape == (30, 42, 3)
    for wanted, got in zip(frames, decoded, strict=True):
        assert np.abs(wanted[:, :, :3].astype(int) - got[:, :41]).mean() < 6


def test_the_encoder_gets_what_it_stores(tmp_path, monkeypatch):
    """Conversion inside the encoder gave other bytes now and then, and `organza redo` said so."""
    seen = []

    class Container:
        def __getattr__(self, name):
            return lambda *args, **kwargs: self

        def encode(self, frame=None):
            seen.extend([] if frame is None else [frame.format.name])
            return []

        __enter__, __exit__ = (lambda self: self), (lambda self, *_: None)

    monkeypatch.setattr(av, "open", lambda *args, **kwargs: Container())
    write_video(tmp_path / "a.mp4", film(3), 3)
    assert seen == ["yuv420p"] * 3


def test_fractions_of_frames(tmp_path):
    path = write_video(tmp_path / "a.mp4", film(), 12, fps=29.97)
    with av.open(str(path)) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(29.97, abs=0.001)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dither", [True, False])
def test_gif(tmp_path, channels, dither):
    frames = film(channels=channels)
    path = write_video(tmp_path / "a.gif", frames, 12, fps=30, dither=dither)
    with Image.open(path) as image:
        assert (image.n_frames, image.size, image.info["loop"]) == (12, (41, 30), 0)
        shown = [(frame.info["duration"], np.asarray(frame.convert("RGB"))) for frame in ImageSequence.Iterator(image)]
    # A third of a tenth does not exist in GIFs, so the durations alternate and keep the time.
    assert {duration for duration, _ in shown} == {30, 40}
    assert sum(duration for duration, _ in shown) == 400
    for wanted, (_, got) in zip(frames, shown, strict=True):
        assert np.abs(wanted[:, :, :3].astype(int) - got).mean() < 5


def test_gif_of_one_colour(tmp_path):
    path = write_video(tmp_path / "a.gif", [np.full([8, 8, 3], 77, np.uint8)] * 2, 2, fps=10)
    with Image.open(path) as image:
        assert (np.asarray(image.convert("RGB")) == 77).all()


def test_still_areas_of_a_gif_do_not_flicker(tmp_path):
    gradient = np.tile(np.linspace(0, 255, 64)[None, :, None], [64, 1, 3]).astype(np.uint8)
    path = write_video(tmp_path / "a.gif", [gradient] * 3, 3, fps=10)
    with Image.open(path) as image:
        first, *others = (np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image))
    for other in others:
        np.testing.assert_array_equal(first, other)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_webp(tmp_path, channels):
    frames = film(channels=channels)
    if channels == 4:
        for frame in frames:
            frame[:5, :, 3] = 0
    path = write_video(tmp_path / "a.webp", frames, 12, fps=30)
    with Image.open(path) as image:
        assert (image.n_frames, image.size, image.info["loop"]) == (12, (41, 30), 0)
        durations, shown = [], []
        for frame in ImageSequence.Iterator(image):
            shown.append(np.asarray(frame.convert("RGBA")))
            durations.append(frame.info["duration"])
    assert sum(durations) == 400
    for wanted, got in zip(frames, shown, strict=True):
        assert np.abs(wanted[5:, :, :3].astype(int) - got[5:, :, :3]).mean() < 6
        assert (got[:5, :, 3] == (0 if channels == 4 else 255)).all()


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".mp4"])
@pytest.mark.parametrize("fps", [0.5, 1, 7, 10, 15, 23.976, 24, 25, 29, 29.97, 30, 40, 48, 50, 60, 75, 90, 100, 120])
def test_every_rate_is_kept(tmp_path, suffix, fps):
    frames = film(13, (8, 8))
    if fps > {".gif": 50, ".webp": 90, ".mp4": 240}[suffix]:
        with pytest.raises(UserError, match=f"at most {50 if suffix == '.gif' else 90}"):
            write_video(tmp_path / f"a{suffix}", frames, 13, fps=fps)
        return
    path = write_video(tmp_path / f"a{suffix}", frames, 13, fps=fps)
    if suffix == ".mp4":
        with av.open(str(path)) as container:
            times = [float(frame.time) for frame in container.decode(video=0)]
        assert np.allclose(times, np.arange(13) / fps, atol=0.0015)
        return
    durations = []
    with Image.open(path) as image:
        assert image.info["loop"] == 0
        for index in range(image.n_frames):
            image.seek(index)
            image.load()
            durations.append(image.info["duration"])
    # Frames may be merged by a reader, never lost; none is so short that browsers would slow it down.
    assert sum(durations) == pytest.approx(13000 / fps, abs=5.1 if suffix == ".gif" else 0.51)
    assert min(durations) >= (20 if suffix == ".gif" else 11)


def test_progress_and_count(tmp_path):
    seen = []
    write_video(tmp_path / "a.webp", film(5), 5, progress=lambda *a: seen.append(a))
    assert seen == [(i, 5) for i in range(1, 6)]


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_memory_is_flat_in_length(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(animation, "PALETTE_SAMPLE", 2**14)
    rng = np.random.RandomState(0)
    peaks = []
    for count in (5, 40):
        frames = (rng.randint(0, 256, [96, 128, 3], np.uint8) for _ in range(count))
        tracemalloc.start()
        write_video(tmp_path / f"a{suffix}", frames, count)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # A frame is 37 kB.
    assert peaks[1] < peaks[0] + 4 * 37_000


def test_a_stopped_film_leaves_the_old_one(tmp_path):
    path = write_video(tmp_path / "a.gif", film(2), 2)
    before = path.read_bytes()

    def broken():
        yield film(1)[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(path, broken(), 2)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.gif"]


def test_missing_pyav(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError) as caught:
        write_video(tmp_path / "a.mp4", film(2), 2)
    assert str(caught.value) == ".mp4 needs the package PyAV; pip install organza[video], or write .gif or .webp"


def test_missing_encoder(tmp_path, monkeypatch):
    monkeypatch.setattr(av, "codecs_available", set())
    with pytest.raises(UserError, match=r"this PyAV has no H\.264 encoder; pip install --upgrade av"):
        write_video(tmp_path / "a.mp4", film(2), 2)


@pytest.mark.parametrize(
    ("name", "count", "fps", "message"),
    [
        ("a.mkv", 2, 30, "no format is known for '.mkv'; end the name in .mp4, .gif or .webp"),
        ("a.gif", 2, 100, "100 frames a second; .gif takes more than 0 and at most 50"),
        ("a.mp4", 2, float("nan"), "nan frames a second; .mp4 takes more than 0 and at most 240"),
        ("a.gif", 0, 30, "a video without frames; make it longer"),
        ("a.webp", 2, 100, "100 frames a second; .webp takes more than 0 and at most 90"),
        ("a.gif", 2, 0.001, "0.001 frames a second; .gif takes 0.1 or more and at most 50"),
        ("a.mp4", 2, 1e-9, "1e-09 frames a second; .mp4 takes 0.1 or more and at most 240"),
    ],
)
def test_wrong_requests(tmp_path, name, count, fps, message):
    with pytest.raises(UserError) as caught:
        write_video(tmp_path / name, film(2), count, fps)
    assert message in str(caught.value)
