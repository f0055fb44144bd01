"""Time and memory of translators: a training step and the generator, beside the same networks as a plain program.

    python bench/translation.py                    # a table of all, in one run
    python bench/translation.py cyclegan --turns 5
    python bench/translation.py cyclegan --mode bf16 --profile

Modes: bf16 and float32 as Organza runs them, and "plain": float32, PyTorch's own functions (with its own instance
normalisation), laid out as it does by default, and the C library's own memory management. Each mode runs in its own
process, and modes take turns, so that a slower minute of the machine meets all. A step is one image (16 of StarGAN),
each phase weighted by how often it runs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from organza import PRESETS, ops
from organza.contract.data import Batch, DataSpec
from organza.contract.method import Phase
from organza.contract.model import Translation
from organza.core import device
from organza.nn import norms
from organza.training import optimizers

MODES = ("bf16", "float32", "plain")


@dataclass(frozen=True)
class Job:
    """What is measured: a preset, an image's size, images a step, and the length of labels."""

    preset: str
    size: int
    batch: int = 1
    labels: int = 0


JOBS = (
    Job("cyclegan", 256),
    Job("pix2pix", 256),
    Job("stargan", 128, 16, 5),
    Job("ugatit-light", 256),
    Job("cut", 256),
    Job("bicyclegan", 256, 2),
)


def plain() -> None:
    """Let everything run as PyTorch does by itself."""
    for module in list(sys.modules.values()):
        if module is not None and getattr(module, "to_compute", None) is device.to_compute:
            module.to_compute = lambda x, least=1: x.contiguous()  # type: ignore[attr-defined]

    def instance_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        return F.instance_norm(x.contiguous(), None, None, weight, bias, True, 0.0, eps)

    norms.instance_norm = instance_norm  # type: ignore[assignment]


def measure(job: Job, mode: str, turns: int, profile: bool) -> dict[str, float]:
    """Seconds of a step and of the generator for one image, the least of ``turns``, and the peak of memory in GB."""
    fast = mode != "plain"
    if fast:
        device.keep_freed_memory()
    else:
        plain()
    spec = DataSpec((job.size, job.size), 3, job.labels, source=3, count=1000)
    torch.manual_seed(0)
    method = PRESETS[job.preset].run.method.resolve(spec, job.batch).build(spec)
    for net in method.nets.values():
        net.train().to(memory_format=torch.channels_last if fast else torch.contiguous_format)
    learners = optimizers.build(method)
    images = [torch.rand(job.batch, 3, job.size, job.size) * 2 - 1 for _ in range(2)]
    labels = torch.eye(job.labels)[torch.arange(job.batch) % job.labels] if job.labels else torch.zeros(job.batch, 0)
    whole = Batch(images[0], labels, source=images[1])

    def run(phase: Phase, batch: Batch) -> tuple[float, Batch]:
        started = time.perf_counter()
        player = method.players[phase.player]
        for name, net in method.nets.items():
            net.requires_grad_(name in player.nets)
        learners[phase.player].zero(())
        result = phase.loss({**method.nets, **method.frozen}, batch, torch.Generator().manual_seed(0))
        (result.loss * phase.gain).backward()  # type: ignore[no-untyped-call]
        learners[phase.player].step(1.0)
        carry = dict(result.carry)
        if phase.after is not None:
            with torch.no_grad():
                carry |= phase.after(method.nets, result, torch.Generator().manual_seed(0)) or {}
        return time.perf_counter() - started, batch.leaving({k: v.detach() for k, v in carry.items()})

    with (
        ops.using("fast" if fast else "reference"),
        device.computing(torch.bfloat16 if mode == "bf16" else torch.float32),
    ):
        times: dict[str, list[float]] = {phase.name: [] for phase in method.phases}
        for turn in range(turns + 1):
            batch = whole
            for phase in method.phases:
                seconds, batch = run(phase, batch)
                if turn:
                    times[phase.name].append(seconds)
        if profile:
            with torch.profiler.profile() as found:
                batch = whole
                for phase in method.phases:
                    _, batch = run(phase, batch)
            print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=25, max_name_column_width=40))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        model = method.model
        assert isinstance(model, Translation)
        generator = _generator(model, method.nets[model.net], images[0][:1], labels[:1], turns)
    step = sum(min(times[phase.name]) / phase.every for phase in method.phases) / job.batch
    return {"step": 1000 * step, "generator": 1000 * generator, "memory": peak}


def _generator(model: Translation, net: nn.Module, image: Tensor, labels: Tensor, turns: int) -> float:
    z = torch.zeros(1, model.z_dim) if model.z_dim else None
    net.eval().requires_grad_(False)
    found = []
    with norms.running(net, model.mode), ops.inference():
        for _ in range(turns + 2):
            started = time.perf_counter()
            model.apply(net, image, labels, z)
            found.append(time.perf_counter() - started)
    return min(found[1:])


def table(jobs: list[Job], turns: int, rounds: int) -> None:
    """Every job in every mode, by turns."""
    print("| preset | what | bf16 | float32 | plain float32 | bf16 against plain | float32 against plain |")
    print("|---|---|---|---|---|---|---|")
    for job in jobs:
        found: dict[str, list[dict[str, float]]] = {mode: [] for mode in MODES}
        for _ in range(rounds):
            for mode in MODES:
                command = [sys.executable, __file__, job.preset, "--mode", mode, "--turns", str(turns), "--json"]
                line = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                found[mode].append(json.loads(line.splitlines()[-1]))
        for what, unit in (("step", "ms an image"), ("generator", "ms an image"), ("memory", "GB")):
            values = {mode: statistics.median(one[what] for one in found[mode]) for mode in MODES}
            ratios = [values["plain"] / values[mode] for mode in MODES[:2]]
            if what == "memory":
                ratios = [1 / ratio for ratio in ratios]
            cells = " | ".join(f"{values[mode]:.3g}" for mode in MODES)
            sign = "" if what == "memory" else "x"
            print(
                f"| {job.preset} {job.size} b{job.batch} | {what}, {unit} | {cells} | "
                + " | ".join(f"{ratio:.2f}{sign}" for ratio in ratios)
                + " |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="*", help="of those in JOBS; all unless said")
    parser.add_argument("--mode", choices=MODES)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    jobs = [job for job in JOBS if not arguments.presets or job.preset in arguments.presets]
    if arguments.mode is None:
        table(jobs, arguments.turns, arguments.rounds)
        return
    for job in jobs:
        found = measure(job, arguments.mode, arguments.turns, arguments.profile)
        print(json.dumps(found) if arguments.json else f"{job.preset} {arguments.mode}: {found}", flush=True)


if __name__ == "__main__":
    main()
