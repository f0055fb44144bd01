"""What `--precision auto` may take: in bf16 each phase's gradient, and the images, are nearly those of float32."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import organza.core.device
import organza.runs.train
from organza import PRESETS, train
from organza.core.device import choose_dtype, computing, to_compute
from tests.shapes import EACH

BENCH = Path(__file__).parents[2] / "bench" / "precision.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("precision", BENCH)
    found = importlib.util.module_from_spec(spec)
    sys.modules["precision"] = found  # dataclasses look their module up
    spec.loader.exec_module(found)
    return found


@pytest.mark.parametrize("name", EACH)
def test_what_auto_does_in_bf16_follows_float32(bench, name):
    size, most = 16, 16
    bf16 = bench.allowed(name, size, most)
    if not bf16:
        return  # auto is float32
    for found in bench.measure(name, size, most, batch=8, steps=2):
        if found.what == "images":
            assert found.levels < 1 or "sampling" not in bf16, found
        else:
            assert found.follows or "training" not in bf16, found


def test_auto_is_bf16_only_where_method_and_processor_allow_it(monkeypatch):
    cpu = torch.device("cpu")
    for features, allowed, found in (
        ({"avx512_bf16"}, True, torch.bfloat16),
        ({"avx512_bf16"}, False, torch.float32),
        ((), True, torch.float32),
    ):
        monkeypatch.setattr(organza.core.device, "cpu_features", lambda features=features: frozenset(features))
        assert choose_dtype("auto", cpu, auto_bf16=allowed) == found
        assert choose_dtype("bf16", cpu, auto_bf16=allowed) == torch.bfloat16
        assert choose_dtype("float32", cpu, auto_bf16=allowed) == torch.float32


def test_small_features_may_stay_in_float32():
    with computing(torch.bfloat16):
        assert to_compute(torch.zeros(1, 2, 8, 16), 16).dtype == torch.float32
        assert to_compute(torch.zeros(1, 2, 16, 16), 16).dtype == torch.bfloat16


@pytest.mark.parametrize(("name", "dtype"), [("stylegan-f", torch.bfloat16), ("lucidrains", torch.float32)])
def test_training_asks_the_method(name, dtype, faces, tmp_path, monkeypatch):
    found, run_loop = [], organza.runs.train.run_loop

    def loop(state, loader, settings, dtype, *rest):
        found.append(dtype)
        return run_loop(state, loader, settings, dtype, *rest)

    monkeypatch.setattr(organza.core.device, "cpu_features", lambda: frozenset({"avx512_bf16"}))
    monkeypatch.setattr(organza.runs.train, "run_loop", loop)
    run = PRESETS[name].run
    for precision in ("auto", "float32", "bf16"):
        options = {"outdir": tmp_path / precision, "kimg": 0.004, "batch": 4, "grid": "2x2", "precision": precision}
        train(replace(run, method=run.method.toy()), faces, device="cpu", **options)
    assert found == [dtype, torch.float32, torch.bfloat16]
