"""Label maps as networks read them: one map for each class, and the borders of instances.

Ting-Chun Wang, Ming-Yu Liu, Jun-Yan Zhu, Andrew Tao, Jan Kautz, Bryan Catanzaro: High-Resolution Image Synthesis and
Semantic Manipulation with Conditional GANs. CVPR 2018, arXiv 1711.11585, section 3.3.

A label map is an image whose colours are classes: grey levels 0, 1, 2 ... of an index image, or the colours of a
palette. Where it has a fourth channel, this holds numbers of instances; regions are then instances, else they are all
pixels of a class.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

INSTANCES = 256
"""How many instances of a class an image can tell apart."""


class LabelMaps(nn.Module):
    """Label maps ``[N, C, H, W]`` in [-1, 1] to ``[N, K + 1, H, W]``: K classes, one-hot, and borders, 0 or 1.

    Args:
        palette: K colours in levels of 255.

    Example:
        >>> maps = LabelMaps([(0,), (1,), (2,)])
        >>> index = torch.tensor([[0.0, 0, 2, 2]]).expand(1, 1, 2, 4) / 127.5 - 1
        >>> maps(index)[0, :, 0]
        tensor([[1., 1., 0., 0.],
                [0., 0., 0., 0.],
                [0., 0., 1., 1.],
                [0., 1., 1., 0.]])
    """

    palette: Tensor

    def __init__(self, palette: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.register_buffer("palette", torch.tensor(palette, dtype=torch.float32) / 127.5 - 1)

    @property
    def channels(self) -> int:
        """How many maps come out."""
        return len(self.palette) + 1

    def forward(self, images: Tensor) -> Tensor:
        """See above."""
        classes = self.classes(images)
        numbers = torch.arange(len(self.palette), device=images.device)[:, None, None]
        hot = (classes[:, None] == numbers).to(images.dtype)
        return torch.cat([hot, borders(self.regions(images, classes))[:, None].to(images.dtype)], 1)

    def classes(self, images: Tensor) -> Tensor:
        """The class of each pixel, that of the nearest colour: ``[N, H, W]``, int64."""
        colours = images[:, : self.palette.shape[1]]
        best = torch.full_like(colours[:, 0], torch.inf)
        found = torch.zeros_like(best, dtype=torch.int64)
        for number in range(len(self.palette)):
            distance = (colours - self.palette[number, :, None, None]).square().sum(1)
            closer = distance < best
            best, found = torch.where(closer, distance, best), found.masked_fill(closer, number)
        return found

    def regions(self, images: Tensor, classes: Tensor) -> Tensor:
        """The region of each pixel, ``[N, H, W]``, int64: its class plus K times the number of its instance."""
        if images.shape[1] == self.palette.shape[1]:
            return classes
        instances = ((images[:, -1] + 1) * 127.5).round().long().clamp(0, INSTANCES - 1)
        return classes + len(self.palette) * instances


def borders(regions: Tensor) -> Tensor:
    """Whether a pixel of ``[N, H, W]`` has a neighbour of another value: left, right, above or below."""
    across, down = regions[:, :, 1:] != regions[:, :, :-1], regions[:, 1:] != regions[:, :-1]
    # Added up rather than written into a tensor, which a graph can't do.
    beside = F.pad(across.float(), (1, 0)) + F.pad(across.float(), (0, 1))
    return beside + F.pad(down.float(), (0, 0, 1, 0)) + F.pad(down.float(), (0, 0, 0, 1)) > 0


def region_means(maps: Tensor, regions: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The mean of maps over each region, and each region's share of the image.

    Args:
        maps: ``[N, C, H, W]``.
        regions: ``[N, H, W]``, below ``count``.
        count: of regions.

    Returns:
        ``[N, count, C]``, 0 where a region is empty, and ``[N, count]``.

    Example:
        >>> means, shares = region_means(torch.tensor([[[[1.0, 3.0, 5.0]]]]), torch.tensor([[[0, 0, 2]]]), 3)
        >>> means.flatten().tolist(), [round(share, 2) for share in shares.flatten().tolist()]
        ([2.0, 0.0, 5.0], [0.67, 0.0, 0.33])
    """
    flat, where = maps.flatten(2).transpose(1, 2), regions.flatten(1)
    sums = flat.new_zeros(len(maps), count, maps.shape[1])
    sums = sums.scatter_add(1, where[..., None].expand_as(flat), flat)
    sizes = flat.new_zeros(len(maps), count).scatter_add(1, where, torch.ones_like(flat[..., 0]))
    return sums / sizes.clamp(min=1)[..., None], sizes / where.shape[1]


def laid_out(means: Tensor, regions: Tensor) -> Tensor:
    """A value for each region ``[N, count, C]`` at all of its pixels: ``[N, C, H, W]``."""
    n, height, width = regions.shape
    where = regions.flatten(1)[..., None].expand(-1, -1, means.shape[2])
    return means.gather(1, where).transpose(1, 2).reshape(n, -1, height, width)
