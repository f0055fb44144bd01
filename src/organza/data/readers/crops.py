"""One picture as a data set: random crops of it, for textures and single-image GANs."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from organza.core.errors import UserError
from organza.data.decode import FORMATS, decode, open_picture
from organza.data.source import BadPicture, Entry, Source

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

COUNT = 1000


class CropSource(Source):
    """1,000 crops at fixed random places, of the wanted resolution (or a quarter of the short side), not resampled."""

    kind = "crops of one picture"

    def __init__(self, path: Path, size: tuple[int, int] | None = None, count: int = COUNT) -> None:
        self.path, self.size, self.count = path, size, count
        self._image: Image.Image | None = None

    def __reduce__(self) -> tuple[type[CropSource], tuple[Path, tuple[int, int] | None, int]]:
        return CropSource, (self.path, self.size, self.count)

    @classmethod
    def recognise(cls, path: Path, size: tuple[int, int] | None = None) -> CropSource | None:
        """A file that Pillow knows as a picture."""
        try:
            with Image.open(path, formats=FORMATS):
                return cls(path, size)
        except Exception:  # whatever a parser raises: it is no picture
            return None

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

    def entries(self) -> list[Entry]:
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
        return [Entry(f"{i:05d}", height * width * 3, (x, y, x + width, y + height)) for i, (y, x) in places]

    def read(self, entry: Entry) -> NDArray[np.uint8]:
        """Pixels of one crop."""
        return np.asarray(self._open().crop(entry.at))
