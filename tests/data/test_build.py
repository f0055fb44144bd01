import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
from data_helpers import BAD, encoded, noise, pngs, write_folder, write_zip
from PIL import Image

from organza.core.errors import UserError
from organza.data import DataOptions, open_dataset
from organza.data.export.build import build

OWN = DataOptions(labels="own", captions="none")


def digest(path):
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return [(p.name, hashlib.sha256(p.read_bytes()).hexdigest()) for p in files]


def test_nvidia_layout(tmp_path):
    report = build(BAD / "good" / "dataset_int_6.zip", tmp_path / "out.zip", OWN)
    assert (report.count, report.skipped, report.sizes, report.labelled) == (6, [], {(16, 16): 6}, True)
    with zipfile.ZipFile(tmp_path / "out.zip") as file:
        assert file.namelist() == [f"00000/img{i:08d}.png" for i in range(6)] + ["dataset.json"]
        assert {i.compress_type for i in file.infolist()} == {zipfile.ZIP_STORED}
        labels = json.loads(file.read("dataset.json"))["labels"]
    assert labels == [[f"00000/img{i:08d}.png", c] for i, c in enumerate([0, 2, 1, 0, 2, 1])]
    expected = np.load(BAD / "good" / "dataset_int_6_expected.npz")["images"][:6].transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(open_dataset(tmp_path / "out.zip").fetch(range(6))[0], expected)


@pytest.mark.parametrize("form", ["zip", "folder", "webdataset", "tfrecords"])
def test_every_form_gives_back_what_went_in(tmp_path, form):
    entries = {f"{kind}/{i}.png": encoded(noise(i)) for i, kind in enumerate("abcab")}
    source = write_zip(tmp_path / "in.zip", entries)
    report = build(source, tmp_path / "out", DataOptions(labels="folders"), form=form)
    assert report.count == 5
    data = open_dataset(tmp_path / "out", DataOptions(labels="own"))
    images, labels = data.fetch(range(5))
    np.testing.assert_array_equal(images, [noise(i) for i in (0, 3, 1, 4, 2)])
    assert labels.argmax(1).tolist() == [0, 0, 1, 1, 2]


def test_round_trip_through_everything(tmp_path):
    entries = {f"{kind}/{i}.png": encoded(noise(i)) for i, kind in enumerate("abcab")}
    build(write_folder(tmp_path / "in", entries), tmp_path / "1.zip", DataOptions(labels="folders"))
    build(tmp_path / "1.zip", tmp_path / "2", OWN, form="tfrecords")
    build(tmp_path / "2", tmp_path / "3", OWN, form="webdataset")
    build(tmp_path / "3", tmp_path / "4.zip", OWN)
    with zipfile.ZipFile(tmp_path / "1.zip") as one, zipfile.ZipFile(tmp_path / "4.zip") as other:
        assert one.namelist() == other.namelist()
        index, *images = (name for name in reversed(one.namelist()))
        assert all(one.read(name) == other.read(name) for name in images)
        first, last = (json.loads(file.read(index)) for file in (one, other))
    assert first.pop("label_names") == ["a", "b", "c"]  # for which TFRecords have no place
    assert first == last


@pytest.mark.parametrize("form", ["zip", "folder", "webdataset", "tfrecords"])
def test_bytes_do_not_depend_on_workers_or_time(tmp_path, form):
    source = write_zip(tmp_path / "in.zip", pngs(150))
    build(source, tmp_path / "x" / "out", DataOptions(resolution="16"), form=form, workers=1)
    build(source, tmp_path / "y" / "out", DataOptions(resolution="16"), form=form, workers=2)
    assert digest(tmp_path / "x" / "out") == digest(tmp_path / "y" / "out")


@pytest.mark.parametrize("encoding", ["png", "webp", "jpeg"])
def test_encodings(tmp_path, encoding):
    smooth = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8)[..., None].repeat(3, 2) * 3
    source = write_zip(tmp_path / "in.zip", {"a.png": encoded(smooth)})
    build(source, tmp_path / "out.zip", OWN, encoding=encoding)
    data = open_dataset(tmp_path / "out.zip")
    assert data.names[0].endswith({"png": ".png", "webp": ".webp", "jpeg": ".jpg"}[encoding])
    off = np.abs(data.fetch([0])[0][0].astype(int) - smooth).max()
    assert off == 0 if encoding == "png" else off < 12


def test_keep_leaves_files_as_they_are(tmp_path):
    photo = encoded(noise(0, 16, 16), "JPEG", quality=40)
    turned = Image.Exif()
    turned[0x0112] = 6
    entries = {
        "a.jpg": photo,
        "b.png": encoded(noise(1, 16, 16)),
        "c.webp": encoded(noise(2, 16, 16), "WEBP"),
        "d.bmp": encoded(noise(3, 16, 16), "BMP"),
        "e.jpg": encoded(noise(4, 16, 16), "JPEG", exif=turned),
        "f.jpg": encoded(noise(5, 20, 20), "JPEG"),
        "g.png": encoded(noise(6, 16, 16, channels=4)),
    }
    build(write_zip(tmp_path / "in.zip", entries), tmp_path / "out.zip", DataOptions(resolution="16"), encoding="keep")
    with zipfile.ZipFile(tmp_path / "out.zip") as file:
        stored = [file.read(n) for n in file.namelist()[:-1]]
        names = [n[-4:] for n in file.namelist()[:-1]]
    assert names == [".jpg", ".png", "webp", ".png", ".jpg", ".jpg", ".png"]
    same = [a == b for a, b in zip(stored, entries.values(), strict=True)]
    assert same == [True, True, True, False, False, False, False]


def test_each_keeps_its_size_unless_told_otherwise(tmp_path):
    source = write_folder(tmp_path / "in", {"a.png": encoded(noise(0, 4, 6)), "b.png": encoded(noise(1, 8, 8))})
    assert build(source, tmp_path / "out.zip", OWN).sizes == {(4, 6): 1, (8, 8): 1}


def test_bad_files_are_listed(tmp_path):
    report = build(BAD / "images", tmp_path / "out.zip", DataOptions(resolution="16"))
    assert report.count == 9
    assert [name for name, _ in report.skipped] == ["text.png", "truncated.jpg", "truncated.png", "zero.png"]
    with pytest.raises(UserError, match="4 bad files: text"):
        build(BAD / "images", tmp_path / "strict.zip", DataOptions(resolution="16", strict=True))
    assert [p.name for p in tmp_path.iterdir()] == ["out.zip"]


@pytest.mark.parametrize("name", ["encrypted", "bomb_deflate_50MB", "png_bomb_20000px"])
def test_nothing_usable_leaves_nothing_behind(tmp_path, name):
    with pytest.raises(UserError, match="no usable images"):
        build(BAD / "zips" / f"{name}.zip", tmp_path / "out.zip", OWN)
    assert list(tmp_path.iterdir()) == []


def test_a_late_colour_starts_again(tmp_path):
    entries = {f"{i:04d}.png": encoded(noise(0, channels=1)) for i in range(900)} | {"0001.png": encoded(noise(1))}
    build(write_zip(tmp_path / "in.zip", entries, 0), tmp_path / "out.zip", OWN)
    data = open_dataset(tmp_path / "out.zip", DataOptions(channels="3"))
    np.testing.assert_array_equal(data.fetch([1])[0][0], noise(1))
    assert len(data) == 900


def test_captions_travel(tmp_path):
    source = write_folder(tmp_path / "in", pngs(2) | {"000.txt": "ä cat".encode()})
    for form in ("zip", "webdataset"):
        build(source, tmp_path / form, DataOptions(captions="auto"), form=form)
        assert open_dataset(tmp_path / form, DataOptions(captions="auto")).captions == ["ä cat", ""]


def test_what_is_there_is_not_overwritten(tmp_path):
    source = write_folder(tmp_path / "in", pngs(2))
    (tmp_path / "out.zip").write_text("precious")
    with pytest.raises(UserError, match="exists already; choose another name or add --overwrite"):
        build(source, tmp_path / "out.zip", OWN)
    assert (tmp_path / "out.zip").read_text() == "precious"
    build(source, tmp_path / "out.zip", OWN, overwrite=True)
    assert len(open_dataset(tmp_path / "out.zip")) == 2
    with pytest.raises(UserError, match="is a file; give a folder"):
        build(source, tmp_path / "out.zip", OWN, form="folder", overwrite=True)
    with pytest.raises(UserError, match="is a folder; give a file name"):
        build(source, tmp_path / "in", OWN, form="zip", overwrite=True)


SLOW_BUILD = """
import sys, time
from organza.data import DataOptions
from organza.data.export.build import build
def slow(done, total):
    print(done, flush=True)
    time.sleep(60)
build(sys.argv[1], sys.argv[2], DataOptions(), form=sys.argv[3], progress=slow)
"""


@pytest.mark.parametrize("form", ["zip", "tfrecords"])
def test_kill_leaves_no_destination_and_the_next_build_starts_clean(tmp_path, form):
    source, dest = write_folder(tmp_path / "in", pngs(200)), tmp_path / "there" / "out"
    command = [sys.executable, "-c", SLOW_BUILD, str(source), str(dest), form]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert int(process.stdout.readline()) > 0
    with pytest.raises(UserError, match="is being written by another process"):
        build(source, dest, OWN, form=form)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not dest.exists()
    build(source, dest, OWN, form=form)
    assert os.listdir(dest.parent) == ["out"]
    assert len(open_dataset(dest)) == 200


def test_only_what_a_build_made_is_overwritten(tmp_path):
    source, dest = write_folder(tmp_path / "in", pngs(2)), tmp_path / "out"
    documents = write_folder(tmp_path / "documents", {"a/letter.txt": b"dear"})
    for form in ("folder", "tfrecords", "webdataset"):
        with pytest.raises(UserError, match="no build made this folder, so --overwrite leaves it alone; choose"):
            build(source, documents, OWN, form=form, overwrite=True)
    assert (documents / "a" / "letter.txt").read_bytes() == b"dear"
    build(source, dest, OWN)
    build(write_folder(tmp_path / "more", pngs(3)), dest, OWN, overwrite=True)
    assert len(open_dataset(dest)) == 3
    (dest / "00000" / "note.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds other things than a build put there \(00000/note.txt\)"):
        build(source, dest, OWN, overwrite=True)
    assert len(open_dataset(dest)) == 3 and (dest / "00000" / "note.txt").exists()
    (tmp_path / "link").symlink_to(documents)
    with pytest.raises(UserError, match="is a link to a folder"):
        build(source, tmp_path / "link", OWN, overwrite=True)
    (tmp_path / "empty").mkdir()
    build(source, tmp_path / "empty", OWN)
    assert len(open_dataset(tmp_path / "empty")) == 2


KILLED_BUILD = """
import os, shutil, signal, sys
from organza.data import DataOptions
from organza.data.export import sinks
from organza.data.export.build import build
left = [int(sys.argv[3])]
def counted(act):
    def step(*args, **more):
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return act(*args, **more)
    return step
os.replace, os.unlink, os.rmdir = counted(os.replace), counted(os.unlink), counted(os.rmdir)
build(sys.argv[1], sys.argv[2], DataOptions(), workers=1, overwrite=True)
"""


def test_killed_at_any_step_it_is_the_old_folder_or_the_new_one_or_none(tmp_path):
    small, large = write_folder(tmp_path / "small", pngs(3)), write_folder(tmp_path / "large", pngs(5))
    dest = tmp_path / "there" / "out"
    build(small, dest, OWN)
    old, seen = digest(dest), []
    for step in range(20):
        command = [sys.executable, "-c", KILLED_BUILD, str(large), str(dest), str(step)]
        code = subprocess.run(command, check=False).returncode
        seen.append("none" if not dest.exists() else "old" if digest(dest) == old else f"{len(open_dataset(dest))} new")
        build(small, dest, OWN, overwrite=True)
        assert digest(dest) == old and os.listdir(dest.parent) == ["out"]
        if code == 0:
            break
    assert code == 0 and seen[0] == "old" and seen[-1] == "5 new"
    assert set(seen) <= {"old", "none", "5 new"}


def test_a_place_that_can_not_be_written(tmp_path):
    source = write_folder(tmp_path / "in", pngs(1))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="a part of this path is a file, not a folder"):
        build(source, tmp_path / "file" / "out.zip", OWN)


def test_shards_are_plain_tars(tmp_path):
    build(write_folder(tmp_path / "in", pngs(2)), tmp_path / "out", OWN, form="webdataset")
    with tarfile.open(tmp_path / "out" / "shard-000000.tar") as file:
        assert file.getnames() == ["00000000.png", "00000001.png"]
