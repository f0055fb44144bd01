"""The whole way in a few minutes: Generate images, train StyleGAN2 on them, make a grid and a video."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from organza.core.files import user_path
from organza.core.progress import Progress
from organza.core.zoo import PREFIX, zoo_names
from organza.data import open_dataset
from organza.data.drawn_faces.files import write_faces
from organza.media.images import Pixels, make_grid, save_picture, to_image
from organza.models.generator import Generator
from organza.models.load import load, load_generator
from organza.models.sampling import Sampling
from organza.presets import preset
from organza.runs.plan import override
from organza.runs.train import train
from organza.studio.generate import pictures
from organza.studio.interpolate import interpolate


@dataclass(frozen=True)
class Demo:
    """The files that the demo made.

    Attributes:
        data: the drawn dataset.
        run: the run's folder.
        grid: real images on the left, generated ones on the right.
        samples: grids from the start to the end of the training.
        film: from seed to seed.
        finished: False when the training was interrupted.
    """

    data: Path
    run: Path
    grid: Path
    samples: list[Path]
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
    """Draw ``faces`` cartoon faces, train the preset ``stylegan2-demo`` on them, and show what it has learnt.

    Done again in the same ``outdir`` it continues where it was.

    Args:
        outdir: folder for everything.
        faces: images in the dataset.
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
    real, _ = open_dataset(data).fetch(np.resize(np.arange(faces), 24))
    G = load_generator(outcome.folder, precision="auto")
    shown = Sampling(psi=0.8)
    generated = np.stack(list(pictures(G, range(24), shown)))
    left, right = (make_grid(_large(images), columns=6, gap=2) for images in (real, generated))
    between = np.full([len(left), 16, left.shape[2]], 255, np.uint8)
    grid = save_picture(np.concatenate([left, between, right], axis=1), outdir / "demo.png")
    film = interpolate(
        G, range(1, 25), outdir / "interpolation.gif", grid=(4, 2), seconds=6, fps=20, sampling=shown, scale=4
    )
    samples = sorted((outcome.folder / "samples").iterdir())
    return Demo(data, outcome.folder, grid, samples, film, outcome.finished)


def at_once(outdir: str | Path, columns: int = 10) -> Path:
    """Images by the generators that come with Organza, a row each, into ``outdir``/zoo.png.

    Raises:
        UserError: the folder can't be written.
    """
    rows = []
    for name in zoo_names():
        G = load(f"{PREFIX}{name}", device="cpu")
        if isinstance(G, Generator):
            labels = [seed % G.label_dim for seed in range(columns)] if G.label_dim else None
            rows.append(_large(G.generate(range(columns), labels)))
    return save_picture(make_grid(np.concatenate(rows), columns, gap=2), user_path(outdir) / "zoo.png")


def _large(images: Pixels, side: int = 96) -> Pixels:
    """Images in RGB, enlarged smoothly, since 32 pixels are tiny on a screen."""
    found = [to_image(image).convert("RGB").resize((side, side), Image.Resampling.LANCZOS) for image in images]
    return np.stack([np.asarray(image) for image in found])
