"""Time of a StyleGAN2 training step, each phase weighted by how often it runs.

    python bench/step.py                      # every mode and size, one line each
    python bench/step.py --resolution 256 --batch 4 --base 16384
    python bench/step.py fast-bf16 --base 4096 --max 256 --profile

Modes: the fast ops in bf16 and in float32, and the plain reference ops in float32, laid out as PyTorch does by default
and with the C library's own memory management, as a plain program would run them. On a GPU the fast ops take Triton's
kernels; ORGANZA_TRITON=0 in the environment measures without them. Each mode runs in its own process;
ratios compare modes of one invocation.
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
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from organza import ops
from organza.contract.data import Batch, DataSpec
from organza.contract.method import Phase
from organza.core import device, distributed
from organza.methods.stylegan import stylegan2
from organza.ops import kernels, winograd
from organza.training import optimizers

MODES = ("fast-bf16", "fast-float32", "reference-float32")


def measure(mode: str, arguments: argparse.Namespace) -> None:
    twin, precision = mode.split("-")
    if twin == "fast":
        device.keep_freed_memory()
    else:
        stylegan2.to_compute = lambda x: x.contiguous()
    distributed.start()  # under torchrun each process takes its share of the batch
    size, n = arguments.resolution, arguments.batch // distributed.world()
    where = device.choose_device(arguments.device)
    spec = DataSpec((size, size))
    config = stylegan2.StyleGAN2(channel_base=arguments.base, channel_max=arguments.max)
    torch.manual_seed(0)
    method = config.resolve(spec, n).build(spec)
    for net in method.nets.values():
        net.to(where, memory_format=torch.channels_last if twin == "fast" else torch.contiguous_format)
    learners = optimizers.build(method)
    batch = Batch(torch.rand(n, 3, size, size, device=where) * 2 - 1, torch.zeros(n, 0, device=where))

    def run(phase: Phase) -> float:
        started = time.perf_counter()
        player = method.players[phase.player]
        for name, net in method.nets.items():
            net.requires_grad_(name in player.nets)
        learners[phase.player].zero()
        result = phase.loss({**method.nets, **method.frozen}, batch, torch.Generator(where).manual_seed(0))
        loss, stats = result.loss, result.stats
        (loss * phase.gain).backward()
        distributed.average([learners[phase.player].flat, *stats.values()])
        learners[phase.player].step(1.0)
        if phase.after is not None:
            with torch.no_grad():
                phase.after(method.nets, result, torch.Generator(where).manual_seed(0))
        if where.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    with ops.using(twin), device.computing(dtype):
        times: dict[str, list[float]] = {phase.name: [] for phase in method.phases}
        for turn in range(arguments.turns + 1):
            for phase in method.phases:
                seconds = run(phase)
                if turn:
                    times[phase.name].append(seconds)
        floor = operations(method.phases, run, n) if arguments.json else 0.0
        if arguments.profile:
            with torch.profiler.profile() as profile:
                for phase in method.phases:
                    run(phase)
            print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=30, max_name_column_width=40))
    per_image = {
        kind: sum(pick(times[phase.name]) / phase.every for phase in method.phases) / arguments.batch * 1000
        for kind, pick in (("min", min), ("median", statistics.median))
    }
    phases = " ".join(f"{name} {min(values) / arguments.batch * 1000:.0f}" for name, values in times.items())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if where.type == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**30
    first = distributed.rank() == 0
    distributed.stop()
    if not first:
        return
    if arguments.json:
        print(json.dumps({"mode": mode, **per_image, "gflop": floor, "memory": peak}), flush=True)
        return
    print(
        f"{mode} {size}x{size} batch {arguments.batch} base {arguments.base} max {arguments.max}: "
        f"{per_image['min']:.1f} ms/image (median {per_image['median']:.1f}); {phases} ms/image; peak {peak:.2f} GiB",
        flush=True,
    )


class Counter(TorchDispatchMode):
    """Adds up operations. (PyTorch's own FlopCounterMode watches modules, and fails at gradients of gradients.)"""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func._overloadpacket):
            self.total += formula(*args, **(kwargs or {}), out_val=out)
        return out


def operations(phases: Sequence[Phase], run: Callable[[Phase], float], batch: int) -> float:
    """Multiplications and additions that an image takes in convolutions and matrix products, in billions."""
    usual, winograd.FEWEST = winograd.FEWEST, {}  # the count is of the plain way
    served, kernels.devices = kernels.devices, set()
    total = 0.0
    for phase in phases:
        with Counter() as counter:
            run(phase)
        total += counter.total / phase.every / batch / 1e9
    winograd.FEWEST, kernels.devices = usual, served
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", nargs="?", choices=MODES)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--base", type=int, help="feature maps: base / size")
    parser.add_argument("--max", "--most", type=int)  # torchrun takes --max for its own
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--device", help="cuda, cuda:1, cpu ...; a GPU where there is one")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--json", action="store_true", help="print a mode's figures as JSON, with its operations")
    parser.add_argument("--threads", type=int, help="of each process; as many as there are cores")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads or max(1, len(os.sched_getaffinity(0)) // distributed.world()))
    configs = ((4096, 256), (16384, 512))
    if arguments.base or arguments.max or arguments.mode:
        configs = ((arguments.base or 16384, arguments.max or 512),)
    if arguments.mode:
        arguments.base, arguments.max = configs[0]
        measure(arguments.mode, arguments)
        return
    for base, most in configs:
        times = {}
        for mode in MODES:
            shape = ["--resolution", str(arguments.resolution), "--batch", str(arguments.batch)]
            command = [sys.executable, __file__, mode, *shape, "--base", str(base), "--max", str(most)]
            command += ["--threads", str(torch.get_num_threads())]
            command += ["--device", arguments.device] if arguments.device else []
            line = subprocess.run(
                [*command, "--turns", str(arguments.turns)], check=True, capture_output=True, text=True
            )
            print(line.stdout, end="", flush=True)
            times[mode] = float(line.stdout.split(": ")[1].split(" ms")[0])
        print(
            f"  ratios to {MODES[2]}: "
            + ", ".join(f"{mode} {times[MODES[2]] / times[mode]:.2f}x" for mode in MODES[:2])
        )


if __name__ == "__main__":
    main()
