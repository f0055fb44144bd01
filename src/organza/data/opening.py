"""The right reader for whatever a user names, recognised by content."""

from __future__ import annotations

import re
from pathlib import Path

from organza.core.download import cached_download, kept_if_it_opens
from organza.core.errors import UserError
from organza.core.files import user_path
from organza.core.sniff import HEAD, instead, refuse_stand_in
from organza.data.readers.archive import ZipSource
from organza.data.readers.arrays import ArraySource
from organza.data.readers.cifar import CifarSource
from organza.data.readers.crops import CropSource
from organza.data.readers.folder import FolderSource
from organza.data.readers.idx import IdxSource
from organza.data.readers.lmdb import LmdbSource
from organza.data.readers.parquet import ParquetSource
from organza.data.readers.part import PartSource
from organza.data.readers.tars import TarSource
from organza.data.readers.tfrecords import TFRecordSource
from organza.data.source import Source

KNOWN = "a folder, a zip or a tar of images, TFRecords, LMDB, NumPy arrays, MNIST or CIFAR files, parquet, or one image"


def open_source(path: str | Path, crop: tuple[int, int] | None = None) -> Source:
    """The images at ``path``.

    Args:
        path: a file or folder; a folder inside an archive (``set.zip/train``); shards as ``shard-{000..127}.tar``; or
            an address (https, s3 ...), which is downloaded into the cache.
        crop: (height, width) of the crops, if ``path`` is a single image.

    Raises:
        UserError: there is nothing there, or nothing that Organza can read.
    """
    text = str(path)
    if "{" in text and not _exists(Path(text)):
        names = braces(text)
        if len(names) > 1:
            shards = tuple(_local(name) for name in names)
            for shard in shards:
                if not shard.is_file():
                    raise UserError("there is no such shard", where=shard)
            return TarSource(Path(text.replace("{", "").replace("}", "").replace("..", "-")), shards)
    if address := _address(text):
        with kept_if_it_opens(cached_download(address)) as fetched:
            source = open_source(fetched, crop)
            source.entries()
        return source
    path = _local(text)
    if not _exists(path):
        return _open_inside(path)
    if path.is_dir():
        return _open_folder(path)
    try:
        return _open_file(path, crop)
    except OSError as error:
        raise UserError(f"can't be opened ({error.strerror})", where=path) from None


def _open_file(path: Path, crop: tuple[int, int] | None) -> Source:
    if not path.is_file():
        raise UserError("neither a file nor a folder", where=path, hint=f"give {KNOWN}")
    with open(path, "rb") as file:
        head = file.read(HEAD)
    if not head:
        raise UserError("the file is empty (0 bytes)", where=path, hint="download it again")
    if arrays := ArraySource.recognise(path):
        return arrays
    refuse_stand_in(path)
    if head[:2] == b"PK" or path.suffix.lower() == ".zip":
        return ZipSource(path)
    for reader in (IdxSource, TFRecordSource, ParquetSource, LmdbSource):
        if source := reader.recognise(path):
            return source
    if tar := TarSource.recognise(path):
        return CifarSource.recognise(tar) or tar
    if picture := CropSource.recognise(path, crop):
        return picture
    if found := instead(head):
        raise UserError(f"this is {found[0]}", where=path, hint=found[1] or f"give {KNOWN}")
    raise UserError("not a dataset that Organza knows", where=path, hint=f"give {KNOWN}")


def _open_folder(path: Path) -> Source:
    try:
        return _recognised(path)
    except OSError as error:
        raise UserError(f"can't list the folder ({error.strerror})", where=path) from None


def _recognised(path: Path) -> Source:
    for reader in (IdxSource, TFRecordSource, LmdbSource, TarSource, ParquetSource):
        if found := reader.recognise(path):
            return found
    folder = FolderSource(path)
    return CifarSource.recognise(folder) or folder


def _open_inside(path: Path) -> Source:
    """``archive.zip/folder``."""
    for whole in path.parents:
        if _exists(whole) and whole.is_file():
            part = PartSource(open_source(whole), path, path.relative_to(whole).as_posix() + "/")
            if part.entries():
                return part
            raise UserError(f"there is no folder {part.prefix} with images in it", where=whole)
    raise UserError("there is no such file or folder", where=path, hint=f"give {KNOWN}")


def _address(text: str) -> str | None:
    """The address that ``text`` is, if it is one: a Path made of it has lost one of its slashes."""
    found = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]+):/+(.+)", text)
    return f"{found[1]}://{found[2]}" if found and not _exists(Path(text)) else None


def _local(text: str) -> Path:
    address = _address(text)
    return user_path(text) if address is None else cached_download(address)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:  # a name that is too long
        raise UserError(f"can't be opened ({error.strerror})", where=path) from None


def braces(text: str) -> list[str]:
    """Ranges written out, as WebDataset does.

    Example:
        >>> braces("shard-{08..10}.tar")
        ['shard-08.tar', 'shard-09.tar', 'shard-10.tar']
    """
    found = re.search(r"\{(\d+)\.\.(\d+)\}", text)
    if not found:
        return [text]
    first, last = found[1], found[2]
    if not 0 <= int(last) - int(first) < 100_000:
        raise UserError(f"{found[0]} is no range of shards", where=text)
    numbers = [str(n).zfill(len(first)) for n in range(int(first), int(last) + 1)]
    return [name for n in numbers for name in braces(text[: found.start()] + n + text[found.end() :])]
