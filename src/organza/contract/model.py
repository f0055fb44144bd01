"""How a trained method is used: what `organza.load` makes a generator from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Latents:
    """How pictures come out of a trained method: a latent code, its intermediate form, a picture.

    Methods without an intermediate space have ``w == z`` and one w for all layers.

    Attributes:
        net: name of the network in ``Method.nets`` that draws.
        z_dim, w_dim, num_ws, label_dim: sizes.
        mapping: ``(net, z [N, z_dim], labels [N, label_dim]) -> ws [N, num_ws, w_dim]``, without truncation.
        synthesis: ``(net, ws, noise "const" | "random" | "none", rng) -> images [N, C, H, W]``, float32.
        center: the mean w ``[w_dim]``, towards which truncation pulls.
        placed: ``(net, (right, down), degrees) -> net`` with its pictures moved, as a share of their longer side, and
            turned counterclockwise; None where a network can't.
    """

    net: str
    z_dim: int
    w_dim: int
    num_ws: int
    label_dim: int
    mapping: Callable[[nn.Module, Tensor, Tensor], Tensor]
    synthesis: Callable[[nn.Module, Tensor, str, torch.Generator | None], Tensor]
    center: Callable[[nn.Module], Tensor]
    placed: Callable[[nn.Module, tuple[float, float], float], nn.Module] | None = None
