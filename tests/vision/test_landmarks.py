import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from organza.cli.main import main
from organza.core.errors import UserError
from organza.data.align import CELEBA, align_face, five_point_quad
from organza.media.images import save_picture
from organza.runs.dataset import align_found
from organza.studio.projection.project import by_landmarks, read_targets
from organza.vision.mtcnn import Detector, _nets, suppressed

SHARED = Path(__file__).parents[3] / "shared"
WEIGHTS = SHARED / "weights" / "mtcnn"
PHOTOS = SHARED / "data" / "celeba_small.zip"
needs_weights = pytest.mark.skipif(not WEIGHTS.is_dir(), reason="needs MTCNN's weights beside the checkout")
needs_photos = pytest.mark.skipif(not PHOTOS.is_file(), reason="needs photographs beside the checkout")


@pytest.fixture(scope="module")
def photos():
    with zipfile.ZipFile(PHOTOS) as file:
        names = sorted(name for name in file.namelist() if name.endswith(".jpg"))[:100]
        return [np.asarray(Image.open(io.BytesIO(file.read(name))).convert("RGB")) for name in names]


@needs_weights
@needs_photos
def test_faces_of_photographs(photos):
    detector = Detector.read(WEIGHTS)
    found = [detector.find(photo) for photo in photos]
    assert sum(len(faces) == 1 for faces in found) > 95
    points = np.stack([faces[0].points for faces in found if faces])
    # The images are CelebA's at half the size, whose eyes are level at these places.
    wanted = (CELEBA + 0.5) / 2 - 0.5
    np.testing.assert_allclose(np.median(points, 0), wanted, atol=1.0)
    assert (np.abs(points[:, :2] - wanted[:2]).max((1, 2)) < 4).mean() > 0.95
    for face in (faces[0] for faces in found if faces):
        assert 0.7 < face.score <= 1
        assert (face.box[:2] < face.points.mean(0)).all() and (face.points.mean(0) < face.box[2:]).all()


@needs_weights
@needs_photos
@pytest.mark.parametrize("turn", [-15, 15])
def test_the_crop_turns_with_the_face(photos, turn):
    detector, edges = Detector.read(WEIGHTS), []
    for photo in photos[:8]:
        page = Image.new("RGB", (200, 180), "grey")
        page.paste(Image.fromarray(photo), (60, 35))
        turned = page.rotate(turn, Image.Resampling.BICUBIC, fillcolor="grey")
        plain, moved = (
            five_point_quad(detector.find(np.asarray(image))[0].points, "celeba") @ [1, 1j] for image in (page, turned)
        )
        # The upper edge, as a complex number: its angle and length.
        edges.append((moved[3] - moved[0]) / (plain[3] - plain[0]))
        assert np.asarray(align_face(turned, np.stack([moved.real, moved.imag], 1), 32)).shape == (32, 32, 3)
    assert abs(np.median(np.degrees(np.angle(edges))) + turn) < 3
    assert 0.9 < np.median(np.abs(edges)) < 1.1


@needs_weights
def test_nothing_is_no_face():
    detector = Detector.read(WEIGHTS)
    for value in (0, 128, 255):
        assert detector.find(np.full([120, 90, 1], value, np.uint8)) == []
    assert detector.find(np.zeros([8, 8, 3], np.uint8)) == []


@needs_weights
@needs_photos
def test_projection_and_data_sets_use_it(photos, tmp_path, capsys):
    grey = np.full([160, 200, 3], 128, np.uint8)
    grey[30:139, 60:149] = photos[0]
    save_picture(grey, tmp_path / "in" / "a.png")
    _, images = read_targets([tmp_path / "in"], (64, 64), 3, align=by_landmarks(WEIGHTS, "celeba"))
    wanted = np.asarray(Image.fromarray(photos[0]).crop((0, 10, 89, 99)).resize((64, 64), Image.Resampling.LANCZOS))
    assert np.abs(images[0, 16:56, 16:48].astype(int) - wanted[16:56, 16:48]).mean() < 20
    save_picture(grey[:30], tmp_path / "in" / "b.png")
    with pytest.raises(UserError, match=r"b\.png: no face was found; give another image, or don't align"):
        read_targets([tmp_path / "in"], (64, 64), 3, align=by_landmarks(WEIGHTS))
    words = ["--mtcnn", str(WEIGHTS), "--source", str(tmp_path / "in"), "--dest", str(tmp_path / "out.zip")]
    assert main(["dataset", "align", *words, "--crop", "celeba", "--size", "64", "--workers", "1"]) == 0
    out = capsys.readouterr().out
    assert "skipped b.png: no face was found" in out and "1 pictures, 64x64" in out
    with zipfile.ZipFile(tmp_path / "out.zip") as file:
        name = next(name for name in file.namelist() if name.endswith(".png"))
        crop = np.asarray(Image.open(io.BytesIO(file.read(name))))
    assert np.abs(crop.astype(int) - images[0]).max() <= 2
    save_picture(grey[:30], tmp_path / "none" / "b.png")
    with pytest.raises(UserError, match="no face in any of 1 photographs"):
        align_found(WEIGHTS, tmp_path / "none", tmp_path / "none.zip")
    assert main(["dataset", "align", "--source", "a", "--dest", "b"]) == 2


def test_wrong_weights(tmp_path):
    with pytest.raises(UserError, match=r"pnet\.pt: does not exist; give a folder with MTCNN's"):
        Detector.read(tmp_path)
    (tmp_path / "pnet.pt").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"pnet\.pt: is no weights of MTCNN"):
        Detector.read(tmp_path)
    torch.save({"a": torch.zeros(1)}, tmp_path / "pnet.pt")
    with pytest.raises(UserError, match=r"pnet\.pt: is no weights of MTCNN"):
        Detector.read(tmp_path)


def test_a_network_that_sees_faces_everywhere():
    """Random weights find many windows, also beyond the borders; nothing breaks."""
    torch.manual_seed(0)
    nets = _nets()
    for net, head in zip(nets, ("conv4_1", "dense5_1", "dense6_1"), strict=True):
        net.requires_grad_(False).get_submodule(head).bias.copy_(torch.tensor([-3.0, 3.0]))
    image = np.random.RandomState(0).randint(0, 256, [40, 30, 3], np.uint8)
    for face in Detector(nets).find(image):
        assert face.points.shape == (5, 2) and np.isfinite(face.points).all()


def test_overlaps():
    boxes = torch.tensor([[0.0, 0, 10, 10], [2, 2, 6, 6], [0, 0, 10, 9], [50, 0, 60, 10]])
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6])
    assert suppressed(boxes, scores, 0.5).tolist() == [0, 1, 3]
    assert suppressed(boxes, scores, 0.5, smaller=True).tolist() == [0, 3]
    assert suppressed(boxes[:0], scores[:0], 0.5).tolist() == []


@pytest.mark.parametrize("turn", [0.0, 0.4])
def test_the_quad_of_five_points(turn):
    spin = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    plain = five_point_quad(CELEBA, "celeba")
    np.testing.assert_allclose(five_point_quad(3 * CELEBA @ spin + 7, "celeba"), 3 * plain @ spin + 7, atol=1e-9)
    # Eyes 40 apart and the mouth 30 below: half a side is 2 x 40, the middle 3 below the eyes.
    points = np.array([[0.0, 0], [40, 0], [20, 15], [10, 30], [30, 30]])
    wanted = np.array([[-60.0, -77], [-60, 83], [100, 83], [100, -77]])
    np.testing.assert_allclose(five_point_quad(points @ spin), wanted @ spin, atol=1e-9)
