"""Photographs on disk to cartoons on disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from organza.core.errors import UserError
from organza.core.files import user_path
from organza.core.progress import Progress
from organza.data.opening import open_source
from organza.data.photo import Photo, read_photo
from organza.data.places import free_place
from organza.data.source import MAX_FILE, BadPicture
from organza.media.images import Pixels
from organza.translate.faces.pasting import card
from organza.translate.faces.pipeline import Cartoonist, Portrait, Wanted, chosen
from organza.translate.faces.steps import steps

ALONE = "p2c"
"""What the results of a single photograph are called after, as PaddleGAN's predictor has it."""


@dataclass(frozen=True)
class Cartooned:
    """What was made of some photographs.

    Attributes:
        written: the files.
        skipped: (name, reason) of photographs that nothing could be made of.
        notes: (name, what) of cartoons that may disappoint.
        faces: how many cartoons there are.
        photos: how many photographs have one.
    """

    written: list[Path] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    faces: int = 0
    photos: int = 0


def cartoon_files(
    C: Cartoonist,
    source: str | Path,
    folder: str | Path = "out",
    *,
    faces: Wanted = "largest",
    pasted: bool = False,
    match_colours: bool = False,
    cards: bool = False,
    debug: bool = False,
    progress: Progress | None = None,
) -> Cartooned:
    """Cartoons of the faces of a photograph, or of all photographs of a folder or an archive.

    ``p2c_photo.png`` is the crop, level, with its background, ``p2c_cartoon.png`` the cartoon on white. With a folder
    the photograph's name stands in place of ``p2c``; where all faces or several are wanted, a number follows.

    Args:
        C: the stages.
        source: an image, or whatever `organza.open_dataset` takes.
        folder: where the files go.
        faces: which of a photograph's faces.
        pasted: also write the photograph with the cartoons in their places, ``p2c_pasted.png``.
        match_colours: these have the photograph's colours.
        cards: also write crop and cartoon side by side, ``p2c_card.png``.
        debug: also write an image of each stage, ``p2c_step1_found.png`` and so on.
        progress: called as ``progress(done, total)``.

    Raises:
        UserError: no photograph, or none with a face; the results would lie among the photographs.
    """
    chosen([], faces)  # before any work
    place = user_path(folder)
    if place.exists() and not place.is_dir():
        raise UserError("is a file", where=place, hint="name a folder for the results with --output")
    path = user_path(source)
    photos = _alone(path, place) if path.is_file() and not _is_archive(path) else _many(path, place)
    written: list[Path] = []
    skipped: list[tuple[str, str]] = []
    notes: list[tuple[str, str]] = []
    count = done = 0
    for number, total, name, base, photo in photos:
        if isinstance(photo, str):
            skipped.append((name, photo))
        else:
            pixels = plain(photo)
            portraits = C.portraits(pixels, faces)
            if not portraits:
                skipped.append((name, "no face was found"))
            for n, portrait in enumerate(portraits, 1):
                ending = "" if faces == "largest" else f"_{n}"
                for what, image in _images(portrait, cards).items():
                    written.append(Photo(image).write(base.with_name(f"{base.name}_{what}{ending}.png")))
                if debug:
                    for what, image in steps(pixels, portrait).items():
                        written.append(Photo(image).write(base.with_name(f"{base.name}_{what}{ending}.png")))
                notes += [(name, note) for note in _notes(portrait)]
            if pasted and portraits:
                whole = C.pasted(pixels, portraits, match_colours=match_colours)
                written.append(Photo(whole, eight_alpha(photo)).write(base.with_name(f"{base.name}_pasted.png")))
            count += len(portraits)
            done += bool(portraits)
        if progress is not None:
            progress(number, total)
    if not count:
        reason = f": {skipped[0][0]}: {skipped[0][1]}" if len(skipped) > 1 else skipped[0][1] if skipped else ""
        what = reason if len(skipped) == 1 else f"no face in any of {len(skipped)} photographs{reason}"
        hint = "faces are found from about 20 pixels on" if "no face" in what else None
        raise UserError(what or "there are no photographs", where=path, hint=hint)
    return Cartooned(written, skipped, notes, count, done)


def plain(photo: Photo) -> Pixels:
    """A photograph as the stages take it, uint8 ``[H, W, 3]``; transparency is over white."""
    return Photo(photo.pixels).eight()


def eight_alpha(photo: Photo) -> Pixels | None:
    """A photograph's transparency, uint8 ``[H, W]``, or None."""
    return None if photo.alpha is None else Photo(photo.alpha[..., None]).eight()[..., 0]


def read(path: Path) -> Photo:
    """A photograph, upright, in colour.

    Raises:
        UserError: it is not there, no image, or broken.
    """
    try:
        if path.stat().st_size > MAX_FILE:
            raise UserError("is larger than an image may be", where=path)
        return read_photo(path.read_bytes(), 3)
    except BadPicture as error:
        raise UserError(f"can't be used: {error}", where=path) from None
    except OSError as error:
        raise UserError(f"can't be read ({error.strerror})", where=path) from None


Photographs = Iterator[tuple[int, int, str, Path, Photo | str]]
"""Number, how many there are, name, where its results go but for their endings, and the photograph or what is wrong."""


def _alone(path: Path, folder: Path) -> Photographs:
    if path.parent.resolve() == folder.resolve() and path.stem.startswith(f"{ALONE}_"):
        raise UserError("its cartoon would overwrite it", where=path, hint="name another folder with --output")
    yield 1, 1, path.name, folder / ALONE, read(path)


def _many(path: Path, folder: Path) -> Photographs:
    source = open_source(path)
    if path.is_dir() and (folder.resolve() == path.resolve() or path.resolve() in folder.resolve().parents):
        raise UserError(
            "the results would lie among the photographs", where=folder, hint="give an --output beside them"
        )
    entries, taken = source.entries(), set[Path]()
    for number, entry in enumerate(entries, 1):
        base = folder / free_place(entry.name, "", taken)
        try:
            photo: Photo | str = read_photo(source.read(entry), 3)
        except BadPicture as error:
            if not entry.claimed:
                continue
            photo = str(error)
        yield number, len(entries), entry.name, base, photo


def _is_archive(path: Path) -> bool:
    from organza.data.source import PICTURES

    return path.suffix.lower() not in PICTURES


def _images(portrait: Portrait, cards: bool) -> dict[str, Pixels]:
    found = {"photo": portrait.photo, "cartoon": portrait.cartoon}
    return {**found, "card": card(portrait.photo, portrait.cartoon)} if cards else found


def _notes(portrait: Portrait) -> Iterator[str]:
    from organza.translate.faces.finding import turned_away

    if not portrait.sharp:
        yield "the face is small: its cartoon is of few pixels"
    if not portrait.segmented:
        yield "no person was found around the face: an oval is cut out instead"
    if turned_away(portrait.face.points):
        yield "the face is turned away: such cartoons often fail"
