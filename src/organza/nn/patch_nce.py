"""Contrast between patches of an image and of its translation.

Taesung Park, Alexei A. Efros, Richard Zhang, Jun-Yan Zhu: Contrastive Learning for Unpaired Image-to-Image Translation.
ECCV 2020, arXiv 2007.15651, section 3. A patch of the output must be told from the others by the patch of the input at
the same position. Patches are feature vectors of the generator's own encoder, brought to one length by small networks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from organza.nn.initial import init_xavier
from organza.nn.penalties import root


class PatchHeads(nn.Module):
    """The network F: for each layer of the encoder, a perceptron of two layers from features to a unit vector.

    Args:
        inputs: feature maps of each layer.
        width: units of both layers.

    Example:
        >>> heads = PatchHeads([3, 8], width=5)
        >>> found = heads([torch.rand(2, 3, 4, 4), torch.rand(2, 8, 2, 2)], [torch.arange(6), torch.arange(4)])
        >>> [tuple(vectors.shape) for vectors in found]
        [(2, 6, 5), (2, 4, 5)]
    """

    def __init__(self, inputs: Sequence[int], width: int = 256) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(maps, width), nn.ReLU(), nn.Linear(width, width)) for maps in inputs
        )
        self.apply(init_xavier)

    def forward(self, features: Sequence[Tensor], positions: Sequence[Tensor]) -> list[Tensor]:
        """The vectors of some patches of each layer.

        Args:
            features: ``[N, maps, h, w]`` of each layer.
            positions: whole numbers ``[P]`` below ``h * w`` for each layer, counted row by row.

        Returns:
            ``[N, P, width]`` for each layer, float32, of length 1.
        """
        vectors = []
        for head, feature, chosen in zip(self.heads, features, positions, strict=True):
            vectors.append(unit(head(patches(feature, chosen))))
        return vectors


def patches(feature: Tensor, positions: Tensor) -> Tensor:
    """The columns of ``feature`` ``[N, maps, h, w]`` at ``positions`` ``[P]``: ``[N, P, maps]``, float32."""
    return feature.flatten(2)[:, :, positions].transpose(1, 2).float()


def unit(vectors: Tensor) -> Tensor:
    """Vectors along the last axis at length 1; those near 1e-7 stay shorter, and zeros stay zeros."""
    return vectors / (root(vectors.square().sum(-1, keepdim=True)) + 1e-7)


def choose_positions(features: Sequence[Tensor], count: int, rng: torch.Generator) -> list[Tensor]:
    """At most ``count`` different positions for each layer, the same for all images of a batch."""
    sizes = [feature.shape[2] * feature.shape[3] for feature in features]
    return [torch.randperm(size, generator=rng, device=rng.device)[:count] for size in sizes]


def patch_nce(query: Tensor, key: Tensor, temperature: float = 0.07) -> Tensor:
    """Cross-entropy of finding each patch's own key among those of the same image (eq. 2 and 3).

    No gradient reaches ``key``. The authors' code has one logit more, -10 / temperature, in place of the patch's own
    key among the negatives: it adds less than float32 can tell.

    Args:
        query: unit vectors of the output, ``[N, P, C]``.
        key: unit vectors of the input at the same positions.
        temperature: divides the cosines (tau).

    Returns:
        ``[N, P]``.

    Example:
        >>> both = torch.eye(2)[None]
        >>> patch_nce(both, both, temperature=1.0)  # log(1 + 1 / e)
        tensor([[0.3133, 0.3133]])
    """
    logits = query @ key.detach().transpose(1, 2) / temperature
    own = torch.arange(logits.shape[2], device=logits.device).expand(logits.shape[:2])
    return F.cross_entropy(logits.transpose(1, 2), own, reduction="none")
