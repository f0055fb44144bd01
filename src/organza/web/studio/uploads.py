"""Uploads: into a place of their own, looked at, and only then among the things of the workspace."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from organza.core.errors import UserError
from organza.core.files import append, make_folder, sweep
from organza.core.text import printable
from organza.web.studio.look import look_at_image
from organza.web.studio.settings import LOOK, Room
from organza.web.studio.workspace import Workspace, allowed, clean, fresh

LOOKING = (*(("-P",) if sys.version_info >= (3, 11) else ()), "-m", "organza.web.studio.look")
"""The program that looks, without the modules of the folder where it runs."""
COUNT = 100_000
"""Files that all uploads together may have."""
_OWN = 1 << 27
"""Images up to so many bytes are decoded here; larger ones, and all else, in a process of their own."""


_looking = threading.BoundedSemaphore(2)
"""Each process that looks at a file takes the memory of PyTorch."""


class FullDiskError(UserError):
    """The uploads have taken all that they may have."""


class Uploads:
    """What was sent to a workspace.

    Args:
        workspace: where it goes.
        room: how much there may be.
    """

    def __init__(self, workspace: Workspace, room: Room) -> None:
        self._workspace, self._room = workspace, room
        self._lock = threading.Lock()
        for left in workspace.incoming.iterdir():  # of a server that was killed
            shutil.rmtree(left, ignore_errors=True)
        sweep(workspace.results)
        self._bytes, self._files = _weigh(workspace.uploads)
        self._coming: dict[Path, int] = {}

    def place(self, name: str) -> Path:
        """A new file in the incoming place, for `add` to fill; its folder is its own.

        Raises:
            FullDiskError: there is no room for even one more.
        """
        self._check(0)
        folder = make_folder(self._workspace.incoming / secrets.token_hex(8))
        return folder / clean(name)

    def add(self, path: Path, data: bytes) -> None:
        """Add to a file of `place`.

        Raises:
            FullDiskError: there is no room for it.
            UserError: the disk is full.
        """
        with self._lock:
            self._check(len(data))
            self._coming[path] = self._coming.get(path, 0) + len(data)
        append(path, data)

    def drop(self, path: Path) -> None:
        """Forget a file of `place`, if it is still there."""
        with self._lock:
            self._coming.pop(path, None)
        shutil.rmtree(path.parent, ignore_errors=True)

    def take(self, path: Path, into: str | None = None) -> dict[str, Any]:
        """Look at a file of `place`, and put it among the uploads.

        Args:
            path: the file, complete.
            into: the name of a folder that collects images.

        Returns:
            ``{"id", "what", "note"}``.

        Raises:
            UserError: nothing that the studio takes; it is gone then.
        """
        if not path.is_file():
            raise UserError("an empty file")
        looked = _look(path)
        if into is not None and looked["what"] != "image":
            raise UserError(f"{into} collects images, and this is {looked['note']}", hint="send it without into")
        (found,) = [each for each in path.parent.iterdir() if each.is_file()]  # it may have another ending now
        folder = self._workspace.uploads
        if into is not None:
            folder = self._folder(into)
        size = found.stat().st_size
        ending = str(looked["ending"])
        name = found.name if found.suffix.lower() == ending else f"{found.stem}{ending}"
        if ending in (".jpg",) and found.suffix.lower() == ".jpeg":
            name = found.name
        with self._lock:
            target = fresh(folder, name)
            os.replace(found, target)
            self._bytes += size
            self._files += 1
            self._coming.pop(path, None)
        about: dict[str, Any] = looked["about"]
        return {"id": self._workspace.id_of(target), "what": looked["what"], "note": looked["note"]} | about

    def remove(self, id: str) -> None:
        """Remove an upload or a result.

        Raises:
            UserError: see `Workspace.ours`.
        """
        path = self._workspace.ours(id)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        with self._lock:
            self._bytes, self._files = _weigh(self._workspace.uploads)

    def _folder(self, name: str) -> Path:
        """The folder of a set, or of a part of it: ``faces``, ``horses/trainA``."""
        folder, parts = self._workspace.uploads, name.split("/")
        if len(parts) > 2 or not all(clean(part, "") == part and allowed(part) and "." not in part for part in parts):
            hint = "letters, digits and -, and one / for a part of it"
            raise UserError(f"{printable(repr(name[:80]), 100)} is no name for a folder", hint=hint)
        for part in parts:
            folder = folder / part
            if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
                raise UserError("is a file", where=name, hint="choose another name")
        return make_folder(folder)

    def _check(self, more: int) -> None:
        if self._bytes + sum(self._coming.values()) + more > self._room.uploads_gb * 1e9 or self._files >= COUNT:
            hint = "remove some, or start the studio with a larger --uploads-gb"
            raise FullDiskError(f"uploads take {self._bytes / 1e9:.1f} GB already", hint=hint)


def _look(path: Path) -> dict[str, Any]:
    """What a file is, in a process of its own but for usual images.

    Raises:
        UserError: it is refused.
    """
    if path.stat().st_size <= _OWN:
        with path.open("rb") as file:
            data = file.read(_OWN)
        if (image := look_at_image(data)) is not None:
            return vars(image) | {"about": {}}
    words = [sys.executable, *LOOKING, str(path)]
    environment = os.environ | {"ORGANZA_OFFLINE": "1"}
    environment.pop("ORGANZA_PROGRESS", None)
    try:
        with _looking:
            done = subprocess.run(
                words,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=LOOK,
                check=False,
                env=environment,
                cwd=sys.prefix,  # an upload may be called like a module
            )
    except subprocess.TimeoutExpired:
        raise UserError("looking at it took too long") from None
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        raise UserError("is damaged: the program that looked at it ended", hint="make it again") from None
    if "error" in answer:
        raise UserError(printable(answer["error"], 400))
    found: dict[str, Any] = answer
    return found


def _weigh(folder: Path) -> tuple[int, int]:
    """Bytes and number of the files below a folder."""
    size = count = 0
    for here, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                size += os.lstat(os.path.join(here, name)).st_size
                count += 1
    return size, count
