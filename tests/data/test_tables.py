"""Names, tables and what their columns hold."""

import io
import json
import tarfile
import unicodedata

import numpy as np
import pytest
from data_helpers import encoded, noise, pngs, write_folder, write_zip

from organza.core.errors import UserError
from organza.data import DataOptions, open_dataset
from organza.data.opening import open_source
from organza.data.tables.columns import typed
from organza.data.tables.labels import find_labels, from_values
from organza.data.tables.names import beside, clean, decode_name, find
from organza.data.tables.values import Labels


def labelled(folder, wish):
    source = open_source(folder)
    return find_labels(source, source.entries(), wish)


@pytest.fixture
def five(tmp_path):
    return write_folder(tmp_path / "set", pngs(5))


def put(folder, name, text, encoding="utf-8"):
    (folder / name).write_bytes(text.encode(encoding))
    return labelled(folder, f"{name}:label")


# Names


@pytest.mark.parametrize(
    ("keys", "names", "expected"),
    [
        (["a.png"], ["a.png"], [[0]]),
        (["./a.png", "x\\b.png"], ["a.png", "x/b.png"], [[0], [1]]),
        (["/home/me/x/a.png"], ["x/a.png", "y/a.png"], [[0], []]),
        (["a.png"], ["x/a.png", "y/a.png"], [[0], [0]]),
        (["cat/1.png", "dog/1.png"], ["set/img/cat/1.png", "set/img/dog/1.png"], [[0], [1]]),
        (["1.png"], ["1.png", "old/1.png"], [[0], []]),
        (["a", "b"], ["x/b.png", "x/a.png"], [[1], [0]]),
        (["1.5mm_1", "1.5mm_2"], ["1.5mm_1.png", "1.5mm_2.png"], [[0], [1]]),
        (["1.jpg"], ["1.png"], [[0]]),
        (["IMG_1.JPG"], ["img_1.jpg"], [[0]]),
        (["A.png", "a.png"], ["a.png", "A.png"], [[1], [0]]),
        (["e\u0301.png"], ["\u00e9.png"], [[0]]),
        (["a.png", "./a.png"], ["a.png"], [[0, 1]]),
        (["train/1.png", "test/1.png"], ["1.png"], [[0, 1]]),
        (["z.png"], ["a.png"], [[]]),
        ([], ["a.png"], [[]]),
        (["a.png"], [], []),
    ],
)
def test_which_row_means_which_image(keys, names, expected):
    assert find(keys, names) == expected


def test_one_form_of_a_name():
    for form in ("NFC", "NFD"):
        assert clean(unicodedata.normalize(form, ".\\Été//x.png")) == unicodedata.normalize("NFC", "Été/x.png")
    assert decode_name("猫.png".encode()) == decode_name("猫.png".encode(), utf8=True) == "猫.png"
    assert decode_name("Ü.png".encode("cp437")) == "Ü.png"
    assert decode_name(b"\x9a.png", utf8=True).encode("utf-8", "surrogateescape") == b"\x9a.png"


def test_the_file_beside_an_image():
    assert beside(["a.b/1.png", "a.b/2.png"], ["a.b/1.txt", "a.b/x.txt"], ".txt") == ["a.b/1.txt", None]
    assert beside(["1.left.png", "1.right.png", "2.png"], ["1.cls", "2.cls"], ".cls") == ["1.cls", "1.cls", "2.cls"]
    assert beside(["1.5mm.png", "1.png"], ["1.5mm.cls", "1.cls"], ".cls") == ["1.5mm.cls", "1.cls"]
    assert beside(["v1.2_a.png", "v1.png"], ["v1.2_b.TXT", "v1.2_a.TXT"], ".txt") == ["v1.2_a.TXT", None]


@pytest.mark.parametrize("stem", ["1.5mm_{}", "a.b.c.{}", "{}.final", "{}"])
def test_names_with_dots_in_every_container(tmp_path, stem):
    files = {f"{stem.format(i)}.{kind}": data for i in range(3) for kind, data in _sample(i).items()}
    write_folder(tmp_path / "folder", files)
    write_zip(tmp_path / "a.zip", files)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    for name in ("folder", "a.zip", "a.tar"):
        options = DataOptions(captions="txt", labels="own" if name == "a.tar" else "none")
        data = open_dataset(tmp_path / name, options)
        assert data.captions == ["caption 0", "caption 1", "caption 2"]
        assert name != "a.tar" or data.fetch(range(3))[1].argmax(1).tolist() == [0, 1, 0]


def _sample(i):
    return {"png": encoded(noise(i)), "cls": b"%d" % (i % 2), "txt": b"caption %d" % i}


# Reading

CLASSES = [0, 2, 1, 2, 0]
WANTED = np.eye(3)[CLASSES]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " "])
@pytest.mark.parametrize("key", ["{}", "{}.png", "./{}.png", "old\\{}.PNG"])
@pytest.mark.parametrize("header", [True, False])
def test_separators_headers_and_keys(five, separator, key, header):
    rows = [f"{key.format(f'{i:03d}')}{separator}{c}" for i, c in enumerate(CLASSES)]
    lines = ([f"image_id{separator}label"] if header else []) + rows
    labels = put(five, "a.txt" if separator == " " else "a.csv", "\r\n".join(lines))
    assert (labels.values.tolist(), labels.dim) == (CLASSES, 3)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings(tmp_path, encoding):
    folder = write_folder(tmp_path / "set", {"été.png": encoded(noise(0)), "b.png": encoded(noise(1))})
    assert put(folder, "a.csv", "file,label\nété.png,ä\nb.png,z\n", encoding).names == ("z", "ä")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", {f"{i:03d}.png": c for i, c in enumerate(CLASSES)}),
        ("a.json", {"labels": [[f"{i:03d}.png", c] for i, c in enumerate(CLASSES)]}),
        ("a.json", {"labels": {f"{i:03d}": c for i, c in enumerate(CLASSES)}}),
        ("a.json", [[f"x/{i:03d}.png", c] for i, c in enumerate(CLASSES)]),
        ("a.json", [{"file_name": f"{i:03d}.png", "label": c} for i, c in enumerate(CLASSES)]),
        ("a.json", {f"{i:03d}.png": {"label": c} for i, c in enumerate(CLASSES)}),
        ("a.json", [{"file": f"{i:03d}.png", "label": f"c{c}"} for i, c in enumerate(CLASSES)]),
        ("a.json", {"labels": [[f"{i:03d}.png", f"c{c}"] for i, c in enumerate(CLASSES)]}),
        ("a.json", {"labels": [[f"{i:03d}.png", w.tolist()] for i, w in enumerate(WANTED)]}),
    ],
)  # fmt: skip
def test_json_of_every_make(five, name, content):
    for text in {json.dumps(content), json.dumps(content, indent=1)}:
        (five / name).write_text(text)
        assert np.array_equal(open_dataset(five, DataOptions(labels=name)).fetch(range(5))[1], WANTED)


def test_json_lines_under_any_name(five):
    lines = [json.dumps({"file": f"{i:03d}.png", "label": c, "more": {"x": [1]}}) for i, c in enumerate(CLASSES)]
    for name in ("a.jsonl", "a.json"):
        assert put(five, name, "\n\n".join(lines) + "\n").values.tolist() == CLASSES
    with pytest.raises(UserError, match=r"a\.jsonl, line 3: not valid JSON"):
        put(five, "a.jsonl", "\n".join([*lines[:2], '{"file": }']))


def test_parquet_as_a_table(five, tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    images = [{"bytes": b"x", "path": f"{i:03d}.png"} for i in range(5)]
    names = [f"{i:03d}.png" for i in range(5)]
    pq.write_table(pa.table({"image": images, "file": names, "label": CLASSES}), tmp_path / "t.parquet")
    assert labelled(five, f"{tmp_path / 't.parquet'}:label").values.tolist() == CLASSES
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(UserError, match=r"bad\.parquet: not a whole table"):
        labelled(five, f"{tmp_path / 'bad.parquet'}:label")


def test_tables_that_are_nowhere(five):
    for name in ("no.csv", "x" * 5000 + ".csv", "~nobody-of-this-name/a.csv"):
        with pytest.raises(UserError):
            open_dataset(five, DataOptions(labels=f"{name}:label"))


def test_the_column_of_names_is_found_by_the_names(five):
    rows = "".join(f"{9 - i},cat {i},{i:03d}.png,{c}\n" for i, c in enumerate(CLASSES))
    assert put(five, "a.csv", "id,name,photo,label\n" + rows).values.tolist() == CLASSES
    assert put(five, "a.csv", "label,id\n" + "".join(f"{c},{i:03d}\n" for i, c in enumerate(CLASSES))).dim == 3


def test_quoted_cells(five):
    text = "file,words,label\n" + "".join(f'"{i:03d}.png","a, ""b"";\nc",{c}\n' for i, c in enumerate(CLASSES))
    assert put(five, "a.csv", text).values.tolist() == CLASSES
    assert put(five, "a.csv", text.replace(",", ";")).values.tolist() == CLASSES


# Columns


@pytest.mark.parametrize(
    ("title", "cells", "kind", "values"),
    [
        ("label", ["0", "2", "1"], "classes", [0, 2, 1]),
        ("kind", [3, 0, 1, 2], "classes", [3, 0, 1, 2]),
        ("kind", ["1", "2", "3"], "classes", [1, 2, 3]),
        ("label", ["0.0", "2.0", ""], "classes", [0, 2, None]),
        ("class_id", ["17", "83"], "classes", [17, 83]),
        ("digit", ["0", "1", "1"], "classes", [0, 1, 1]),
        ("age", ["35", "80", "50"], "numbers", [35, 80, 50]),
        ("age", ["35", "", "50"], "numbers", [35, None, 50]),
        ("age", ["35", " ", "NaN", "n/a", "50"], "numbers", [35, None, None, None, 50]),
        ("age", [35, None, 50.5, float("nan")], "numbers", [35, None, 50.5, None]),
        ("row", [str(i) for i in range(2000)], "numbers", list(range(2000))),
        ("x", ["-3", "4"], "numbers", [-3, 4]),
        ("x", ["1e3", "-.5", "+2."], "numbers", [1000, -0.5, 2]),
        ("smile", ["1", "-1", "1"], "attribute", [1, 0, 1]),
        ("smile", ["-1", "", "-1"], "attribute", [0, None, 0]),
        ("smile", ["True", "false", "TRUE"], "attribute", [1, 0, 1]),
        ("smile", [True, False, None], "attribute", [1, 0, None]),
        ("smile", ["yes", "No"], "attribute", [1, 0]),
        ("hair", ["red", "", "none"], "words", ["red", None, "none"]),
        ("code", ["1_0", "2_0"], "words", ["1_0", "2_0"]),
        ("place", [[0, 1.5], [2, 3]], "vectors", [[0, 1.5], [2, 3]]),
    ],
)
def test_what_a_column_is_taken_for(title, cells, kind, values):
    column = typed(title, cells)
    assert (column.kind, column.values) == (kind, values)
    assert column.about.startswith(f"{title}: ")


def test_the_user_may_say_what_a_column_is(five):
    text = "file,age\n" + "".join(f"{i:03d}.png,{i + 3}\n" for i in range(5))
    (five / "a.csv").write_text(text)
    assert labelled(five, "a.csv:age").values.tolist() == [[3], [4], [5], [6], [7]]
    assert labelled(five, "a.csv:age=classes").dim == 8
    assert "age=classes makes them classes" in labelled(five, "a.csv").about[0]
    put(five, "b.csv", "file,label\n" + "".join(f"{i:03d}.png,{i}\n" for i in range(5)))
    assert labelled(five, "b.csv:label=numbers").values.tolist() == [[0], [1], [2], [3], [4]]
    for wish, message in {
        "b.csv:label=words": "a column can't be 'words'; say =classes or =numbers",
        "b.csv:age=classes": "there is no column 'age'",
    }.items():
        with pytest.raises(UserError, match=message):
            labelled(five, wish)


def test_a_csv_of_signs_is_celebas_list(five):
    rows = [[1, -1, 1], [-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, -1, 1]]
    lines = ["Smiling Male Young", *(f"{i:03d}.png " + "  ".join(map(str, row)) for i, row in enumerate(rows))]
    (five / "list.txt").write_text("\n".join(["5", *lines]) + "\n")
    (five / "list.csv").write_text("\n".join(",".join(line.split()) for line in ["image_id " + lines[0], *lines[1:]]))
    for wish in ("", ":Smiling", ":Young,Male"):
        ours, theirs = labelled(five, "list.csv" + wish), labelled(five, "list.txt" + wish)
        assert ours.values.tolist() == theirs.values.tolist() and ours.names == theirs.names
    assert labelled(five, "list.csv:Young").values.tolist() == [[1]] * 5
    zeros = [[max(value, 0) for value in row] for row in rows]
    text = "".join(f"{i:03d}.png,{','.join(map(str, row))}\n" for i, row in enumerate(zeros))
    (five / "zeros.csv").write_text("image_id,Smiling,Male,Young\n" + text)
    assert (
        labelled(five, "zeros.csv:Smiling,Male").values.tolist()
        == labelled(five, "list.txt:Smiling,Male").values.tolist()
    )


def test_classes_beside_other_columns_are_one_hot(five):
    (five / "a.csv").write_text("file,label,age\n" + "".join(f"{i:03d}.png,{c},{i}.5\n" for i, c in enumerate(CLASSES)))
    labels = labelled(five, "a.csv:label,age")
    assert labels.names == ("label=0", "label=1", "label=2", "age")
    assert np.array_equal(labels.values[:, :3], WANTED) and labels.values[:, 3].tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]


@pytest.mark.parametrize("second", ["000.png", "./000.png", "000"])
def test_two_rows_about_one_image(five, second):
    rest = "".join(f"{i:03d}.png,0\n" for i in range(1, 5))
    message = r"a\.csv: line 2 \(000\.png\) and line 3 \(.*000.*\) say different things about 000\.png"
    text = f"file,label\n000.png,1\n{second},0\n{rest}"
    if second == "000":  # found by its name without the extension only where no name has one
        text, message = text.replace(".png", ""), message.replace(r"\(000\.png\)", r"\(000\)")
    with pytest.raises(UserError, match=message):
        put(five, "a.csv", text)
    assert put(five, "a.csv", text.replace(",0\n", ",1\n", 1)).values.tolist() == [1, 0, 0, 0, 0]


def test_two_labels_of_one_image_in_json(five):
    for name, text in {
        "dataset.json": '{"labels": [["000.png", 1], ["001.png", 1], ["000.png", 0]]}',
        "b.json": '{"labels": [["000.png", 1], ["001.png", 1], ["000.png", 0]]}',
        "c.json": '{"000.png": 1, "000.png": 0}',
    }.items():
        (five / name).write_text(text)
        with pytest.raises(UserError, match=r"ent(ry|ries) 1.* 3|'000\.png' stands twice"):
            labelled(five, name)


def test_a_blank_cell_is_told_with_its_image(five):
    text = "file,age\n000.png,35\n001.png,\n002.png,50\n003.png,1.5\n004.png,9\n"
    (five / "a.csv").write_text(text)
    with pytest.raises(UserError) as caught:
        open_dataset(five, DataOptions(labels="a.csv:age"))
    assert "a.csv (age is blank in line 3): 1 of 5 images have no label (first: 001.png)" in str(caught.value)


# Values out of any range


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("1" + "0" * 400, "the label of 000.png is not finite: too large"),
        ("1" + "0" * 30, "the class of 000.png is 1000000000000000019884624838656, beyond a million"),
        ("1e400", "the label of 000.png is not finite: inf"),
        ("[1e39, 0]", "the label of 000.png is not finite: 1e+39"),
        ("[NaN, 0]", "the label of 000.png is not finite: nan"),
        ("1000000000000", "the class of 000.png is 1000000000000, beyond a million"),
        ("[" * 5000 + "]" * 5000, "not valid JSON (lists and objects 500"),
    ],
)
def test_labels_beyond_all_bounds(tmp_path, label, message):
    folder = write_folder(
        tmp_path / "set", pngs(1) | {"dataset.json": b'{"labels": [["000.png", %s]]}' % label.encode()}
    )
    with pytest.raises(UserError) as caught:
        labelled(folder, "dataset.json")
    assert message in str(caught.value)


@pytest.mark.parametrize("value", ["1e400", "1" + "0" * 400, "9" * 5000, "1e39", "1000000000000"])
def test_cells_beyond_all_bounds(tmp_path, value):
    folder = write_folder(tmp_path / "set", pngs(2) | {"a.csv": f"file,label\n000.png,{value}\n001.png,0\n".encode()})
    with pytest.raises(
        UserError, match=r"label of 000\.png is not finite|label has the class 1000000000000;|the class"
    ):
        labelled(folder, "a.csv:label")


def test_labels_check_themselves():
    for values in ([1 << 40], [-1]):
        with pytest.raises(UserError, match="is not from 0 to"):
            Labels(np.array(values))
    with pytest.raises(UserError, match="the label of image 1 is not finite"):
        Labels(np.array([[0], [np.inf]], np.float32))
    with pytest.raises(UserError, match="labels differ in shape"):
        from_values([1, [2.0]], ["a", "b"], "x")


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 38\n"


@pytest.mark.parametrize(
    "names",
    [
        *(["a.zip"], ["a.tar"], ["a.parquet"], ["a.npz"], ["a.tfrecords"], ["set/0.png", "set/1.png"]),
        *(["set/data.mdb"], ["set/a-00.tar", "set/a-01.tar"], ["set/train-0.parquet"], ["set/x-r02.tfrecords"]),
    ],
)
def test_pointers_are_told_wherever_they_lie(tmp_path, names):
    if any("parquet" in name for name in names):
        pytest.importorskip("pyarrow")
    write_folder(tmp_path, dict.fromkeys(names, POINTER))
    with pytest.raises(UserError, match="a Git LFS pointer, not the file itself; run `git lfs pull`"):
        open_dataset(tmp_path / names[0].split("/")[0])


@pytest.mark.parametrize("name", ["dataset.json", "a.csv", "a.jsonl", "a.txt"])
def test_pointers_among_side_files_are_told(five, name):
    (five / name).write_bytes(POINTER)
    with pytest.raises(UserError, match="this is a Git LFS pointer"):
        labelled(five, name)
