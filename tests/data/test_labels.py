import json

import numpy as np
import pytest
from data_helpers import BAD, encoded, noise, pngs, write_folder, write_zip

from organza.contract.data import LabelSet
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
            "1 of 5 images have no label (first: 00001/img00000004.png); add them, or leave out --labels",
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
    assert len(open_dataset(path)) == 5, "without labels the images are fine"


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
        ([["zzz.png", 1]], "it labels none of the images; names must be paths inside the dataset"),
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
    with pytest.raises(UserError, match="no labels: all images lie in one folder; leave out --labels"):
        opened(folder, "folders")
    with pytest.raises(UserError, match=r"there is no dataset\.json at its top; leave out --labels"):
        opened(folder, "dataset.json")
    with pytest.raises(UserError, match="--labels: 'yes' is unknown; choose none, own, auto, folders, dat"):
        opened(folder, "yes")
    write_folder(folder, {"x/1.png": encoded(noise(1)), "y/1.png": encoded(noise(1))})
    with pytest.raises(UserError, match=r"2 images lie beside the class folders \(000\.png\)"):
        opened(folder, "folders")


CSV = b"file,hair,age\nfaces/000.png,red,3\nfaces/001.png,blue,4.5\n"


@pytest.fixture
def faces(tmp_path):
    entries = {f"faces/{k}": v for k, v in pngs(2).items()} | {"list.csv": CSV}
    return write_zip(tmp_path / "faces.zip", entries)


def test_columns_of_a_table(faces):
    hair = opened(faces, "list.csv:hair")
    assert (hair.classes, hair.fetch([0, 1])[1].tolist()) == (("blue", "red"), [[0, 1], [1, 0]])
    age = opened(faces, "list.csv:age")
    assert (age.classes, age.fetch([0, 1])[1].tolist()) == (("age",), [[3], [4.5]])
    both = opened(faces, "list.csv")
    assert both.classes == ("hair=blue", "hair=red", "age")
    assert both.fetch([0, 1])[1].tolist() == [[0, 1, 3], [1, 0, 4.5]]


def test_a_table_beside_the_data_set(faces, tmp_path):
    table = tmp_path / "other.tsv"
    table.write_text("name\tkind\n000\tx\n001\ty\n")
    assert opened(faces, f"{table}:kind").fetch([0, 1])[1].tolist() == [[1, 0], [0, 1]]
    table.write_text("name\tkind\n000\ty\n001\tx\n")
    assert opened(faces, f"{table}:kind").fetch([0, 1])[1].tolist() == [[0, 1], [1, 0]], "the cache notices"


def test_celeba_attributes(tmp_path):
    attributes = b"2\nSmiling Male Young\n000.png  1 -1 -1\n001.png -1 -1  1\n"
    folder = write_folder(tmp_path / "a", pngs(2) | {"list_attr_celeba.txt": attributes})
    data = opened(folder, "list_attr_celeba.txt:Young,Smiling")
    assert (data.classes, data.fetch([0, 1])[1].tolist()) == (("Young", "Smiling"), [[0, 1], [1, 0]])
    assert opened(folder, "list_attr_celeba.txt").spec.label_dim == 3


@pytest.mark.parametrize(
    ("name", "table", "wish", "message"),
    [
        ("a.csv", b"file,x\n000.png,1\n001.png,2\n", "y", "a.csv: there is no column 'y'; it has: x"),
        ("a.csv", b"file,x\n000.png,1\n", "x", "a.csv: 1 of 2 images have no label (first: 001.png)"),
        ("a.csv", b"file,x\nzzz.png,1\n", "x", "a.csv: it names none of the images (its first"),
        ("a.csv", b"file,x\n000.png,1,7\n", "x", "a.csv: line 2 has 3 values for 2 columns"),
        ("a.csv", b"file,x\n000.png,inf\n001.png,2\n", "x", "a.csv: x of 000.png is not finite"),
        ("a.csv", b"hello", "x", "a.csv: not a table: it should have at least two columns"),
        ("a.txt", b"2\nx y\n000.png 1\n", "x", "a.txt: line 3 has 2 values for 3 columns"),
        ("a.json", b"{", "x", "a.json: not valid JSON"),
        ("a.json", b"[1]", "x", "a.json: not a table: give {name: value} or a list of objects"),
        ("b.csv", b"", "x", "there is no a.csv in it; name a file in the dataset or on disk"),
    ],
)
def test_tables_that_can_not_be_used(tmp_path, name, table, wish, message):
    folder = write_folder(tmp_path / "a", pngs(2) | {name: table})
    with pytest.raises(UserError) as caught:
        opened(folder, f"{name.replace('b.', 'a.')}:{wish}")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("files", "wish"),
    [
        ({"000.txt": b"one\n", "001.txt": b"two\nlines"}, "auto"),
        ({"captions.csv": b'file,mood,caption\n000.png,x,one\n001.png,y,"two\nlines"\n'}, "auto"),
        ({"captions.json": b'{"000.png": "one", "001.png": ["two", "lines"]}'}, "auto"),
        (
            {"metadata.jsonl": b'{"id": "000.png", "text": "one"}\n{"id": "001.png", "text": "two\\nlines"}'},
            "auto",
        ),
        ({"words.csv": b'file,mood\n000.png,one\n001.png,"two\nlines"\n'}, "words.csv:mood"),
        ({"words.csv": b'file,mood\n000.png,one\n001.png,"two\nlines"\n'}, "words.csv"),
    ],
)
def test_captions(tmp_path, files, wish):
    entries = pngs(2) | files
    for path in (write_folder(tmp_path / "a", entries), write_zip(tmp_path / "a.zip", entries)):
        data = open_dataset(path, DataOptions(captions=wish))
        assert data.captions == ["one", "two\nlines"]
        assert open_dataset(path).captions is None


def test_captions_that_are_not_there(tmp_path):
    folder = write_folder(tmp_path / "a", pngs(1) | {"w.csv": b"file,x\n9.png,1\n"})
    for wish, message in {
        "auto": "there are no captions; looked for .txt files, captions.csv",
        "txt": "no image has a .txt file of its name beside it",
        "w.csv:y": "there is no column 'y'; it has: x",
        "w.csv:x": "it names none of the images (its first row is about 9.png; the first image is 000.png)",
    }.items():
        with pytest.raises(UserError) as caught:
            open_dataset(folder, DataOptions(captions=wish))
        assert message in str(caught.value)


def test_labels_of_the_real_sets(shared):
    hair = opened(shared / "anime_faces.zip", "captions.csv:hair", max_images=200)
    assert hair.spec.label_dim > 3
    smiling = opened(shared / "celeba_small.zip", "list_attr_celeba.txt:Smiling,Male", max_images=200)
    assert smiling.classes == ("Smiling", "Male")
    assert set(np.unique(smiling.fetch(range(200))[1])) == {0, 1}
    emoji = open_dataset(shared / "emoji.zip", DataOptions(captions="captions.csv:name", max_images=50))
    assert all(emoji.captions)
    with_caption = open_dataset(shared / "anime_faces.zip", DataOptions(captions="auto", max_images=50))
    assert "hair" in with_caption.captions[0]


@pytest.mark.parametrize("dest", ["built.zip", "built"])
def test_names_of_classes_and_columns_go_through_a_build(tmp_path, dest):
    from organza.data.export.build import build

    entries = {f"{kind}/{n}.png": encoded(noise(n)) for n, kind in enumerate(("happy", "sad", "happy"))}
    folder = write_folder(tmp_path / "set", entries)
    build(folder, tmp_path / dest, DataOptions(labels="folders"))
    data = open_dataset(tmp_path / dest, DataOptions(labels="own"))
    assert data.spec.label_names == ("happy", "sad")
    assert data.spec.label_sets == (LabelSet(2, "classes"),)
    assert data.labels(np.arange(3)).argmax(1).tolist() == [0, 0, 1]
    (tmp_path / "marks.csv").write_text("file,Male,Young\n" + "".join(f"{name},1,-1\n" for name in entries))
    named = open_dataset(folder, DataOptions(labels=f"{tmp_path / 'marks.csv'}:Male,Young"))
    assert (named.spec.label_names, named.spec.label_sets) == (("Male", "Young"), (LabelSet(2, "numbers"),))


@pytest.mark.parametrize("names", [["a"], ["a", "a"], [1, 2], "ab", None, {"a": 1}])
def test_odd_names_in_a_dataset_json_are_left_alone(tmp_path, names):
    labels = {"labels": [["0.png", 0], ["1.png", 1]], "label_names": names}
    entries = {"0.png": encoded(noise(0)), "1.png": encoded(noise(1)), "dataset.json": json.dumps(labels).encode()}
    data = open_dataset(write_folder(tmp_path / "set", entries), DataOptions(labels="own"))
    assert data.spec.label_names == () and data.spec.label_dim == 2
