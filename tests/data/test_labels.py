import json

import numpy as np
import pytest
from data_helpers import BAD, encoded, noise, pngs, write_folder, write_zip

from organza.core.errors import UserError
from organza.data import DataOptions, open_dataset


def opened(path, labels="auto", **more):
    return open_dataset(path, DataOptions(labels=labels, **more))


@pytest.mark.parametrize("name", ["dataset_int_6", "dataset_vec_7"])
def test_nvidia_sets_read_as_by_their_own_loader(name):
    expected = np.load(BAD / "good" / f"{name}_expected.npz")
    data = opened(BAD / "good" / f"{name}.zip")
    images, labels = data.fetch(expected["raw_idx"])
    flipped = expected["xflip"]
    images[flipped] = images[flipped, :, ::-1]
    np.testing.assert_array_equal(images.transpose(0, 3, 1, 2), expected["images"])
    np.testing.assert_array_equal(labels, expected["labels"])


def test_null_labels_and_extra_entries():
    assert opened(BAD / "labels" / "null_labels.zip", "dataset.json").spec.label_dim == 0
    assert opened(BAD / "labels" / "extra_entry.zip").spec.label_dim == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "missing_entry",
            "1 of 5 pictures have no label (first: 00001/img00000004.png); add them, or leave out --labels",
        ),
        (
            "ragged_vectors",
            "labels differ in shape: 00000/img00000000.png has a vector of 2, 00000/img00000002.png a vector of 1",
        ),
        ("nan_label", "the label of 00000/img00000000.png is not finite: nan"),
        ("string_labels", "the label of 00000/img00000000.png is not a number: 'cat'"),
        ("negative_label", "the class of 00000/img00000001.png is -1; classes are 0, 1, 2 ..."),
        ("invalid_json", "not valid JSON (Unterminated string starting at: line 1 column 14 (char 13))"),
    ],
)
def test_wrong_labels_say_what_is_wrong(name, message):
    path = BAD / "labels" / f"{name}.zip"
    with pytest.raises(UserError) as caught:
        opened(path)
    assert str(caught.value) == f"{path}/dataset.json: {message}"
    assert len(open_dataset(path)) == 5, "without labels the pictures are fine"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([["000.png", True], ["001.png", 1]], "the label of 000.png is not a number: True"),
        ([["000.png", 0.5], ["001.png", 1]], "the class of 000.png is 0.5"),
        ([["000.png", 1 << 40], ["001.png", 1]], "the class of 000.png is 1099511627776, beyond a million"),
        (
            [["000.png", [1, 2]], ["001.png", 1]],
            "labels differ in shape: 000.png has a vector of 2, 001.png one number",
        ),
        ([["zzz.png", 1]], "it labels none of the pictures; names must be paths inside the data set"),
        ([1, 2], '"labels" is not a list of [name, label]'),
        (7, '"labels" is not a list of [name, label]'),
    ],
)
def test_more_wrong_labels(tmp_path, labels, message):
    write_folder(tmp_path / "a", pngs(2) | {"dataset.json": json.dumps({"labels": labels}).encode()})
    with pytest.raises(UserError) as caught:
        opened(tmp_path / "a")
    assert f"a/dataset.json: {message}" in str(caught.value)


def test_a_bad_picture_needs_no_label(tmp_path):
    labels = {"labels": {"000.png": 1, "001.png": 0}}
    write_folder(tmp_path / "a", pngs(2) | {"bad.png": b"", "dataset.json": json.dumps(labels).encode()})
    assert opened(tmp_path / "a").fetch([0, 1])[1].tolist() == [[0, 1], [1, 0]]


def test_folders_as_labels(tmp_path):
    entries = {f"data/{kind}/deep/{i}.png": encoded(noise(i)) for i, kind in enumerate("abca")}
    data = opened(write_zip(tmp_path / "a.zip", entries), "folders")
    assert data.classes == ("a", "b", "c")
    assert [(n.split("/")[1], row.argmax()) for n, row in zip(data.names, data.fetch(range(4))[1], strict=True)] == [
        ("a", 0),
        ("a", 0),
        ("b", 1),
        ("c", 2),
    ]
    few = opened(tmp_path / "a.zip", "folders", max_images=2)
    assert (few.names[1].split("/")[1], few.fetch([1])[1].tolist()) == ("b", [[0, 1, 0]])


def test_label_requests_that_can_not_be_met(tmp_path):
    folder = write_folder(tmp_path / "a", pngs(2))
    with pytest.raises(UserError, match="no labels: all pictures lie in one folder; leave out --labels"):
        opened(folder, "folders")
    with pytest.raises(UserError, match=r"there is no dataset\.json at its top; leave out --labels"):
        opened(folder, "dataset.json")
    with pytest.raises(UserError, match=r"--labels: 'yes' is unknown; choose none, auto, folders or dataset\.json"):
        opened(folder, "yes")
    write_folder(folder, {"x/1.png": encoded(noise(1)), "y/1.png": encoded(noise(1))})
    with pytest.raises(UserError, match=r"2 pictures lie beside the class folders \(000\.png\)"):
        opened(folder, "folders")
