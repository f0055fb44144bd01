"""Parts of another source: a sub-folder, one half of each image, some of its entries."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from organza.data.decode import decode, open_picture
from organza.data.source import BadPicture, Contents, Entry, Source
from organza.data.tables.values import Labels

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL import Image

Half = Literal["whole", "left", "right"]


class PartSource(Source):
    """Entries under a folder of ``inner``; of side-by-side images, one half."""

    def __init__(self, inner: Source, path: Path, prefix: str, half: Half = "whole") -> None:
        self.inner, self.path, self.prefix, self.half = inner, path, prefix, half
        self.kind = inner.kind

    def __reduce__(self) -> tuple[type[PartSource], tuple[Source, Path, str, Half]]:
        return PartSource, (self.inner, self.path, self.prefix, self.half)

    @property
    def name(self) -> str:
        """With the whole's name in front."""
        parts = [self.inner.name, self.prefix.strip("/").replace("/", "-"), "" if self.half == "whole" else self.half]
        return "-".join(filter(None, parts))

    def fingerprint(self) -> str:
        """That of the whole, and which part."""
        return hashlib.sha256(f"{self.inner.fingerprint()} {self.prefix} {self.half}".encode()).hexdigest()

    def contents(self) -> Contents:
        """What lies in the folder, with its whole names."""
        entries, others = self.inner.contents()
        return Contents(
            [e for e in entries if e.name.startswith(self.prefix)],
            [(name, what) for name, what in others if name.startswith(self.prefix)],
        )

    def read(self, entry: Entry) -> bytes | NDArray[np.uint8]:
        """As it is, or half of its pixels."""
        data = self.inner.read(entry)
        if self.half == "whole":
            return data
        return np.asarray(half_of(decode(open_picture(data)), self.half))

    def side(self, name: str) -> bytes | None:
        """In the folder, else in the whole."""
        own = self.inner.side(self.prefix + name)
        return self.inner.side(name) if own is None else own

    def texts(self, entries: Sequence[Entry]) -> list[str | None]:
        """Those of the whole."""
        return self.inner.texts(entries)

    def labels(self) -> Labels | None:
        """Those of the whole, for this part's entries."""
        whole = self.inner.labels()
        if whole is None:
            return None
        rows = [i for i, e in enumerate(self.inner.entries()) if e.name.startswith(self.prefix)]
        missing = frozenset(place for place, row in enumerate(rows) if row in whole.missing)
        return replace(whole, values=whole.values[rows], missing=missing, least=whole.dim)


def half_of(image: Image.Image, half: Half) -> Image.Image:
    """The left or right half of two images side by side; ``"whole"`` leaves it as it is.

    Raises:
        BadPicture: it is too narrow to be two.
    """
    if half == "whole":
        return image
    if image.width < 2:
        raise BadPicture("too narrow to be two images side by side")
    left = 0 if half == "left" else image.width - image.width // 2
    return image.crop((left, 0, left + image.width // 2, image.height))
