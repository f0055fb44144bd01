"""What a name is: one notion for images, labels, captions, tables and the keys of WebDataset.

Names come from file systems (which may keep bytes that are no UTF-8), from zips (cp437, or UTF-8 that does not say so),
from macOS (decomposed accents), from Windows (backslashes, another case) and from tables (with or without folders and
extensions). `clean` makes one form of them all; `find` says which row of a table means which image; `beside` finds the
file of another kind that belongs to an image.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence

_IMAGES = """
    png apng jpg jpeg jpe jfif webp bmp dib gif tif tiff ppm pgm pbm pnm avif avifs jp2 j2k j2c jpf jpx jpc
    heic heif hif jxl psd exr hdr svg ico tga dds xcf
"""
_RAWS = """
    dng nef nrw cr2 cr3 crw arw srf sr2 orf rw2 raf pef ptx srw x3f 3fr fff iiq erf mrw kdc dcr dcs mef mos rwl gpr
    raw rwz
"""
RAWS = frozenset(f".{kind}" for kind in _RAWS.split())
"""Names of cameras' raw files. Many are TIFFs with a small preview in front, which must not pass for the image."""

PICTURES = frozenset(f".{kind}" for kind in _IMAGES.split()) | RAWS
"""Names that promise an image: one that does not hold it is reported. Other names are looked into quietly."""

_SIDE_FILES = """
    json jsonl csv tsv txt md rst html htm xml yaml yml toml py ipynb log pdf sh bat mat npy npz pkl pt pth ckpt
    safetensors zip tar gz tgz 7z rar mdb tfrecords labels db ini lnk mp4 mov wav mp3 parquet arrow
"""
NOT_PICTURES = frozenset(f".{kind}" for kind in _SIDE_FILES.split())
"""Names that are never looked into: side files of a dataset."""


def suffix(name: str) -> str:
    """The lower-case extension with its dot, or ``""``."""
    _, dot, kind = name.rpartition(".")
    return f".{kind.lower()}" if dot and kind and "/" not in kind and "\\" not in kind else ""


def decode_name(raw: bytes, *, utf8: bool = False) -> str:
    """The name that an archive keeps as bytes: UTF-8 where it is valid, whether the archive says so or not; else cp437.

    Args:
        raw: as it stands in the archive.
        utf8: the archive says that it is UTF-8; damaged bytes are then kept as surrogates.

    Example:
        >>> decode_name("été.png".encode()), decode_name("été.png".encode("cp437"))
        ('été.png', 'été.png')
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "surrogateescape") if utf8 else raw.decode("cp437")


def text_of(raw: bytes) -> str:
    """A text file in whatever encoding: UTF-8 or UTF-16 with or without their marks, else Windows' Western one.

    Example:
        >>> text_of("é".encode("utf-16")), text_of("é".encode()), text_of("é".encode("cp1252"))
        ('é', 'é', 'é')
    """
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", "replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def clean(name: str) -> str:
    r"""The form in which names are compared: composed accents, ``/`` between folders, nothing superfluous.

    Example:
        >>> clean(".\\cats//e\u0301te\u0301.png") == clean("cats/\u00e9t\u00e9.png")
        True
    """
    parts = unicodedata.normalize("NFC", name.strip()).replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", "."))


def stem(name: str) -> str:
    """``name`` without the extension of an image: dots before it belong to the name.

    Example:
        >>> stem("a/1.5mm_01.png"), stem("a/1.5mm_01")
        ('a/1.5mm_01', 'a/1.5mm_01')
    """
    return name[: len(name) - len(suffix(name))] if suffix(name) in PICTURES else name


def find(keys: Sequence[str], names: Sequence[str]) -> list[list[int]]:
    """The places in ``keys`` (as tables write names) of each of ``names`` (of images).

    The strictest way in which any image is found counts for all of them: the whole path, or as many of its last parts
    as both have in common, down to the file's name; then the same without the image's extension (``0001`` means
    ``0001.png``), then without either extension (``1.jpg`` means ``1.png``); last, all of it in any case.

    Returns:
        For each name the places of all keys that mean it: none, one, or several.

    Example:
        >>> find(["2.jpg", "1.jpg"], ["faces/1.jpg", "faces/2.jpg", "faces/3.jpg"])
        [[1], [0], []]
        >>> find(["0001", "cats/0001"], ["cats/0001.png"])
        [[1]]
    """
    left, right = [clean(key) for key in keys], [clean(name) for name in names]
    nothing: list[list[int]] = [[] for _ in names]
    for fold in (str, str.casefold):
        left, right = [fold(key) for key in left], [fold(name) for name in right]
        for of_key, of_name in ((str, str), (str, stem), (stem, stem)):
            ours, theirs = [of_key(key) for key in left], [of_name(name) for name in right]
            if not {_last(key, 1) for key in ours} & {_last(name, 1) for name in theirs}:
                continue  # not even by the last part
            for depth in range(_depth(ours, theirs), 0, -1):
                places: dict[str, list[int]] = {}
                for place, key in enumerate(ours):
                    places.setdefault(_last(key, depth), []).append(place)
                found = [places.get(_last(name, depth), []) for name in theirs]
                if any(found):
                    return found
    return nothing


class Known:
    """Whether a cell of a table may be the name of one of some images: quick, and not strict.

    Example:
        >>> "Cats/0001.JPG" in Known(["a/0001.png"]), "cats" in Known(["a/0001.png"])
        (True, False)
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._ends = {_end(name) for name in names}

    def __contains__(self, key: str) -> bool:
        return _end(key) in self._ends


def _end(name: str) -> str:
    return stem(_last(clean(name).casefold(), 1))


def _last(name: str, depth: int) -> str:
    return "/".join(name.split("/")[-depth:])


def _depth(*lists: Sequence[str]) -> int:
    return max((name.count("/") for names in lists for name in names), default=0) + 1


def beside(names: Sequence[str], others: Iterable[str], kind: str) -> list[str | None]:
    """For each of ``names`` (of images) the one of ``others`` with the extension ``kind`` that belongs to it.

    It has the same name up to the last dot. Where no name with further dots has such a file, names end at the first
    dot, as WebDataset has it: ``1.left.png`` and ``1.right.png`` share ``1.cls``.

    Example:
        >>> beside(["1.5mm_1.png", "1.5mm_2.png"], ["1.5mm_1.cls", "1.5mm_2.cls"], ".cls")
        ['1.5mm_1.cls', '1.5mm_2.cls']
        >>> beside(["1.left.png", "1.right.png"], ["1.cls"], ".cls")
        ['1.cls', '1.cls']
    """
    known = {clean(other)[: -len(kind)]: other for other in others if other.lower().endswith(kind)}
    stems = [_to_last_dot(clean(name)) for name in names]
    dotted = any(stem in known for stem in stems if "." in _last(stem, 1))
    key: Callable[[str], str] = str if dotted else _to_first_dot
    return [known.get(key(stem)) for stem in stems]


def _to_last_dot(name: str) -> str:
    return name[: len(name) - len(suffix(name))]


def _to_first_dot(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0]
