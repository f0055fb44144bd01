"""From two StyleGAN networks to a translator: blend them, generate pairs of both, train a student on the pairs.

Justin Pinkney and Doron Adler: Resolution Dependent GAN Interpolation for Controllable Image Synthesis Between Domains.
2020, arXiv 2010.05334: the base network's image and the blended network's of the same w belong together. A student that
has learnt from such pairs translates photographs, without a projection into latent space.

Each step is done once, and the same call goes on where it was stopped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from organza.core.device import choose_device
from organza.core.errors import UserError
from organza.core.files import atomic_write, make_folder, read_error, sweep, user_path
from organza.core.jsons import read_json
from organza.core.messages import logger
from organza.core.progress import Progress
from organza.media.figure import table
from organza.media.images import save_picture
from organza.models.generator import Generator
from organza.models.load import load_generator, load_translator
from organza.models.sampling import Sampling
from organza.presets import Run, preset
from organza.runs.plan import check_size, override
from organza.runs.train import Outcome, train
from organza.studio.blend import Mapping as MappingOf
from organza.studio.blend import blend
from organza.studio.codes import codes, draw
from organza.training.checkpoint import content_mark

log = logger(__name__)

CHUNK = 8
"""Images generated at once; always the same ones together, so that a resumed call writes the same bits."""
NOTE = "toonify.json"
SHOWN = 8


@dataclass(frozen=True)
class Recipe:
    """How networks are blended, and which pairs are generated.

    Attributes:
        swap, width, amount, mapping: see `organza.studio.blend.blend`.
        pairs: how many to learn from.
        held_out: more pairs, which the student is tried on.
        first_seed: seeds go from here on.
        psi: truncation of both networks. Faces of the full variety are seldom worth learning from.
        label: the class, of networks with classes.
    """

    swap: int = 16
    width: float = 0.0
    amount: float = 1.0
    mapping: MappingOf = "first"
    pairs: int = 2000
    held_out: int = 50
    first_seed: int = 0
    psi: float = 0.7
    label: int | None = None


@dataclass(frozen=True)
class Toonified:
    """What came of it.

    Attributes:
        blend: folder of the blended network.
        pairs: folder of the pairs: ``A/train``, ``B/train``, ``A/val``, ``B/val``.
        student: how its training ended, with the folder of its run.
        comparison: held-out images, blended ones and what the student makes of them, a row each; None before its end.
    """

    blend: Path
    pairs: Path
    student: Outcome
    comparison: Path | None


def toonify(
    base: str | Path,
    second: str | Path,
    outdir: str | Path,
    recipe: Recipe = Recipe(),
    *,
    student: str | Run = "pix2pix",
    device: str | None = None,
    progress: Progress | None = None,
    **changes: Any,
) -> Toonified:
    """Blend, generate pairs, and train a student on them; or go on where a call before was stopped.

    Args:
        base: a run or checkpoint of ours: what photographs look like.
        second: another, trained on from ``base``: what they should become.
        outdir: folder for everything.
        recipe: how.
        student: a preset or a `Run` of a method that learns from pairs.
        device: as for `organza.train`.
        progress: called as ``progress(done, total)`` while pairs are generated.
        **changes: settings of the student's training, as for `organza.train`.

    Raises:
        UserError: networks built differently, a student that does not learn from pairs, an ``outdir`` that holds
            something else, or settings that can't be used.
    """
    if not 1 <= recipe.pairs <= 1_000_000 or not 0 <= recipe.held_out <= 100_000:
        raise UserError(f"{recipe.pairs} pairs and {recipe.held_out} more", hint="give at least one, such as 2000")
    run = override(preset(student).run if isinstance(student, str) else student, changes)
    if run.method.layout != "pairs":
        raise UserError(
            f"{student if isinstance(student, str) else 'it'} does not learn from pairs", hint="take pix2pix"
        )
    A, B = load_generator(base, device=device), load_generator(second, device=device)
    size = run.data.resolution or "{}x{}".format(*A.resolution)
    check_size(replace(run, data=replace(run.data, resolution=size)), choose_device(device))
    sampling = Sampling(recipe.label, recipe.psi)
    last = recipe.first_seed + recipe.pairs + recipe.held_out - 1
    codes(A, [recipe.first_seed, last], sampling)  # what can't be sampled is told before anything is written
    folder = user_path(outdir)
    marks = {"base": content_mark(A.net), "second": content_mark(B.net)}
    _promise(folder, {**marks, **asdict(recipe)})
    mixed = folder / "blend"
    if not (mixed / "config.json").is_file():
        how: dict[str, Any] = {name: getattr(recipe, name) for name in ("swap", "width", "amount", "mapping")}
        blend(A, B, mixed, **{**how, "swap": recipe.swap or None})
    C = load_generator(mixed, device=device)
    pairs = write_pairs(A, C, folder / "pairs", recipe, progress)
    outcome = train(student, pairs, outdir=folder / "student", device=device, progress=progress, **changes)
    shown = _comparison(outcome, pairs, folder / "comparison.png", device) if outcome.finished else None
    return Toonified(mixed, pairs, outcome, shown)


def write_pairs(A: Generator, B: Generator, folder: Path, recipe: Recipe, progress: Progress | None = None) -> Path:
    """Write images of both networks for the same w's, those of ``A``, as pairs; what is there already stays.

    Args:
        A, B: networks with w's of one shape.
        folder: ``A/train``, ``B/train`` and ``A/val``, ``B/val`` in it, with the seeds as names.
        recipe: how many, and which.
        progress: called as ``progress(done, total)``.

    Raises:
        UserError: a full disk, or seeds that can't be.
    """
    total = recipe.pairs + recipe.held_out
    sampling = Sampling(recipe.label, recipe.psi)
    for side, part in ((side, part) for side in "AB" for part in ("train", "val")):
        sweep(folder / side / part)
    for start in range(0, total, CHUNK):
        numbers = range(start, min(start + CHUNK, total))
        places = [_places(folder, recipe, number) for number in numbers]
        if not all(place.is_file() for pair in places for place in pair):
            ws = codes(A, [recipe.first_seed + number for number in numbers], sampling)
            for images, which in ((draw(A, ws), 0), (draw(B, ws), 1)):
                for image, pair in zip(images, places, strict=True):
                    save_picture(image, pair[which])
        if progress is not None:
            progress(numbers[-1] + 1, total)
    return folder


def _places(folder: Path, recipe: Recipe, number: int) -> tuple[Path, Path]:
    part = "train" if number < recipe.pairs else "val"
    name = f"{recipe.first_seed + number:07d}.png"
    return folder / "A" / part / name, folder / "B" / part / name


def _comparison(outcome: Outcome, pairs: Path, file: Path, device: str | None) -> Path:
    """Sources, targets and what the student makes of the sources, of pairs that were held out where there are any."""
    from organza.data.photo import read_photo

    T = load_translator(outcome.folder, device=device)
    part = "val" if (pairs / "A" / "val").is_dir() else "train"
    names = sorted(path.name for path in (pairs / "A" / part).glob("*.png"))[:SHOWN]
    rows: list[list[Any]] = [[], [], []]
    for name in names:
        source, target = (read_photo((pairs / side / part / name).read_bytes(), 3) for side in "AB")
        made = T.photo(source)
        size = made.size
        for row, photo in zip(rows, (source, target, made), strict=True):
            pixels = photo.resized(*size).eight()[..., :3]
            row.append(pixels.repeat(3, 2) if pixels.shape[2] == 1 else pixels)
    return save_picture(table(np.stack([image for row in rows for image in row]), len(names)), file)


def _promise(folder: Path, what: Mapping[str, Any]) -> None:
    """Note what a folder's pairs are of.

    Raises:
        UserError: it holds something else.
    """
    file = folder / NOTE
    if file.exists():
        try:
            before = read_json(file.read_bytes(), file)
        except OSError as error:
            raise read_error(file, error) from error
        if not isinstance(before, dict):
            raise UserError("is not what toonify writes", where=file, hint="give another --outdir")
        if other := [name for name in what if before.get(name) != what[name]]:
            was = f"{other[0]} {before.get(other[0])}, not {what[other[0]]}"
            raise UserError(f"holds pairs with {was}", where=folder, hint="give another --outdir")
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError("holds something else", where=folder, hint="give another --outdir")
    make_folder(folder)
    with atomic_write(file) as temporary:
        temporary.write_text(json.dumps(what, indent=2) + "\n")
