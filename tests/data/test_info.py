import numpy as np
import pytest
from data_helpers import BAD, encoded, noise, pngs, write_folder, write_zip
from PIL import Image

from organza.cli.data.dataset import main
from organza.core.errors import UserError
from organza.data import DataOptions, open_dataset
from organza.data.export.build import build
from organza.runs.dataset import info


def test_facts(tmp_path):
    found = info(BAD / "images", sheet=tmp_path / "sheet.png")
    assert (found.kind, found.count) == ("folder", 9)
    assert [name for name, _ in found.skipped] == ["text.png", "truncated.jpg", "truncated.png", "zero.png"]
    lines = found.lines()
    assert lines[1] == "  height x width  1x1 to 24x24, median 16x16"
    assert lines[3] == "  formats         PNG 6, JPEG 2, GIF 1"
    assert "    zero.png: empty file (0 bytes)" in lines
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (304, 304)


def test_labels_and_captions(tmp_path):
    entries = {f"{kind}/{i}.png": encoded(noise(i)) for i, kind in enumerate("abc")} | {"a/0.txt": b"hello"}
    lines = info(write_folder(tmp_path / "set", entries)).lines()
    assert "  labels          --labels folders: 3 classes (a, b, c)" in lines
    assert "  captions        --captions txt: 1 of 3 images" in lines
    assert "  labels          --labels own: 3 classes" in info(BAD / "good" / "dataset_int_6.zip").lines()
    assert "labels          unusable: " in "\n".join(info(BAD / "labels" / "nan_label.zip").lines())


def test_the_very_check_of_build(tmp_path):
    folder = write_folder(tmp_path / "set", pngs(3) | {"bad.png": b""})
    (folder / "labels.csv").write_text("file,label,age\n000.png,0,35\n001.png,1,\n002.png,1,50\n")
    (folder / "dataset.json").write_text('{"labels": [["000.png", 0], ["001.png", 1]]}')
    lines = "\n".join(info(folder).lines())
    assert "labels          unusable: " in lines and "1 of 3 images have no label (first: 002.png)" in lines
    assert "--labels labels.csv:COLUMN,COLUMN of label, age" in lines
    wanted = info(folder, labels="labels.csv:label").labels
    assert wanted == ["label: classes 0 to 1", "--labels labels.csv:label: 2 classes"]
    about, unusable = info(folder, labels="labels.csv:age").labels
    assert about.startswith("age: numbers, 35 to 50 (whole numbers that don't begin at 0 or 1; age=classes makes them")
    assert "labels.csv (age is blank in line 3): 1 of 3 images have no label (first: 001.png)" in unusable
    assert build(folder, tmp_path / "a.zip", DataOptions(labels="labels.csv:label")).about == ("label: classes 0 to 1",)
    with pytest.raises(UserError, match=r"age is blank in line 3\): 001\.png has no label"):
        build(folder, tmp_path / "b.zip", DataOptions(labels="labels.csv:age"))


def test_duplicates_and_leaks(tmp_path):
    y, x = np.mgrid[:64, :64]
    scenes = [
        np.stack([127 + 120 * np.sin(x / a + y / b), 127 + 120 * np.cos(y / a), 127 + 100 * np.sin(x / b)], -1).astype(
            np.uint8
        )
        for a, b in ((9, 23), (15, 7), (31, 12))
    ]
    same = encoded(scenes[0])
    entries = {
        "train/a.png": same,
        "test/b.png": same,
        "train/c.png": encoded(scenes[1]),
        "test/d.jpg": encoded(Image.fromarray(scenes[1]).resize((50, 50)), "JPEG", quality=70),
        "train/e.png": encoded(scenes[2]),
        "test/f.png": encoded(scenes[2][:, ::-1]),
    }
    found = info(write_zip(tmp_path / "a.zip", entries))
    assert found.twice == [["test/b.png", "train/a.png"]]
    assert found.near == [("test/d.jpg", "train/c.png")]
    assert sorted(found.leaked) == [("train/a.png", "test/b.png"), ("train/c.png", "test/d.jpg")]


def test_long_lists_are_cut(tmp_path):
    found = info(write_folder(tmp_path / "set", pngs(1) | {f"bad{i:02d}.png": b"" for i in range(15)}))
    assert "    and 5 more" in found.lines()
    assert "    bad14.png: empty file (0 bytes)" in found.lines(100)


def test_nothing_usable(tmp_path):
    with pytest.raises(UserError, match=r"no usable images: a\.png: empty file"):
        info(write_folder(tmp_path / "set", {"a.png": b""}))


def test_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = write_folder(tmp_path / "set", pngs(3) | {"bad.png": b""})
    assert main(["info", str(source)]) == 0
    assert capsys.readouterr().out.startswith(f"{source}: folder, 3 pictures")
    assert (tmp_path / "out" / "set-contact.png").exists()
    assert main(["build", "--source", str(source), "--dest", "out.zip", "--resolution", "4x6", "--workers", "1"]) == 0
    said = capsys.readouterr().out
    assert said == "skipped bad.png: empty file (0 bytes)\nout.zip: 3 pictures, 4x6\n"
    assert main(["export", "--source", "out.zip", "--dest", "tf", "--format", "tfrecords", "--resolution", "8"]) == 0
    assert open_dataset(tmp_path / "tf").spec.resolution == (8, 8)
    assert main(["fetch"]) == 0
    assert (
        "facades                  pairs side by side, 256x256 each (pix2pix) (checksum unknown)"
        in capsys.readouterr().out
    )
    assert main(["--help"]) == 0
    assert main([]) == 2
    with pytest.raises(UserError, match="organza dataset can't 'delete'; it can info, build, export, align, fetch"):
        main(["delete"])
    with pytest.raises(UserError, match="--resolution: 'big' is not a size"):
        main(["build", "--source", str(source), "--dest", "x.zip", "--resolution", "big"])


def test_wide_transform_on_the_command_line(tmp_path):
    source = write_folder(tmp_path / "set", {"a.png": encoded(np.full((60, 100, 3), 255, np.uint8))})
    arguments = ["--resolution", "64", "--transform", "center-crop-wide"]
    main(["build", "--source", str(source), "--dest", str(tmp_path / "x.zip"), *arguments])
    image = open_dataset(tmp_path / "x.zip").fetch([0])[0][0]
    assert (image[:, :, 0].max(1) > 0).sum() == 48


def test_real_sets(shared):
    for name, count in {"emoji.zip": 2023, "facades.zip": 350, "selfie2anime.zip": 470}.items():
        found = info(shared / name)
        assert (found.count, found.skipped) == (count, [])
