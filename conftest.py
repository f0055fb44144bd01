"""Fixtures for all tests and for the examples in docstrings."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from organza.models.generator import Generator

os.environ.setdefault("OMP_NUM_THREADS", "2")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep prepared data out of the user's own cache."""
    os.environ["ORGANZA_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip of 48 drawn faces, 16x16, with labels."""
    from organza.data.drawn_faces.files import write_faces

    path = tmp_path_factory.mktemp("faces") / "faces.zip"
    write_faces(path, 48, 16, seed=0)
    return path


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


@pytest.fixture(autouse=True)
def _examples(
    doctest_namespace: dict[str, Any], request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What examples in docstrings may use: `tiny_run`, `faces`, ``G`` (untrained), ``folder`` (empty)."""
    if not isinstance(request.node, pytest.DoctestItem):
        return
    words = set(re.findall(r"\w+", " ".join(example.source for example in request.node.dtest.examples)))
    for name, fixture in {"tiny_run": "tiny_run", "faces": "faces", "G": "untrained"}.items():
        if name in words:
            doctest_namespace[name] = request.getfixturevalue(fixture)
    for name in {"folder", "tmp_path"} & words:
        doctest_namespace[name] = tmp_path_factory.mktemp("example")
