import hashlib
import json

import numpy as np
import pytest
from data_helpers import encoded, write_folder
from PIL import Image

from organza.core.errors import UserError
from organza.data import open_dataset
from organza.data.align import align_face, face_quad, read_metadata
from organza.runs.dataset import align


def smooth(x, y):
    """An image without edges, so that its value anywhere is known: RGB in [0, 255]."""
    return np.stack([127 + 90 * np.sin(x / 41 + y / 97), 127 + 90 * np.cos(y / 53), 30 + (x + y) / 12], -1)


def photograph(height=800, width=1000):
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.rint(smooth(x, y)).astype(np.uint8))


def landmarks(centre, size, turn=0.0):
    """68 points of a made-up face: only eyes and mouth matter."""
    points = np.zeros((68, 2))
    points[36:42], points[42:48], points[48:60] = (-0.4, -0.3), (0.4, -0.3), (0, 0.5)
    points[48], points[54] = (-0.3, 0.5), (0.3, 0.5)
    turned = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return np.array(centre) + size * points @ turned


def test_quad_of_a_level_face():
    """Eyes 80 apart, mouth 80 below: the half side is max(2 x 80, 1.8 x 80) = 160, the middle 8 below the eyes."""
    quad = face_quad(landmarks((500, 400), 100))
    np.testing.assert_allclose(quad, [[340, 218], [340, 538], [660, 538], [660, 218]])


def test_quad_turns_with_the_face():
    plain, turned = face_quad(landmarks((0, 0), 100)), face_quad(landmarks((0, 0), 100, 0.3))
    rotation = np.array([[np.cos(0.3), np.sin(0.3)], [-np.sin(0.3), np.cos(0.3)]])
    np.testing.assert_allclose(turned, plain @ rotation, atol=1e-9)


@pytest.mark.parametrize("turn", [0.0, 0.25, -0.4])
@pytest.mark.parametrize("face", [60, 130])
def test_a_known_quad_lands_on_a_known_crop(face, turn):
    quad = face_quad(landmarks((500, 400), face, turn))
    size = 128
    got = np.asarray(align_face(photograph(), quad, size), np.float64)
    # Output pixel (i, j) shows the middle of its share of the quad.
    s, t = np.meshgrid((np.arange(size) + 0.5) / size, (np.arange(size) + 0.5) / size)
    place = quad[0] + s[..., None] * (quad[3] - quad[0]) + t[..., None] * (quad[1] - quad[0])
    assert np.abs(got - smooth(place[..., 0], place[..., 1])).max() < 2


def test_faces_at_the_border_are_continued():
    pytest.importorskip("scipy")
    quad = face_quad(landmarks((60, 300), 150))
    got = np.asarray(align_face(photograph(), quad, 128), np.float64)
    s, t = np.meshgrid((np.arange(128) + 0.5) / 128, (np.arange(128) + 0.5) / 128)
    place = quad[0] + s[..., None] * (quad[3] - quad[0]) + t[..., None] * (quad[1] - quad[0])
    off = np.abs(got - smooth(place[..., 0], place[..., 1])).max(-1)
    inside = place[..., 0] > 60
    assert inside.any() and (place[..., 0] < -20).any()
    assert off[inside].max() < 3, "well within the photograph nothing changes"
    assert got[:, 0].std(0).max() < np.asarray(photograph(), float)[:, 0].std(0).max(), "the outer edge is blurred"


def item(number, photo, points, **more):
    wild = {"file_path": f"in-the-wild-images/00000/{number:05d}.png", "face_landmarks": points.tolist()}
    return {"in_the_wild": {**wild, "file_md5": hashlib.md5(photo).hexdigest(), **more}}


@pytest.fixture
def ffhq(tmp_path):
    photo = encoded(photograph())
    wild = {f"in-the-wild-images/00000/{i:05d}.png": photo for i in range(3)}
    items = {str(i): item(i, photo, landmarks((500, 400), 80 + 10 * i)) for i in range(3)}
    items["1"]["in_the_wild"]["file_md5"] = "0" * 32
    items["3"] = item(3, photo, landmarks((500, 400), 80)) | {"category": "validation"}
    file = tmp_path / "ffhq-dataset-v2.json"
    file.write_text(json.dumps(items))
    return file, write_folder(tmp_path / "wild", wild)


def test_a_small_ffhq(ffhq, tmp_path):
    metadata, source = ffhq
    report = align(metadata, source, tmp_path / "out.zip", size=32)
    assert (report.count, report.sizes) == (2, {(32, 32): 2})
    assert report.skipped == [
        ("00001.png", "its photograph in-the-wild-images/00000/00001.png is not the one of the metadata (other MD5)"),
        ("00003.png", "its photograph in-the-wild-images/00000/00003.png is not there"),
    ]
    pixels = open_dataset(tmp_path / "out.zip").fetch([0])[0][0]
    s, t = np.meshgrid((np.arange(32) + 0.5) / 32, (np.arange(32) + 0.5) / 32)
    quad = face_quad(landmarks((500, 400), 80))
    place = quad[0] + s[..., None] * (quad[3] - quad[0]) + t[..., None] * (quad[1] - quad[0])
    assert np.abs(pixels - smooth(place[..., 0], place[..., 1])).max() < 3


def test_splits(ffhq):
    metadata, _ = ffhq
    assert [i["number"] for i in read_metadata(metadata, "train")] == [0, 1, 2]
    assert [i["number"] for i in read_metadata(metadata, "validation")] == [3]


def test_the_file_of_2019_has_quads(tmp_path):
    file = tmp_path / "ffhq.json"
    quad = [0, 0, 0, 9, 9, 9, 9, 0]
    file.write_text(json.dumps({"60000": {"in_the_wild": {"file_path": "a.png", "face_quad": quad}}}))
    assert read_metadata(file, "validation")[0]["quad"] == [[0, 0], [0, 9], [9, 9], [9, 0]]
    with pytest.raises(UserError, match="it has no faces for train"):
        read_metadata(file, "train")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not FFHQ's metadata ("),
        ("[1]", "not FFHQ's metadata ("),
        ('{"0": {}}', "face 0 lacks what aligning needs (KeyError('in_the_wild'))"),
        (
            '{"0": {"in_the_wild": {"file_path": "x", "face_landmarks": [1]}}}',
            "face 0 lacks what aligning needs (ValueError",
        ),
        ('{"0": {"in_the_wild": {"file_path": "x", "face_quad": [NaN,0,0,1,1,1,1,0]}}}', "not finite"),
    ],
)
def test_other_files(tmp_path, text, message):
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        read_metadata(file)
    assert message in str(caught.value)
    with pytest.raises(UserError, match="there is no such file"):
        read_metadata(tmp_path / "none.json")
