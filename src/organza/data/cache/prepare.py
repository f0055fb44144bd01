"""Decode once: a source and options -> a folder with all pixels in one file.

```
<cache>/<name>-<key>/  images.u8    uint8 [slots, H, W, C], read in place later
                       labels.npy   int64 [N] classes or float32 [N, D], if labelled
                       meta.json    everything else; `slots` says where the images are if some were bad
                       captions.json, if asked for
                       names.json   where each image came from
```
The key holds the content's fingerprint and all options that change pixels, so a stale cache can't be found. A cache is
built under a temporary name and renamed when complete; a lock makes the second of two builders wait for the first.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from organza.core.cache import cache_root
from organza.core.errors import UserError
from organza.core.files import fsync_dir, fsync_file
from organza.core.lock import locked
from organza.core.progress import Progress
from organza.data.cache import parallel
from organza.data.cache.plan import Coloured, Plan, make_plan, pixels_in
from organza.data.decode import Target, decode, is_grey, open_picture, render
from organza.data.export.encode import why
from organza.data.options import DataOptions
from organza.data.source import BadPicture, Entry, Source
from organza.data.tables.tables import table_stamp

if TYPE_CHECKING:
    from organza.data.tables.values import Labels

FORMAT = 3
"""Raise it when decoding or the layout changes: older caches are then built anew."""


@dataclass(frozen=True)
class Meta:
    """The content of ``meta.json``."""

    format: int
    kind: str
    resolution: tuple[int, int]
    channels: int
    label_dim: int
    classes: tuple[str, ...]
    count: int
    total: int
    """Slots in images.u8."""
    slots: tuple[int, ...] | None
    """Slot of each image; None: image i is in slot i."""
    skipped: tuple[tuple[str, str], ...]


def content_key(source: Source, options: DataOptions) -> str:
    """What the cache is found by: 20 hexadecimal digits."""
    names = {field.name for field in fields(DataOptions)} - {"layout", "mirror", "strict", "held_out"}
    said: dict[str, object] = {name: getattr(options, name) for name in names}
    if options.classes is None:
        del said["classes"]  # younger than caches that exist
    said["tables"] = [table_stamp(source, wish) for wish in (options.labels, options.captions)]
    text = json.dumps([FORMAT, source.kind, source.fingerprint(), said], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def prepare(
    source: Source,
    options: DataOptions,
    *,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> tuple[Path, Meta]:
    """The cache folder of a source, built if need be.

    Raises:
        UserError: nothing usable in the source, wrong labels, or the cache can't be written.
    """
    root = (cache_dir or cache_root()) / "datasets"
    folder = root / f"{source.name}-{content_key(source, options)}"
    meta = _existing(folder)
    if meta is None:
        try:
            root.mkdir(parents=True, exist_ok=True)
            with locked(root / f"{folder.name}.lock"):
                meta = _existing(folder)  # another process may have built it while we waited
                if meta is None:
                    meta = _build(source, options, folder, progress, workers)
        except ChildProcessError as error:
            raise UserError(f"{error} while decoding", where=source.path, hint="it may be short of memory") from None
        except OSError as error:
            hint = "set ORGANZA_CACHE to a folder that can be written and has room"
            raise UserError(f"can't write the cache ({error.strerror or error})", where=root, hint=hint) from None
    return folder, meta


def _existing(folder: Path) -> Meta | None:
    try:
        raw = json.loads((folder / "meta.json").read_bytes())
        raw["resolution"], raw["classes"] = tuple(raw["resolution"]), tuple(raw["classes"])
        raw["slots"] = None if raw["slots"] is None else tuple(raw["slots"])
        raw["skipped"] = tuple((n, r) for n, r in raw["skipped"])
        meta = Meta(**raw)
        height, width = meta.resolution
        expected = meta.total * height * width * meta.channels
        complete = (folder / "images.u8").stat().st_size == expected
        return meta if complete and meta.format == FORMAT else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _build(source: Source, options: DataOptions, folder: Path, progress: Progress | None, workers: int | None) -> Meta:
    for left in folder.parent.glob(f"{folder.name}.tmp-*"):
        shutil.rmtree(left, ignore_errors=True)  # of a killed builder: we hold the lock, so nobody is writing
    if folder.exists():
        shutil.rmtree(folder)
    plan = make_plan(source, options)
    tmp = folder.with_name(f"{folder.name}.tmp-{secrets.token_hex(4)}")
    tmp.mkdir()
    try:
        try:
            outcome = _decode_all(plan, tmp, progress, workers)
        except Coloured:
            plan = replace(plan, target=plan.target._replace(channels=3), guessed=False)
            outcome = _decode_all(plan, tmp, progress, workers)
        entries = plan.entries
        assert len(outcome) == len(entries)
        skipped = tuple((entries[slot].name, reason) for slot, reason, _ in outcome if reason)
        slots = [slot for slot, reason, _ in outcome if reason is None]
        if not slots:
            raise UserError("no usable images" + listed(skipped), where=source.path)
        labels, captions = plan.labels_of(slots), plan.captions_of(slots)
        meta = _describe(plan, labels, slots, skipped)
        _write_json(tmp / "names.json", [entries[s].name for s in slots])
        if captions is not None:
            _write_json(tmp / "captions.json", captions)
        if labels is not None:
            np.save(tmp / "labels.npy", labels.values)
        _write_json(tmp / "meta.json", asdict(meta))
        for file in tmp.iterdir():
            fsync_file(file)
        os.rename(tmp, folder)
        fsync_dir(folder.parent)
    finally:
        shutil.rmtree(tmp, ignore_errors=True)
    return meta


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), "utf-8", "surrogatepass")


def _describe(plan: Plan, labels: Labels | None, slots: list[int], skipped: tuple[tuple[str, str], ...]) -> Meta:
    assert plan.target.size is not None
    return Meta(
        format=FORMAT,
        kind=plan.source.kind,
        resolution=plan.target.size,
        channels=plan.target.channels,
        label_dim=0 if labels is None else labels.dim,
        classes=() if labels is None else labels.names,
        count=len(slots),
        total=len(plan.rows),
        slots=None if len(slots) == len(plan.rows) else tuple(slots),
        skipped=skipped,
    )


Outcome = list[tuple[int, "str | None", bool]]
"""For each slot: number; None, a reason for skipping, or "" for a file that never claimed to be an image; grey."""


def _decode_all(plan: Plan, tmp: Path, progress: Progress | None, workers: int | None) -> Outcome:
    images, entries = tmp / "images.u8", plan.entries
    size = len(entries) * pixels_in(plan.target)
    free = shutil.disk_usage(tmp).free
    if size > free:
        raise OSError(0, f"{size / 2**20:,.0f} MB are needed and {free / 2**20:,.0f} MB free")
    with open(images, "wb") as file:
        file.truncate(size)
    outcome: Outcome = []
    for part in parallel.run(DecodeInto(plan.source, plan.target, images), list(enumerate(entries)), workers=workers):
        outcome += part
        if plan.guessed and any(reason is None and not grey for _, reason, grey in part):
            raise Coloured
        if progress is not None:
            progress(len(outcome), len(entries))
    return outcome


@dataclass(frozen=True)
class DecodeInto:
    """Decode entries and write each to its slot of ``images``."""

    source: Source
    target: Target
    images: Path

    def __call__(self, chunk: Sequence[tuple[int, Entry]]) -> Outcome:
        """(slot, entry) pairs -> what became of each."""
        done: Outcome = []
        stride = pixels_in(self.target)
        # Plain writes, not a memory map: on a full disk they raise, where a map kills the process.
        with open(self.images, "rb+") as file:
            for slot, entry in chunk:
                try:
                    image = open_picture(self.source.read(entry), self.target)
                    grey = is_grey(image)
                    pixels = render(decode(image), self.target)
                except BadPicture as error:
                    done.append((slot, why(error, entry), True))
                except MemoryError:
                    done.append((slot, "too large for the memory", True))
                else:
                    file.seek(slot * stride)
                    file.write(pixels.tobytes())
                    done.append((slot, None, grey))
        return done


def listed(skipped: Sequence[tuple[str, str]], most: int = 10) -> str:
    """The bad files as one line's end.

    Example:
        >>> listed([("a.png", "empty file (0 bytes)"), ("b.png", "truncated")], most=1)
        ': a.png: empty file (0 bytes); and 1 more'
    """
    if not skipped:
        return ""
    more = f"; and {len(skipped) - most} more" if len(skipped) > most else ""
    return ": " + "; ".join(f"{name}: {reason}" for name, reason in skipped[:most]) + more
