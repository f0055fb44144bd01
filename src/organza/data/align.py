"""FFHQ's aligned faces, cut from the photographs by their landmarks.

Sources: T. Karras, S. Laine, T. Aila, "A Style-Based Generator Architecture for GANs" (2019, arXiv 1812.04948),
appendix A; the oriented rectangle, padding and blur are those of T. Karras et al., "Progressive Growing of GANs" (2018,
arXiv 1710.10196), appendix C.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from organza.core.errors import UserError
from organza.core.jsons import read_json
from organza.data.decode import Target, decode, open_picture, render
from organza.data.source import BadPicture, Contents, Entry, Source

F = NDArray[np.float64]
TRAINING = 60_000
"""FFHQ's first so many faces are for training, the others for validation."""
Crop = Literal["ffhq", "celeba"]
CELEBA = np.array([[69.2, 111.4], [107.9, 111.4], [88.0, 135.3], [71.5, 152.0], [105.3, 152.0]])
"""Where MTCNN finds eyes, nose and corners of the mouth in CelebA's aligned images, 178 x 218: medians over 500."""
_CELEBA_SQUARE = np.array([[-0.5, 19.5], [-0.5, 197.5], [177.5, 197.5], [177.5, 19.5]])


def face_quad(landmarks: F) -> F:
    """68 landmarks ``[68, 2]`` (x, y) -> corners ``[4, 2]``: top left, bottom left, bottom right, top right.

    The square is level with the eyes and as large as twice the distance of the eyes or 1.8 times that from eyes to
    mouth, to each side of a middle that lies a tenth of the way from eyes to mouth.
    """
    return _level_quad(landmarks[36:42].mean(0), landmarks[42:48].mean(0), (landmarks[48] + landmarks[54]) / 2)


def five_point_quad(points: F, crop: Crop = "ffhq") -> F:
    """Five landmarks ``[5, 2]`` (eyes, nose, corners of the mouth) -> corners ``[4, 2]`` as `face_quad` has them.

    With ``"ffhq"`` this is FFHQ's crop up to the eyes, whose middles are points here and means of six points there.
    With ``"celeba"`` it is the middle square of CelebA's aligned images: the turn, scale and shift that bring the
    points nearest to where they are there.

    Example:
        >>> five_point_quad(CELEBA, "celeba").round(3).tolist()
        [[-0.5, 19.5], [-0.5, 197.5], [177.5, 197.5], [177.5, 19.5]]
    """
    if crop == "ffhq":
        return _level_quad(points[0], points[1], (points[3] + points[4]) / 2)
    # As complex numbers such a map is a product and a sum, and least squares one quotient.
    there, here = CELEBA @ [1, 1j], points @ [1, 1j]
    a, b = there - there.mean(), here - here.mean()
    found = (_CELEBA_SQUARE @ [1, 1j] - there.mean()) * (np.vdot(a, b) / np.vdot(a, a)) + here.mean()
    return np.stack([found.real, found.imag], 1)


def _level_quad(left: F, right: F, mouth: F) -> F:
    eyes = (left + right) / 2
    across, down = right - left, mouth - eyes
    # The mean of the two directions: across, and down turned by a quarter.
    x = across + np.array([down[1], -down[0]])
    x *= max(np.hypot(*across) * 2.0, np.hypot(*down) * 1.8) / np.hypot(*x)
    y = np.array([-x[1], x[0]])
    middle = eyes + down * 0.1
    return np.stack([middle - x - y, middle - x + y, middle + x + y, middle + x - y])


def align_face(image: Image.Image, quad: F, size: int = 1024, oversample: int = 4) -> Image.Image:
    """Cut the square ``quad`` out of ``image`` (RGB) and make it ``size`` wide.

    Where the square reaches over the border, the image is continued by reflection that fades into blur and then
    into the median colour.
    """
    quad = quad.copy()
    side = float(np.hypot(*(quad[3] - quad[0])))
    shrink = int(np.floor(side / size * 0.5))
    if shrink > 1:
        image = image.resize((round(image.width / shrink), round(image.height / shrink)), Image.Resampling.LANCZOS)
        quad, side = quad / shrink, side / shrink

    border = max(round(side * 0.1), 3)
    low, high = np.floor(quad.min(0)).astype(int), np.ceil(quad.max(0)).astype(int)
    bounds = np.array(image.size)
    start, stop = np.maximum(low - border, 0), np.minimum(high + border, bounds)
    if (stop <= start).any():
        raise BadPicture("the face lies outside the image")
    if (stop - start < bounds).any():
        image = image.crop((*start.tolist(), *stop.tolist()))
        quad = quad - start

    low, high = np.floor(quad.min(0)).astype(int), np.ceil(quad.max(0)).astype(int)
    before = np.maximum(-low + border, 0)
    after = np.maximum(high - np.array(image.size) + border, 0)
    if max(before.max(), after.max()) > border - 4:
        least = round(side * 0.3)
        before, after = np.maximum(before, least), np.maximum(after, least)
        image = _continued(image, before, after, side * 0.02)
        quad = quad + before

    large = size * oversample
    corners = tuple((quad + 0.5).ravel().tolist())
    image = image.transform((large, large), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)
    return image if oversample == 1 else image.resize((size, size), Image.Resampling.LANCZOS)


def _continued(image: Image.Image, before: NDArray[np.int64], after: NDArray[np.int64], blur: float) -> Image.Image:
    try:
        from scipy.ndimage import gaussian_filter
    except ImportError:
        raise UserError(
            "aligning needs the package scipy", hint='install it with pip install "organza[data]"'
        ) from None
    sides = ((before[1], after[1]), (before[0], after[0]), (0, 0))
    pixels = np.pad(np.asarray(image, np.float32), sides, "reflect")
    height, width = pixels.shape[:2]
    with np.errstate(divide="ignore"):
        rows, columns = np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32)
        vertical = np.minimum(rows / before[1], (height - 1 - rows) / after[1])
        horizontal = np.minimum(columns / before[0], (width - 1 - columns) / after[0])
    # 1 at the outer edge, 0 where the image begins, below 0 within.
    outside = (1 - np.minimum(vertical[:, None], horizontal[None]))[..., None]
    soft = gaussian_filter(pixels, (blur, blur, 0))
    pixels += (soft - pixels) * np.clip(outside * 3 + 1, 0, 1)
    pixels += (np.median(pixels, axis=(0, 1)) - pixels) * np.clip(outside, 0, 1)
    return Image.fromarray(np.rint(pixels).clip(0, 255).astype(np.uint8))


class AlignedSource(Source):
    """Aligned faces as a source: what `organza.data.export.build` writes and `open_dataset` caches."""

    kind = "aligned faces"

    def __init__(
        self, photos: Source, items: list[dict[str, Any]], path: Path, size: int = 1024, upright: bool = False
    ) -> None:
        # FFHQ's landmarks refer to the stored pixels; those found in upright images, to these.
        self.photos, self.items, self.path, self.size, self.upright = photos, items, path, size, upright

    def __reduce__(self) -> tuple[type[AlignedSource], tuple[Source, list[dict[str, Any]], Path, int, bool]]:
        # Workers get what they need with each entry.
        return AlignedSource, (self.photos, [], self.path, self.size, self.upright)

    def fingerprint(self) -> str:
        """Of the photographs and the metadata."""
        text = json.dumps([self.photos.fingerprint(), self.items, self.size])
        return hashlib.sha256(text.encode()).hexdigest()

    def contents(self) -> Contents:
        """One for each face of the metadata, by number."""
        exact = {e.name: e for e in self.photos.entries()}
        known = {PurePosixPath(e.name).name: e for e in exact.values()}
        found = []
        for item in self.items:
            photo = exact.get(item["photo"]) or known.get(PurePosixPath(item["photo"]).name)
            at = (photo, item["quad"], item["md5"], item["photo"])
            found.append(Entry(f"{item['number']:05d}.png", 0 if photo is None else photo.size, at))
        return Contents(found, [])

    def read(self, entry: Entry) -> NDArray[np.uint8]:
        """Pixels ``[size, size, 3]``."""
        photo, quad, md5, name = entry.at
        if photo is None:
            raise BadPicture(f"its photograph {name} is not there")
        data = self.photos.read(photo)
        if md5 and isinstance(data, bytes) and hashlib.md5(data, usedforsecurity=False).hexdigest() != md5:
            raise BadPicture(f"its photograph {name} is not the one of the metadata (other MD5)")
        image = open_picture(data)
        try:
            image = upright(image) if self.upright else image.convert("RGB")
        except Exception as error:
            raise BadPicture(f"its photograph {name} is damaged ({error})") from None
        return np.asarray(align_face(image, np.array(quad), self.size))


def upright(image: Image.Image) -> Image.Image:
    """The image as displayed, in RGB: what landmarks are looked for in.

    Raises:
        BadPicture: truncated or damaged.
    """
    return Image.fromarray(render(decode(image), Target(None, 3)))


def read_metadata(file: Path, split: str = "all") -> list[dict[str, Any]]:
    """``ffhq-dataset-v2.json``, or the file of 2019: number, photograph, MD5 and quad of each face.

    Args:
        file: the metadata.
        split: "train" (the first 60,000, or what the file calls training), "validation", or "all".

    Raises:
        UserError: not such a file.
    """
    try:
        content = read_json(file.read_bytes(), file, max_memory=1 << 33)  # FFHQ's own takes 2 GB
        items = sorted(((int(k), v) for k, v in content.items()), key=lambda item: item[0])
    except FileNotFoundError:
        raise UserError("there is no such file", where=file) from None
    except UserError as error:
        raise UserError(f"not FFHQ's metadata ({error.what})", where=file) from None
    except (ValueError, AttributeError, OSError) as error:
        raise UserError(f"not FFHQ's metadata ({error})", where=file) from None
    found = []
    for number, item in items:
        try:
            wild = item["in_the_wild"]
            category = item.get("category", "training" if number < TRAINING else "validation")
            if split != "all" and not category.startswith(split):
                continue
            quad = _quad(wild)
            found.append(
                {"number": number, "photo": wild["file_path"], "md5": wild.get("file_md5", ""), "quad": quad.tolist()}
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"face {number} lacks what aligning needs ({error!r})", where=file) from None
    if not found:
        raise UserError(f"it has no faces for {split}", where=file)
    return found


def _quad(wild: dict[str, Any]) -> F:
    if "face_landmarks" in wild:
        landmarks = np.array(wild["face_landmarks"], np.float64).reshape(68, 2)
        quad = face_quad(landmarks)
    else:
        quad = np.array(wild["face_quad"], np.float64).reshape(4, 2)
    if not np.isfinite(quad).all():
        raise ValueError("not finite")
    return quad
