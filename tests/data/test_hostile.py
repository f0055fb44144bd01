"""Hostile files through `organza dataset info`: a line for people, whatever is in them.

They are looked at in a process of its own whose memory is limited: a crash, or memory in proportion to a number in a
header, ends that one.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from data_helpers import encoded, noise, pngs, write_folder
from hostile import FILES, PNG, lmdb_file, tables, tarred

from organza.core.errors import UserError
from organza.data import open_dataset
from organza.runs.dataset import info

LOOK = """
import json, resource, sys, warnings
from organza.runs.dataset import info
from organza.core.errors import UserError
if sys.platform == "linux":
    resource.setrlimit(resource.RLIMIT_DATA, (1500 << 20, 1500 << 20))
warnings.simplefilter("ignore")
for line in sys.stdin:
    path = json.loads(line)
    try:
        said = [info(path, workers=1).count]
    except UserError as error:
        said = [str(error)]
    except BaseException as error:
        said = ["INTERNAL " + repr(error)]
    print(json.dumps([path, *said]), flush=True)
"""


def look(paths, cache, timeout=600):
    """What `info` says of each: a number of images, or a line; fails where it says neither."""
    env = {**os.environ, "ORGANZA_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    asked = "\n".join(json.dumps(str(path)) for path in paths)
    done = subprocess.run(
        [sys.executable, "-c", LOOK], input=asked, capture_output=True, text=True, env=env, timeout=timeout
    )
    found = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
    missing = [str(path) for path in paths if str(path) not in found]
    assert not missing, f"the process ended ({done.returncode}) at {missing[0]}: {done.stderr[-500:]}"
    faults = [f"{path}: {said}" for path, said in found.items() if str(said).startswith("INTERNAL")]
    assert not faults
    assert "code was run" not in done.stdout
    return [found[str(path)] for path in paths]


SLOW = {
    "notes.png",
    "tiny.npz",
    "deep-batch.tar",
    "bomb.tar.gz",
    "pax.tar.gz",
    "images-idx3-ubyte.gz",
    "zeros.npz",
    "bomb.zip",
    "narrow.png",
    "many.tar",
}


def test_files_that_lie(tmp_path, cache):
    paths = []
    for name, make in FILES.items():
        if name not in SLOW:
            paths.append(tmp_path / name)
            paths[-1].write_bytes(make())
    said = dict(zip((path.name for path in paths), look(paths, cache), strict=True))
    usable = {name for name, what in said.items() if isinstance(what, int)}
    assert usable == {"name.npz", "deep.tar", "loop.tar", "class.tar", "class-high.tar", "deep.zip", "many.zip"}, (
        "each holds one image, and odd things"
    )
    assert "entries share the same bytes" in said["overlap.zip"]
    assert "entries lie outside of the file" in said["far.zip"]
    assert "its directory does not fit the file" in said["far-directory.zip"]
    assert "no side may have more than 65,536" in said["wide.png"]
    assert "it names numpy.frombuffer, which no CIFAR batch does" in said["pointer-batch.tar"]


@pytest.mark.slow
def test_bombs(tmp_path, cache):
    paths = [tmp_path / name for name in sorted(SLOW)]
    for path in paths:
        path.write_bytes(FILES[path.name]())
    said = dict(zip((path.name for path in paths), look(paths, cache), strict=True))
    for name in ("bomb.tar.gz", "images-idx3-ubyte.gz", "zeros.npz"):
        assert "it unpacks to more than" in said[name]


@pytest.mark.slow
def test_tables_that_lie(tmp_path, cache):
    pytest.importorskip("pyarrow")
    found = tables(tmp_path)
    for name, data in found.items():
        (tmp_path / name).write_bytes(data)
    said = dict(zip(found, look([tmp_path / name for name in found], cache), strict=True))
    assert not [name for name, what in said.items() if isinstance(what, int)]
    for name in ("same.parquet", "blob.parquet", "words.parquet"):
        assert "that unpacks to" in said[name]
    for name in ("places.arrow", "negative.arrow"):
        assert "Offset invariant failure" in said[name]


def test_a_cut_lmdb(tmp_path, cache):
    pytest.importorskip("lmdb")
    data = lmdb_file(tmp_path)
    paths = []
    for length in sorted({*range(0, len(data), 4096 * 5), *range(1, len(data), 12_345)}):
        folder = write_folder(tmp_path / str(length), {"data.mdb": data[:length]})
        paths.append(folder)
    assert not [what for what in look(paths, cache) if isinstance(what, int)], "all pages are needed"


def test_a_tar_must_be_whole(tmp_path):
    """Cut between two members, with a damaged head, and with another tar behind it."""
    whole, first, second = tarred(pngs(4)), tarred(pngs(2)), tarred({"z.png": PNG})
    assert len(open_dataset(_file(tmp_path, "whole.tar", whole))) == 4
    assert len(open_dataset(_file(tmp_path, "two.tar", first + second))) == 3
    blocks = [at for at in range(512, len(whole), 512) if whole[at : at + 3] in (b"001", b"002", b"003")]
    for at in blocks:
        with pytest.raises(UserError, match="cut short: there is no end marker after"):
            open_dataset(_file(tmp_path, f"cut-{at}.tar", whole[:at]))
        with pytest.raises(UserError, match=r"damaged at byte .*, after"):
            open_dataset(_file(tmp_path, f"damaged-{at}.tar", whole[: at + 200] + b"?" + whole[at + 201 :]))
    with pytest.raises(UserError, match="no end marker after 4 members"):
        open_dataset(_file(tmp_path, "endless.tar", tarred(pngs(4), end=False)))


def _file(folder, name, data):
    (folder / name).write_bytes(data)
    return folder / name


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_links_in_circles(tmp_path):
    folder = write_folder(tmp_path / "set", {"a/0.png": PNG})
    (folder / "a" / "up").symlink_to(folder)
    (folder / "self").symlink_to(folder / "self")
    (folder / "there").symlink_to(folder / "back")
    (folder / "back").symlink_to(folder / "there")
    (folder / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(folder / "pipe.png")
    found = info(folder)
    assert found.count == 1
    assert [name for name, _ in found.skipped] == ["back", "gone.png", "pipe.png", "self", "there"]


def test_labels_of_tfrecords_are_an_array(tmp_path):
    from organza.data import DataOptions, tfrecord

    records = b"".join(tfrecord.frames(tfrecord.examples(noise(0).transpose(2, 0, 1)[None])))
    for labels in (b"PK\3\4" + bytes(90), b"PK\3\4", FILES["huge.npy"](), FILES["objects.npy"](), b"", PNG):
        folder = write_folder(tmp_path / str(len(labels)), {"x-r03.tfrecords": records, "x-rxx.labels": labels})
        with pytest.raises(
            UserError, match=r"x-rxx\.labels: (not a|cut short|a broken NumPy file|this is |labels should)"
        ):
            open_dataset(folder, DataOptions(labels="own"))


def test_odd_paths(tmp_path):
    for path in ("x" * 5000, "a\0b", "", str(tmp_path / ("y" * 300)), "/dev/null", "http:///x"):
        with pytest.raises(UserError):
            open_dataset(path)


def test_images_are_refused_by_size_not_by_name(tmp_path):
    photo = write_folder(tmp_path / "set", {"a.png": FILES["wide.png"](), "b.png": encoded(noise(0))})
    found = info(photo)
    assert found.count == 1
    assert np.array_equal(found.sizes, [[8, 8]])
