"""A run of Organza 0.1, stored before the contract changed, still loads and goes on as if nothing had happened."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from organza import load, open_dataset, preset, train
from organza.runs.train import changed
from organza.training.checkpoint import newest_first

STORED = Path(__file__).parents[1] / "fixtures" / "run_0_1"
NAME = "00000-stylegan2-faces"
OPTIONS = {"batch": 4, "grid": "2x1", "metrics": "none", "precision": "float32"}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(next(newest_first(folder / "checkpoints")) / "nets.safetensors")


def test_it_generates_what_it_did() -> None:
    found, expected = load(STORED / NAME).generate([0, 1]).astype(int), np.load(STORED / "images.npy").astype(int)
    assert np.abs(found - expected).max() <= 1


def test_it_goes_on_as_a_run_of_today_would(faces: Path, tmp_path: Path) -> None:
    """Same settings, same steps: up to rounding, which differs from machine to machine."""
    shutil.copytree(STORED / NAME, tmp_path / "old" / NAME)
    config = json.loads((tmp_path / "old" / NAME / "config.json").read_text())
    config["data"]["key"] = open_dataset(faces).key  # that of a file depends on where and when it was made
    (tmp_path / "old" / NAME / "config.json").write_text(json.dumps(config))
    run = preset("stylegan2").run
    run = replace(run, method=run.method.toy())
    straight = train(run, faces, outdir=tmp_path / "new", kimg=0.024, **OPTIONS)
    today = json.loads((straight.folder / "config.json").read_text())
    assert changed(tmp_path / "old" / NAME, today) == {}
    resumed = train(run, faces, outdir=tmp_path / "old", kimg=0.024, resume=True, **OPTIONS)
    assert resumed.folder.name == NAME and resumed.seen == 24
    one, other = weights(straight.folder), weights(resumed.folder)
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=1e-3, atol=1e-4, msg=lambda m, name=name: f"{name}: {m}")
