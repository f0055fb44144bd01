"""What rounding does to the gradients that a training follows, beside what the choice of the batch does to them.

    python bench/gradients.py runs/00000-stylegan2-photos --data photos.zip

For each phase, the gradients of several batches at the run's newest checkpoint, in float32 by plain convolutions and in
faster ways, with the same random numbers. Printed are

    cosine   between a batch's gradient and its float32 one, the mean
    noise    the mean square of their difference, as a share of the variance from batch to batch
    bias     the difference of the means over all batches, as a share of the mean's length, and in brackets the length
             that a mean of as many batches would be off by itself

Rounding whose noise is a small share of the batch's, and whose bias is below the bracket, can't be told from the luck
of the draw. Modes: float32 and bf16 with plain convolutions, and both with `organza.ops.winograd` in every layer that
has the shape for it, however few its channels. Images come unlabelled and as they are: for runs without labels.
"""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path

import torch
from torch import Tensor

from organza.contract.data import DataSpec
from organza.contract.method import Method, Phase
from organza.core.config import from_plain
from organza.core.device import computing
from organza.data import DataOptions, Loader, open_dataset
from organza.ops import winograd
from organza.presets import METHODS
from organza.training import checkpoint
from organza.training.state import State

MODES = {
    "float32 winograd": (torch.float32, {torch.float32: 1}),
    "bf16": (torch.bfloat16, {}),
    "bf16 winograd": (torch.bfloat16, {torch.bfloat16: 1}),
}


def gradient(method: Method, phase: Phase, loader: Loader, seen: int, batch: int, index: int) -> Tensor:
    """Of a phase's loss, by all weights of its player, for batch number ``index`` after ``seen`` images."""
    player = method.players[phase.player]
    for name, net in method.nets.items():
        net.requires_grad_(name in player.nets).zero_grad(set_to_none=True)
    shown = loader.batch(seen + index * batch, batch)
    loss = phase.loss({**method.nets, **method.frozen}, shown, torch.Generator().manual_seed(index)).loss
    loss.backward()
    grads = [p.grad for name in player.nets for p in method.nets[name].parameters() if p.grad is not None]
    return torch.cat([g.flatten() for g in grads])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--batches", type=int, default=16)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args()
    if given.batches < 2:
        parser.error("a single batch has no noise to compare with: --batches 2 or more")
    torch.set_num_threads(given.threads)
    newest = next(checkpoint.newest_first(given.run / "checkpoints"))
    config = checkpoint.read_config(newest)
    spec = from_plain(DataSpec, config["spec"])
    method = from_plain(METHODS[config["method"]], config["config"]).build(spec)
    State.fresh(method, torch.device("cpu")).load(newest)
    height, width = spec.resolution
    print(f"{newest.parent.parent.name} at {int(newest.name) / 1000:g} kimg, {given.batches} batches of {given.batch}")
    with Loader(open_dataset(given.data, DataOptions(resolution=f"{width}x{height}")), seed=0) as loader:
        for phase in method.phases:
            found: dict[str, list[Tensor]] = {}
            for mode, (dtype, fewest) in {"float32": (torch.float32, {}), **MODES}.items():
                winograd.FEWEST = fewest
                with computing(dtype):
                    found[mode] = [
                        gradient(method, phase, loader, int(newest.name), given.batch, i) for i in range(given.batches)
                    ]
            report(phase.name, found)


def report(phase: str, found: dict[str, list[Tensor]]) -> None:
    """A line for each mode."""
    exact = torch.stack(found["float32"]).double()
    mean = exact.mean(0)
    variance = (exact - mean).square().sum(1).mean() * len(exact) / (len(exact) - 1)
    own = math.sqrt(variance / len(exact)) / mean.norm()
    for mode in MODES:
        off = torch.stack(found[mode]) - exact
        cosine = torch.nn.functional.cosine_similarity(off + exact, exact).mean()
        noise, bias = off.square().sum(1).mean() / variance, off.mean(0).norm() / mean.norm()
        print(f"{phase:8}{mode:18} cosine {cosine:.5f}  noise {noise:7.3%}  bias {bias:7.3%} ({own:.1%})", flush=True)


if __name__ == "__main__":
    main()
