"""Stages of photograph to cartoon, each against a plain recomputation; no weights are needed."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from organza.core.errors import UserError
from organza.data.source import BadPicture
from organza.translate.faces.film import OneEuro, Tracker
from organza.translate.faces.finding import Finder, _unturned, once, turned_away
from organza.translate.faces.frame import (
    MEAN_BOX,
    MEAN_FACE,
    cut,
    framed,
    from_frame,
    portrait_quad,
    side_of,
    to_frame,
    within,
)
from organza.translate.faces.pasting import card, feathered, matched, paste
from organza.translate.faces.person import connected, head_oval, person_mask
from organza.translate.faces.pipeline import Cartoonist, chosen, on_white, resized
from organza.translate.faces.steps import steps
from organza.vision.mtcnn import Face

RNG = np.random.RandomState(0)


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    """An image whose neighbours are alike, as in a photograph."""
    rough = np.random.RandomState(seed).randint(0, 256, (height // 8 + 2, width // 8 + 2, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC))


def turn(degrees: float) -> np.ndarray:
    a = np.radians(degrees)
    return np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])


def face_at(x: float, y: float, eyes: float, degrees: float = 0) -> Face:
    """A mean face around the middle of its eyes."""
    points = eyes * MEAN_FACE @ turn(degrees).T + [x, y]
    low, high = points.min(0) - eyes / 2, points.max(0) + eyes / 2
    return Face(0.99, np.concatenate([low, high]), points)


def test_the_frame_of_68_landmarks_is_the_authors():
    landmarks = RNG.rand(68, 2) * [100, 120] + [50, 40]
    landmarks[36], landmarks[45] = [80, 90], [130, 90]
    left, top = landmarks.min(0)
    right, bottom = landmarks.max(0)
    width, height = right - left, bottom - top
    top, bottom = top - 0.8 * height, bottom + 0.3 * height
    left, right = left - 0.3 * width, right + 0.3 * width
    more = ((bottom - top) - (right - left)) / 2
    left, right = left - more, right + more
    wanted = [[left, top], [left, bottom], [right, bottom], [right, top]]
    np.testing.assert_allclose(framed(landmarks), wanted, atol=1e-9)
    wide = landmarks * [3, 1]
    assert side_of(framed(wide)) == pytest.approx(1.6 * 3 * width)
    # A turned photograph has a turned frame.
    R = turn(25)
    np.testing.assert_allclose(framed(landmarks @ R.T), np.array(wanted) @ R.T, atol=1e-9)


@pytest.mark.parametrize("degrees", [0, 15, -30, 90, 180])
def test_the_frame_of_five_landmarks_turns_and_grows_with_them(degrees):
    R, (low, high) = turn(degrees), MEAN_BOX
    height = high[1] - low[1]
    middle, half = [0, (low[1] - 0.8 * height + high[1] + 0.3 * height) / 2], 2.1 * height / 2
    corners = middle + half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    wanted = 20 * corners @ R.T + [200, 150]
    found = portrait_quad(face_at(200, 150, 20, degrees).points)
    np.testing.assert_allclose(found, wanted, atol=1e-9)
    # Mirrored landmarks have the mirrored frame.
    mirrored = (20 * MEAN_FACE @ R.T * [-1, 1] + [100, 0])[[1, 0, 2, 4, 3]]
    there = 20 * MEAN_FACE @ R.T
    expected = (portrait_quad(there) * [-1, 1] + [100, 0])[[3, 2, 1, 0]]
    np.testing.assert_allclose(portrait_quad(mirrored), expected, atol=1e-9)


def test_a_turned_head_keeps_its_size():
    plain = 20 * MEAN_FACE
    assert side_of(portrait_quad(plain * [0.5, 1])) == pytest.approx(side_of(portrait_quad(plain)))
    assert side_of(portrait_quad(plain * [1, 0.7])) == pytest.approx(side_of(portrait_quad(plain)))
    aside = plain + np.array([[0, 0], [0, 0], [12, 0], [3, 0], [3, 0]])
    assert turned_away(aside) and not turned_away(plain)
    for points in (np.zeros([5, 2]), np.full([5, 2], np.nan)):
        with pytest.raises(BadPicture):
            portrait_quad(points)


def plain_cut(photo: np.ndarray, quad: np.ndarray, size: int, border: str) -> np.ndarray:
    """In floats, sample by sample: blocks are averaged, then bilinear samples."""
    side = side_of(quad)
    block = max(1, int(side / size / 2))
    height, width = photo.shape[:2]
    rows, columns = -(-height // block), -(-width // block)
    small = np.zeros([rows, columns, 3])
    for y in range(rows):
        for x in range(columns):
            small[y, x] = photo[y * block : (y + 1) * block, x * block : (x + 1) * block].mean((0, 1))
    finer = max(1, int(np.ceil(side / block / size)))
    place = (np.arange(size * finer) + 0.5) / (size * finer)
    x_share, y_share = np.meshgrid(place, place)
    where = quad[0] + x_share[..., None] * (quad[3] - quad[0]) + y_share[..., None] * (quad[1] - quad[0])
    x, y = ((where[..., k] + 0.5) / block - 0.5 for k in (0, 1))
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)

    def at(r: np.ndarray, c: np.ndarray) -> np.ndarray:
        if border == "white":
            inside = (r >= 0) & (r < rows) & (c >= 0) & (c < columns)
            return np.where(inside[..., None], small[r.clip(0, rows - 1), c.clip(0, columns - 1)], 255)

        def fold(i: np.ndarray, n: int) -> np.ndarray:
            i = i % (2 * n)
            return np.where(i < n, i, 2 * n - 1 - i)

        return small[fold(r, rows), fold(c, columns)]

    dx, dy = (x - left)[..., None], (y - top)[..., None]
    upper = at(top, left) * (1 - dx) + at(top, left + 1) * dx
    lower = at(top + 1, left) * (1 - dx) + at(top + 1, left + 1) * dx
    found = upper * (1 - dy) + lower * dy
    return found.reshape(size, finer, size, finer, 3).mean((1, 3))


@pytest.mark.parametrize("border", ["white", "mirror"])
@pytest.mark.parametrize(
    ("x", "y", "eyes", "degrees"),
    [(60, 40, 8, 0), (60, 40, 8, 15), (60, 50, 6.3, -30), (20, 10, 8, 90), (110, 80, 14, 200), (60, 40, 3, 45)],
)
def test_a_crop_is_that_of_plain_numpy_to_a_grey_level(x, y, eyes, degrees, border):
    photo, quad = smooth(90, 130), portrait_quad(face_at(x, y, eyes, degrees).points)
    for size in (12, 32):
        found = cut(photo, quad, size, border)
        assert np.abs(found - plain_cut(photo, quad, size, border)).max() <= 0.51 + 0.5 * (side_of(quad) / size >= 4)


def test_a_crop_of_whole_pixels_is_those_pixels():
    photo = smooth(40, 50)
    quad = np.array([[9.5, 4.5], [9.5, 20.5], [25.5, 20.5], [25.5, 4.5]])
    np.testing.assert_array_equal(cut(photo, quad, 16), photo[5:21, 10:26])
    quarter = quad[[1, 2, 3, 0]]
    np.testing.assert_array_equal(cut(photo, quarter, 16), np.rot90(photo[5:21, 10:26], -1))
    grey = cut(photo[..., :1], quad, 16)
    assert grey.shape == (16, 16, 1)
    with pytest.raises(BadPicture, match="outside"):
        cut(photo, quad + 500, 16)
    inside = within((40, 50), quad - [18, 0], 16)
    np.testing.assert_allclose(inside[:, :8], 0, atol=0.01)
    np.testing.assert_allclose(inside[:, 8:], 1, atol=0.01)


def test_places_go_there_and_back():
    quad, points = portrait_quad(face_at(60, 40, 8, 33).points), RNG.rand(7, 2) * 90
    np.testing.assert_allclose(from_frame(to_frame(points, quad, 64), quad, 64), points, atol=1e-9)
    eyes = to_frame(face_at(60, 40, 8, 33).points[:2], quad, 64)
    assert eyes[0, 1] == pytest.approx(eyes[1, 1]) and eyes[1, 0] - eyes[0, 0] == pytest.approx(64 / 4.82349)


@pytest.mark.parametrize("degrees", [0, 20, 90, 160])
@pytest.mark.parametrize("size", [32, 100, 200])
def test_what_is_pasted_back_unchanged_changes_nothing(degrees, size):
    photo, quad = smooth(120, 140), portrait_quad(face_at(70, 55, 12, degrees).points)
    mask = np.ones([size, size], np.float32)
    whole = paste(photo, cut(photo, quad, size, "mirror"), feathered(mask), quad)
    far = np.abs(whole.astype(int) - photo)
    assert far.mean() < (2.5 if size < 50 else 0.6)
    red = np.full([size, size, 3], [255, 0, 0], np.uint8)
    whole = paste(photo, red, feathered(mask), quad)
    rows, columns = np.mgrid[:120, :140]
    there = to_frame(np.stack([columns.ravel(), rows.ravel()], 1), quad, 100).reshape(120, 140, 2)
    outside = ((there < -3) | (there > 102)).any(2)
    np.testing.assert_array_equal(whole[outside], photo[outside])
    inside = ((there > 15) & (there < 85)).all(2)
    assert (whole[inside] == [255, 0, 0]).all() and inside.sum() > 500
    assert (paste(photo, red, 0 * mask, quad) == photo).all()
    assert (paste(photo, red, mask, quad + 900) == photo).all()


def test_colours_are_matched_where_the_person_is():
    source, made = smooth(64, 64, 1), smooth(64, 64, 2) // 2
    mask = np.zeros([64, 64], np.float32)
    mask[8:56, 8:56] = 1
    assert np.abs(matched(made, source, mask, 0.0).astype(int) - made).max() == 0
    full = matched(made, source, mask, 1.0)
    grey = [np.asarray(Image.fromarray(x).convert("L"), float)[8:56, 8:56] for x in (source, made, full)]
    assert abs(grey[2].mean() - grey[0].mean()) < 4 < abs(grey[1].mean() - grey[0].mean())
    assert matched(made, source, 0 * mask) is made
    assert card(source, made, 24).shape == (28, 54, 3)


def test_connected_pixels_are_scipys():
    label = pytest.importorskip("scipy.ndimage").label
    for seed in range(5):
        solid = np.random.RandomState(seed).rand(40, 50) < 0.6
        seeds = np.zeros_like(solid)
        seeds[15:20, 20:28] = True
        numbers, _ = label(solid)
        wanted = np.isin(numbers, np.unique(numbers[seeds & solid])) & solid
        np.testing.assert_array_equal(connected(solid, seeds), wanted)
    assert not connected(np.zeros([3, 3], bool), np.ones([3, 3], bool)).any()


def people(*places: tuple[int, int, int], size: int = 128) -> np.ndarray:
    """Probabilities: a disc for each (x, y, radius)."""
    rows, columns = np.mgrid[:size, :size]
    found = np.zeros([size, size], np.float32)
    for x, y, radius in places:
        found[np.hypot(columns - x, rows - y) <= radius] = 0.9
    return found


def test_the_neighbour_is_no_part_of_the_person():
    points = face_at(40, 50, 12).points
    apart = people((40, 55, 25), (100, 60, 20))
    mask = person_mask(apart, points)
    assert mask is not None and mask[:, 80:].max() == 0 and mask[55, 40] == np.float32(0.9)
    np.testing.assert_array_equal(mask[:, :70], apart[:, :70])
    touching = people((40, 55, 35), (90, 55, 35))
    other = face_at(90, 50, 12).points
    mask = person_mask(touching, points, [other])
    assert mask is not None and mask[:, 67:].max() == 0 and mask[:, 60:65].max() > 0
    # A larger face reaches further.
    large = person_mask(touching, points, [face_at(90, 50, 6).points])
    assert large is not None and large[:, 67:75].max() > 0
    assert person_mask(people((100, 60, 20)), points) is None
    assert person_mask(0 * apart, points) is None


def test_holes_in_a_person_are_filled():
    ring = people((60, 60, 40)) - people((60, 85, 6))
    mask = person_mask(ring, face_at(60, 45, 12).points)
    assert mask is not None and mask[85, 60] == 1 and mask[10, 60] == 0
    oval = head_oval(face_at(60, 60, 12).points, 128)
    assert oval[60, 60] == 1 and oval[0].max() == 0 and (oval > 0.5).sum() == pytest.approx(np.pi * 16.8 * 21, rel=0.03)


def finder(*faces: Face):
    return lambda photo: list(faces)


def cartoonist(*faces: Face, side: int = 32, **changes) -> Cartoonist:
    def inverted(cutout):
        return 255 - np.asarray(Image.fromarray(cutout).resize((side, side)))

    def disc(crop):
        return people((64, 64, 50), size=128) if crop.shape[0] == 128 else resized(people((64, 64, 50)), crop.shape[0])

    return Cartoonist(finder(*faces), disc, inverted, **{"size": 128, **changes})


def test_the_stages_together():
    photo, faces = smooth(200, 300), [face_at(90, 90, 20), face_at(210, 100, 16, 10), face_at(250, 40, 4)]
    C = cartoonist(*faces)
    one = C.portraits(photo)
    assert len(one) == 1 and one[0].face is faces[0] and one[0].segmented and one[0].sharp
    portrait = one[0]
    np.testing.assert_array_equal(portrait.crop, cut(photo, portrait.quad, 128))
    share = portrait.mask[..., None]
    np.testing.assert_array_equal(portrait.cutout, np.rint(portrait.crop * share + 255 * (1 - share)).astype(np.uint8))
    assert portrait.translated.shape == portrait.cartoon.shape == portrait.photo.shape == (32, 32, 3)
    np.testing.assert_array_equal(portrait.cartoon, on_white(portrait.translated, resized(portrait.mask, 32)))
    assert (portrait.cartoon[0, 0] == 255).all()  # masked again: the network made black of white
    assert [len(C.portraits(photo, wanted)) for wanted in ("all", 1, 2, 9)] == [3, 1, 2, 3]
    assert not C.portraits(photo, "all")[2].sharp
    whole = C.pasted(photo, C.portraits(photo, 2))
    assert whole.shape == photo.shape and (whole[195:, 295:] == photo[195:, 295:]).all()
    assert np.abs(whole[90, 90].astype(int) - (255 - photo[90, 90].astype(int))).max() < 40
    assert C.pasted(photo, one, match_colours=True).shape == photo.shape
    found = steps(photo, portrait)
    assert list(found) == [
        *("step1_found", "step2_cut", "step3_person", "step4_white", "step5_translated", "step6_feathered")
    ]
    assert found["step3_person"].shape == (128, 128, 1) and found["step1_found"].shape == photo.shape
    with pytest.raises(UserError, match="0 faces can't be chosen"):
        chosen(faces, 0)


def test_a_frame_over_the_edge():
    photo = np.zeros([60, 60, 3], np.uint8)
    white, mirror = (cartoonist(face_at(30, 10, 14), border=b).portraits(photo)[0] for b in ("white", "mirror"))
    assert (white.crop[0, 64] == 255).all() and (mirror.crop[0, 64] == 0).all()
    assert white.mask[:30].max() < 0.01 and mirror.mask[20:30].max() > 0.8
    nobody = Cartoonist(finder(face_at(30, 25, 5)), lambda crop: np.zeros([64, 64], np.float32), lambda x: x, size=64)
    oval = nobody.portraits(photo)[0]
    assert not oval.segmented and oval.mask.max() == 1 and oval.mask[0].max() == 0


def test_every_face_once_whatever_turn_it_was_found_in():
    one, same, other = face_at(50, 50, 20), face_at(52, 49, 21, 5), face_at(150, 50, 10)
    assert len(once([one, same, other])) == 2 and once([other, one])[0] is one
    shape = (60, 100)
    point = np.array([[70.0, 20.0]])
    for quarters in (1, 2, 3):
        marked = np.zeros(shape)
        marked[20, 70] = 1
        row, column = np.argwhere(np.rot90(marked, quarters))[0]
        face = Face(1.0, np.array([column, row, column + 2, row + 1.0]), np.repeat([[column, row]], 5, 0).astype(float))
        back = _unturned(face, shape, quarters)
        np.testing.assert_allclose(back.points, np.repeat(point, 5, 0))
        assert (back.box[:2] <= back.box[2:]).all() and np.abs(back.box.reshape(2, 2) - point).max() <= 2


def test_one_euro_against_a_plain_recomputation():
    values, steady = RNG.randn(30, 2).cumsum(0), OneEuro(20.0)
    previous, speed = values[0], np.zeros(2)
    assert (steady(values[0]) == values[0]).all()
    for value in values[1:]:
        dx = (value - previous) * 20
        a = 1 / (1 + (1 / (2 * np.pi * 1.0)) / (1 / 20))
        speed = a * dx + (1 - a) * speed
        cutoff = 1.5 + 0.3 * np.abs(speed)
        a = 1 / (1 + (1 / (2 * np.pi * cutoff)) / (1 / 20))
        previous = a * value + (1 - a) * previous
        np.testing.assert_allclose(steady(value), previous, atol=1e-12)


def test_faces_are_followed():
    """Two faces move, one is hidden for a while and comes back, one leaves for good."""
    rng, frame = np.random.RandomState(1), smooth(120, 240)
    left = [face_at(50 + k, 50, 14) for k in range(40)]
    right = [None if 10 <= k < 13 or k >= 30 else face_at(180 - k, 60, 12) for k in range(40)]
    now: list[Face] = []

    def find(photo):
        return list(now)

    def follow(photo, face):
        near = [f for f in now if np.hypot(*(f.points.mean(0) - face.points.mean(0))) < 8]
        if not near:
            return None
        return Face(near[0].score, near[0].box, near[0].points + rng.randn(5, 2) * 0.5)

    tracker = Tracker(cartoonist(), "all", 25.0)
    tracker.C = Cartoonist(find, tracker.C.segment, tracker.C.translate, follow=follow)
    kept, shaken, steady = [], [], []
    for k in range(40):
        now[:] = [face for face in (left[k], right[k]) if face is not None]
        tracks = tracker(frame)
        kept.append([id(track) for track in tracks])
        shaken.append(tracks[0].face.points - left[k].points)
        steady.append(tracks[0].steady.points)
    assert kept[5] == kept[11] == kept[20] and len(kept[5]) == 2 and len(kept[39]) == 1
    assert tracker.seen.tracks == 2 and tracker.seen.empty == 0 and tracker.seen.cuts == 0
    rough = np.diff(np.array([s + left[k].points for k, s in enumerate(shaken)]), axis=0)
    assert np.diff(np.array(steady), axis=0)[5:].std(0).mean() < 0.7 * rough[5:].std(0).mean()
    now.clear()
    tracker(255 - frame[::-1, ::-1])
    assert tracker.seen.cuts == 1 and not tracker.tracks and tracker.seen.empty == 1


def test_a_detector_that_sees_nothing():
    class Blind:
        def find(self, image, least=None):
            assert max(image.shape[:2]) <= 68
            seen.append(image.shape)
            return []

    seen: list[tuple[int, ...]] = []
    assert Finder(Blind(), longest=64)(np.zeros([40, 130, 3], np.uint8)) == []  # type: ignore[arg-type]
    assert seen[:4] == [(20, 64, 3), (64, 20, 3), (64, 20, 3), (20, 64, 3)] and len(seen) == 8
