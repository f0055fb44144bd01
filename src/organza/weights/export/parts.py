"""A loaded network as plain modules of tensors: what can be written down as a graph that other programs run.

A generator has its whole way (z to image) and, for who wants to mix, its two halves: z to w, w to image. Noise inputs
are their stored maps, or left out; they are part of the graph. A translator is one module.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm

from organza.contract.model import NormMode
from organza.core.errors import UserError
from organza.models.generator import Generator
from organza.models.translator import Translator
from organza.nn.norms import with_statistics
from organza.ops import instance_norm

Noise = Literal["const", "none"]
Half = Literal["whole", "mapping", "synthesis"]
Weights = Literal["fp32", "fp16", "int8"]
OPSET = 17
"""What is taken unless asked: ONNX Runtime has it since 2022, and its build for browsers."""


@dataclass(frozen=True)
class Exporting:
    """How a network is written down.

    Attributes:
        part: of a generator: all of it, z to w (``"mapping"``), or w to images (``"synthesis"``).
        cutoff: of a generator: truncate only the first so many layers; None all.
        noise: of a generator: its stored noise maps as constants, or none.
        mode: of a translator, see `NormMode`; None: its own.
        weights: how an ONNX file stores them; it computes in float32 in any case.
        opset: version of ONNX's operators.
    """

    part: Half = "whole"
    cutoff: int | None = None
    noise: Noise = "const"
    mode: NormMode | None = None
    weights: Weights = "fp32"
    opset: int = OPSET


@dataclass(frozen=True)
class Port:
    """An input or output of a graph.

    Attributes:
        name: what it is called there.
        shape: sizes; a word for one that is free, such as ``"batch"``.
        kind: type of its numbers.
        about: what it means, with its range.
    """

    name: str
    shape: tuple[int | str, ...]
    kind: Literal["float32", "int64"]
    about: str

    def sample(self, batch: int, sides: tuple[int, int], rng: torch.Generator) -> Tensor:
        """Numbers of its kind and range, with the free sizes given."""
        free = {"batch": batch, "height": sides[0], "width": sides[1]}
        size = [free[side] if isinstance(side, str) else side for side in self.shape]
        if self.kind == "int64":
            return torch.randint(0, 2, size, generator=rng)
        if self.name == "psi":
            return torch.full(size, 0.7)
        if self.name == "label":
            return torch.eye(size[1])[torch.randint(0, size[1], size[:1], generator=rng)]
        found = torch.randn(size, generator=rng)
        return found.tanh() if self.name == "image" else found


@dataclass(frozen=True)
class Part:
    """A module and what goes in and out of it.

    Attributes:
        module: takes tensors in the order of ``inputs``, gives one.
        inputs, output: see `Port`.
        sides: height and width with which it is tried.
        step: free sides are multiples of this.
        notes: what differs from Organza's own use of the network, in words.
    """

    module: nn.Module
    inputs: tuple[Port, ...]
    output: Port
    sides: tuple[int, int]
    step: int = 1
    notes: tuple[str, ...] = ()

    def samples(self, batch: int, sides: tuple[int, int] | None = None, seed: int = 0) -> tuple[Tensor, ...]:
        """An input of each port."""
        rng = torch.Generator().manual_seed(seed)
        return tuple(port.sample(batch, sides or self.sides, rng) for port in self.inputs)


def part_of(model: Generator | Translator, half: Half, how: Exporting) -> Part:
    """The module of a network.

    Args:
        model: on the CPU, in float32.
        half: of a generator: all, or one half of the way.
        how: see `Exporting`; what it says of parts, weights and operators does not matter here.

    Raises:
        UserError: half of a translator, a mode that it has not, or more layers to truncate than there are.
    """
    if isinstance(model, Translator):
        if half != "whole":
            raise UserError(f"{model.kind} is a translator and has no {half}", hint="leave --part out")
        if how.cutoff is not None or how.noise != "const":
            raise UserError(f"{model.kind} is a translator", hint="--cutoff and --noise are for generators")
        return _translating(model, how.mode)
    if how.mode is not None:
        raise UserError(f"{model.kind} makes images from seeds", hint="--norm-mode is for translators")
    if how.cutoff is not None and how.cutoff > model.num_ws:
        raise UserError(f"a cutoff of {how.cutoff}", hint=f"this network has {model.num_ws} layers to truncate")
    return {"whole": _whole, "mapping": _mapping, "synthesis": _synthesis}[half](model, how.cutoff, how.noise)


# --- generators ------------------------------------------------------------------------------------------------------


class Mapping(nn.Module):
    """z, psi and a label, where there are labels, to w's."""

    def __init__(self, model: Generator, cutoff: int | None) -> None:
        super().__init__()
        self.net, self.latents, self.cutoff = model.net, model.latents, cutoff
        self.reader = model.reader
        self.label_dim = model.label_dim
        self.register_buffer("center", model.w_avg.detach().clone().float(), persistent=False)

    def forward(self, z: Tensor, psi: Tensor, label: Tensor | None = None) -> Tensor:
        """``[N, z_dim]``, ``[1]``, ``[N, label_dim]`` or tokens -> ``[N, num_ws, w_dim]``."""
        if label is None:
            label = z[:, :0]
        elif self.reader is not None and self.latents.text is not None:
            label = self.latents.text.encode(self.reader, label)
        ws = self.latents.mapping(self.net, z, label)
        end = self.latents.num_ws if self.cutoff is None else self.cutoff
        body = self.latents.w_dim - self.latents.label_tail
        pulled = ws[:, :end, :body] * psi + self.get_buffer("center")[:body] * (1 - psi)
        if body < self.latents.w_dim:
            pulled = torch.cat([pulled, ws[:, :end, body:]], dim=2)
        return pulled if end == self.latents.num_ws else torch.cat([pulled, ws[:, end:]], dim=1)


class Synthesis(nn.Module):
    """w's to images."""

    def __init__(self, model: Generator, noise: Noise) -> None:
        super().__init__()
        self.net, self.latents, self.noise = model.net, model.latents, noise

    def forward(self, w: Tensor) -> Tensor:
        """``[N, num_ws, w_dim]`` -> ``[N, C, H, W]``."""
        return self.latents.synthesis(self.net, w, self.noise, None)


class Whole(nn.Module):
    """z, psi and a label, where there are labels, to images."""

    def __init__(self, model: Generator, cutoff: int | None, noise: Noise) -> None:
        super().__init__()
        self.mapping, self.synthesis = Mapping(model, cutoff), Synthesis(model, noise)

    def forward(self, z: Tensor, psi: Tensor, label: Tensor | None = None) -> Tensor:
        """``[N, z_dim]``, ``[1]``, ``[N, label_dim]`` or tokens -> ``[N, C, H, W]``."""
        images: Tensor = self.synthesis(self.mapping(z, psi, label))
        return images


def _whole(model: Generator, cutoff: int | None, noise: Noise) -> Part:
    return Part(Whole(model, cutoff, noise).eval(), _codes(model), _image(model), model.resolution, notes=_noted(noise))


def _mapping(model: Generator, cutoff: int | None, noise: Noise) -> Part:
    return Part(Mapping(model, cutoff).eval(), _codes(model), _w(model), model.resolution)


def _synthesis(model: Generator, cutoff: int | None, noise: Noise) -> Part:
    module = Synthesis(model, noise).eval()
    return Part(module, (_w(model),), _image(model), model.resolution, notes=_noted(noise))


def _codes(model: Generator) -> tuple[Port, ...]:
    z = Port("z", ("batch", model.z_dim), "float32", "latent code: numbers of a standard normal distribution")
    psi = Port("psi", (1,), "float32", "truncation: 1 for the full variety, 0 for the average image")
    if model.latents.text is not None:
        if model.reader is None:
            about = "vector of a text, of the encoder that the network was trained with"
            return z, psi, Port("text", ("batch", model.label_dim), "float32", about)
        about = "words by their place in `words`, counted from 1; 0 fills up"
        return z, psi, Port("text", ("batch", model.spec.text_length), "int64", about)
    if model.label_dim:
        about = "label: 1 at the class, 0 elsewhere, or attributes from 0 to 1"
        return z, psi, Port("label", ("batch", model.label_dim), "float32", about)
    return z, psi


def _w(model: Generator) -> Port:
    about = "intermediate codes, one for each layer"
    return Port("w", ("batch", model.num_ws, model.w_dim), "float32", about)


def _image(model: Generator) -> Port:
    return Port("image", ("batch", model.channels, *model.resolution), "float32", PIXELS)


PIXELS = "about from -1 (black) to 1 (white), channels RGB: level = floor(127.5 * x + 128), clamped to 0..255"


def _noted(noise: Noise) -> tuple[str, ...]:
    return ("noise inputs are left out",) if noise == "none" else ()


# --- translators -----------------------------------------------------------------------------------------------------


class Translating(nn.Module):
    """An image, with a label or a style code where the network takes them, to another."""

    def __init__(self, model: Translator, net: nn.Module) -> None:
        super().__init__()
        self.net, self.apply_net = net, model.model.apply
        self.label_dim, self.z_dim = model.model.label_dim, model.model.z_dim

    def forward(self, image: Tensor, *more: Tensor) -> Tensor:
        """``[N, source, H, W]``, ``[N, label_dim]``, ``[N, z_dim]`` -> ``[N, channels, H, W]``."""
        given = list(more)
        label = given.pop(0) if self.label_dim else image[:, 0, 0, :0]
        z = given.pop(0) if self.z_dim else None
        return self.apply_net(self.net, image, label, z).float()


class OwnStatistics(nn.Module):
    """Batch normalisation by the statistics of each image alone: what translating one image at a time comes to."""

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, H, W]`` -> the same shape."""
        return instance_norm(x, self.weight, self.bias, self.eps)


def _translating(model: Translator, mode: NormMode | None) -> Part:
    mode = model.check_mode(mode)
    with with_statistics(model.net, model.statistics if mode == "calibrated" else {}):
        net = copy.deepcopy(model.net)
    net, dropped = _settled(net.eval(), train=mode == "train")
    notes = ("dropout is left out: Organza drops at random in this network's mode",) if dropped else ()
    how, only = model.model, model.model.only
    height, width = ("height", "width") if only is None else only
    sides = f"; sides are multiples of {how.multiple}, {how.least} at least" if only is None else ""
    ports = [Port("image", ("batch", how.source, height, width), "float32", f"from -1 to 1, channels RGB{sides}")]
    if how.label_dim:
        ports.append(Port("label", ("batch", how.label_dim), "float32", "what the image should become"))
    if how.z_dim:
        ports.append(
            Port("z", ("batch", how.z_dim), "float32", "style code: numbers of a standard normal distribution")
        )
    out = Port("translated", ("batch", how.channels, height, width), "float32", PIXELS)
    module = Translating(model, net).eval()
    return Part(module, tuple(ports), out, only or _sides(model), how.multiple, notes)


def _sides(model: Translator) -> tuple[int, int]:
    """The size of training, as the network takes it."""
    height, width = (-(-max(side, model.model.least) // model.multiple) * model.multiple for side in model.resolution)
    return height, width


def _settled(net: nn.Module, train: bool) -> tuple[nn.Module, bool]:
    """``net`` with what depends on a mode made fixed, and whether dropout was taken out of it."""
    dropped = False
    holder = nn.ModuleList([net])
    for parent in [*holder.modules()]:
        for name, child in [*parent.named_children()]:
            if isinstance(child, _InstanceNorm) and (train or not child.track_running_stats):
                child.running_mean = child.running_var = None
            elif isinstance(child, nn.BatchNorm2d) and (train or child.running_mean is None):
                setattr(parent, name, OwnStatistics(child))
            elif isinstance(child, _DropoutNd):
                dropped = dropped or (train and child.p > 0)
                setattr(parent, name, nn.Identity())
    return cast(Sequence[nn.Module], holder)[0], dropped
