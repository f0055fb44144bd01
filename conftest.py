"""Fixtures for all tests and for the examples in docstrings."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import quick
from tests.pair import Pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from organza.models.generator import Generator
    from organza.models.translator import Translator

if "PYTEST_XDIST_WORKER" in os.environ:  # several beside each other, with what the next line gave their parent
    os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "2")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep prepared data out of the user's own cache."""
    os.environ["ORGANZA_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def hurry() -> Iterator[None]:
    """Runs leave out what takes longer than their steps, see `tests.quick`. Tests of the plot ask for ``plotted``."""
    with pytest.MonkeyPatch.context() as patch:
        quick.hurry(patch)
        yield


@pytest.fixture
def plotted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs plot their logs, as they do for people."""
    from organza.training.plots import plot_log

    for where in quick.PLOTTING:
        monkeypatch.setattr(where, plot_log)


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two processes that do what they are told together, under torchrun."""
    found = Pair(tmp_path_factory.mktemp("pair") / "said.txt")
    yield found
    found.close()


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip of 48 drawn faces, 16x16, with labels."""
    from organza.data.drawn_faces.files import write_faces

    path = tmp_path_factory.mktemp("faces") / "faces.zip"
    write_faces(path, 48, 16, seed=0)
    return path


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 24 pairs, 16x16: drawn faces as line art in ``A``, painted in ``B``."""
    from organza.data.drawn_faces.drawing import draw
    from organza.data.drawn_faces.face import random_faces
    from organza.media.images import save_picture

    folder = tmp_path_factory.mktemp("pairs")
    for number, face in enumerate(random_faces(24, seed=0)):
        save_picture(draw(face, 16, "line"), folder / "A" / f"{number}.png")
        save_picture(draw(face, 16, "paint"), folder / "B" / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def captioned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 48 drawn faces, 16x16, with what is said about each in ``captions.csv``."""
    from organza.data.drawn_faces.drawing import draw
    from organza.data.drawn_faces.face import caption, random_faces
    from organza.media.images import save_picture

    folder = tmp_path_factory.mktemp("captioned")
    lines = ["file,caption"]
    for number, face in enumerate(random_faces(48, seed=0)):
        save_picture(draw(face, 16, "paint"), folder / f"{number}.png")
        lines.append(f'{number}.png,"{caption(face)}"')
    (folder / "captions.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip of two sequences of 4 frames, 16x16: drawn faces that move, as line art and painted, with their motion."""
    from organza.data.drawn_faces.films import write_films

    return write_films(tmp_path_factory.mktemp("films") / "films.zip", 2, 4, 16)


@pytest.fixture(scope="session")
def shown(faces: Path, pairs: Path, captioned: Path, films: Path) -> Callable[[str], Path]:
    """What the preset of a name is trained on: `faces`, `captioned`, `films`, or `pairs` for a translation."""
    from organza import preset

    others = {"pairs": pairs, "unpaired": pairs, "captioned": captioned, "video": films}
    return lambda name: others.get(preset(name).run.method.layout, faces)


@pytest.fixture
def told(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """What a person at a terminal has been told since the last call: what was printed, and what was logged."""
    caplog.set_level("INFO", "organza")

    def since() -> str:
        found = capfd.readouterr().err + caplog.text
        caplog.clear()
        return found

    return since


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, faces: Path) -> Path:
    """The folder of a run: a toy StyleGAN2 after a few steps on `faces`."""
    from dataclasses import replace

    from organza import preset, train

    run = preset("stylegan2").run
    outdir = tmp_path_factory.mktemp("runs")
    return train(replace(run, method=run.method.toy()), faces, outdir=outdir, kimg=0.016, batch=4, grid="4x2").folder


@pytest.fixture(scope="session")
def untrained() -> Generator:
    """A StyleGAN2 of 32x32 pictures with random weights."""
    import torch

    from organza.contract.data import DataSpec
    from organza.methods.stylegan.stylegan2 import StyleGAN2
    from organza.models.generator import Generator

    torch.manual_seed(0)
    spec = DataSpec((32, 32), 3, 0)
    method = StyleGAN2(z_dim=16, w_dim=16, channel_base=256, channel_max=16).resolve(spec, 4).build(spec)
    net = method.nets[method.model.net].eval().requires_grad_(False)
    return Generator("stylegan2", spec, method.model, net, None, torch.device("cpu"), torch.float32)


@pytest.fixture(scope="session")
def translator() -> Translator:
    """A CycleGAN of 16x16 images with random weights."""
    import torch

    from organza.contract.data import DataSpec
    from organza.contract.model import Translation
    from organza.methods.translation.cyclegan import CycleGAN
    from organza.models.translator import Translator

    torch.manual_seed(0)
    spec = DataSpec((16, 16), 3, source=3)
    method = CycleGAN().toy().resolve(spec, 1).build(spec)
    assert isinstance(method.model, Translation)
    net = method.nets[method.model.net].eval().requires_grad_(False)
    return Translator("cyclegan", spec, method.model, net, None, torch.device("cpu"), torch.float32)


@pytest.fixture(autouse=True)
def _examples(
    doctest_namespace: dict[str, Any], request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What examples in docstrings may use: `tiny_run`, `faces`, ``G`` and ``T`` (untrained), ``folder`` (empty)."""
    if not isinstance(request.node, pytest.DoctestItem):
        return
    words = set(re.findall(r"\w+", " ".join(example.source for example in request.node.dtest.examples)))
    for name, fixture in {"tiny_run": "tiny_run", "faces": "faces", "G": "untrained", "T": "translator"}.items():
        if name in words:
            doctest_namespace[name] = request.getfixturevalue(fixture)
    for name in {"folder", "tmp_path"} & words:
        doctest_namespace[name] = tmp_path_factory.mktemp("example")
