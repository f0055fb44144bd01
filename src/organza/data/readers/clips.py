"""Videos as images: each frame of each video is an entry, named ``VIDEO/000123``."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from organza.core.cache import cache_root
from organza.core.errors import UserError
from organza.core.files import atomic_write
from organza.data.source import BadPicture, Contents, Entry, Source
from organza.media.clip import Reading, is_clip, open_clip

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from organza.media.clip import Frame


class ClipsSource(Source):
    """Videos, a name for each; their frames are read in order, one at a time.

    Args:
        path: the file, or the folder in which they lie.
        clips: where each lies, by the name under which its frames are listed.
        others: (name, what it is) of what lies beside them.
    """

    kind = "video"

    def __init__(self, path: Path, clips: Mapping[str, Path], others: tuple[tuple[str, str], ...] = ()) -> None:
        self.path, self.clips, self.others = path, dict(clips), others
        self._contents: Contents | None = None
        self._open: tuple[str, int, Iterator[Frame]] | None = None

    def __reduce__(self) -> tuple[type[ClipsSource], tuple[Path, dict[str, Path], tuple[tuple[str, str], ...]]]:
        return ClipsSource, (self.path, self.clips, self.others)

    def fingerprint(self) -> str:
        """Names, sizes and times of change."""
        return hashlib.sha256(
            repr(sorted((name, _stamp(file)) for name, file in self.clips.items())).encode()
        ).hexdigest()

    def contents(self) -> Contents:
        """The frames, counted by decoding each video once; the count is remembered in the cache."""
        if self._contents is None:
            found = []
            for name, file in sorted(self.clips.items()):
                height, width = open_clip(file).size
                numbers = range(frames_in(file))
                found += [Entry(f"{name}/{k:06d}", height * width * 3, (name, k)) for k in numbers]
            self._contents = Contents(found, list(self.others))
        return self._contents

    def read(self, entry: Entry) -> NDArray[np.uint8]:
        """A frame ``[H, W, 3]``. Those that follow each other are decoded once; going back begins anew."""
        name, number = entry.at
        if self._open is None or self._open[0] != name or self._open[1] > number:
            self._open = name, 0, Reading(open_clip(self.clips[name])).frames()
        _, at, frames = self._open
        for frame in frames:
            at += 1
            self._open = name, at, frames
            if at > number:
                return frame.pixels
        self._open = None
        raise BadPicture("the video ends before it")


def clips_under(path: Path) -> dict[str, Path]:
    """The videos in a folder and its sub-folders, by their places there."""
    found = {}
    for folder, inner, files in os.walk(path):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(files):
            if is_clip(name) and not name.startswith("."):
                file = Path(folder, name)
                found[file.relative_to(path).as_posix()] = file
    return found


def frames_in(file: Path) -> int:
    """How many frames a video has: those that can be decoded, whatever its header says.

    Raises:
        UserError: it is no video, or not one frame can be read.
    """
    stamp = hashlib.sha256(repr((str(file.resolve()), _stamp(file))).encode()).hexdigest()[:20]
    place = cache_root() / "clips" / f"{stamp}.json"
    try:
        known = json.loads(place.read_text())["frames"]
        if isinstance(known, int) and known > 0:
            return known
    except (OSError, ValueError, KeyError, TypeError):
        pass
    count = sum(1 for _ in Reading(open_clip(file)).frames())
    try:
        with atomic_write(place) as temporary:
            temporary.write_text(json.dumps({"frames": count}))
    except (UserError, OSError):
        pass  # it is counted again
    return count


def _stamp(file: Path) -> tuple[int, int]:
    try:
        about = file.stat()
    except OSError as error:
        raise UserError(f"can't be read ({error.strerror})", where=file) from None
    return about.st_size, about.st_mtime_ns
