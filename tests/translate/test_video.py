"""Videos through a translator, from the command line and in Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import organza
from organza import train
from organza.cli.main import main
from organza.data.photo import Photo
from organza.media.clip import Reading, open_clip
from organza.translate.video import translate_video
from tests.media.test_clip import picture, times, write
from tests.shapes import toy

pytest.importorskip("av")
SHORT = {"batch": 4, "grid": "2x1", "kimg": 0.008, "resolution": "16"}


@pytest.fixture(scope="module")
def run(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(toy("pix2pix"), pairs, outdir=tmp_path_factory.mktemp("runs"), **SHORT).folder


def test_each_frame_is_translated_by_itself(run, tmp_path):
    source = write(tmp_path / "a.mp4", 5, sound=True)
    T = organza.load(run)
    done = translate_video(source, tmp_path / "b.mp4", lambda pixels: T.photo(pixels, mode="eval", size="own"))
    assert (done.frames, done.lost, done.missing, done.silent, done.stopped) == (5, 0, 0, None, False)
    assert set(done.seconds) == {"decode", "translate", "smooth", "encode"}
    assert done.seconds.pop("smooth") == 0 < min(done.seconds.values())
    assert times(done.path) == times(source)
    clip = open_clip(done.path)
    assert clip.sound and clip.size == (48, 64)
    made = [frame.pixels for frame in Reading(clip).frames()]
    for k, frame in enumerate(Reading(open_clip(source)).frames()):
        wanted = T.photo(Photo(frame.pixels), mode="eval", size="own").eight()
        assert np.abs(wanted.astype(int) - made[k]).mean() < 6


def test_the_command(run, tmp_path, capsys):
    source = write(tmp_path / "a.mp4", 4)
    common = ["translate", "--network", f"{run}", "--input", f"{source}"]
    assert main([*common, "--outdir", f"{tmp_path / 'out'}", "--size", "own"]) == 0
    assert "4 frames" in capsys.readouterr().out
    assert len(times(tmp_path / "out" / "a.mp4")) == 4
    for more, message in (
        (["--output", f"{source}"], "its translation would overwrite it"),
        (["--output", f"{tmp_path / 'b.gif'}"], ".mp4, .mov"),
        (["--compare"], "--compare is for images"),
        (["--format", "jpg"], "--format is for images"),
        (["--labels", "folders"], "--labels are of a folder or an archive"),
    ):
        assert main([*common, *more]) == 2
        assert message in capsys.readouterr().err
    (tmp_path / "c.mp4").write_text("nothing")
    assert main(["translate", "--network", f"{run}", "--input", f"{tmp_path / 'c.mp4'}"]) == 2
    assert "is no video that can be read" in capsys.readouterr().err


def test_smoothing(tmp_path):
    pytest.importorskip("cv2")
    rng = np.random.RandomState(0)

    def noisy(pixels: np.ndarray) -> Photo:
        return Photo((pixels + rng.normal(0, 10, pixels.shape)).clip(0, 255).astype(np.uint8))

    done = translate_video(write(tmp_path / "a.mp4", 10), tmp_path / "b.mp4", noisy, smooth=0.7)
    assert done.flicker is not None and done.flicker[1] < 0.7 * done.flicker[0] and done.cuts == 0
    assert done.seconds["smooth"] > 0 and "smooth" in done.shares()


def test_a_stopped_translation_leaves_what_was_done(tmp_path):
    source = write(tmp_path / "a.mp4", 8)

    def translate(pixels: np.ndarray) -> Photo:
        seen.append(pixels)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return Photo(pixels)

    seen: list[np.ndarray] = []
    done = translate_video(source, tmp_path / "b.mp4", translate)
    assert done.stopped and done.frames == len(times(tmp_path / "b.mp4")) == 3
    assert np.abs(picture(0, 48, 64) - seen[0].astype(int)).mean() < 6
