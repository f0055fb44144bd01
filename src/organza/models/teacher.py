"""Pairs that another translator makes: its sources, and what it made of them, to train a smaller or faster one on.

They are written once, as images in two folders, into the cache: under a name that follows from the network's weights
and the images' content.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from organza.core.cache import cache_root
from organza.core.errors import UserError
from organza.core.files import atomic_folder
from organza.core.messages import logger
from organza.core.progress import Progress
from organza.data.opening import open_source
from organza.data.places import free_place
from organza.data.source import BadPicture
from organza.data.techniques import TEACHER
from organza.models.load import load_translator
from organza.training.checkpoint import content_mark

log = logger(__name__)


def taught(path: str | Path, words: str, *, device: str | None = None, progress: Progress | None = None) -> Path:
    """A folder ``A/ B/`` of images and what a teacher makes of each; made if need be.

    Args:
        path: the images, whatever `open_source` takes; folders for training and tests stay such.
        words: ``"teacher:NETWORK"``, a run, a checkpoint or a file of weights that translates.
        device: where the teacher runs.
        progress: called as ``progress(done, total)`` while images are translated.

    Raises:
        UserError: no such network, no images, or the cache can't be written.
    """
    T = load_translator(words.removeprefix(TEACHER), device=device)
    if T.targets:
        hint = "translate the images first: organza translate --target"
        raise UserError(f"{T.kind} must be told what images should become, so it can't teach by itself", hint=hint)
    source = open_source(path)
    mark = f"{content_mark(T.net)} {T.kind} {source.fingerprint()}"
    digest = hashlib.sha256(mark.encode()).hexdigest()[:12]
    folder = cache_root() / "taught" / f"{source.name}-by-{T.kind}-{digest}"
    if (folder / "teacher.json").is_file():
        return folder
    if folder.exists():  # left by somebody who tidied it up
        shutil.rmtree(folder)
    entries, made, taken = source.entries(), 0, set[Path]()
    log.info(f"{T.kind} translates {len(entries)} images once, into {folder}")
    with atomic_folder(folder) as temporary:
        for number, entry in enumerate(entries):
            try:
                image = T.source_of(source.read(entry))
            except BadPicture as error:
                if entry.claimed:
                    log.warning(f"skipped {entry.name}: {error}")
                continue
            result = T.photo(image, seed=number)
            place = free_place(entry.name, ".png", taken)
            image.resized(*result.size).write(temporary / "A" / place)
            result.write(temporary / "B" / place)
            made += 1
            if progress is not None:
                progress(number + 1, len(entries))
        if not made:
            raise UserError("no image that the teacher can translate", where=source.path)
        about = {"teacher": str(T.source), "kind": T.kind, "images": made, "of": str(source.path)}
        (temporary / "teacher.json").write_text(json.dumps(about, indent=2) + "\n")
    return folder
