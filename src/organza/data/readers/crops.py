"""One image as a dataset: random crops of it, for textures and single-image GANs."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from organza.core.errors import UserError
from organza.data.decode import NotAPicture, decode, open_picture
from organza.data.source import MAX_FILE, BadPicture, Contents, Entry, Source, usable

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL import Image

COUNT = 1000


class CropSource(Source):
    """1,000 crops at fixed random places, of the wanted resolution (or a quarter of the short side), not resampled."""

    kind = "crops of one image"

    def __init__(self, path: Path, size: tuple[int, int] | None = None, count: int = COUNT) -> None:
        self.path, self.size, self.count = path, size, count
        self._image: Image.Image | None = None

    def __reduce__(self) -> tuple[type[CropSource], tuple[Path, tuple[int, int] | None, int]]:
        return CropSource, (self.path, self.size, self.count)

    @classmethod
    def recognise(cls, path: Path, size: tuple[int, int] | None = None) -> CropSource | None:
        """An image, even one that can't be used.

        Raises:
            UserError: why it can't.
        """
        if path.stat().st_size > MAX_FILE:
            return None
        try:
            open_picture(usable(path.name, path.read_bytes()))
        except NotAPicture:
            return None
        except (BadPicture, OSError) as error:
            raise UserError(str(error), where=path) from None
        return cls(path, size)

    def fingerprint(self) -> str:
        """Of the file's bytes, the crop size and the count."""
        digest = hashlib.sha256(self.path.read_bytes())
        digest.update(repr((self.size, self.count)).encode())
        return digest.hexdigest()

    def _open(self) -> Image.Image:
        if self._image is None:
            try:
                self._image = decode(open_picture(self.path.read_bytes()))
            except BadPicture as error:
                raise UserError(str(error), where=self.path) from None
        return self._image

    def contents(self) -> Contents:
        """At places that are the same each time."""
        image = self._open()
        side = max(4, 1 << (max(1, min(image.size) // 4).bit_length() - 1))
        height, width = self.size or (side, side)
        if height > image.height or width > image.width:
            what = f"a crop of {height}x{width} does not fit into {image.height}x{image.width}"
            raise UserError(what, where=self.path, hint="give a smaller --resolution")
        rng = np.random.RandomState(0)
        tops = rng.randint(0, image.height - height + 1, self.count).tolist()
        lefts = rng.randint(0, image.width - width + 1, self.count).tolist()
        places = enumerate(zip(tops, lefts, strict=True))
        found = [Entry(f"{i:05d}", height * width * 3, (x, y, x + width, y + height)) for i, (y, x) in places]
        return Contents(found, [])

    def read(self, entry: Entry) -> NDArray[np.uint8]:
        """Pixels of one crop."""
        return np.asarray(self._open().crop(entry.at))
