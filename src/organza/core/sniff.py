"""What a file is instead of what was expected, from its first bytes: one place for all readers."""

from __future__ import annotations

import re
from pathlib import Path

from organza.core.errors import UserError

HEAD = 512
"""So many first bytes are enough."""

_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image", ""),
    (b"\xff\xd8\xff", "a JPEG image", ""),
    (b"GIF8", "a GIF image", ""),
    (b"\x89HDF", "an HDF5 file", "export its images or tensors first"),
    (b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (b"BZh", "a bzip2 archive", "unpack it first"),
    (b"\xfd7zXZ\x00", "an xz archive", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", "unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it, or pack it again as .zip"),
    (b"Rar!\x1a\x07", "a RAR archive", "unpack it, or pack it again as .zip"),
    (b"PAR1", "a parquet file", ""),
    (b"\x93NUMPY", "a NumPy array (.npy)", ""),
    (b"%PDF", "a PDF", ""),
    (b"SQLite format 3", "an SQLite database", ""),
    (b"\x7fELF", "a program", ""),
    (b"MZ", "a program", ""),
)


_TEXTS: tuple[tuple[str, str, str], ...] = (
    (
        r"version https://(git-lfs|hawser)\.",
        "a Git LFS pointer, not the file itself",
        "run `git lfs pull` in its repository, or download the file itself",
    ),
    (
        r"(\.\./)*(\.git)?/annex/objects/",
        "a git-annex pointer, not the file itself",
        "run `git annex get` in its repository, or download the file itself",
    ),
    (
        r"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!doctype html|<html|<head|<body|<title)",
        "a web page, not the file itself",
        "open its address in a browser and download the file itself",
    ),
    (r"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!doctype svg[^>]*>\s*)?<svg", "an SVG drawing", "export it as PNG first"),
    (
        r"<\?xml|<error|<listbucketresult",
        "an XML answer of a server, not the file itself",
        "check the address and download it again",
    ),
    (
        r"(http/\d|(error )?40[134]\b|not found|access denied|forbidden|invalid username or password|entry not found)"
        r'|\{\s*"(error|message|errors)"\s*:',
        "an error message of a server, not the file itself",
        "check the address and download it again",
    ),
)
"""How texts that stand in a file's place begin, in small letters."""


def stand_in(head: bytes) -> tuple[str, str] | None:
    """What stands in the place of a file of any kind: a pointer to it, or what a server said instead; and what to do.

    Args:
        head: the first `HEAD` bytes, or all of them.
    """
    text = head.removeprefix(b"\xef\xbb\xbf").decode("utf-16" if head[:2] in _MARKS else "latin-1", "ignore")
    for begin, what, remedy in _TEXTS:
        if re.match(begin, text.lstrip().lower(), re.DOTALL):
            return what, remedy
    return None


def refuse_stand_in(path: Path) -> None:
    """Refuse a file that is only a pointer to another one, or what a server said instead of it.

    Raises:
        UserError: it is.
    """
    with path.open("rb") as file:
        if found := stand_in(file.read(HEAD)):
            raise UserError(f"this is {found[0]}", where=path, hint=found[1])


def instead(head: bytes) -> tuple[str, str] | None:
    """What a file is, and what to do about it ("" where there is nothing to do); None where it is not known.

    Args:
        head: its first `HEAD` bytes, or all of it.

    Example:
        >>> instead(b"version https://git-lfs.github.com/spec/v1 ...")
        ('a Git LFS pointer, not the file itself', 'run `git lfs pull` in its repository, or download the file itself')
    """
    if not head:
        return "an empty file", "copy or download it again"
    if found := stand_in(head):
        return found
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(head)
    for magic, what, remedy in _MAGIC:
        if head.startswith(magic) and (len(magic) > 2 or b"\0" in head):
            return what, remedy
    if head[4:12] in (b"ftypavif", b"ftypheic", b"ftypmif1", b"ftypheix"):
        return "an AVIF or HEIC image", ""
    if head[4:8] == b"ftyp":
        return "a video", ""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP image", ""
    if head[257:262] == b"ustar":
        return "a tar archive", "unpack it first"
    if head[16:20] == b"\xde\xc0\xef\xbe":  # LMDB's magic in its first meta page
        return "an LMDB database (data.mdb)", "give the folder that it lies in"
    return None


_MARKS = (b"\xff\xfe", b"\xfe\xff")


def _zip(head: bytes) -> tuple[str, str]:
    """By the name of the first entry."""
    first = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    if first in (b"mu.npy", b"sigma.npy"):
        return "FID statistics (mu and sigma)", "`organza evaluate --reference` takes them"
    if first.endswith(b".npy"):
        return "NumPy arrays (.npz)", ""
    if first.endswith((b"/data.pkl", b"/.format_version", b"/.data/serialization_id", b"/byteorder", b"/version")):
        return "a PyTorch file", ""
    return "a zip archive", ""
