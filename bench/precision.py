"""Whether bf16 trains and samples as float32 does, for every preset: what `--precision auto` may take.

    python bench/precision.py [PRESET ...]

For each phase, the gradient of the player's weights in bf16 against the one in float32, with the same random numbers:

    cosine   between the two, over all of the player's weights
    norm     length of the first, as a share of the second's
    step     the cosine between the float32 gradients before and after one training step, on the same images: where
             bf16 turns a gradient less than that, it is no worse than weights that are one step old

and for images, the mean of what bf16 changes, in levels of 255. Networks are small, because every preset is measured:
at most `--most` feature maps, images of `--size` pixels, at initialisation and after `--steps` steps in float32.
`bench/gradients.py` looks at a trained run.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from organza.contract.data import Batch, DataSpec, translates
from organza.contract.method import Method, MethodConfig, Phase
from organza.contract.model import Latents, Translation
from organza.core.device import computing
from organza.nn.norms import running
from organza.ops import inference
from organza.presets import PRESETS
from organza.training.loop import advance
from organza.training.settings import Training
from organza.training.state import State

SEEN = 1000
"""Images before the first step: small networks that grow are grown by then."""


@dataclass(frozen=True)
class Found:
    """One measurement: a phase, or ``"images"``, at a number of steps."""

    what: str
    steps: int
    cosine: float = 1.0
    norm: float = 1.0
    step: float = 1.0
    levels: float = 0.0

    @property
    def follows(self) -> bool:
        """Whether training in bf16 goes where float32 goes."""
        near = self.cosine > 0.98 or math.acos(min(self.cosine, 1.0)) < math.acos(min(self.step, 1.0))
        return near and 0.85 < self.norm < 1.15


def small(config: MethodConfig, most: int) -> MethodConfig:
    """The same method with at most so many feature maps."""
    sizes = {"z_dim": most, "w_dim": most, "width": most // 4, "capacity": most // 8}
    sizes |= {f"channel_{name}{player}": n for player in ("", "_d") for name, n in (("base", 16 * most), ("max", most))}
    toy: Any = config.toy()
    return replace(toy, **{f.name: sizes[f.name] for f in fields(toy) if f.name in sizes})


def images(count: int, size: int) -> Tensor:
    """Smooth random images ``[count, 3, size, size]``."""
    noise = torch.rand(count, 3, size // 4, size // 4, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return torch.nn.functional.interpolate(noise, scale_factor=4.0, mode="bilinear")


def spec_for(name: str, size: int) -> DataSpec:
    """Square images, with sources where the method translates, and labels or words where it can't do without."""
    run = PRESETS[name].run
    if run.method.layout == "captioned":
        return DataSpec((size, size), 3, words=("blue", "eyes", "hair", "red"), text_length=3)
    labels = 0 if run.data.labels == "none" else 3
    frames = 4 if run.method.layout == "video" else 0
    return DataSpec((size, size), 3, labels, source=3 if translates(run.method.layout) else 0, frames=frames)


def labels_for(spec_or_model: Any, count: int) -> Tensor:
    """One class after the other ``[count, label_dim]``."""
    size = spec_or_model.label_dim
    return (torch.arange(count)[:, None] % max(size, 1) == torch.arange(size)).float()


def text_for(spec: DataSpec, count: int) -> Tensor | None:
    """Tokens of some words, one after the other ``[count, text_length]``; None without words."""
    if not spec.words:
        return None
    return (torch.arange(count)[:, None] + torch.arange(spec.text_length)) % len(spec.words) + 1


def measure(name: str, size: int, most: int, batch: int, steps: int) -> Iterator[Found]:
    """Every phase of a preset, and its images, at initialisation and after ``steps`` steps."""
    spec = spec_for(name, size)
    torch.manual_seed(0)
    method = small(PRESETS[name].run.method, most).resolve(spec, batch).build(spec)
    state, pictures = State.fresh(method, torch.device("cpu")), images(4 * batch, size)

    def at(step: int) -> Batch:
        first = step % 4 * batch
        shown = pictures[first : first + batch]
        source = shown.flip(0) if spec.source else None
        flow = None
        if spec.frames:  # each frame a pixel to the right of the one before
            shown, source = (torch.stack([x.roll(k, 3) for k in range(spec.frames)], 1) for x in (shown, shown.flip(0)))
            flow = torch.tensor([-1.0, 0, 1])[:, None, None].expand(batch, spec.frames - 1, 3, size, size)
        text = text_for(spec, batch)
        return Batch(shown, labels_for(spec, batch), SEEN + step * batch, source, text=text, flow=flow)

    for step in range(steps + 1):
        before: list[tuple[Phase, Batch, Tensor, Tensor]] = []
        if step in (0, steps):
            shown = at(step)
            for phase in method.phases:
                one, other = (gradient(method, phase, shown, dtype) for dtype in (torch.float32, torch.bfloat16))
                before.append((phase, shown, one, other))
                carry = phase.loss(state.nets, shown, torch.Generator().manual_seed(0)).carry
                shown = shown.leaving({name: value.detach() for name, value in carry.items()})
            one, other = (sample(method, batch, size, dtype) for dtype in (torch.float32, torch.bfloat16))
            yield Found("images", step, levels=float(127.5 * (other - one).abs().mean()))
        shown = at(step)
        for phase in method.phases:
            if phase.due(step) or before:
                shown = shown.leaving(advance(state, phase, shown, Training()).carry)
        for phase, shown, one, other in before:
            later = gradient(method, phase, shown, torch.float32)
            yield Found(phase.name, step, cosine(one, other), float(other.norm() / one.norm()), cosine(one, later))


def cosine(one: Tensor, other: Tensor) -> float:
    """Of the angle between two vectors."""
    return float(one @ other / (one.norm() * other.norm()))


def gradient(method: Method, phase: Phase, batch: Batch, dtype: torch.dtype) -> Tensor:
    """Of a phase's loss by all weights of its player, float64."""
    nets = method.players[phase.player].nets
    for name, net in method.nets.items():
        net.requires_grad_(name in nets).zero_grad(set_to_none=True)
    torch.manual_seed(0)
    with computing(dtype):
        loss = phase.loss({**method.nets, **method.frozen}, batch, torch.Generator().manual_seed(0)).loss
        loss.backward()
    found = [p.grad for name in nets for p in method.nets[name].parameters() if p.grad is not None]
    return torch.cat([grad.flatten() for grad in found]).double()


def sample(method: Method, count: int, size: int, dtype: torch.dtype) -> Tensor:
    """Images ``[count, C, H, W]`` as a loaded generator makes them."""
    model, net = method.model, method.nets[method.model.net]
    if isinstance(model, Translation):
        with inference(), computing(dtype), running(net, model.mode):
            torch.manual_seed(0)
            found = model.apply(net, images(count, size), labels_for(model, count), None)
        return found.double().clamp(-1, 1)
    assert isinstance(model, Latents)
    latents = model
    z = torch.randn(count, latents.z_dim, generator=torch.Generator().manual_seed(2))
    net.eval()
    with inference(), computing(dtype):
        found = latents.synthesis(net, latents.mapping(net, z, labels_for(model, count)), "const", None)
    net.train()
    return found.double().clamp(-1, 1)


def allowed(name: str, size: int, most: int) -> tuple[str, ...]:
    """What ``--precision auto`` does in bf16 with a preset's method."""
    spec = spec_for(name, size)
    return small(PRESETS[name].run.method, most).resolve(spec, 8).build(spec).bf16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="*", default=list(PRESETS))
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--most", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"{given.size}x{given.size}, at most {given.most} feature maps, batch {given.batch}, {given.steps} steps\n")
    print("| preset | phase | cosine | a step's | norm ratio | auto precision |\n|---|---|---|---|---|---|")
    for name in given.presets:
        found = list(measure(name, given.size, given.most, given.batch, given.steps))
        bf16 = allowed(name, given.size, given.most)
        for first, last in zip(found[: len(found) // 2], found[len(found) // 2 :], strict=True):
            use = "sampling" if first.what == "images" else "training"
            auto = "bf16" if use in bf16 else "float32"
            if use == "sampling":
                print(f"| {name} | images | {first.levels:.2f}, {last.levels:.2f} of 255 | | | {auto} |", flush=True)
            else:
                cosines, norms = f"{first.cosine:.4f}, {last.cosine:.4f}", f"{first.norm:.3f}, {last.norm:.3f}"
                moved = f"{first.step:.4f}, {last.step:.4f}"
                print(f"| {name} | {first.what} | {cosines} | {moved} | {norms} | {auto} |", flush=True)


if __name__ == "__main__":
    main()
