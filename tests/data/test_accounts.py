"""Every entry of a container is accounted for: used, skipped with a reason, or named as something else."""

import io
import struct
import tarfile
import zlib

import numpy as np
import pytest
from data_helpers import encoded, noise, pngs, write_folder, write_zip
from hostile import zip_end, zip_entry, zip_record
from test_idx import CLASSES, DIGITS, idx
from test_readers import binary_batches, write_tar

from organza.core.errors import UserError
from organza.data import DataOptions, open_dataset, tfrecord
from organza.runs.dataset import info

JUNK = {
    "good/0.png": encoded(noise(0)),
    "good/1.jpg": encoded(noise(1), "JPEG"),
    "unnamed": encoded(noise(2)),
    "bad/empty.png": b"",
    "bad/text.webp": b"no image",
    "bad/IMG_1.HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99),
    "bad/x.jxl": b"\xff\x0a" + bytes(9),
    "bad/x.svg": b"<svg/>",
    "bad/DSC_1.NEF": encoded(noise(3), "TIFF"),
    "bad/DSC_2.CR3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
    "bad/DSC_3.raf": b"FUJIFILMCCD-RAW 0201",
    "notes.txt": b"hello",
    "film.mp4": b"\0\0\0\x18ftypmp42",
    "unknown.dat": b"no image",
    ".hidden.png": b"",
    "__MACOSX/._0.png": b"\0\5\x16\7",
    ".ipynb_checkpoints/0-checkpoint.png": encoded(noise(4)),
    "good/Thumbs.db": b"\xd0\xcf",
    "good/desktop.ini": b"[.ShellClassInfo]",
    "@eaDir/0.png/SYNOPHOTO_THUMB_M.jpg": encoded(noise(5), "JPEG"),
    "$RECYCLE.BIN/1.png": encoded(noise(6)),
}


def summed(found):
    return found.count + len(found.skipped) + len(found.others)


@pytest.mark.parametrize("pack", [write_folder, write_zip, write_tar])
def test_folders_zips_and_tars(tmp_path, pack):
    found = info(pack(tmp_path / "set", JUNK))
    assert summed(found) == len(JUNK)
    assert found.count == 3
    assert [name for name, _ in found.skipped] == sorted(name for name in JUNK if name.startswith("bad/"))
    reasons = dict(found.skipped)
    assert reasons["bad/IMG_1.HEIC"].startswith("a HEIC image, which is not read: convert it")
    for name in ("bad/DSC_1.NEF", "bad/DSC_2.CR3", "bad/DSC_3.raf"):
        assert reasons[name].startswith("a camera's raw file, of which only the preview")
    assert any(line.startswith("  other files     hidden 7, ") for line in found.lines())


@pytest.mark.parametrize("kind", ["dng", "NEF", "cr2", "ARW", "orf", "pef", "rw2", "3fr"])
def test_previews_of_raw_files_never_pass_for_images(tmp_path, kind):
    folder = write_folder(tmp_path / "set", {f"x.{kind}": encoded(noise(0), "TIFF"), "a.png": encoded(noise(1))})
    data = open_dataset(folder)
    assert data.names == ["a.png"]
    assert [name for name, _ in data.skipped] == [f"x.{kind}"]
    with pytest.raises(UserError, match="a camera's raw file"):
        open_dataset(folder / f"x.{kind}")


@pytest.mark.parametrize("count", [3, 0, 65_535, 8])
def test_a_zip_is_counted_by_its_directory(tmp_path, count):
    raw = bytearray(write_zip(tmp_path / "a.zip", pngs(9)).read_bytes())
    struct.pack_into("<2H", raw, raw.rfind(b"PK\5\6") + 8, count, count)
    (tmp_path / "a.zip").write_bytes(raw)
    assert summed(info(tmp_path / "a.zip")) == 9


def test_a_zip_of_more_entries_than_its_counter_holds(tmp_path):
    entries, records = io.BytesIO(), []
    names = [b"%06d.txt" % i for i in range(65_576)] + [b"0.png"]
    image = encoded(noise(0))
    for name in names:
        data = image if name == b"0.png" else b""
        crc = zlib.crc32(data)
        records.append(zip_record(name, len(data), len(data), crc, entries.tell(), 0))
        entries.write(zip_entry(name, data, len(data), crc, 0))
    directory = b"".join(records)
    body = entries.getvalue() + directory
    (tmp_path / "a.zip").write_bytes(body + zip_end(len(names), len(directory), entries.tell()))
    assert summed(info(tmp_path / "a.zip")) == 65_577


def test_offsets_beyond_four_gigabytes_that_have_wrapped(tmp_path):
    """As macOS writes them; the gap is a hole in the file."""
    image, other = encoded(noise(0)), encoded(noise(1))
    crcs = [zlib.crc32(data) for data in (image, other)]
    first = zip_entry(b"a.png", image, len(image), crcs[0], 0)
    gap = (1 << 32) + 10
    second = zip_entry(b"b.png", other, len(other), crcs[1], 0)
    directory = zip_record(b"a.png", len(image), len(image), crcs[0], 0, 0)
    directory += zip_record(b"b.png", len(other), len(other), crcs[1], gap % (1 << 32), 0)
    with open(tmp_path / "a.zip", "wb") as file:
        file.write(first)
        file.seek(gap)
        file.write(second)
        at = file.tell()
        file.write(directory + zip_end(2, len(directory), at % (1 << 32)))
    data = open_dataset(tmp_path / "a.zip")
    np.testing.assert_array_equal(data.fetch([0, 1])[0], [noise(0), noise(1)])


def test_names_without_the_flag_for_utf8(tmp_path):
    names = ["猫/é.png".encode(), "caf\u00e9.png".encode("cp437")]
    image = encoded(noise(0))
    crc = zlib.crc32(image)
    body = directory = b""
    for name in names:
        record = bytearray(zip_record(name, len(image), len(image), crc, len(body), 0))
        struct.pack_into("<H", record, 8, 0)
        directory += record
        body += zip_entry(name, image, len(image), crc, 0)
    (tmp_path / "a.zip").write_bytes(body + directory + zip_end(2, len(directory), len(body)))
    assert open_dataset(tmp_path / "a.zip").names == ["café.png", "猫/é.png"]


def test_links_in_a_tar_lead_to_their_files(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, data in pngs(1).items():
            member = tarfile.TarInfo(f"./real/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for name, kind, target in (
            ("hard.png", tarfile.LNKTYPE, "./real/000.png"),
            ("soft/soft.png", tarfile.SYMTYPE, "../real/000.png"),
            ("gone.png", tarfile.SYMTYPE, "nowhere.png"),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            tar.addfile(member)
    found = info(tmp_path / "a.tar")
    assert (found.count, summed(found)) == (3, 4)
    assert found.skipped == [("gone.png", "a link that leads to no file in the tar")]


def test_sets_of_records_say_what_they_leave_aside(tmp_path):
    mnist = {"train-images-idx3-ubyte": idx(DIGITS), "train-labels-idx1-ubyte": idx(CLASSES), "readme.txt": b""}
    found = info(write_folder(tmp_path / "mnist", mnist | {"t10k-images-idx3-ubyte": idx(DIGITS[:2])}))
    assert (found.count, sorted(what for _, what in found.others)) == (5, ["another set", "another set", "labels"])
    cifar = binary_batches() | {"cifar-10-batches-bin/test_batch.bin": b"x", "cifar-10-batches-bin/readme.html": b""}
    found = info(write_tar(tmp_path / "c.tar", cifar))
    assert (found.count, len(found.others)) == (6, 2)
    records = b"".join(tfrecord.frames(tfrecord.examples(noise(0).transpose(2, 0, 1)[None])))
    found = info(write_folder(tmp_path / "tf", {"x-r03.tfrecords": records, "x-r02.tfrecords": records, "x": b""}))
    assert found.others == [("x", "another file"), ("x-r02.tfrecords", "the same at another size")]


def lmdb_of(path, values):
    lmdb = pytest.importorskip("lmdb")
    with lmdb.open(str(path), map_size=1 << 24) as env, env.begin(write=True) as writing:
        for key, value in values.items():
            writing.put(key, value)
    return path


@pytest.mark.parametrize("counted", [True, False])
def test_of_several_sizes_in_an_lmdb_the_largest_is_taken(tmp_path, counted):
    values = {f"{s}-{i:05d}".encode(): encoded(noise(i, s, s)) for s in (8, 16, 128) for i in range(4)}
    values |= {b"length": b"4"} if counted else {}
    found = info(lmdb_of(tmp_path / "set", values))
    assert (found.count, found.skipped) == (4, [])
    assert (found.sizes == 128).all()
    assert summed(found) == len(values)
    assert ("8-00000", "the same image at 8, of which 128 is taken") in found.others


def test_one_size_in_an_lmdb_is_all_of_it(tmp_path):
    values = {f"64-{i:05d}".encode(): encoded(noise(i)) for i in range(4)}
    assert info(lmdb_of(tmp_path / "set", values)).count == 4


def test_ways_to_name_an_lmdb(tmp_path):
    (tmp_path / "lsun").mkdir()
    folder = lmdb_of(tmp_path / "lsun" / "church_lmdb", {b"a": encoded(noise(0))})
    for path in (folder, folder / "data.mdb", folder.parent):
        assert len(open_dataset(path)) == 1
    lmdb_of(folder.parent / "tower_lmdb", {b"a": encoded(noise(0))})
    with pytest.raises(UserError, match="2 LMDBs in one folder; give one of them: church_lmdb, tower_lmdb"):
        open_dataset(folder.parent)
    (folder / "data.mdb").rename(folder / "data-001.mdb")
    assert len(open_dataset(folder)) == 1


def test_a_large_lmdb(tmp_path):
    """Several levels of pages, long keys, values inside of pages and beside them."""
    values = {b"%0200d" % i: encoded(noise(i, 2, 2)) if i % 3 else encoded(noise(i, 40, 40)) for i in range(3000)}
    values |= {b"empty": b""}
    from organza.data.readers.lmdb import LmdbSource

    source = LmdbSource.recognise(lmdb_of(tmp_path / "set", values))
    entries = source.entries()
    assert [e.name.encode() for e in entries] == sorted(values)
    assert [source.read(e) for e in entries] == [values[key] for key in sorted(values)]


IMAGES = np.stack([noise(i, 8, 6) for i in range(5)])


@pytest.mark.parametrize(
    ("array", "wanted"),
    [
        (IMAGES, IMAGES),
        (IMAGES.transpose(0, 3, 1, 2), IMAGES),
        (np.concatenate([IMAGES, IMAGES[..., :1]], 3), None),
        (IMAGES[..., 0], IMAGES[..., :1]),
        (IMAGES[..., :1], IMAGES[..., :1]),
        (IMAGES[:, None, :, :, 0], IMAGES[..., :1]),
        (IMAGES.astype(np.int64), IMAGES),
        (IMAGES.astype(np.uint16) * 257, IMAGES),
        (IMAGES.astype(np.float32) / 255, IMAGES),
        (IMAGES.astype(np.float64) / 127.5 - 1, IMAGES),
        (IMAGES.astype(">f4"), IMAGES),
        (IMAGES[..., 0] > 127, (IMAGES[..., :1] > 127) * np.uint8(255)),
    ],
)
@pytest.mark.parametrize("how", ["npy", "npz", "packed npz"])
def test_arrays(tmp_path, array, wanted, how):
    path = tmp_path / ("a.npy" if how == "npy" else "a.npz")
    save = {"npy": np.save, "npz": np.savez, "packed npz": np.savez_compressed}[how]
    save(path, array)
    data = open_dataset(path, DataOptions(resolution="8x6"))
    assert data.kind == "NumPy array"
    if wanted is not None:
        np.testing.assert_array_equal(data.fetch(range(5))[0], wanted)
    assert summed(info(path)) == 5


def test_arrays_with_labels(tmp_path):
    np.savez(tmp_path / "a.npz", IMAGES, np.arange(5)[::-1])
    labels = open_dataset(tmp_path / "a.npz", DataOptions(labels="own", resolution="8x6")).fetch(range(5))[1]
    assert labels.argmax(1).tolist() == [4, 3, 2, 1, 0]
    np.savez(tmp_path / "m.npz", train_images=IMAGES, train_labels=np.ones((5, 1), np.uint8), test_images=IMAGES[:2])
    found = info(tmp_path / "m.npz")
    assert found.count == 5
    assert sorted(found.others) == [("test_images.npy", "an array [2, 8, 6, 3]"), ("train_labels.npy", "labels")]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"mu": np.zeros(2048), "sigma": np.zeros((2048, 2048))}, "FID statistics"),
        ({"w": np.zeros((14, 512))}, "no array of images among: w"),
        ({"images": IMAGES.astype(np.float32) * 3}, "its numbers go from .* to .*; images have 0 to 1, -1 to 1, or"),
        ({"images": np.full((2, 8, 8), np.nan)}, "not all finite"),
        ({"image": IMAGES[0]}, r"no array of images among: image \[8, 6, 3\]"),
        ({"images": np.asfortranarray(IMAGES)}, "in Fortran's order"),
    ],
)
def test_arrays_that_are_no_images(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UserError, match=message):
        open_dataset(tmp_path / "a.npz")


def test_rows_that_name_files_stay_below_the_table(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    write_folder(tmp_path, {"set/x/0.png": encoded(noise(0)), "secret.png": encoded(noise(1))})
    rows = [{"bytes": None, "path": path} for path in ("x/0.png", "../secret.png", str(tmp_path / "secret.png"), "x")]
    pq.write_table(pa.table({"image": rows}), tmp_path / "set" / "a.parquet")
    found = info(tmp_path / "set" / "a.parquet")
    assert (found.count, len(found.skipped)) == (1, 3)
