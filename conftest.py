"""Fixtures for all tests and for the examples in docstrings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "2")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep prepared data out of the user's own cache."""
    os.environ["ORGANZA_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip of 48 drawn faces, 16x16, with labels."""
    from organza.data.faces import write_faces

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


@pytest.fixture(autouse=True)
def _names(doctest_namespace: dict[str, Any], request: pytest.FixtureRequest, tmp_path_factory: Any) -> None:
    if isinstance(request.node, pytest.DoctestItem):
        source = request.node.dtest.docstring or "" if request.node.dtest else ""
        for name in ("tiny_run", "faces", "tmp_path"):
            if name in source:
                doctest_namespace[name] = request.getfixturevalue(name)
