"""What a file is instead of what was expected, from its first bytes: one place for all readers."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

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


def instead(head: bytes, path: Path | None = None) -> tuple[str, str] | None:
    """What the file is, and what to do about it ("" where there is nothing to do); None where it is not known.

    Args:
        head: the first `HEAD` bytes, or all of them.
        path: where more may be looked at: the members of a zip.

    Example:
        >>> instead(b"version https://git-lfs.github.com/spec/v1 ...")
        ('a Git LFS pointer, not the file itself', 'run `git lfs pull` in its repository, or download the file itself')
    """
    if not head:
        return "an empty file", "copy or download it again"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:200].lower()
    if text.startswith(b"version https://git-lfs."):
        return (
            "a Git LFS pointer, not the file itself",
            "run `git lfs pull` in its repository, or download the file itself",
        )
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")) or re.match(
        rb"<\?xml[^>]*>\s*<!doctype html", text
    ):
        return "a web page, not the file itself", "open its address in a browser and download the file itself"
    if text.startswith((b"<?xml", b"<error")):
        return "an XML answer of a server, not the file itself", "check the address and download it again"
    if head.startswith(b"PK\x03\x04") or head.startswith(b"PK\x05\x06"):
        return _zip(path)
    for magic, what, remedy in _MAGIC:
        if head.startswith(magic):
            return what, remedy
    if head[4:12] in (b"ftypavif", b"ftypheic", b"ftypmif1", b"ftypheix"):
        return "an AVIF or HEIC image", ""
    if head[4:8] == b"ftyp":
        return "a video", ""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP image", ""
    if head[16:20] == b"\xde\xc0\xef\xbe":  # LMDB's magic in its first meta page
        return "an LMDB database (data.mdb)", "give the folder that it lies in"
    return None


def _zip(path: Path | None) -> tuple[str, str]:
    names: list[str] = []
    if path is not None:
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except Exception:  # zipfile raises many kinds for a broken file; the magic alone must do
            names = []
    if {"mu.npy", "sigma.npy"} <= set(names):
        return "FID statistics (mu and sigma)", "`organza evaluate --reference` takes them"
    if names and all(name.endswith(".npy") for name in names):
        return "NumPy arrays (.npz)", ""
    if any(name.endswith("data.pkl") for name in names):
        return "a PyTorch file", ""
    return "a zip archive", ""
