"""A training that is killed at any moment, again and again, ends with the bits of one that was not."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from organza.training.checkpoint import newest_first

JOB = """
import sys
from dataclasses import replace
from organza import PRESETS, train
run = PRESETS["stylegan2"].run
run = replace(run, method=run.method.toy())
train(run, sys.argv[1], outdir=sys.argv[2], kimg=2, batch=8, grid="4x2", snapshot_kimg=0.04, mirror=True)
"""


def weights(outdir: Path) -> dict[str, torch.Tensor]:
    (run,) = outdir.iterdir()
    newest = next(newest_first(run / "checkpoints"))
    assert newest.name == "000002000"
    return load_file(newest / "nets.safetensors") | load_file(newest / "ema.safetensors")


@pytest.mark.slow
def test_twenty_kills_change_nothing(faces: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", JOB, str(faces)]
    started = time.perf_counter()
    subprocess.run([*command, str(tmp_path / "straight")], check=True, capture_output=True)
    whole = time.perf_counter() - started
    rng = random.Random(0)
    kills = 0
    while kills < 20:
        job = subprocess.Popen(
            [*command, str(tmp_path / "killed")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            # From the first imports to well past several snapshots; never so long that it could finish early.
            job.wait(timeout=rng.uniform(0.5, 3 + whole / 20))
        except subprocess.TimeoutExpired:
            job.send_signal(signal.SIGKILL)
            assert job.wait() == -signal.SIGKILL
            kills += 1
        else:
            pytest.fail(f"the training ended after {kills} kills; make it longer")
    subprocess.run([*command, str(tmp_path / "killed")], check=True, capture_output=True)
    straight, killed = weights(tmp_path / "straight"), weights(tmp_path / "killed")
    assert straight.keys() == killed.keys()
    assert all(torch.equal(tensor, killed[name]) for name, tensor in straight.items())
    (run,) = (tmp_path / "killed").iterdir()
    assert not [path.name for path in run.rglob("*") if path.name.endswith((".part", ".tmp", ".old"))]
