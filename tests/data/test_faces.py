import json
import os
import zipfile
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
from PIL import Image

from organza.core.errors import UserError
from organza.data.drawn_faces.drawing import draw
from organza.data.drawn_faces.face import (
    CHOICES,
    NUMBERS,
    Face,
    attributes,
    caption,
    class_index,
    ground_truth,
    label_vector,
    random_faces,
)
from organza.data.drawn_faces.files import write_faces


def test_every_field_is_a_known_factor():
    assert [f.name for f in fields(Face)] == [*CHOICES, *NUMBERS]


def test_random_faces_cover_every_choice_and_every_range():
    crowd = list(random_faces(600))
    for name, options in CHOICES.items():
        assert {getattr(face, name) for face in crowd} == set(options)
    for name, (low, high) in NUMBERS.items():
        values = np.array([getattr(face, name) for face in crowd])
        assert values.min() < low + 0.15 * (high - low)
        assert values.max() > high - 0.15 * (high - low)


def test_factors_are_independent():
    truth = np.stack([ground_truth(face) for face in random_faces(3000, seed=1)])
    correlation = np.corrcoef(truth.T) - np.eye(truth.shape[1])
    assert np.abs(correlation).max() < 0.08


def test_a_seed_is_a_face_for_ever():
    face = Face.random(0)
    assert (face.hair, face.skin, face.mouth, face.background) == ("long", "honey", "grin", "rose")
    assert face == Face.random(np.random.RandomState(0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hair": "mohawk"}, "no hair is called 'mohawk'; choose bald, buzzed, short"),
        ({"tilt": 40.0}, "tilt is 40.0; keep it within -9.0 and 9.0"),
    ],
)
def test_wrong_factors(change, message):
    with pytest.raises(UserError) as caught:
        Face(**change)
    assert message in str(caught.value)


@pytest.mark.parametrize("resolution", [32, (24, 40), (64, 33)])
@pytest.mark.parametrize("style", ["paint", "line"])
def test_draws_any_size_the_same_twice(resolution, style):
    picture = draw(Face.random(4), resolution, style)
    assert picture.dtype == np.uint8
    assert picture.shape == (*((resolution,) * 2 if isinstance(resolution, int) else resolution), 3)
    np.testing.assert_array_equal(picture, draw(Face.random(4), resolution, style))
    assert picture.std() > 10


def test_sizes_show_the_same_picture():
    small = draw(Face.random(11), 32).astype(float)
    large = draw(Face.random(11), 256).astype(float).reshape(32, 8, 32, 8, 3).mean(axis=(1, 3))
    assert np.abs(small - large).mean() < 2.5


def test_wide_pictures_hold_the_square_one():
    face = Face.random(5)
    np.testing.assert_array_equal(draw(face, (64, 128))[:, 32:96], draw(face, 64))


@pytest.mark.parametrize("factor", [name for name in CHOICES if name != "fringe"])
def test_every_choice_shows(factor):
    pictures = [draw(replace(Face(), **{factor: option}), 64).astype(int) for option in CHOICES[factor]]
    for i, a in enumerate(pictures):
        for b in pictures[:i]:
            assert np.abs(a - b).max() > 20


@pytest.mark.parametrize("hair", ["short", "bob", "long", "wavy", "bun", "pigtails", "ponytail"])
def test_every_fringe_shows(hair):
    pictures = [draw(Face(hair=hair, fringe=fringe), 64) for fringe in CHOICES["fringe"]]
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)


@pytest.mark.parametrize("factor", NUMBERS)
def test_every_number_shows(factor):
    low, high = (draw(replace(Face(), **{factor: value}), 64).astype(int) for value in NUMBERS[factor])
    assert np.abs(low - high).max() > 40


def test_line_art_is_ink_on_paper():
    picture = draw(Face.random(2), 128, "line").astype(int)
    assert (picture == 255).all(axis=2).mean() > 0.6
    assert picture.min() < 60
    assert (picture.max(axis=2) - picture.min(axis=2)).max() < 20


@pytest.mark.parametrize("resolution", [4, (64, 10000)])
def test_wrong_size(resolution):
    with pytest.raises(UserError, match="keep both sides within 8 and 8192"):
        draw(Face(), resolution)


def test_wrong_style():
    with pytest.raises(UserError, match="no style is called 'oil'; choose paint or line"):
        draw(Face(), 32, "oil")


def test_labels():
    face = Face(hair="bun", glasses="shades")
    assert class_index(face) == CHOICES["hair"].index("bun")
    vector = label_vector(face, ["hair", "glasses"])
    assert vector.shape == (len(CHOICES["hair"]) + 4,)
    assert list(np.flatnonzero(vector)) == [CHOICES["hair"].index("bun"), len(CHOICES["hair"]) + 3]
    with pytest.raises(UserError, match="faces have no choice called 'hat'; choose hair, fringe"):
        label_vector(face, ["hat"])


def test_attributes_and_captions_say_what_is_drawn():
    face = Face(hair="bald", beard="full", glasses="shades", mouth="sad", cheeks="freckles")
    assert {name for name, value in attributes(face).items() if value} == {
        "Arched_Eyebrows",
        "Bald",
        "Eyeglasses",
        "Freckles",
    }
    assert caption(face) == (
        "a sad face with no hair, a beard, freckles and sunglasses, wearing a teal shirt, on a butter background"
    )
    assert len({caption(face) for face in random_faces(200)}) > 190


def test_zip_is_in_nvidias_layout_with_the_same_bytes_each_time(tmp_path):
    seen = []
    paths = [
        write_faces(tmp_path / f"{i}.zip", 5, (16, 24), seed=3, factor="glasses", progress=lambda *a: seen.append(a))
        for i in range(2)
    ]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert seen[:5] == [(i, 5) for i in range(1, 6)]
    with zipfile.ZipFile(paths[0]) as file:
        assert all(info.compress_type == zipfile.ZIP_STORED for info in file.infolist())
        assert file.namelist() == [*(f"00000/img{i:08d}.png" for i in range(5)), "dataset.json"]
        contents = json.loads(file.read("dataset.json"))
        for index, (face, (name, label)) in enumerate(zip(random_faces(5, 3), contents["labels"], strict=True)):
            assert contents["label_names"][label] == face.glasses
            with Image.open(file.open(name)) as image:
                np.testing.assert_array_equal(np.asarray(image), draw(face, (16, 24)), err_msg=str(index))
    assert sorted(os.listdir(tmp_path)) == ["0.zip", "1.zip"]


def test_a_stopped_run_leaves_nothing(tmp_path):
    def stop(done, count):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_faces(tmp_path / "faces.zip", 5, 16, progress=stop)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "the count is 0; ask for at least one face"),
        ({"seed": -1}, "the seed is -1; give a whole number from 0 to 4294967295"),
        ({"dest": "faces.rar"}, "faces.rar: no format is known for '.rar'; end the name in .zip"),
        ({"factor": "hat"}, "faces have no choice called 'hat'"),
        ({"resolution": 2}, "a face of 2 x 2 pixels; keep both sides within 8 and 8192"),
    ],
)
def test_wrong_requests(tmp_path, arguments, message):
    with pytest.raises(UserError) as caught:
        write_faces(**{"dest": tmp_path / "faces.zip", "count": 1, "resolution": 16, **arguments})
    assert message in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_faces_survive_a_dictionary():
    face = Face.random(8)
    assert Face(**asdict(face)) == face
