"""The whole way in a few minutes: draw pictures, train StyleGAN2 on them, make a grid and a film."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from organza.apps.generate import generate
from organza.apps.interpolate import interpolate
from organza.apps.train import override, train
from organza.core.files import user_path
from organza.core.pictures import enlarge, make_grid, save_picture
from organza.data import open_dataset
from organza.data.faces import write_faces
from organza.generator import load
from organza.presets import preset

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Demo:
    """The files that the demo made.

    Attributes:
        data: the drawn data set.
        run: the run's folder.
        reals, samples, grid, film: pictures to look at; ``samples`` are several, from first to last.
        finished: False when the training was interrupted.
    """

    data: Path
    run: Path
    reals: Path
    samples: list[Path]
    grid: Path
    film: Path
    finished: bool


def demo(
    outdir: str | Path,
    *,
    faces: int = 8000,
    resolution: int = 32,
    kimg: float | None = None,
    progress: Progress | None = None,
) -> Demo:
    """Draw ``faces`` cartoon faces, train the preset ``stylegan2-demo`` on them, and draw what it has learnt.

    Done again in the same ``outdir`` it continues where it was.

    Args:
        outdir: folder for everything.
        faces: pictures in the data set.
        resolution: their side in pixels.
        kimg: length of the training; None keeps the preset's.
        progress: called as ``progress(done, total)`` while faces are drawn.

    Raises:
        UserError: the folder can't be written.
    """
    outdir = user_path(outdir)
    data = outdir / "faces.zip"
    if not data.exists():
        write_faces(data, faces, resolution, progress=progress)
    run = preset("stylegan2-demo").run
    run = run if kimg is None else override(run, {"kimg": kimg})
    outcome = train(run, data, outdir=outdir / "runs")
    images, _ = open_dataset(data).fetch(np.arange(min(32, faces)))
    reals = save_picture(enlarge(make_grid(images, columns=8), 4), outdir / "reals.png")
    G = load(outcome.folder, precision="auto")
    (grid,) = generate(G, range(32), grid=(8, 4), psi=0.8, output=outdir / "grid.png", scale=4)
    film = interpolate(G, range(1, 25), outdir / "interpolation.gif", grid=(4, 2), seconds=6, fps=20, psi=0.8, scale=4)
    samples = sorted((outcome.folder / "samples").iterdir())
    return Demo(data, outcome.folder, reals, samples, grid, film, outcome.finished)
