import numpy as np
import pytest
import torch
from data_helpers import encoded, noise, write_folder, write_zip
from PIL import Image

from organza.core.errors import UserError
from organza.data import DataOptions, DomainLoader, open_dataset, open_domains
from organza.data.domains import layout_of, single_images
from organza.data.opening import open_source


def pictures(prefix, names, start=0):
    return {f"{prefix}/{name}": encoded(noise(start + i)) for i, name in enumerate(names)}


def test_side_by_side(tmp_path):
    wide = {
        f"{s}/{i}.png": encoded(np.concatenate([noise(i), noise(i + 50)], 1))
        for s in ("train", "val")
        for i in range(3)
    }
    path = write_zip(tmp_path / "facades.zip", wide)
    pairs = open_domains(path)
    assert pairs.paired
    assert (pairs.source.name, pairs.target.name) == ("facades-train-left", "facades-train-right")
    np.testing.assert_array_equal(pairs.source.fetch(range(3))[0], [noise(i) for i in range(3)])
    np.testing.assert_array_equal(pairs.target.fetch(range(3))[0], [noise(i + 50) for i in range(3)])
    swapped = open_domains(path, split="val", direction="BtoA")
    np.testing.assert_array_equal(swapped.source.fetch([0])[0][0], noise(50))
    with pytest.raises(UserError, match="there is no split 'test'; there are train, val"):
        open_domains(path, split="test")


def test_unpaired(tmp_path):
    entries = pictures("x/trainA", ["1.png", "2.png"]) | pictures("x/trainB", ["7.png", "8.png", "9.png"], 10)
    entries |= pictures("x/testA", ["1.png"], 20) | pictures("x/testB", ["2.png"], 30)
    path = write_zip(tmp_path / "a.zip", entries)
    both = open_domains(path)
    assert (both.paired, len(both.source), len(both.target)) == (False, 2, 3)
    test = open_domains(path, split="test")
    np.testing.assert_array_equal(test.target.fetch([0])[0][0], noise(30))
    with pytest.raises(UserError, match="there is no split 'val'; there are test, train"):
        open_domains(path, split="val")


@pytest.mark.parametrize("layout", ["{side}", "{side}/train", "train{side}", "train/{side}"])
def test_folders_with_equal_names(tmp_path, layout):
    entries = pictures(layout.format(side="A"), ["1.png", "2.png", "3.png"])
    entries |= pictures(layout.format(side="B"), ["1.jpg", "2.jpg", "3.jpg"], 10)
    pairs = open_domains(write_folder(tmp_path / "set", entries))
    assert pairs.paired
    np.testing.assert_array_equal(pairs.target.fetch(range(3))[0], [noise(10 + i) for i in range(3)])


def test_a_bad_picture_takes_its_partner_along(tmp_path):
    entries = pictures("A", ["1.png", "2.png", "3.png"]) | pictures("B", ["1.png", "2.png", "3.png"], 10)
    entries["A/2.png"] = b""
    pairs = open_domains(write_folder(tmp_path / "set", entries))
    assert pairs.paired
    np.testing.assert_array_equal(pairs.source.fetch([0, 1])[0], [noise(0), noise(2)])
    np.testing.assert_array_equal(pairs.target.fetch([0, 1])[0], [noise(10), noise(12)])
    assert pairs.target.names == ["B/1.png", "B/3.png"]


def test_both_have_one_size(tmp_path):
    entries = {"A/1.png": encoded(noise(0, 32, 32)), "B/1.png": encoded(noise(1, 64, 64))}
    pairs = open_domains(write_folder(tmp_path / "set", entries))
    assert pairs.source.resolution == pairs.target.resolution == (32, 32)


def test_what_is_neither(tmp_path):
    with pytest.raises(UserError, match="it holds no pairs and no two sets; give trainA/ and trainB/, A/ and B/, or"):
        open_domains(write_folder(tmp_path / "set", pictures("x", ["1.png"])))


def test_pairs_stay_together(tmp_path):
    names = [f"{i}.png" for i in range(5)]
    entries = pictures("A", names) | {f"B/{k[2:]}": v for k, v in pictures("A", names).items()}
    pairs = open_domains(write_folder(tmp_path / "set", entries), DataOptions(mirror=True))
    with DomainLoader(pairs, seed=3) as loader:
        for position in range(0, 40, 4):
            batch = loader.batch(position, 4)
            assert torch.equal(batch.images, batch.source), "same order, same mirroring"
            assert torch.equal(batch.part(1, 3).source, batch.source[1:3])
        assert loader.waited >= 0


def test_two_sets_are_walked_independently(tmp_path):
    entries = pictures("trainA", [f"a{i}.png" for i in range(6)]) | pictures("trainB", [f"b{i}.png" for i in range(6)])
    both = open_domains(write_folder(tmp_path / "set", entries))
    assert not both.paired
    with DomainLoader(both, seed=3) as loader:
        batch = loader.batch(0, 6)
    assert not torch.equal(batch.images, batch.source)


def scene(seed, width, height=32):
    """A smooth image that is another one at each seed."""
    a, b, c = np.random.RandomState(seed).uniform(0.05, 0.3, 3)
    y, x = np.mgrid[:height, :width]
    return (127 + 60 * np.stack([np.sin(a * x + b * y), np.cos(b * x), np.sin(c * (x + y))], -1)).astype(np.uint8)


def layout(tmp_path, entries):
    return layout_of(open_source(write_folder(tmp_path / "set", entries)))


@pytest.mark.parametrize("folder", ["", "train/", "x/val/"])
def test_pairs_side_by_side_are_recognised(tmp_path, folder):
    both = {f"{folder}{i}.png": encoded(np.concatenate([scene(i, 32), 255 - scene(i + 50, 32)], 1)) for i in range(9)}
    assert layout(tmp_path, both).kind == "pairs"


def test_pairs_with_blank_margins_are_recognised(tmp_path):
    entries = {}
    for i in range(9):
        pair = np.full((32, 64, 3), 255, np.uint8)
        pair[8:24, 8:24] = scene(i, 16, 16)
        pair[8:24, 40:56] = 255 * (scene(i, 16, 16).mean(2, keepdims=True) > 150)
        entries[f"{i}.png"] = encoded(pair)
    assert layout(tmp_path, entries).kind == "pairs"


def test_wide_pictures_are_no_pairs(tmp_path):
    assert layout(tmp_path, {f"{i}.png": encoded(scene(i, 64)) for i in range(9)}).kind == "images"


def test_two_sets_are_recognised(tmp_path):
    entries = {f"x/{f}/{i}.png": encoded(noise(i)) for f in ("testA", "testB", "trainA", "trainB") for i in range(2)}
    found = layout(tmp_path, entries)
    assert (found.kind, found.sides) == ("unpaired", ("x/trainA", "x/trainB"))


def test_letters_are_classes_and_parts_are_listed(tmp_path):
    entries = {f"{part}/{f}/{i}.png": encoded(noise(i)) for part in ("train", "test") for f in "ABC" for i in range(2)}
    found = layout(tmp_path, entries)
    assert (found.kind, found.splits) == ("images", (("train", 6), ("test", 6)))
    with pytest.raises(UserError, match="its folders test, train are parts of the set, not classes; name one of them"):
        open_dataset(tmp_path / "set", DataOptions(labels="folders"))
    assert open_dataset(tmp_path / "set" / "train", DataOptions(labels="folders")).classes == ("A", "B", "C")


def test_single_images_are_asked_for(tmp_path):
    entries = {f"{f}/{i}.png": encoded(noise(i)) for f in ("trainA", "trainB") for i in range(2)}
    source = open_source(write_zip(tmp_path / "a.zip", entries))
    message = r"holds two sets, trainA and trainB, but this method learns single images; name one, .*a\.zip/trainA"
    with pytest.raises(UserError, match=message):
        single_images(source)
    assert single_images(source, "images") == ""
    assert single_images(open_source(tmp_path / "a.zip" / "trainB")) == ""
    parts = {f"{f}/{i}.png": encoded(noise(i)) for f in ("train", "test") for i in range(2)}
    said = single_images(open_source(write_folder(tmp_path / "b", parts)))
    assert said == f"train/ (2) and test/ (2) are trained on together; {tmp_path / 'b'}/train names one alone"


def test_real_sets(shared):
    facades = open_domains(shared / "facades.zip", DataOptions(resolution="32"))
    assert (facades.paired, len(facades.source), len(facades.target)) == (True, 250, 250)
    selfies = open_domains(shared / "selfie2anime.zip", DataOptions(resolution="32"))
    assert (selfies.paired, len(selfies.source), len(selfies.target)) == (False, 220, 150)


def test_images_without_a_partner_and_partners_of_other_shapes_are_told(tmp_path, caplog):
    for number in range(4):
        save(tmp_path / "A" / f"{number}.png", 16, 16)
        save(tmp_path / "B" / f"{number}.png", 32, 32)
    assert len(open_domains(tmp_path, layout="pairs").source) == 4
    assert not caplog.records
    save(tmp_path / "A" / "4.png", 16, 16)
    save(tmp_path / "B" / "2.png", 16, 32)
    found = open_domains(tmp_path, layout="pairs")
    assert found.source.names == [f"A/{n}.png" for n in range(4)]
    one, other = (record.getMessage() for record in caplog.records)
    assert one == "1 of 5 images have no partner and are left out, such as A/4.png"
    assert other.startswith("A/2.png has 16x16 pixels, B/2.png 32x16:")
    caplog.clear()
    assert len(open_domains(tmp_path, layout="unpaired").source) == 5 and not caplog.records


def test_names_of_pairs_are_compared_in_one_form(tmp_path):
    """macOS writes an accent as a letter of its own."""
    for side, name in (("A", "\u00e9te\u0301"), ("B", "e\u0301t\u00e9")):
        save(tmp_path / side / f"{name}.png", 16, 16)
        save(tmp_path / side / "b.png", 16, 16)
    assert open_domains(tmp_path, layout="pairs").paired


def save(path, height, width):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.RandomState(len(str(path))).randint(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def test_videos_in_place_of_images_are_named(tmp_path):
    for side in "AB":
        (tmp_path / side).mkdir()
        (tmp_path / side / "one.mp4").write_bytes(b"video")
    for opening in (open_domains, open_dataset):
        with pytest.raises(UserError, match=r"other files: \.mp4 2; vid2vid is trained on videos"):
            opening(tmp_path)
