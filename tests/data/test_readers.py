"""Formats other than folders, zips, idx and TFRecords."""

import gzip
import io
import pickle
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from data_helpers import encoded, noise, pngs, write_folder, write_zip

from organza.contract.data import DataSpec, LabelSet
from organza.core.errors import UserError
from organza.data import DataOptions, open_dataset
from organza.data.opening import braces


def write_tar(path, entries, mode="w"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as file:
        for name, data in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def own(path, **more):
    return open_dataset(path, DataOptions(labels="own", **more))


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tar(tmp_path, mode):
    data = open_dataset(write_tar(tmp_path / "a.bin", pngs(4) | {"x.json": b"{}"}, mode))
    assert data.kind == "tar"
    np.testing.assert_array_equal(data.fetch(range(4))[0], [noise(i) for i in range(4)])


def test_shards(tmp_path):
    for n in range(3):
        sample = {f"{n}.png": encoded(noise(n)), f"{n}.cls": str(2 - n).encode(), f"{n}.txt": f"number {n}\n".encode()}
        write_tar(tmp_path / "set" / f"shard-{n:03d}.tar", sample)
    for path in (tmp_path / "set", str(tmp_path / "set" / "shard-{000..002}.tar")):
        data = own(path, captions="auto")
        assert data.names == [f"shard-{n:03d}/{n}.png" for n in range(3)]
        assert data.captions == ["number 0", "number 1", "number 2"]
        assert data.fetch(range(3))[1].argmax(1).tolist() == [2, 1, 0]
    with pytest.raises(UserError, match="there is no such shard"):
        open_dataset(str(tmp_path / "set" / "shard-{000..003}.tar"))


def test_vectors_beside_pictures(tmp_path):
    entries = pngs(2) | {"000.json": b'{"label": [0.5, 1]}', "001.json": b'{"label": [1, 2]}'}
    assert own(write_tar(tmp_path / "a.tar", entries)).fetch([0, 1])[1].tolist() == [[0.5, 1], [1, 2]]
    entries["001.json"] = b'{"label": [1]}'
    with pytest.raises(UserError, match=r"labels differ in shape: 000\.png has a vector of 2, 001\.png a vector of 1"):
        own(write_tar(tmp_path / "b.tar", entries))
    with pytest.raises(UserError, match="not a class: b'cat'"):
        own(write_tar(tmp_path / "c.tar", pngs(1) | {"000.cls": b"cat"}))


def test_broken_tars(tmp_path):
    path = write_tar(tmp_path / "a.tar", pngs(4))
    raw = path.read_bytes()
    third = raw.index(b"002.png")
    path.write_bytes(raw[: third + 600])
    with pytest.raises(UserError, match=r"a\.tar: not a whole tar \(.*\); copy or download it again"):
        open_dataset(path)
    packed = tmp_path / "b.tar.gz"
    packed.write_bytes(gzip.compress(raw)[:-100])
    with pytest.raises(UserError, match=r"can't be unpacked \(.*\); download it again"):
        open_dataset(packed)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a.tar", ["a.tar"]),
        ("s3://b/x-{9..11}.tar", ["s3://b/x-9.tar", "s3://b/x-10.tar", "s3://b/x-11.tar"]),
        ("{0..1}/{0..1}", ["0/0", "0/1", "1/0", "1/1"]),
    ],
)
def test_braces(text, names):
    assert braces(text) == names


def test_braces_that_are_no_range():
    with pytest.raises(UserError, match=r"\{5\.\.3\} is no range of shards"):
        braces("x{5..3}.tar")


def test_inside_an_archive(tmp_path):
    entries = {f"deep/{kind}/{k}": v for kind in ("cat", "dog") for k, v in pngs(3).items()}
    for path in (write_zip(tmp_path / "pets.zip", entries), write_tar(tmp_path / "pets.tar", entries)):
        data = open_dataset(path / "deep" / "dog")
        assert data.names == [f"deep/dog/{i:03d}.png" for i in range(3)]
        assert data.name == "pets-deep-dog"
        with pytest.raises(UserError, match="there is no folder bird/ with images in it"):
            open_dataset(path / "bird")


CIFAR_ROWS = np.random.RandomState(0).randint(0, 256, (6, 3072)).astype(np.uint8)
CIFAR_CLASSES = [3, 0, 9, 1, 1, 7]


def python_batches():
    out = {}
    for n in range(2):
        half = slice(n * 3, n * 3 + 3)
        batch = {b"data": CIFAR_ROWS[half], b"labels": CIFAR_CLASSES[half], b"batch_label": b"x"}
        out[f"cifar-10-batches-py/data_batch_{n + 1}"] = pickle.dumps(batch, 2)
    return out | {"cifar-10-batches-py/batches.meta": b"x", "cifar-10-batches-py/test_batch": b"x"}


def binary_batches():
    rows = np.concatenate([np.array(CIFAR_CLASSES, np.uint8)[:, None], CIFAR_ROWS], 1)
    return {f"cifar-10-batches-bin/data_batch_{n + 1}.bin": rows[n * 3 : n * 3 + 3].tobytes() for n in range(2)}


@pytest.mark.parametrize("batches", [python_batches, binary_batches])
@pytest.mark.parametrize("packed", [True, False])
def test_cifar(tmp_path, batches, packed):
    write = (lambda p, e: write_tar(p, e, "w:gz")) if packed else write_folder
    data = own(write(tmp_path / "cifar", batches()))
    assert (data.kind, data.spec) == ("CIFAR", DataSpec((32, 32), 3, 10, label_sets=(LabelSet(10, "classes"),)))
    images, labels = data.fetch(range(6))
    np.testing.assert_array_equal(images, CIFAR_ROWS.reshape(6, 3, 32, 32).transpose(0, 2, 3, 1))
    assert labels.argmax(1).tolist() == CIFAR_CLASSES


def test_cifar_100(tmp_path):
    rows = np.concatenate([np.zeros((6, 1), np.uint8), np.array(CIFAR_CLASSES, np.uint8)[:, None], CIFAR_ROWS], 1)
    data = own(write_folder(tmp_path / "x", {"cifar-100-binary/train.bin": rows.tobytes()}))
    assert data.fetch(range(6))[1].argmax(1).tolist() == CIFAR_CLASSES


class Evil:
    def __reduce__(self):
        return Path.touch, (Path("evil_marker"),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(Evil(), 2), "not a CIFAR batch (it names "),
        (b"junk", "not a CIFAR batch ("),
        (pickle.dumps({b"data": np.zeros((2, 5), np.uint8), b"labels": [1, 2]}, 2), "its arrays have other shapes"),
    ],
)
def test_batches_that_are_none(tmp_path, content, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        open_dataset(write_folder(tmp_path / "x", {"data_batch_1": content}))
    assert message in str(caught.value)
    assert not Path("evil_marker").exists()


def test_cut_binary_batch(tmp_path):
    with pytest.raises(UserError, match="cut short: 100 bytes are no whole number of images"):
        open_dataset(write_folder(tmp_path / "x", {"data_batch_1.bin": b"x" * 100}))


def test_lmdb(tmp_path):
    lmdb = pytest.importorskip("lmdb")
    env = lmdb.open(str(tmp_path / "bedroom"), map_size=1 << 24)
    with env.begin(write=True) as writing:
        for i in range(5):
            writing.put(f"key{i}".encode(), encoded(noise(i), "WEBP", lossless=True))
        writing.put(b"zzz", b"no image")
    env.close()
    data = open_dataset(tmp_path / "bedroom")
    assert (data.kind, data.names) == ("LMDB", [f"key{i}" for i in range(5)])
    assert data.skipped == [("zzz", "not an image (its content is no known format)")]
    np.testing.assert_array_equal(data.fetch(range(5))[0], [noise(i) for i in range(5)])
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "data.mdb").write_bytes(b"junk" * 5000)
    with pytest.raises(UserError, match=r"not a whole LMDB \(.*\); download it again"):
        open_dataset(tmp_path / "broken")


def test_wide_lsun_pictures(tmp_path):
    """512x384 in the middle of 512x512, at an eighth of the size."""
    white = write_folder(tmp_path / "cars", {"a.png": encoded(np.full((60, 100, 3), 255, np.uint8))})
    image = open_dataset(white, DataOptions(resolution="64", fit="crop-wide")).fetch([0])[0][0]
    assert (image[8:56] == 255).all()
    assert (image[:8] == 0).all()
    assert (image[56:] == 0).all()


def test_crops_of_one_picture(tmp_path):
    photo = noise(0, 64, 96)
    (tmp_path / "photo.png").write_bytes(encoded(photo))
    data = open_dataset(tmp_path / "photo.png", DataOptions(resolution="8x12"))
    assert (len(data), data.spec.resolution) == (1000, (8, 12))
    crops = data.fetch(range(50))[0]
    windows = np.lib.stride_tricks.sliding_window_view(photo, (8, 12, 3))[:, :, 0]
    assert all((windows == crop).all((2, 3, 4)).any() for crop in crops), "cut out, not resampled"
    assert len({crop.tobytes() for crop in crops}) > 40
    assert open_dataset(tmp_path / "photo.png").spec.resolution == (16, 16)
    with pytest.raises(UserError, match="a crop of 128x128 does not fit into 64x96; give a smaller --resolution"):
        open_dataset(tmp_path / "photo.png", DataOptions(resolution="128"))


@pytest.fixture
def table(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pictures = [{"bytes": encoded(noise(i)), "path": f"{i}.png"} for i in range(5)] + [{"bytes": None, "path": "x"}]
    return pa.table({"label": [0, 2, 1, 0, 2, 1], "image": pictures, "text": list("abcdef")})


def test_parquet(tmp_path, table):
    import pyarrow.parquet as pq

    folder = tmp_path / "set" / "data"
    folder.mkdir(parents=True)
    pq.write_table(table.slice(0, 3), folder / "train-00000-of-00002.parquet", row_group_size=2)
    pq.write_table(table.slice(3), folder / "train-00001-of-00002.parquet", row_group_size=2)
    pq.write_table(table, folder / "test-00000-of-00001.parquet")
    data = own(tmp_path / "set", captions="auto")
    np.testing.assert_array_equal(data.fetch(range(5))[0], [noise(i) for i in range(5)])
    assert data.fetch(range(5))[1].argmax(1).tolist() == [0, 2, 1, 0, 2]
    assert data.captions == list("abcde")
    missing = "the row holds no image, only the path 'x' (no such file beside the table: embed the images' bytes)"
    assert data.skipped == [("1/1/0", missing)]
    (folder / "train-00001-of-00002.parquet").write_bytes(b"PAR1 junk")
    with pytest.raises(UserError, match="not a whole table"):
        open_dataset(tmp_path / "set")


def test_arrow(tmp_path, table):
    import pyarrow as pa

    file = str(tmp_path / "data-00000-of-00001.arrow")
    with pa.OSFile(file, "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.slice(0, 5))
    assert own(tmp_path).fetch(range(5))[1].argmax(1).tolist() == [0, 2, 1, 0, 2]


def test_a_missing_extra_is_named(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.parquet").write_bytes(b"PAR1" * 10)
    code = f"""
import sys
sys.modules["pyarrow"] = None
from organza.core.errors import UserError
from organza.data import open_dataset
try:
    open_dataset({str(tmp_path / "set")!r})
except UserError as error:
    print(error)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "needs the package pyarrow; install it with pip install" in out
