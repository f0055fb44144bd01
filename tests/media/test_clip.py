"""Videos read and written: times, sound, rotation, and files that are broken."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from organza import UserError
from organza.media.clip import Reading, open_clip, writing

av = pytest.importorskip("av")


def picture(k: int, height: int, width: int) -> np.ndarray:
    """Dark on the left, its number on the right; red above, blue below."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, :, 0] = 200
    pixels[height // 2 :, :, 2] = 200
    pixels[:, width // 2 :, 1] = 8 * k
    return pixels


def write(path: Path, count: int = 12, size=(48, 64), times=None, rotation: float = 0, sound: bool = False) -> Path:
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=10)
        video.height, video.width = size
        video.pix_fmt = "yuv420p"
        video.options = {"crf": "10", "bf": "0", "g": "4"}
        video.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            video.set_display_rotation(rotation)
        heard = file.add_stream("aac", rate=16000) if sound else None
        for k in range(count):
            frame = av.VideoFrame.from_ndarray(picture(k, *size), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = (100 * k if times is None else times[k]), Fraction(1, 1000)
            file.mux(video.encode(frame))
        file.mux(video.encode())
        if heard is not None:
            wave = (0.3 * np.sin(np.arange(16000) * 0.1)).astype(np.float32)
            for start in range(0, 16000, 1024):
                part = np.pad(wave[start : start + 1024], (0, 1024))[:1024]
                chunk = av.AudioFrame.from_ndarray(part[None], format="fltp", layout="mono")
                chunk.sample_rate, chunk.pts, chunk.time_base = 16000, start, Fraction(1, 16000)
                file.mux(heard.encode(chunk))
            file.mux(heard.encode())
    return path


def copied(source: Path, dest: Path) -> Reading:
    reading = Reading(open_clip(source))
    with writing(dest) as film:
        for frame in reading.frames(film):
            film.frame(frame.pixels, frame.time)
    return reading


def times(path: Path) -> list[float]:
    with av.open(str(path)) as file:
        return [round(float(frame.pts * frame.time_base), 3) for frame in file.decode(video=0)]


def test_what_a_clip_is(tmp_path):
    clip = open_clip(write(tmp_path / "a.mp4", sound=True))
    assert (clip.size, clip.fps, clip.count, clip.sound) == ((48, 64), 10, 12, True)
    frames = list(Reading(clip).frames())
    assert len(frames) == 12
    for k, frame in enumerate(frames):
        assert np.abs(frame.pixels.astype(int) - picture(k, 48, 64)).mean() < 6


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_times_and_sound_are_kept(tmp_path, suffix):
    uneven = [0, 100, 150, 400, 1000, 1040, 1500, 1600, 2000, 2300]
    source = write(tmp_path / "a.mp4", 10, times=uneven, sound=True)
    copied(source, tmp_path / f"b{suffix}")
    found = times(tmp_path / f"b{suffix}")  # Matroska has no times before 0, where this sound begins
    assert [round(t - found[0], 3) for t in found] == [t / 1000 for t in uneven]
    with av.open(str(source)) as one, av.open(str(tmp_path / f"b{suffix}")) as other:
        sounds = [[bytes(packet) for packet in file.demux(audio=0) if packet.size] for file in (one, other)]
    assert len(sounds[0]) > 10 and sounds[0] == sounds[1]


def test_odd_sides_are_padded(tmp_path):
    with writing(tmp_path / "b.mp4") as film:
        for k in range(3):
            film.frame(picture(k, 33, 47), k * 9000)
    assert open_clip(tmp_path / "b.mp4").size == (34, 48)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_frames_come_upright(tmp_path, rotation):
    clip = open_clip(write(tmp_path / "a.mp4", 3, rotation=rotation))
    first = next(iter(Reading(clip).frames()))
    assert clip.size == first.pixels.shape[:2] == ((48, 64) if rotation == 180 else (64, 48))
    stored = picture(0, 48, 64)
    wanted = np.rot90(stored, clip.turns)
    assert np.abs(first.pixels.astype(int) - wanted).mean() < 6
    with av.open(str(tmp_path / "a.mp4")) as file:
        assert next(file.decode(video=0)).rotation % 360 == clip.turns * 90
    copied(tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert open_clip(tmp_path / "b.mp4").turns == 0 and open_clip(tmp_path / "b.mp4").size == clip.size


def test_what_is_cut_off_is_read_to_its_end(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w", format="matroska") as file:
        video = file.add_stream("libx264", rate=10)
        video.height, video.width, video.pix_fmt = 48, 64, "yuv420p"
        for k in range(40):
            file.mux(video.encode(av.VideoFrame.from_ndarray(picture(k % 30, 48, 64), format="rgb24")))
        file.mux(video.encode())
    whole = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "b.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    reading = copied(tmp_path / "b.mkv", tmp_path / "c.mp4")
    assert 0 < reading.shown < 40
    assert len(times(tmp_path / "c.mp4")) == reading.shown


def test_a_frame_that_cannot_be_read_is_the_one_before(tmp_path):
    source = write(tmp_path / "a.mp4", 12)
    with av.open(str(source)) as file:
        packets = [(p.pos, p.size) for p in file.demux(video=0) if p.size]
    data = bytearray(source.read_bytes())
    place, size = packets[6]
    data[place : place + size] = bytes(size)
    (tmp_path / "b.mp4").write_bytes(data)
    reading = Reading(open_clip(tmp_path / "b.mp4"))
    frames = list(reading.frames())
    assert len(frames) == 12 and reading.lost == 1
    assert frames[6].repeated and np.array_equal(frames[6].pixels, frames[5].pixels)
    assert [frame.time for frame in frames] == sorted(frame.time for frame in frames)


def sound_alone(path: Path) -> None:
    with av.open(str(path), "w") as file:
        heard = file.add_stream("aac", rate=16000)
        chunk = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        chunk.sample_rate = 16000
        file.mux(heard.encode(chunk))
        file.mux(heard.encode())


def test_what_is_no_video(tmp_path):
    sound_alone(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").write_bytes(b"")
    (tmp_path / "c.mp4").write_text("no video")
    (tmp_path / "d.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nw.mp4\n#EXT-X-ENDLIST\n")
    whole = write(tmp_path / "w.mp4").read_bytes()
    (tmp_path / "e.mp4").write_bytes(whole[: len(whole) // 2])  # its table of frames lies at the end
    (tmp_path / "f.mp4").write_text("ffconcat version 1.0\nfile w.mp4\n")
    (tmp_path / "g.mp4").mkdir()
    for name, message in (
        ("a", "has no frames: only sound is in it"),
        ("b", "is no video that can be read"),
        ("c", "is no video that can be read"),
        ("d", "is no video that can be read"),
        ("e", "is no video that can be read"),
        ("f", "is no video that can be read"),
        ("g", "is not a file"),
        ("h", "there is no such file"),
    ):
        with pytest.raises(UserError, match=message):
            open_clip(tmp_path / f"{name}.mp4")


def test_frames_of_two_sizes_are_refused_and_nothing_is_left(tmp_path):
    def film(error: type[BaseException] | None) -> None:
        with writing(tmp_path / "a.mp4") as made:
            made.frame(picture(0, 48, 64), 0)
            if error is not None:
                raise error
            made.frame(picture(0, 24, 32), 9000)

    with pytest.raises(UserError, match="a frame of 32x24 pixels after frames of 64x48"):
        film(None)
    with pytest.raises(RuntimeError):
        film(RuntimeError)
    assert not list(tmp_path.iterdir())


def test_an_interrupt_leaves_what_was_done(tmp_path):
    def film(count: int) -> None:
        with writing(tmp_path / f"{count}.mp4") as made:
            for k in range(count):
                made.frame(picture(k, 48, 64), k * 9000)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        film(5)
    assert len(times(tmp_path / "5.mp4")) == 5
    with pytest.raises(KeyboardInterrupt):
        film(0)
    assert not (tmp_path / "0.mp4").exists()
