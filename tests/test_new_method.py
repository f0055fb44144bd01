"""The examples of docs/new-method.md are trained, resumed, loaded and used as they stand there."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import organza
from organza import Run, train
from organza.data.options import DataOptions, DomainOptions
from organza.presets import METHODS
from organza.training.checkpoint import newest_first

PAGE = Path(__file__).parents[1] / "docs" / "new-method.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Run]:
    def make(number: int) -> Run:
        module = types.ModuleType(f"example{number}")
        monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look their module up
        exec(compile(EXAMPLES[number], str(PAGE), "exec"), module.__dict__)  # our own page
        kind = [
            value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__
        ]
        monkeypatch.setitem(METHODS, "mine", kind[0])
        method = kind[0]().toy()
        return Run(method, data=DataOptions() if method.layout == "images" else DomainOptions())

    return make


@pytest.mark.parametrize("number", range(2))
def test_examples_are_short(number: int) -> None:
    assert len(EXAMPLES) == 2
    assert len(EXAMPLES[number].splitlines()) < 80
    assert max(map(len, EXAMPLES[number].splitlines())) <= 120


@pytest.mark.parametrize("number", range(2))
def test_examples_work(number: int, example: Callable[[int], Run], faces: Path, pairs: Path, tmp_path: Path) -> None:
    run = example(number)
    data = faces if run.method.layout == "images" else pairs
    options = {"batch": 4, "grid": "2x1", "metrics": "none"}
    straight = train(run, data, outdir=tmp_path / "a", kimg=0.016, **options)
    train(run, data, outdir=tmp_path / "b", kimg=0.008, **options)
    resumed = train(run, data, outdir=tmp_path / "b", kimg=0.016, resume=True, **options)
    one, other = (
        load_file(next(newest_first(outcome.folder / "checkpoints")) / "nets.safetensors")
        for outcome in (straight, resumed)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (straight.folder / "samples" / "000000016.png").exists()
    network = organza.load(straight.folder)
    if isinstance(network, organza.Generator):
        assert network.generate([0, 1]).shape == (2, 16, 16, 3)
    else:
        assert network.apply(torch.zeros(1, 3, 16, 20)).shape == (1, 3, 16, 20)
