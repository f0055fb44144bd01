"""PaddleGAN's predictors by their names and calls, for programs and courses that were written for them.

The files that they write have the same names; networks are opened as everywhere here, so weights of PaddleGAN, of the
authors, and runs of Organza all serve. Nothing is fetched but helper networks; a missing file of weights is one clear
line.

Example:
    >>> path = StyleGANv2Predictor(output_path=str(tmp_path), weight_path=str(tiny_run), seed=1).run(n_row=1, n_col=2)
    >>> sorted(file.name for file in tmp_path.glob("sample*.png"))
    ['sample.png', 'sample_mixing_0.png', 'sample_mixing_1.png']
"""

from __future__ import annotations

import os
import random
from pathlib import Path

from organza.core.errors import UserError
from organza.core.files import user_path
from organza.media.images import Pixels
from organza.models.load import load_generator, load_translator
from organza.models.sampling import Sampling
from organza.studio.generate import generate
from organza.studio.mix import mix
from organza.translate.faces.files import ALONE, plain, read
from organza.translate.faces.pipeline import Cartoonist, Portrait

Place = str | os.PathLike[str]
PADDLE = "https://paddlegan.bj.bcebos.com/models"
"""Where PaddleGAN publishes its weights. Nobody publishes their checksums, so they are not fetched here."""
CARTOON_FILE = "photo2cartoon_genA2B_weight.pdparams"
STYLES = {"ffhq-config-f": "stylegan2-ffhq-config-f.pdparams", "animeface-512": "stylegan2-animeface-512.pdparams"}


class Photo2CartoonPredictor:
    """Photographs to cartoons of their largest face.

    Args:
        output_path: folder for the results.
        weight_path: a translator: PaddleGAN's or minivision's file, or a run of Organza.
        weights_dir: folder of helper networks, see `organza.vision.helpers`; None looks into the cache.

    Raises:
        UserError: no weights, or others; a helper network is missing.
    """

    def __init__(
        self, output_path: Place = "output", weight_path: Place | None = None, weights_dir: Place | None = None
    ) -> None:
        self.output_path = user_path(output_path)
        T = load_translator(user_path(_given(weight_path, CARTOON_FILE)))
        self.cartoonist = Cartoonist.open(T, weights_dir)

    def run(self, image_path: Place) -> Pixels:
        """Write ``p2c_photo.png``, the crop with its background, and ``p2c_cartoon.png``.

        Returns:
            The cartoon, uint8 ``[H, W, 3]``, RGB.

        Raises:
            UserError: no photograph, or no face in it.
        """
        from organza.media.images import save_picture

        path = user_path(image_path)
        found = self.cartoonist.portraits(plain(read(path)))
        if not found:
            raise UserError("no face was found", where=path, hint="faces are found from about 20 pixels on")
        portrait: Portrait = found[0]
        save_picture(portrait.photo, self.output_path / f"{ALONE}_photo.png")
        save_picture(portrait.cartoon, self.output_path / f"{ALONE}_cartoon.png")
        return portrait.cartoon


class StyleGANv2Predictor:
    """Images of random codes, and tables of mixed styles.

    Args:
        output_path: folder for the results.
        weight_path: a generator: PaddleGAN's or NVIDIA's file, or a run of Organza.
        model_type: PaddleGAN's name of published weights, for the message that says what to fetch.
        seed: of the codes; None: others each time.
        size, style_dim, n_mlp, channel_multiplier: the file says them; taken so that old calls work.

    Raises:
        UserError: no weights, or others.
    """

    def __init__(
        self,
        output_path: Place = "output_dir",
        weight_path: Place | None = None,
        model_type: str | None = None,
        seed: int | None = None,
        size: int | None = None,
        style_dim: int | None = None,
        n_mlp: int | None = None,
        channel_multiplier: int | None = None,
    ) -> None:
        self.output_path = user_path(output_path)
        if model_type is not None and weight_path is None and model_type not in STYLES:
            raise UserError(f"no weights are called {model_type!r}", hint=f"choose {' or '.join(STYLES)}")
        name = STYLES[model_type or "ffhq-config-f"] if weight_path is None else ""
        self.generator = load_generator(user_path(_given(weight_path, name)))
        self.random = random.Random(seed)

    def run(self, n_row: int = 3, n_col: int = 5) -> list[Path]:
        """Write ``sample.png``, a grid of ``n_row`` times ``n_col`` images at psi 0.7, and two tables of mixed styles:
        ``sample_mixing_0.png`` and ``sample_mixing_1.png``, ``n_col`` sources above and ``n_row`` targets at the left.

        Returns:
            The files. Networks without styles have no tables.

        Raises:
            UserError: fewer than one row or column.
        """
        if min(n_row, n_col) < 1:
            raise UserError(f"a grid of {n_row} rows and {n_col} columns", hint="give at least one of each")
        sampling = Sampling(psi=0.7, noise="random")
        where = self.output_path / "sample.png"
        written = generate(
            self.generator, self._seeds(n_row * n_col), output=where, grid=(n_col, n_row), sampling=sampling
        )
        last = self.generator.num_ws - 1
        for number in range(2 if last else 0):
            layers = f"{self.random.randint(1, last)}-{last}"
            table = self.output_path / f"sample_mixing_{number}.png"
            rows, columns = self._seeds(n_row), self._seeds(n_col)
            written.append(mix(self.generator, rows, columns, table, styles=layers, sampling=Sampling(psi=0.7)))
        return written

    def _seeds(self, count: int) -> list[int]:
        return [self.random.randrange(2**32) for _ in range(count)]


def _given(weights: Place | None, name: str) -> Place:
    if weights is not None:
        return weights
    hint = f"fetch {PADDLE}/{name}, and give it as weight_path; or give a run of your own"
    raise UserError("no weights are given, and none come with Organza", hint=hint)


Photo2Cartoon, StyleGANv2 = Photo2CartoonPredictor, StyleGANv2Predictor
