"""Videos as datasets: which frames belong together, sequences between cuts, motion, and what can't be used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from organza import UserError
from organza.cli.main import main
from organza.data.domains import sides
from organza.data.drawn_faces.drawing import draw
from organza.data.drawn_faces.films import write_films
from organza.data.drawn_faces.moving import motion_between, moving_face, shapes_of
from organza.data.loader import crops, flips
from organza.data.material import open_material
from organza.data.motion import known_flow, reference_flow, stored_flow
from organza.data.opening import open_source
from organza.data.options import VideoOptions
from organza.data.readers import clips
from organza.data.videos import open_frames
from organza.media.clip import Reading, open_clip
from organza.media.flow import warp
from organza.media.images import save_picture
from tests.media.test_clip import write

pytest.importorskip("cv2")


def scene(seed: int, count: int, side: int = 24) -> list[np.ndarray]:
    """Smooth noise that moves by a pixel to the right with each frame."""
    rng = np.random.RandomState(seed)
    small = rng.randint(0, 256, (side // 4 + 1, side // 4 + 1, 3)).repeat(4, 0).repeat(4, 1)
    return [np.roll(small, k, 1)[:side, :side].astype(np.uint8) for k in range(count)]


def folder(root: Path, films: dict[str, list[np.ndarray]]) -> Path:
    for name, frames in films.items():
        for number, frame in enumerate(frames):
            save_picture(frame, root / name / f"frame{number}.png")
    return root


def paired(root: Path, films: dict[str, list[np.ndarray]]) -> Path:
    """The frames as targets, and their negatives as sources."""
    folder(root, {f"B/{name}": frames for name, frames in films.items()})
    return folder(root, {f"A/{name}": [255 - frame for frame in frames] for name, frames in films.items()})


def material(path: Path, **changes):
    said: list[str] = []
    return open_material(path, VideoOptions(**changes), "video", say=said.append), said


def as_pixels(frames: torch.Tensor) -> np.ndarray:
    return ((frames + 1) * 127.5).round().byte().movedim(-3, -1).numpy()


def test_frames_follow_their_numbers_and_sequences_end_at_cuts(tmp_path):
    films = {"one": [*scene(0, 12), *scene(1, 5)], "two": scene(2, 6)}
    found, said = material(paired(tmp_path / "set", films), frames=5)
    sequences = found.sequences
    assert (sequences.length, sequences.videos, sequences.cuts, sequences.short) == (5, 2, 1, 0)
    assert [len(run) for run in sequences.runs] == [12, 5, 6] and len(sequences) == 8 + 1 + 2
    assert (found.spec.frames, found.spec.count, found.spec.resolution) == (5, 11, (24, 24)) and not said
    frames = [*films["one"], *films["two"]]
    starts = [*range(8), 12, 17, 18]
    for number, start in enumerate(starts):
        rows = sequences.frames(np.array([number]))[0]
        pixels = found.domains.target.fetch(rows)[0]
        assert np.array_equal(pixels, np.stack(frames[start : start + 5])), number
        assert np.array_equal(found.domains.source.fetch(rows)[0], 255 - pixels)
    with pytest.raises(IndexError):
        sequences.frames(np.array([11]))
    assert "23 frames of 2 videos, 1 cut, in sequences of 5, motion by DIS" in found.about
    again, _ = material(tmp_path / "set", frames=5)
    assert again.sequences.cuts == 1 and again.key == found.key


def test_scenes_that_are_short(tmp_path):
    films = {"one": [*scene(0, 7), *scene(1, 3)]}
    found, said = material(paired(tmp_path, films), frames=6)
    assert found.sequences.short == 3 and len(found.sequences) == 2
    assert said == ["3 of 10 frames are in scenes shorter than 6 frames, and are not shown: --frames"]
    found, said = material(tmp_path, frames=30)
    assert found.spec.frames == 7 and len(found.sequences) == 1 and "the longest scene has 7 frames" in said[0]


def test_a_broken_frame_ends_a_sequence(tmp_path):
    paired(tmp_path, {"one": scene(0, 9)})
    (tmp_path / "A" / "one" / "frame4.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    found, said = material(tmp_path, frames=4)
    assert [len(run) for run in found.sequences.runs] == [4, 4]
    assert any("frame4.png" in text for text in said)


def test_batches_are_a_function_of_the_position(tmp_path):
    films = {"one": scene(0, 9, 32), "two": scene(1, 8, 32)}
    found, _ = material(paired(tmp_path, films), frames=4, resolution="24", jitter=32 / 24, mirror=True)
    assert found.target.resolution == (32, 32)
    with found.loader(seed=3) as whole, found.loader(seed=3, rank=1, world=2) as half:
        batch = whole.batch(8, 4)
        assert batch.images.shape == batch.source.shape == (4, 4, 3, 24, 24) and batch.flow.shape == (4, 3, 3, 24, 24)
        assert whole.count == len(found.sequences) == 6 + 5
        for name in ("images", "source", "flow"):
            assert torch.equal(getattr(half.batch(8, 4), name), getattr(batch, name)[2:])
        positions = np.arange(8, 12)
        rows = found.sequences.frames(whole.indices(positions))
        mirrored = flips(positions, 3)
        assert 0 < mirrored.sum() < 4
        for place in range(4):
            pixels = found.target.fetch(rows[place])[0]
            pixels = crops(pixels, np.repeat(positions[place], 4), 3, (24, 24))
            pixels = pixels[:, :, ::-1] if mirrored[place] else pixels
            assert np.array_equal(as_pixels(batch.images[place]), pixels)
            assert np.array_equal(as_pixels(batch.source[place]), 255 - pixels)
            assert np.array_equal(batch.flow[place].numpy(), reference_flow(np.ascontiguousarray(pixels)))
        # Frames come from a pixel to the left; mirrored ones from the right.
        known = batch.flow[:, :, 2] > 0
        for place in range(4):
            across = batch.flow[place, :, 0][known[place]].median()
            assert float(across) == pytest.approx(1 if mirrored[place] else -1, abs=0.2)
    order = [whole.indices(np.arange(11 * epoch, 11 * epoch + 11)) for epoch in (0, 1)]
    assert all(sorted(part.tolist()) == list(range(11)) for part in order) and (order[0] != order[1]).any()


def test_examples_are_sequences(tmp_path):
    found, _ = material(paired(tmp_path, {"one": scene(0, 6)}), frames=3)
    batch = found.examples(6)
    assert batch.images.shape == (6, 3, 3, 24, 24) and torch.allclose(batch.source, -batch.images, atol=1e-6)
    assert torch.equal(batch.images[0], batch.images[4])  # there are four


def test_sources_by_a_technique(tmp_path):
    folder(tmp_path, {"x": scene(0, 5), "y": scene(1, 6)})
    found, _ = material(tmp_path, frames=4, pairs="grey")
    assert found.spec.source == 1 and len(found.sequences) == 2 + 3
    found, _ = material(tmp_path, frames=4, pairs="noise:25")
    with found.loader(seed=0) as loader:
        batch = loader.batch(0, 2)
        off = batch.source - batch.images
        assert 15 < float(off.std()) * 127.5 < 30
        assert not torch.equal(off[:, 0], off[:, 1])
        assert torch.equal(loader.batch(0, 2).source, batch.source)


# --- video files ---


def clip(path: Path, **kwargs) -> Path:
    pytest.importorskip("av")
    path.parent.mkdir(parents=True, exist_ok=True)
    return write(path, **kwargs)


@pytest.mark.parametrize(
    ("names", "prefix"),
    [
        (("A.mp4", "B.mp4"), "video"),
        (("road_distorted.mp4", "road_pristine.mp4"), "road"),
        (("A/road.mp4", "B/road.mkv"), "road"),
        (("cut-1/road-lr.mp4", "cut-1/road-full.mp4"), "cut-1/road"),
    ],
)
def test_which_videos_belong_together(tmp_path, names, prefix):
    for name in names:
        clip(tmp_path / name, count=4)
    (tmp_path / "notes.txt").write_text("nothing")
    source = open_frames(tmp_path)
    a, b, halves = sides(source, "train")
    assert not halves and (a.prefix, b.prefix) == ("A/", "B/")
    assert [entry.name for entry in a.entries()] == [f"A/{prefix}/{k:06d}" for k in range(4)]
    assert source.contents().others == [("notes.txt", "beside videos")]
    wanted = [frame.pixels for frame in Reading(open_clip(tmp_path / names[1])).frames()]
    for k in (0, 1, 3, 2):  # forward, and back
        assert np.array_equal(b.read(b.entries()[k]), wanted[k])
    found, _ = material(tmp_path, frames=3)
    assert len(found.sequences) == 2 and found.spec.resolution == (48, 64)
    back, _ = material(tmp_path, frames=3, direction="BtoA")
    assert back.domains.source.key == found.domains.target.key


def test_frames_are_counted_once(tmp_path, monkeypatch):
    file = clip(tmp_path / "a.mp4", count=5)
    assert clips.frames_in(file) == 5
    monkeypatch.setattr(clips, "Reading", None)
    assert clips.frames_in(file) == 5
    one = open_frames(file)
    assert one.kind == "video" and next(e.name for e in one.entries()) == "a/000000"


def test_one_video_with_a_technique(tmp_path):
    found, _ = material(clip(tmp_path / "a.mp4", count=6), frames=4, pairs="low-res:2")
    assert len(found.sequences) == 3 and found.spec.source == 3


def test_the_carphone_pair(shared, tmp_path):
    pytest.importorskip("av")
    for part in ("pristine", "distorted"):
        (tmp_path / f"carphone_{part}.mp4").symlink_to(shared / "video" / f"carphone_{part}.mp4")
    found, _ = material(tmp_path, frames=6)
    assert found.spec.resolution == (144, 176) and len(found.sequences) == 115 and found.sequences.cuts == 0
    with found.loader(seed=0) as loader:
        batch = loader.batch(0, 1)
    assert 0 < float((batch.source - batch.images).abs().mean()) < 0.2
    assert float(batch.flow[:, :, 2].mean()) > 0.8


# --- what can't be used ---


@pytest.mark.parametrize(
    ("films", "message"),
    [
        ({"A/one": 4, "B/one": 5}, "4 frames on one side and 5 on the other"),
        ({"A/one": 1, "B/one": 1}, "there is one frame alone"),
        ({"A/one": 4, "B/one": (4, 32)}, "frames of 24x24 on one side and of 32x32 on the other"),
        ({"A/one": 4, "B/two": 4}, "no pairs"),
        ({"one": 4}, "it holds no pairs and no two sets"),
    ],
)
def test_what_is_no_pair_of_videos(tmp_path, films, message):
    folder(tmp_path, {name: scene(0, *(how if isinstance(how, tuple) else (how,))) for name, how in films.items()})
    with pytest.raises(UserError, match=message):
        material(tmp_path, frames=3)


def test_frames_of_different_sizes(tmp_path):
    paired(tmp_path, {"one": scene(0, 4)})
    for side in "AB":
        save_picture(scene(0, 1, 32)[0], tmp_path / side / "one" / "frame4.png")
    with pytest.raises(UserError, match=r"frame4.png: 32x32 pixels, after frames of 24x24; scale all frames"):
        material(tmp_path, frames=3)


def test_frames_are_not_torn_out(tmp_path):
    folder(tmp_path, {"one": scene(0, 6)})
    for option in ({"max_images": 3}, {"held_out": "50%"}):
        with pytest.raises(UserError, match="would tear frames out of videos; give fewer videos"):
            material(tmp_path, pairs="grey", **option)


def test_videos_that_are_none(tmp_path):
    pytest.importorskip("av")
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    with pytest.raises(UserError, match="is no video that can be read"):
        material(tmp_path / "a.mp4", pairs="grey")
    clip(tmp_path / "B.mp4", count=4)
    with pytest.raises(UserError, match="is no video that can be read"):
        material(tmp_path, frames=3)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="there are no frames"):
        material(tmp_path / "empty", pairs="grey")


def test_images_without_motion(tmp_path):
    blocks = [
        np.where(np.arange(24)[:, None, None] < 12 * (k % 2) + 6, 255, 0) * np.ones((24, 24, 3)) for k in range(4)
    ]
    flat = [frame.astype(np.uint8) if k % 2 else 255 - frame.astype(np.uint8) for k, frame in enumerate(blocks)]
    with pytest.raises(UserError, match="no frame follows another"):
        material(paired(tmp_path, {"one": flat}), frames=3)


# --- drawn sequences ---


def test_the_motion_of_a_drawn_face_is_exact(tmp_path):
    first, second = list(moving_face(0, 2, 6))[4:]
    shapes = [shapes_of(face, (96, 96)) for face in (first, second)]
    flow, known = motion_between(shapes[1], shapes[0])
    assert known.mean() > 0.9 and np.abs(flow).max() > 0.3
    before, here = (draw(face, 96).astype(float) for face in (first, second))
    off = np.abs(warp(before, flow)[0] - here).mean(2)
    still = np.abs(before - here).mean(2)
    assert off[known].mean() < still[known].mean() / 2
    # A head that moves as a whole: every point of it by what the placement says.
    pushed = replace(first, x=first.x + 0.02)
    flow, known = motion_between(shapes_of(pushed, (96, 96)), shapes_of(first, (96, 96)))
    face = known & (np.abs(flow[..., 0] + 0.02 * 48) < 1e-4)
    assert face[30:60, 35:60].mean() > 0.9 and np.abs(flow[..., 1]).max() < 1e-4
    assert np.allclose(np.unique(flow[known][:, 0].round(4)), [-0.96, -0.48, 0])  # head, shoulders, background
    still_flow, known = motion_between(shapes[0], shapes[0])
    assert known.all() and not still_flow.any()


def test_motion_is_stored_and_read(tmp_path):
    rng = np.random.RandomState(0)
    flow, known = (rng.rand(5, 7, 2).astype(np.float32) * 100 - 50), rng.rand(5, 7) > 0.3
    found = known_flow(stored_flow(flow, known))
    assert np.array_equal(found[2] > 0, known)
    assert np.abs(found[:2][:, known] - flow[known].T).max() <= 1 / 64 and not found[:2][:, ~known].any()
    with pytest.raises(UserError, match="move by more than 64 pixels"):
        stored_flow(flow + 60, known)


def test_drawn_sequences_have_their_exact_motion(tmp_path):
    path = write_films(tmp_path / "faces.zip", 2, 5, 32, seed=4)
    assert write_films(tmp_path / "again.zip", 2, 5, 32, seed=4).read_bytes() == path.read_bytes()
    found, _ = material(path, frames=3, mirror=True)
    assert found.sequences.flow is not None and "exact motion" in found.about
    with found.loader(seed=1) as loader:
        batch = loader.batch(0, 6)
        rows, mirrored = found.sequences.frames(loader.indices(np.arange(6))), flips(np.arange(6), 1)
    names = found.target.names
    for place in range(6):
        for t in (1, 2):
            _, number, frame = names[rows[place, t]].removesuffix(".png").split("/")
            shapes = [shapes_of(face, (32, 32)) for face in moving_face(4, int(number), int(frame) + 1)][-2:]
            flow, known = motion_between(shapes[1], shapes[0])
            if mirrored[place]:
                flow, known = flow[:, ::-1] * [-1, 1], known[:, ::-1]
            got = batch.flow[place, t - 1].numpy()
            assert np.array_equal(got[2] > 0, known)
            assert np.abs((got[:2].transpose(1, 2, 0) - flow)[known]).max() <= 1 / 64 + 1e-6
    other, _ = material(path, frames=3, resolution="24")  # at another size motion is looked for
    assert other.sequences.flow is None
    pairs = open_material(path, VideoOptions(), "pairs")  # frame by frame, for methods of single images
    assert len(pairs.target) == 10 and open_source(path).entries()


# --- dataset info ---


def test_info_of_videos(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clip(tmp_path / "v" / "A.mp4", count=6)
    clip(tmp_path / "v" / "B.mp4", count=6)
    assert main(["dataset", "info", "v"]) == 0
    out = capsys.readouterr().out
    assert "2 videos, 12 frames" in out and "pairs           1, A/ -> B/" in out
    assert "A/video: 6 frames 48x64, 10 fps, 0 cuts" in out and (tmp_path / "out" / "v-contact.png").is_file()
    clip(tmp_path / "v" / "B.mp4", count=5)
    assert main(["dataset", "info", "v"]) == 0
    assert "none: 6 frames on one side and 5 on the other" in capsys.readouterr().out
    paired(tmp_path / "f", {"one": [*scene(0, 4), *scene(1, 3)]})
    assert main(["dataset", "info", "f", "--frames"]) == 0
    out = capsys.readouterr().out
    assert "A/one: 7 frames 24x24, 1 cut at 4" in out and "pairs           1, A/ -> B/" in out
    assert main(["dataset", "info", "v", "--labels", "auto"]) == 2
    assert "of single images" in capsys.readouterr().err


def test_faces_that_move(tmp_path, capsys):
    dest = tmp_path / "f.zip"
    assert main(["faces", "--dest", str(dest), "--count", "1", "--frames", "3", "--resolution", "32"]) == 0
    names = [entry.name for entry in open_source(dest).entries()]
    assert [n for n in names if n.startswith("flow")] == ["flow/00000/0001.png", "flow/00000/0002.png"]
    assert main(["faces", "--dest", str(dest), "--frames", "3", "--style", "line"]) == 2
    assert "--label and --style are of single faces" in capsys.readouterr().err
    with pytest.raises(UserError, match="ask for one of two frames at least"):
        write_films(dest, 1, 1, 32)
