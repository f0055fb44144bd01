"""Where a build goes: NVIDIA's zip, a folder of the same layout, WebDataset shards, TFRecords.

Everything is written under a temporary name beside the destination and renamed when complete. The bytes depend only on
the images: no times, no user names, no order of workers.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import zipfile
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from organza.core.errors import UserError
from organza.core.files import fsync_dir, fsync_file, make_folder, write_error
from organza.core.lock import locked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from organza.data.export.encode import Made

Label = int | list[float] | None


class Sink(ABC):
    """Takes results one by one, in order.

    Attributes:
        label_names: of the classes, or of the places of label vectors, where known.
    """

    label_names: tuple[str, ...] = ()

    @abstractmethod
    def add(self, number: int, made: Made, label: Label, caption: str | None) -> None:
        """Write image ``number`` (0, 1, 2 ...)."""

    @abstractmethod
    def close(self) -> None:
        """Write what belongs at the end."""


class _Index:
    """``dataset.json`` and ``captions.json``, collected while images come."""

    def __init__(self) -> None:
        self.labels: list[tuple[str, Label]] = []
        self.captions: dict[str, str] = {}

    def add(self, name: str, label: Label, caption: str | None) -> None:
        if label is not None:
            self.labels.append((name, label))
        if caption is not None:
            self.captions[name] = caption

    def files(self, names: tuple[str, ...]) -> dict[str, bytes]:
        told = {"label_names": names} if names and self.labels else {}
        found = {"dataset.json": json.dumps({"labels": self.labels or None, **told}).encode()}
        if self.captions:
            found["captions.json"] = json.dumps(self.captions, ensure_ascii=False, indent=0).encode()
        return found


def nvidia_name(number: int, suffix: str) -> str:
    """Where NVIDIA's tools put an image.

    Example:
        >>> nvidia_name(12345, ".png")
        '00012/img00012345.png'
    """
    digits = f"{number:08d}"
    return f"{digits[:5]}/img{digits}{suffix}"


class ZipSink(Sink):
    """NVIDIA's layout in a stored (not compressed) zip."""

    def __init__(self, path: Path) -> None:
        self.file, self.index = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED), _Index()

    def _write(self, name: str, data: bytes) -> None:
        info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
        info.create_system, info.external_attr = 3, 0o644 << 16
        self.file.writestr(info, data)

    def add(self, number: int, made: Made, label: Label, caption: str | None) -> None:
        """One entry."""
        name = nvidia_name(number, made.suffix)
        self._write(name, made.parts[0])
        self.index.add(name, label, caption)

    def close(self) -> None:
        """The side files, then the zip's directory."""
        for name, data in self.index.files(self.label_names).items():
            self._write(name, data)
        self.file.close()


class FolderSink(Sink):
    """NVIDIA's layout as files."""

    def __init__(self, path: Path) -> None:
        self.path, self.index = path, _Index()

    def add(self, number: int, made: Made, label: Label, caption: str | None) -> None:
        """One file."""
        name = nvidia_name(number, made.suffix)
        (self.path / name).parent.mkdir(exist_ok=True)
        (self.path / name).write_bytes(made.parts[0])
        self.index.add(name, label, caption)

    def close(self) -> None:
        """The side files."""
        for name, data in self.index.files(self.label_names).items():
            (self.path / name).write_bytes(data)


class ShardSink(Sink):
    """WebDataset: tars of at most ``size`` bytes; beside each image ``.cls`` or ``.json`` (label) and ``.txt``."""

    def __init__(self, path: Path, size: int = 1 << 30) -> None:
        self.path, self.size, self.count = path, size, 0
        self.file: IO[bytes] | None = None
        self.tar: tarfile.TarFile | None = None

    def _next(self) -> tarfile.TarFile:
        self._end()
        self.file = open(self.path / f"shard-{self.count:06d}.tar", "wb")  # noqa: SIM115 (closed with the shard)
        self.tar = tarfile.open(fileobj=self.file, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        self.count += 1
        return self.tar

    def _end(self) -> None:
        if self.tar is not None and self.file is not None:
            self.tar.close()
            self.file.close()

    def add(self, number: int, made: Made, label: Label, caption: str | None) -> None:
        """One sample: files of one name."""
        tar = self.tar
        if tar is None or tar.offset + len(made.parts[0]) > self.size:
            tar = self._next()
        files = {made.suffix: made.parts[0]}
        if isinstance(label, int):
            files[".cls"] = str(label).encode()
        elif label is not None:
            files[".json"] = json.dumps({"label": label}).encode()
        if caption is not None:
            files[".txt"] = caption.encode()
        for suffix, data in files.items():
            info = tarfile.TarInfo(f"{number:08d}{suffix}")
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))

    def close(self) -> None:
        """The last shard's end."""
        self._end()


class RecordSink(Sink):
    """StyleGAN's TFRecords: a file for each level of detail, labels in NumPy's format."""

    def __init__(self, path: Path, prefix: str) -> None:
        self.path, self.prefix = path, prefix
        self.files: list[IO[bytes]] = []
        self.size: tuple[int, int] | None = None
        self.labels: list[Label] = []

    def add(self, number: int, made: Made, label: Label, caption: str | None) -> None:
        """One frame in each file."""
        if not made.parts:
            size = "x".join(map(str, made.size))
            hint = "give --resolution 4, 8, 16 ... 1024"
            raise UserError(f"TFRecords hold squares with a power of two as side, not {size}", hint=hint)
        if self.size is None:
            self.size = made.size
            top = made.size[0].bit_length() - 1
            for level in range(top, 1, -1):
                name = f"{self.prefix}-r{level:02d}.tfrecords"
                self.files.append(open(self.path / name, "wb"))  # noqa: SIM115 (see close)
        elif self.size != made.size:
            raise UserError("TFRecords hold images of one size", hint="give --resolution")
        for file, part in zip(self.files, made.parts, strict=True):
            file.write(part)
        self.labels.append(label)

    def close(self) -> None:
        """The labels."""
        for file in self.files:
            file.close()
        if self.labels and self.labels[0] is not None:
            np.save(self.path / f"{self.prefix}-rxx", _vectors(self.labels))
            os.rename(self.path / f"{self.prefix}-rxx.npy", self.path / f"{self.prefix}-rxx.labels")


def _vectors(labels: list[Label]) -> np.ndarray[Any, np.dtype[np.float32]]:
    if isinstance(labels[0], int):
        classes = np.array(labels, np.int64)
        return np.eye(int(classes.max()) + 1, dtype=np.float32)[classes]
    return np.array(labels, np.float32)


MADE = ".organza"
"""In each folder that was built, the list of all that was put there: so that it can be told what may be removed."""


@contextmanager
def under_construction(dest: Path, *, folder: bool, overwrite: bool) -> Iterator[Path]:
    """Give a temporary file or folder beside ``dest`` that becomes ``dest`` when the block ends well.

    What a killed build left is removed or put back first; a second build of the same destination is refused. A folder
    is overwritten only if a build made it and nothing else was put there. The old one is moved aside whole before the
    new one takes its place: whenever the program is killed, ``dest`` is the old folder, the new one, or not there (and
    then the next build puts the old one back first).

    Raises:
        UserError: it exists already, holds other things, is being built, or can't be written.
    """
    dest = dest if dest.name not in ("", "..") else dest.resolve()
    if not dest.name:
        raise UserError("is no place for a dataset", where=dest, hint="give the name of a folder")
    make_folder(dest.parent)
    part, old, lock = (dest.with_name(f".{dest.name}.organza-{end}") for end in ("part", "old", "lock"))
    try:
        with locked(lock, wait=False):
            try:
                _remove(part)
                if old.exists():  # a build was killed between its last steps
                    os.replace(old, part if dest.exists() else dest)
                _check_free(dest, folder=folder, overwrite=overwrite)
                _remove(part)
                if folder:
                    part.mkdir()
                yield part
                if folder:
                    (part / MADE).write_bytes(b"".join(name + b"\n" for name in sorted(_names(part))))
                for file in part.rglob("*") if folder else [part]:
                    if file.is_file():
                        fsync_file(file)
                if folder and dest.exists():
                    os.replace(dest, old)
                os.replace(part, dest)
                fsync_dir(dest.parent)
                if old.exists():
                    os.replace(old, part)  # what is called old is whole, also while it is being removed
            finally:
                if old.exists() and not dest.exists():
                    os.replace(old, dest)
                _remove(part)
                lock.unlink(missing_ok=True)
    except BlockingIOError:
        raise UserError("is being written by another process", where=dest) from None
    except OSError as error:
        raise write_error(dest, error) from error


def _check_free(dest: Path, *, folder: bool, overwrite: bool) -> None:
    """Refuse a destination that would cost somebody something."""
    empty = dest.is_dir() and not dest.is_symlink() and not any(dest.iterdir())
    if not overwrite and (dest.exists() or dest.is_symlink()) and not (folder and empty):
        raise UserError("exists already", where=dest, hint="choose another name or add --overwrite")
    if folder and dest.is_file():
        raise UserError("is a file", where=dest, hint="give a folder")
    if not folder and dest.is_dir():
        raise UserError("is a folder", where=dest, hint="give a file name")
    if not folder or empty or not dest.exists():
        return
    hint = "choose another name, or remove it yourself"
    if dest.is_symlink():
        raise UserError("is a link to a folder, which --overwrite leaves alone", where=dest, hint=hint)
    try:
        made = {*(dest / MADE).read_bytes().split(b"\n"), os.fsencode(MADE)}
    except OSError:
        raise UserError("no build made this folder, so --overwrite leaves it alone", where=dest, hint=hint) from None
    if others := sorted(_names(dest) - made):
        what = f"holds other things than a build put there ({os.fsdecode(others[0])}), so --overwrite leaves it alone"
        raise UserError(what, where=dest, hint=hint)


def _names(folder: Path) -> set[bytes]:
    """All files below a folder."""
    return {os.fsencode(file.relative_to(folder).as_posix()) for file in folder.rglob("*") if not _is_folder(file)}


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _remove(path: Path) -> None:
    if _is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
