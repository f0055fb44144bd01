"""Discriminators of single images that may know labels, in three ways.

``join``: the label is part of the input (Mirza & Osindero 2014, arXiv 1411.1784). ``auxiliary``: D names the class as
well (Odena et al. 2017, arXiv 1610.09585). ``projection``: the score gains the product of the label and a linear map of
the features (Miyato & Koyama 2018, arXiv 1802.05637, eq. 4).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from organza.contract.data import DataSpec
from organza.contract.targets import label_sets

LabelD = Literal["join", "auxiliary", "projection"]


def label_maps(images: Tensor, labels: Tensor) -> Tensor:
    """Each label as a constant map beside the channels: ``[N, C, H, W]`` -> ``[N, C + L, H, W]``.

    Example:
        >>> label_maps(torch.zeros(2, 3, 4, 4), torch.eye(2)).shape
        torch.Size([2, 5, 4, 4])
    """
    maps = labels[:, :, None, None].expand(-1, -1, *images.shape[2:])
    return torch.cat([images, maps.to(images.dtype)], dim=1)


def label_vector(images: Tensor, labels: Tensor) -> Tensor:
    """All pixels of an image, and its label, in one vector: ``[N, C, H, W]`` -> ``[N, C H W + L]``."""
    return torch.cat([images.flatten(1), labels], dim=1)


class Critic(nn.Module):
    """An image, and its label, to a score.

    Args:
        spec: of the images.
        label_d: how it learns of labels; without labels all three are the same.
        encoder: ``(further inputs, outputs) -> network``: what labels add to its input, and the length of its output.
        join: puts images and labels together.
    """

    def __init__(
        self,
        spec: DataSpec,
        label_d: LabelD,
        encoder: Callable[[int, int], nn.Module],
        join: Callable[[Tensor, Tensor], Tensor] = label_maps,
    ) -> None:
        super().__init__()
        self.label_d, self.join = label_d, join
        joined = spec.label_dim if label_d == "join" else 0
        self.labelled = bool(spec.label_dim)
        self.encoder = encoder(joined, 1 if joined else 1 + spec.label_dim)

    def outputs(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor | None]:
        """Scores ``[N, 1]``, and logits of the labels ``[N, L]`` where it names them (``auxiliary``)."""
        if not self.labelled:
            return self.encoder(images), None
        if self.label_d == "join":
            return self.encoder(self.join(images, labels)), None
        found: Tensor = self.encoder(images)
        scores, features = found[:, :1], found[:, 1:]
        if self.label_d == "auxiliary":
            return scores, features
        return scores + (features * labels).sum(1, keepdim=True), None

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """``[N, C, H, W]`` and ``[N, L]`` -> ``[N, 1]``; labels may be left out where there are none."""
        return self.outputs(images, images.new_zeros(len(images), 0) if labels is None else labels)[0]


def label_error(spec: DataSpec, logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy ``[N]`` of the labels ``[N, L]``: of classes, or of attributes from 0 to 1 (their mean).

    AC-GAN, eq. 3.

    Example:
        >>> label_error(DataSpec((8, 8), label_dim=2), torch.zeros(1, 2), torch.ones(1, 2))
        tensor([0.6931])
    """
    if label_sets(spec)[0].kind == "classes":
        return F.cross_entropy(logits, labels, reduction="none")
    return F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(1)
