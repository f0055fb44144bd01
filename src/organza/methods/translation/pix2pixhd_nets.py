"""The networks of pix2pixHD: a coarse generator with enhancers around it, a discriminator, and an encoder of features.

Ting-Chun Wang et al. 2018, arXiv 1711.11585, sections 3.2 to 3.4 and figure 3. The global generator and the encoder are
residual networks of `organza.nn.resnet`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from organza.core.device import to_compute
from organza.nn.clusters import clusters
from organza.nn.initial import init_normal
from organza.nn.label_maps import INSTANCES, LabelMaps
from organza.nn.norms import Norm, conv_bias, norm_layer
from organza.nn.patchgan import MultiScalePatchGAN, halved
from organza.nn.pyramid import Conv2d, ConvTranspose2d
from organza.nn.resnet import ResidualBlock, ResNetGenerator, same_size
from organza.nn.sides import check_sides

KEPT = 256
"""Regions of each class whose features are remembered."""
LEAST_SHARE = 1 / 64
"""Smaller regions say little of their class."""
ENTRIES = 64
"""The largest so many regions of an image are remembered."""


class Enhancer(nn.Module):
    """A generator at twice the size of the one inside it, whose last features it adds to its own (figure 3).

    Args:
        inputs: channels of the image.
        outputs: channels of what it makes; None of one that stands inside another.
        width: feature maps at its full size; twice as many inside, where those of the inner generator are added.
        blocks: residual blocks.
        norm: normalisation of all layers but the last.
    """

    def __init__(self, inputs: int, outputs: int | None, width: int, blocks: int, norm: Norm) -> None:
        super().__init__()
        bias = conv_bias(norm)

        def layer(conv: nn.Module, maps: int) -> nn.Sequential:
            return nn.Sequential(conv, norm_layer(norm, maps), nn.ReLU(inplace=True))

        self.stem = layer(same_size(inputs, width, 7, "reflect", bias), width)
        self.down = layer(Conv2d(width, 2 * width, 3, 2, 1, bias=bias), 2 * width)
        self.blocks = nn.ModuleList(ResidualBlock(2 * width, norm) for _ in range(blocks))
        self.up = layer(ConvTranspose2d(2 * width, width, 3, 2, 1, output_padding=1, bias=bias), width)
        self.head = None if outputs is None else same_size(width, outputs, 7, "reflect", bias=True)

    def forward(self, images: Tensor, inner: Tensor) -> Tensor:
        """``[N, inputs, H, W]`` and features ``[N, 2 * width, H/2, W/2]`` -> ``[N, width, H, W]``."""
        x = self.down(self.stem(to_compute(images))) + inner
        for block in self.blocks:
            x = block(x)
        found: Tensor = self.up(x)
        return found


class CoarseToFine(nn.Module):
    """Images, or label maps, with features to an image ``[N, outputs, H, W]`` in [-1, 1].

    Args:
        source: channels of the images that it is given.
        outputs: of the result.
        width: feature maps of the coarse generator at its full size; each enhancer has half of those inside it.
        blocks, halvings: of the coarse generator.
        enhancers: how many stand around it, each at twice the size.
        blocks_local: residual blocks of each.
        norm: normalisation.
        palette: of label maps, see `LabelMaps`; () of plain images.
        features: channels that an encoder adds to the input.

    Attributes:
        multiple: both sides must be multiples of it, and at least `least`.
        enhanced: how many enhancers have begun to learn: 0 while the coarse generator is trained alone.
        memory, filled: features of the last `KEPT` regions of each class, and how many came.
    """

    enhanced: Tensor
    memory: Tensor
    filled: Tensor

    def __init__(
        self,
        source: int,
        outputs: int,
        width: int,
        blocks: int,
        halvings: int,
        enhancers: int,
        blocks_local: int,
        norm: Norm,
        palette: Sequence[Sequence[int]] = (),
        features: int = 0,
    ) -> None:
        super().__init__()
        self.labels, self.source = LabelMaps(palette) if palette else None, source
        self.encoded = source if self.labels is None else self.labels.channels
        self.features = features
        inputs = self.encoded + features
        self.coarse = ResNetGenerator(inputs, outputs, blocks, width, norm, halvings=halvings)
        self.enhancers = nn.ModuleList(
            Enhancer(inputs, outputs if n == enhancers else None, max(1, width >> n), blocks_local, norm)
            for n in range(1, enhancers + 1)
        )
        self.enhancers.apply(init_normal)
        self.multiple = self.coarse.multiple << enhancers
        self.least = max(2 * self.coarse.multiple, 4) << enhancers
        self.register_buffer("enhanced", torch.tensor(0 if enhancers else enhancers))
        classes = len(palette) if features else 0
        self.register_buffer("memory", torch.zeros(classes, KEPT, features))
        self.register_buffer("filled", torch.zeros(classes, dtype=torch.int64))

    def read(self, source: Tensor) -> Tensor:
        """Images as they are, label maps one-hot with borders: ``[N, encoded, H, W]``; these may come as such, too."""
        return source if self.labels is None or self._is_read(source) else self.labels(source)

    def _is_read(self, source: Tensor) -> bool:
        return source.shape[1] == self.encoded != self.source

    def forward(self, inputs: Tensor) -> Tensor:
        """``[N, encoded + features, H, W]`` -> ``[N, outputs, H, W]``, float32; enlarged while it is coarse.

        Raises:
            UserError: a side is not a multiple of `multiple`, or too short.
        """
        check_sides(inputs, self.multiple, self.least)
        if len(self.enhancers) and not int(self.enhanced):
            small = self.coarse(self.halved(inputs))
            return F.interpolate(small, size=inputs.shape[2:], mode="bilinear", align_corners=False)
        return self.fine(inputs)

    def fine(self, inputs: Tensor) -> Tensor:
        """The same by all generators, however far they have learned."""
        sizes = [inputs]
        for _ in self.enhancers:
            sizes.append(halved(sizes[-1]))
        if not len(self.enhancers):
            found: Tensor = self.coarse(inputs)
            return found
        x = self.coarse.trunk(sizes[-1])
        for size, enhancer in zip(sizes[-2::-1], self.enhancers, strict=True):
            x = enhancer(size, x)
        head = self.enhancers[-1].head
        assert isinstance(head, nn.Module)
        return torch.tanh(head(x.float()))

    def halved(self, inputs: Tensor) -> Tensor:
        """As the coarse generator sees them."""
        for _ in self.enhancers:
            inputs = halved(inputs)
        return inputs

    def remember(self, entries: Tensor) -> None:
        """Keep features of regions.

        Args:
            entries: ``[M, 2 + features]``: class, share of the image, features.
        """
        entries = entries[entries[:, 1] >= LEAST_SHARE].float()
        if not len(entries):
            return
        kinds = entries[:, 0].long()
        own = F.one_hot(kinds, len(self.filled))
        places = (self.filled[kinds] + (own.cumsum(0) * own).sum(1) - 1) % KEPT
        self.memory[kinds, places] = entries[:, 2:]
        self.filled += own.sum(0)

    def chosen(self, source: Tensor, z: Tensor) -> Tensor:
        """Features for label maps ``[N, C, H, W]``, of the cluster that ``z`` names for each class."""
        assert self.labels is not None
        table = clusters(self.memory, self.filled)
        counts = (~table[..., 0].isnan()).sum(1).clamp(min=1)
        share = (1 + torch.erf(z / 2**0.5)) / 2  # of the normal distribution below z
        places = (share * counts).long().minimum(counts - 1)
        rows = torch.arange(len(table), device=z.device)
        values = table[rows, places].nan_to_num()  # [N, K, features]
        classes = source[:, :-1].argmax(1) if self._is_read(source) else self.labels.classes(source)
        flat = classes.flatten(1)[..., None].expand(-1, -1, self.features)
        return values.gather(1, flat).transpose(1, 2).reshape(len(source), -1, *source.shape[2:])


class Critic(nn.Module):
    """A `MultiScalePatchGAN` that sees label maps one-hot, with their borders."""

    def __init__(
        self,
        source: int,
        channels: int,
        scales: int,
        layers: int,
        width: int,
        norm: Norm,
        palette: Sequence[Sequence[int]],
        wider: bool = False,
    ) -> None:
        super().__init__()
        self.labels = LabelMaps(palette) if palette else None
        seen = source if self.labels is None else self.labels.channels
        inputs = seen + channels
        self.net = MultiScalePatchGAN(inputs, scales, layers, width, norm, padding=2, thinner=False, wider=wider)
        self.source, self.seen = source, seen

    def forward(self, images: Tensor, condition: Tensor) -> tuple[Tensor, ...]:
        """Images and what they were made of -> logits ``[N, 1, h, w]`` for each size, the largest first."""
        if self.labels is not None and not condition.shape[1] == self.seen != self.source:
            condition = self.labels(condition)
        logits: tuple[Tensor, ...] = self.net(images, condition)
        return logits


def region_count(classes: int, channels: int, colours: int) -> int:
    """Upper bound of the regions that `LabelMaps.regions` tells apart."""
    return classes * (INSTANCES if channels > colours else 1)
