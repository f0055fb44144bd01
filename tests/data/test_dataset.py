import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile

import numpy as np
import pytest
from data_helpers import BAD, encoded, noise, pngs, write_folder, write_zip
from PIL import Image

from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.data import DataOptions, Dataset, open_dataset, parse_resolution
from organza.data.cache import prepare
from organza.data.opening import KNOWN


def test_folder_and_zip_are_the_same(tmp_path):
    entries = {f"deep/{k}": v for k, v in pngs(5).items()} | pngs(3) | {"notes.txt": b"hello", ".hidden.png": b"x"}
    folder = open_dataset(write_folder(tmp_path / "a", entries))
    zipped = open_dataset(write_zip(tmp_path / "a.zip", entries))
    assert (
        folder.names == zipped.names == sorted(f"{p}{i:03d}.png" for p, n in (("deep/", 5), ("", 3)) for i in range(n))
    )
    assert folder.skipped == zipped.skipped == []
    assert (folder.kind, zipped.kind) == ("folder", "zip")
    images, labels = folder.fetch([7, 0, 0])
    np.testing.assert_array_equal(images, zipped.fetch([7, 0, 0])[0])
    np.testing.assert_array_equal(images, [noise(4), noise(0), noise(0)])
    assert images.flags.c_contiguous
    assert labels.shape == (3, 0)
    assert folder.spec == DataSpec((8, 8), 3, 0)


def test_content_decides_what_a_file_is(tmp_path):
    entries = {"a": encoded(noise(0)), "b.jpg": encoded(noise(1)), "c.dat": b"no image", "d.png": b"no image"}
    data = open_dataset(write_folder(tmp_path / "set", entries))
    assert data.names == ["a", "b.jpg"]
    assert data.skipped == [("d.png", "not an image (its content is no known format)")]


def test_all_bad_files_are_listed_and_the_others_used():
    data = open_dataset(BAD / "images", DataOptions(resolution="16"))
    assert len(data) == 9
    assert [name for name, _ in data.skipped] == ["text.png", "truncated.jpg", "truncated.png", "zero.png"]
    good = data.names.index("good.png")
    np.testing.assert_array_equal(data.fetch([good])[0][0], np.load(BAD / "images_expected.npz")["good.png"])
    again = open_dataset(BAD / "images", DataOptions(resolution="16"))
    assert again.skipped == data.skipped, "reported from the cache too"
    np.testing.assert_array_equal(again.fetch(range(9))[0], data.fetch(range(9))[0])


def test_strict_refuses_bad_files():
    with pytest.raises(UserError) as caught:
        open_dataset(BAD / "images", DataOptions(strict=True))
    assert "images: 4 bad files: text.png: not an image (its content is no known format); truncated.jpg: " in str(
        caught.value
    )
    assert str(caught.value).endswith("remove them, or leave out --strict to skip them")


def test_long_lists_of_bad_files_are_capped(tmp_path):
    write_folder(tmp_path / "set", {f"{i:02d}.png": b"" for i in range(14)} | pngs(1))
    with pytest.raises(
        UserError, match=r"14 bad files: 00.png: empty file \(0 bytes\); .*09.png: .*; and 4 more; remove"
    ):
        open_dataset(tmp_path / "set", DataOptions(strict=True))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("zips/empty.zip", "no images found; give a folder or a zip of PNG, JPEG or WebP files"),
        (
            "zips/no_images.zip",
            "no images found among other files: .json 1, .txt 1; give a folder or a zip of PNG, JPEG or WebP files",
        ),
        ("zips/zero_byte.zip", "the file is empty (0 bytes); download it again"),
        (
            "zips/truncated.zip",
            "not a complete zip file (its directory, at the end, is missing); copy or download it again",
        ),
        (
            "zips/not_a_zip.zip",
            "not a complete zip file (its directory, at the end, is missing); copy or download it again",
        ),
        (
            "zips/encrypted.zip",
            "no usable images: 00000/img00000000.png: encrypted (pack the zip again without a password)",
        ),
        (
            "zips/bomb_deflate_50MB.zip",
            "no usable images: 00000/img00000000.png: not an image (its content is no known format)",
        ),
        (
            "zips/png_bomb_20000px.zip",
            "no usable images: 00000/img00000000.png: too many pixels (at most 67,108,864)",
        ),
        ("nowhere", f"there is no such file or folder; give {KNOWN}"),
        ("fixtures.json", f"not a dataset that Organza knows; give {KNOWN}"),
    ],
)
def test_unusable_sets_say_why(path, message, cache):
    with pytest.raises(UserError) as caught:
        open_dataset(BAD / path)
    assert str(caught.value) == f"{BAD / path}: {message}"
    assert not list(cache.rglob("images.u8"))


@pytest.mark.parametrize(("name", "count"), [("dotdot", 8), ("absolute", 7)])
def test_names_that_lead_outside_are_harmless(name, count, tmp_path):
    before = set(tmp_path.parent.rglob("*organza_*"))
    assert len(open_dataset(BAD / "zips" / f"{name}.zip")) == count
    assert set(tmp_path.parent.rglob("*organza_*")) == before
    assert not os.path.exists("/tmp/organza_abs.png")


def test_damaged_entries_are_skipped(tmp_path):
    path = write_zip(tmp_path / "a.zip", pngs(3), method=0)
    raw = bytearray(path.read_bytes())
    raw[raw.index(encoded(noise(1))) + 60] ^= 255
    path.write_bytes(raw)
    assert open_dataset(path).skipped == [("001.png", "damaged in the zip (its checksum is wrong)")]


@pytest.mark.parametrize("method", [0, 8, 12, 14])
def test_zip_methods(tmp_path, method):
    data = open_dataset(write_zip(tmp_path / "a.zip", pngs(2), method))
    np.testing.assert_array_equal(data.fetch([0, 1])[0], [noise(0), noise(1)])


def test_zip_with_something_before_it(tmp_path):
    path = write_zip(tmp_path / "a.zip", pngs(2))
    path.write_bytes(b"PK self-extracting" + path.read_bytes())
    assert len(open_dataset(path)) == 2


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_unicode_and_duplicate_names(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for i, name in enumerate(["ünï/猫.png", "ünï/猫.png", "win\\dir.png"]):
            file.writestr(name, encoded(noise(i)))
    data = open_dataset(tmp_path / "a.zip")
    assert sorted(data.names) == ["win/dir.png", "ünï/猫.png", "ünï/猫.png"]
    assert len(np.unique(data.fetch(range(3))[0].reshape(3, -1), axis=0)) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abc", '--resolution: \'abc\' is not a size; write "64", or "512x768" (height x width)'),
        ("0", "--resolution: 0 is out of range; sizes go from 1 to 16384"),
        ("20000x8", "--resolution: 20000x8 is out of range; sizes go from 1 to 16384"),
    ],
)
def test_wrong_resolution(text, message, tmp_path):
    with pytest.raises(UserError) as caught:
        parse_resolution(text)
    assert str(caught.value) == message
    with pytest.raises(UserError):
        open_dataset(write_folder(tmp_path / "a", pngs(1)), DataOptions(resolution=text))


def test_resolution_is_height_by_width(tmp_path):
    folder = write_folder(tmp_path / "a", pngs(2, height=100, width=70))
    assert open_dataset(folder, DataOptions(resolution="6x4")).fetch([0])[0].shape == (1, 6, 4, 3)
    assert open_dataset(folder).spec.resolution == (64, 64)


def test_channels(tmp_path):
    grey = {f"{i}.png": encoded(noise(i, channels=1)) for i in range(2)}
    assert open_dataset(write_folder(tmp_path / "grey", grey)).spec.channels == 1
    assert open_dataset(tmp_path / "grey", DataOptions(channels="3")).spec.channels == 3
    clear = {"a.png": encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 0)))}
    assert open_dataset(write_folder(tmp_path / "clear", clear)).fetch([0])[0].min() == 255
    assert open_dataset(tmp_path / "clear", DataOptions(channels="4")).fetch([0])[0].max() == 0


def test_one_coloured_picture_makes_the_set_coloured(tmp_path):
    """Also one that the sample of headers does not see."""
    grey = encoded(noise(0, channels=1))
    entries = {f"{i:04d}.png": grey for i in range(1000)} | {"0001.png": encoded(noise(1))}
    data = open_dataset(write_zip(tmp_path / "a.zip", entries, method=0))
    assert data.spec.channels == 3
    np.testing.assert_array_equal(data.fetch([1])[0][0], noise(1))


def test_max_images_spreads_over_the_set(tmp_path):
    data = open_dataset(write_folder(tmp_path / "a", pngs(10)), DataOptions(max_images=3))
    assert data.names == ["000.png", "003.png", "006.png"]
    assert len(open_dataset(tmp_path / "a", DataOptions(max_images=99))) == 10
    with pytest.raises(UserError, match="max_images must be at least 1, not 0"):
        open_dataset(tmp_path / "a", DataOptions(max_images=0))
    with pytest.raises(UserError, match="resolution must be text or none, not 64; write '64'"):
        open_dataset(tmp_path / "a", DataOptions(resolution=64))


def test_fetch_checks_its_range(tmp_path):
    data = open_dataset(write_folder(tmp_path / "a", pngs(2)))
    for wrong in ([2], [-1]):
        with pytest.raises(IndexError, match="dataset a has 2 images"):
            data.fetch(wrong)
    assert data.fetch([])[0].shape == (0, 8, 8, 3)


def test_cache_is_used_until_content_or_options_change(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "a", pngs(4))
    built = []
    monkeypatch.setattr(prepare, "_build", lambda *a, real=prepare._build: built.append(1) or real(*a))
    first = open_dataset(folder)
    assert open_dataset(folder).key == first.key
    assert open_dataset(folder, DataOptions(mirror=True, strict=True)).key == first.key
    assert len(built) == 1
    assert open_dataset(folder, DataOptions(fit="pad")).key != first.key
    write_folder(folder, {"001.png": encoded(noise(50))})
    changed = open_dataset(folder)
    np.testing.assert_array_equal(changed.fetch([1])[0][0], noise(50))
    (folder / "002.png").unlink()
    assert len(open_dataset(folder)) == 3
    shutil.copytree(folder, tmp_path / "b" / "a")
    assert len(built) == 4
    assert open_dataset(tmp_path / "b" / "a").key == open_dataset(folder).key, "where the folder lies does not matter"


def test_a_zip_is_known_by_its_checksums(tmp_path):
    first = open_dataset(write_zip(tmp_path / "a.zip", pngs(2), method=0))
    os.utime(tmp_path / "a.zip", (1, 1))
    assert open_dataset(tmp_path / "a.zip").key == first.key
    swapped = {"000.png": encoded(noise(0)), "001.png": encoded(255 - noise(1))}
    assert open_dataset(write_zip(tmp_path / "a.zip", swapped, method=0)).key != first.key


@pytest.mark.parametrize("harm", ["truncate", "no meta", "bad meta", "old format"])
def test_a_damaged_cache_is_built_anew(tmp_path, cache, harm):
    folder = write_folder(tmp_path / "a", pngs(4))
    open_dataset(folder)
    built = next(p for p in (cache / "datasets").iterdir() if p.is_dir())
    meta = built / "meta.json"
    if harm == "truncate":
        os.truncate(built / "images.u8", 100)
    elif harm == "no meta":
        meta.unlink()
    elif harm == "bad meta":
        meta.write_text("{}")
    else:
        meta.write_text(json.dumps(json.loads(meta.read_text()) | {"format": 0}))
    data = open_dataset(folder)
    np.testing.assert_array_equal(data.fetch([3])[0][0], noise(3))


SLOW_BUILD = """
import sys, time
from organza.data import open_dataset
def slow(done, total):
    print(done, flush=True)
    time.sleep(60)
open_dataset(sys.argv[1], progress=slow)
"""


def test_kill_during_build_leaves_nothing_that_matters(tmp_path, cache):
    folder = write_folder(tmp_path / "a", pngs(200))
    process = subprocess.Popen([sys.executable, "-c", SLOW_BUILD, str(folder)], stdout=subprocess.PIPE)
    assert int(process.stdout.readline()) > 0
    assert list(cache.rglob("*.tmp-*"))
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    data = open_dataset(folder)
    assert len(data) == 200
    np.testing.assert_array_equal(data.fetch([199])[0][0], noise(199))
    assert not list(cache.rglob("*.tmp-*"))


def test_a_second_builder_waits_for_the_first(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "a", pngs(3))
    built = []

    def slow(*args, real=prepare._build):
        built.append(1)
        time.sleep(0.2)
        return real(*args)

    monkeypatch.setattr(prepare, "_build", slow)
    sizes = []
    threads = [threading.Thread(target=lambda: sizes.append(len(open_dataset(folder)))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == [3, 3, 3]
    assert len(built) == 1


def test_no_room_for_the_cache(tmp_path, monkeypatch, cache):
    folder = write_folder(tmp_path / "a", pngs(3))
    monkeypatch.setattr(prepare.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))
    with pytest.raises(UserError) as caught:
        open_dataset(folder)
    assert str(caught.value) == (
        f"{cache}/datasets: can't write the cache (0 MB are needed and 0 MB free); "
        "set ORGANZA_CACHE to a folder that can be written and has room"
    )
    assert not list(cache.rglob("*.tmp-*"))


def test_cache_that_can_not_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"can't write the cache \(Not a directory\); set ORGANZA_CACHE"):
        open_dataset(write_folder(tmp_path / "a", pngs(1)), cache_dir=tmp_path / "file")


def test_progress_and_many_workers(tmp_path):
    calls = []
    entries = pngs(300, height=4, width=4)
    data = open_dataset(write_zip(tmp_path / "a.zip", entries), progress=lambda *a: calls.append(a))
    assert calls[-1] == (300, 300)
    assert [c[0] for c in calls] == sorted(c[0] for c in calls)
    np.testing.assert_array_equal(data.fetch(range(300))[0], [noise(i, 4, 4) for i in range(300)])


@pytest.mark.parametrize("most", [64, pytest.param(None, marks=pytest.mark.slow)])
def test_real_sets_open_with_sensible_defaults(most, shared):
    expected = {
        "anime_faces.zip": (8000, 64, 3),
        "celeba_small.zip": (6128, 64, 3),
        "emoji.zip": (2023, 128, 3),
        "facades.zip": (350, 256, 3),
        "selfie2anime.zip": (470, 256, 3),
        "mnist": (60000, 32, 1),
    }
    for name, (count, side, channels) in expected.items():
        count = min(count, most or count)
        data = open_dataset(shared / name, DataOptions(max_images=most))
        assert (len(data), data.spec) == (count, DataSpec((side, side), channels)), name
        assert data.skipped == []
        assert data.fetch([0, count - 1])[0].std() > 1


def test_a_cache_cut_while_in_use(tmp_path, cache):
    data = open_dataset(write_folder(tmp_path / "a", pngs(4)))
    os.truncate(next(cache.rglob("images.u8")), 100)
    with pytest.raises(UserError, match=r"the file was cut short while in use; start again"):
        data.fetch([3])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_set(tmp_path):
    """200 MB read all over; the process grows by less than a tenth of it."""
    folder = tmp_path / "big-0"
    folder.mkdir()
    with open(folder / "images.u8", "wb") as file:
        file.truncate(1000 * 256 * 256 * 3)
    meta = prepare.Meta(prepare.FORMAT, "zip", (256, 256), 3, 0, (), 1000, 1000, None, ())
    data = Dataset("big", folder, meta)

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    data.fetch(range(16))
    before = resident()
    for i in range(0, 992, 16):
        data.fetch(range(i, i + 16))
    assert resident() - before < 20 * 2**20
