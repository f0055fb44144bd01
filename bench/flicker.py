"""Translators against each other on drawn sequences: how near to the targets, and how much they flicker.

    organza faces --dest films.zip --count 8 --frames 24 --resolution 64 --seed 1
    python bench/flicker.py films.zip RUN [RUN ...] [--sheet FILE.png] [--smooth 0.7]

Of each frame the mean distance from its target, in levels of 255, and of neighbours the warping error along the exact
motion where that is known: the mean distance of a result from the one before, moved. The targets' own is what rounding
and bilinear moving leave. Networks that remember (vid2vid) are shown each sequence from its beginning.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from organza.data.decode import decode, open_picture
from organza.data.motion import known_flow
from organza.data.opening import open_source
from organza.data.videos import in_sequences
from organza.media.flow import Smoother, warp
from organza.media.images import save_picture
from organza.models.load import load_translator


def read(path: Path) -> list[list[tuple[Any, Any, Any]]]:
    """Source, target and motion of each frame of each sequence."""
    source = open_source(path)
    entries = {entry.name: entry for entry in source.entries()}

    def pixels(name: str) -> Any:
        return np.asarray(decode(open_picture(source.read(entries[name]))).convert("RGB"))

    films = []
    for rows in in_sequences([name for name in entries if name.startswith("A/")], "A/").values():
        names = [[name for name in entries if name.startswith("A/")][row] for row in rows]
        film = []
        for name in names:
            flow = f"flow{name[1:]}"
            motion = known_flow(pixels(flow)) if flow in entries else None
            film.append((pixels(name), pixels(f"B{name[1:]}"), motion))
        films.append(film)
    return films


def flicker(images: list[Any], film: list[tuple[Any, Any, Any]]) -> float:
    """The mean warping error where motion is known."""
    found = []
    for before, here, (_, _, motion) in zip(images[:-1], images[1:], film[1:], strict=True):
        known = motion[2] > 0
        moved = warp(before, motion[:2].transpose(1, 2, 0))[0]
        found.append(np.abs(here.astype(np.float32) - moved).mean(2)[known].mean())
    return float(np.mean(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", type=Path)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--smooth", type=float, default=0.0, help="as of `organza translate`, for a second line")
    given = parser.parse_args()
    films, rows = read(given.films), []
    shown = [[frame[0] for frame in films[0]], [frame[1] for frame in films[0]]]
    targets = [[frame[1] for frame in film] for film in films]
    print("| network | L1 | flicker |\n|---|---|---|")
    own = np.mean([flicker(images, film) for images, film in zip(targets, films, strict=True)])
    print(f"| the targets | 0 | {own:.2f} |", flush=True)
    for run in given.runs:
        T = load_translator(run)
        for smooth in (0.0, given.smooth) if given.smooth else (0.0,):
            off, moving = [], []
            for number, film in enumerate(films):
                step: Callable[..., Any] = T.follow() if T.model.follow is not None else T.photo
                smoother = Smoother(smooth)
                images = [step(frame[0]).eight() for frame in film]
                if smooth:
                    images = [smoother(frame[0], image) for frame, image in zip(film, images, strict=True)]
                pairs = zip(images, film, strict=True)
                off.append(np.mean([np.abs(image - frame[1].astype(np.float32)).mean() for image, frame in pairs]))
                moving.append(flicker(images, film))
                if not number and not smooth:
                    shown.append(images)
            name = f"{T.kind}{f', --smooth {smooth:g}' if smooth else ''}"
            print(f"| {name} | {np.mean(off):.2f} | {np.mean(moving):.2f} |", flush=True)
    if given.sheet is not None:
        rows = [np.concatenate(images[:24:3], 1) for images in shown]
        save_picture(np.concatenate(rows), given.sheet)


if __name__ == "__main__":
    main()
