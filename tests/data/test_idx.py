import gzip
import struct

import numpy as np
import pytest
from data_helpers import noise, write_folder

from organza.contract.data import DataSpec, LabelSet
from organza.core.errors import UserError
from organza.data import DataOptions, open_dataset


def idx(array):
    return struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


DIGITS = np.stack([noise(i, 28, 28, channels=1) for i in range(5)])
CLASSES = np.array([3, 1, 4, 1, 5], np.uint8)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_folder_of_idx_files(tmp_path, pack):
    suffix = "" if pack is bytes else ".gz"
    files = {f"train-images-idx3-ubyte{suffix}": idx(DIGITS), f"train-labels-idx1-ubyte{suffix}": idx(CLASSES)}
    files |= {f"t10k-images-idx3-ubyte{suffix}": idx(DIGITS[:2]), f"t10k-labels-idx1-ubyte{suffix}": idx(CLASSES[:2])}
    folder = write_folder(tmp_path / "mnist", {name: pack(data) for name, data in files.items()})
    data = open_dataset(folder, DataOptions(labels="auto"))
    assert data.spec == DataSpec((32, 32), 1, 6, label_sets=(LabelSet(6, "classes"),))
    images, labels = data.fetch(range(5))
    np.testing.assert_array_equal(images[:, 2:30, 2:30, 0], DIGITS)
    assert images.sum() == DIGITS.sum(), "the border is black"
    assert labels.argmax(1).tolist() == CLASSES.tolist()
    test = open_dataset(folder / f"t10k-images-idx3-ubyte{suffix}")
    assert (len(test), test.spec.label_dim) == (2, 0)


def test_broken_idx(tmp_path):
    good = idx(DIGITS)
    write_folder(tmp_path, {"train-images-idx3-ubyte": good[:-1], "x-images.gz": gzip.compress(good)[:-900]})
    with pytest.raises(UserError, match=r"cut short: 3935 bytes do not hold \(5, 28, 28\); download it again"):
        open_dataset(tmp_path / "train-images-idx3-ubyte")
    with pytest.raises(UserError, match=r"can't be unpacked \(.*\); download it again"):
        open_dataset(tmp_path / "x-images.gz")


@pytest.mark.parametrize("length", [4, 5, 8, 15])
def test_an_idx_header_cut_short(tmp_path, length):
    write_folder(tmp_path / "mnist", {"train-images-idx3-ubyte": idx(DIGITS)[:length]})
    with pytest.raises(UserError, match="not an idx file"):
        open_dataset(tmp_path / "mnist")


def test_labels_that_do_not_fit(tmp_path):
    write_folder(tmp_path, {"train-images-idx3-ubyte": idx(DIGITS), "train-labels-idx1-ubyte": idx(CLASSES[:3])})
    with pytest.raises(UserError, match="3 labels for 5 images"):
        open_dataset(tmp_path, DataOptions(labels="auto"))
    write_folder(tmp_path, {"train-labels-idx1-ubyte": b"nonsense"})
    with pytest.raises(UserError, match="not an idx file of bytes"):
        open_dataset(tmp_path, DataOptions(labels="auto"))
