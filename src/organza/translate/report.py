"""One page about a translator: what went in, what came out, what was wanted, and what comes back.

The page is one HTML file with its images inside, for sending to somebody or for keeping beside a paper.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from organza.core.errors import UserError
from organza.core.files import atomic_write, user_path
from organza.core.version import __version__
from organza.data.opening import open_source
from organza.data.photo import Photo, read_photo
from organza.data.readers.part import Half, PartSource
from organza.data.source import PICTURES, BadPicture, Entry
from organza.data.tables.names import clean
from organza.media.images import check_suffix, over_white, to_image

if TYPE_CHECKING:
    from organza.models.translator import Translator

LARGEST = 384
"""Longer side of an image on the page, in pixels."""
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1240px; padding: 0 1rem; color: #222 }
table { border-collapse: collapse } th { text-align: left; font-weight: 600; padding: .3rem .5rem }
td { padding: .3rem .5rem; vertical-align: top; font-size: 13px; color: #666 } img { display: block; max-width: 100% }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd } td { color: #999 } }
"""


class Line(NamedTuple):
    """One row of the page.

    Attributes:
        name: of the image.
        images: by the heading of their column.
        note: what belongs to this row alone, such as a distance.
    """

    name: str
    images: Mapping[str, Photo]
    note: str = ""


def line(T: Translator, name: str, source: Photo, made: Photo, target: Photo | None, back: Translator | None) -> Line:
    """A row of one translation.

    Args:
        T: the translator that made it.
        name: of the image.
        source, made: what went in, and what came out.
        target: what was wanted, or None.
        back: the translator of the other direction, or None.
    """
    found = {"input": source, "output": made}
    notes = []
    if target is not None:
        found["target"] = fitted = target.resized(*made.size)
        notes.append(f"{distance(made, fitted):.1f} levels from the target")
    if back is not None:
        found["cycle"] = home = back.photo(made, size="own")
        notes.append(f"{distance(home, source.resized(*home.size)):.1f} levels from the input after the cycle")
    return Line(name, found, "; ".join(notes))


def wanted_of(T: Translator, source: Path, side: Half, targets: str | Path | None) -> Callable[[str], Photo | None]:
    """What is wanted of an image by its name: the other half of it, or the image of the same name among ``targets``;
    where several have the same plain name, folders must agree.

    Raises:
        UserError: there are no such images.
    """
    if targets is None and side == "whole":
        return lambda name: None
    where = source if targets is None else user_path(targets)
    other: Half = "whole" if targets is not None else "left" if side == "right" else "right"
    channels = T.model.channels
    if where.is_file() and where.suffix.lower() in PICTURES:
        return lambda name: T.read(where, channels).half(other)
    inner = open_source(where)
    part = inner if other == "whole" else PartSource(inner, where, "", other)
    tables = [_by(key, part.entries()) for key in _KEYS]

    def wanted(name: str) -> Photo | None:
        found = next((t[key(name)] for key, t in zip(_KEYS, tables, strict=True) if key(name) in t), [])
        try:
            return read_photo(part.read(found[0]), channels) if len(found) == 1 else None
        except BadPicture:
            return None

    return wanted


_KEYS: tuple[Callable[[str], str], ...] = (
    clean,
    lambda name: str(PurePosixPath(clean(name)).parent / PurePosixPath(clean(name)).stem),
    lambda name: PurePosixPath(clean(name)).stem,
)
"""What a target has in common with its source: all of its name, all but the ending, or the plain name alone."""


def _by(key: Callable[[str], str], entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(key(entry.name), []).append(entry)
    return found


def write_report(
    path: str | Path, T: Translator, columns: Sequence[str], lines: Iterable[Line], *, title: str = ""
) -> Path:
    """Write the page.

    Args:
        path: a file that ends in ``.html``.
        T: the translator.
        columns: headings; a row that has no image for one leaves it empty.
        lines: the rows, written as they come: memory does not grow with their number.
        title: what is translated, for the heading.

    Raises:
        UserError: another suffix, no rows, or the file can't be written.
    """
    path = check_suffix(path, (".html", ".htm"))
    heading = f"{T.kind} {T.name}" + (f": {title}" if title else "")
    empty = True
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as page:
        page.write(f"<!doctype html><meta charset=utf-8><title>{html.escape(heading)}</title><style>{STYLE}</style>\n")
        page.write(f"<h1>{html.escape(heading)}</h1><p>{html.escape(about(T))}</p><table>\n")
        page.write("<tr>" + "".join(f"<th>{html.escape(name)}" for name in columns) + "<th>\n")
        for row in lines:
            empty = False
            cells = "".join(f"<td>{_tag(row.images[name]) if name in row.images else ''}" for name in columns)
            page.write(f"<tr>{cells}<td>{html.escape(row.name)}<br>{html.escape(row.note)}\n")
        if empty:
            raise UserError("there is nothing to report", where=path)
        page.write("</table>\n")
    return path


def about(T: Translator) -> str:
    """What made the images, in a line."""
    height, width = T.resolution
    where = "" if T.source is None else f" {T.source.name},"
    return (
        f"Organza {__version__},{where} trained at {width}x{height}, normalisation as in mode {T.mode}, {T.precision}"
    )


def distance(one: Photo, other: Photo) -> float:
    """Mean L1 distance of two images of one size, in levels of 255; of grey and colour, as grey."""
    a, b = (photo.tensor() for photo in (one, other))
    if a.shape[1] != b.shape[1]:
        a, b = a[:, :3].mean(1, keepdim=True), b[:, :3].mean(1, keepdim=True)
    return float((a - b).abs().mean()) * 127.5


def _tag(photo: Photo) -> str:
    """The image inside the page; JPEG, which is small."""
    image = over_white(to_image(np.ascontiguousarray(photo.eight())))
    image.thumbnail((LARGEST, LARGEST))
    with io.BytesIO() as file:
        image.save(file, "JPEG", quality=90)
        data = base64.b64encode(file.getvalue()).decode()
    return f'<img width={image.width} height={image.height} alt="" src="data:image/jpeg;base64,{data}">'
