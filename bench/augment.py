"""What augmentations cost: the time of a StyleGAN2 step with them as a ratio to one without, in CPU time.

    python bench/augment.py                   # the networks of stylegan2-tiny at 64x64, a batch of 16
    python bench/augment.py --base 1024 --max 128 --pipe bgcfnc

All variants take turns in one process, and the least of each is taken, so that a busy machine disturbs little.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import torch

from organza import PRESETS
from organza.contract.data import Batch, DataSpec
from organza.core import device
from organza.methods.stylegan.stylegan2 import StyleGAN2
from organza.training.loop import advance
from organza.training.settings import Training
from organza.training.state import State


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--base", type=int, default=2048)
    parser.add_argument("--max", type=int, default=256)
    parser.add_argument("--pipe", default="bgc")
    parser.add_argument("--turns", type=int, default=5)
    arguments = parser.parse_args()
    device.keep_freed_memory()
    size, n = arguments.resolution, arguments.batch
    config = PRESETS["stylegan2-tiny"].run.method
    assert isinstance(config, StyleGAN2)
    config = replace(config, channel_base=arguments.base, channel_max=arguments.max, augment_pipe=arguments.pipe)
    variants = {"none": config, "diffaugment": replace(config, augment="diffaugment")}
    variants |= {f"p {p:g}": replace(config, augment="fixed", augment_p=p) for p in (0.1, 0.2, 0.5, 1.0)}
    spec, cpu = DataSpec((size, size)), torch.device("cpu")
    states = {name: State.fresh(c.resolve(spec, n).build(spec), cpu) for name, c in variants.items()}
    images = (torch.rand(n, size, size, 3) * 2 - 1).permute(0, 3, 1, 2)
    least: dict[tuple[str, str], float] = {}
    with device.computing(device.choose_dtype("auto", cpu, auto_bf16=True)):
        for turn in range(arguments.turns + 1):
            batch = Batch(images, torch.zeros(n, 0), seen=turn * n)
            for name, state in states.items():
                for phase in state.method.phases:
                    started = time.process_time()
                    advance(state, phase, batch, Training(batch=n))
                    seconds = (time.process_time() - started) / phase.every
                    if turn:
                        least[name, phase.name] = min(seconds, least.get((name, phase.name), seconds))
    totals = {name: sum(v for (owner, _), v in least.items() if owner == name) for name in states}
    print(f"{size}x{size}, batch {n}, base {arguments.base}, max {arguments.max}, {arguments.pipe}")
    for name, total in totals.items():
        print(f"{name:12} {1000 * total / n:6.2f} ms/image  {total / totals['none']:.3f}")


if __name__ == "__main__":
    main()
