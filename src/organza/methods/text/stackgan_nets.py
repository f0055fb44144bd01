"""Layers that StackGAN and StackGAN++ have in common: conditioning augmentation, and discriminators that read."""

from __future__ import annotations

import itertools
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from organza.core.device import to_compute
from organza.core.errors import UserError
from organza.nn.initial import init_normal
from organza.nn.losses import logistic_g
from organza.nn.pyramid import Conv2d, levels

Act = Literal["relu", "lrelu", "glu", "none"]


def activated(x: Tensor, act: Act) -> Tensor:
    """``[N, C, ...]`` through ReLU, LeakyReLU(0.2), nothing, or a gated linear unit: half of C gates the other half."""
    if act == "glu":
        return F.glu(x, 1)
    if act == "none":
        return x
    return F.relu(x) if act == "relu" else F.leaky_relu(x, 0.2)


class ConvNorm(nn.Module):
    """A convolution without bias, batch normalisation and an activation.

    Args:
        inputs, outputs: feature maps.
        act: see `activated`; with ``glu`` twice the outputs are computed.
        kernel, stride: 3 and 1, or 4 and 2, which halves.
        norm: leave it out, and only convolve and activate.
        double: double the size before, by repeating pixels.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        act: Act,
        *,
        kernel: int = 3,
        stride: int = 1,
        norm: bool = True,
        double: bool = False,
    ) -> None:
        super().__init__()
        maps = outputs * 2 if act == "glu" else outputs
        self.act, self.doubles = act, double
        self.conv = Conv2d(inputs, maps, kernel, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(maps) if norm else None

    def forward(self, x: Tensor) -> Tensor:
        """``[N, inputs, H, W]`` -> ``[N, outputs, ...]``."""
        x = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest") if self.doubles else x)
        return activated(x if self.norm is None else self.norm(x), self.act)


class Residual(nn.Module):
    """Two convolutions of as many maps, added to what goes in; ``last`` activates the sum."""

    def __init__(self, maps: int, act: Act, last: Act) -> None:
        super().__init__()
        self.conv1, self.conv2, self.last = ConvNorm(maps, maps, act), ConvNorm(maps, maps, "none"), last

    def forward(self, x: Tensor) -> Tensor:
        """``[N, maps, H, W]`` -> the same shape."""
        return activated(x + self.conv2(self.conv1(x)), self.last)


class Conditioning(nn.Module):
    """A text's vector to a Gaussian over conditions (StackGAN, section 3.2): its mean and log variance ``[N, dim]``."""

    def __init__(self, text_dim: int, dim: int, act: Literal["relu", "glu"]) -> None:
        super().__init__()
        self.act: Act = act
        self.fc = nn.Linear(text_dim, dim * (4 if act == "glu" else 2))

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """``[N, text_dim]`` -> mean and log variance."""
        mean, log_variance = activated(self.fc(vectors), self.act).chunk(2, 1)
        return mean, log_variance


def sampled(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """A condition: ``mean + sigma * noise``, all ``[N, dim]``."""
    return mean + (0.5 * log_variance).exp() * noise


class TextCritic(nn.Module):
    """How real an image is, with a condition and without: two heads on one pyramid.

    Args:
        resolution: height and width of the images.
        channels: of the images.
        width: feature maps of the first layer; doubled at each halving, and 8 times as many before the heads.
        condition: length of the condition; 0 leaves its head out.
        unconditional: whether there is the other head.
    """

    def __init__(
        self, resolution: tuple[int, int], channels: int, width: int, condition: int, unconditional: bool
    ) -> None:
        super().__init__()
        depth = levels(resolution)
        maps = [width << level for level in range(depth)]
        self.first = ConvNorm(channels, maps[0], "lrelu", kernel=4, stride=2, norm=False)
        self.downs = nn.ModuleList(ConvNorm(a, b, "lrelu", kernel=4, stride=2) for a, b in itertools.pairwise(maps))
        self.backs = nn.ModuleList(ConvNorm(width << k, width << (k - 1), "lrelu") for k in range(depth - 1, 3, -1))
        core, last = (resolution[0] >> depth, resolution[1] >> depth), min(maps[-1], 8 * width)
        self.join = ConvNorm(last + condition, last, "lrelu") if condition else None
        self.conditional_score = Conv2d(last, 1, core) if condition else None
        self.score = Conv2d(last, 1, core) if unconditional else None
        self.apply(start)

    def features(self, images: Tensor) -> Tensor:
        """``[N, C, H, W]`` -> ``[N, 8 * width, h, w]``, of 4x4 places where images are square powers of two."""
        x: Tensor = self.first(to_compute(images))
        for layer in (*self.downs, *self.backs):
            x = layer(x)
        return x

    def conditional(self, features: Tensor, condition: Tensor) -> Tensor:
        """Whether images are real and fit ``condition [N, dim]``: logits ``[N, 1]``."""
        assert self.join is not None and self.conditional_score is not None
        told = condition[:, :, None, None].expand(-1, -1, *features.shape[2:]).to(features.dtype)
        scores: Tensor = self.conditional_score(self.join(torch.cat([features, told], 1)).float())
        return scores.flatten(1)

    def unconditional(self, features: Tensor) -> Tensor:
        """Whether images are real: logits ``[N, 1]``."""
        assert self.score is not None
        scores: Tensor = self.score(features.float())
        return scores.flatten(1)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """Logits ``[N, 1]`` of the head for a condition, or of the other where there is none."""
        features = self.features(images)
        if self.join is None or condition is None:
            return self.unconditional(features)
        return self.conditional(features, condition)


def start(module: nn.Module) -> None:
    """How weights start: N(0, 0.02), gains of batch normalisation N(1, 0.02)."""
    init_normal(module)
    if isinstance(module, nn.BatchNorm1d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def real(scores: Tensor) -> Tensor:
    """The cross-entropy of logits with *real*, a mean: ``-log D``."""
    return logistic_g(scores).mean()


def false(scores: Tensor) -> Tensor:
    """The cross-entropy of logits with *not real*, a mean: ``-log(1 - D)``."""
    return F.softplus(scores).mean()


def false_where(scores: Tensor, different: Tensor) -> Tensor:
    """`false` over those pairs ``[N]`` whose text differs: another image's caption may be word for word the same."""
    return (F.softplus(scores).flatten() * different).sum() / different.sum().clamp(min=1)


def check_pairs(count: int) -> None:
    """See that a text can be another image's.

    Raises:
        UserError: there is one image alone.
    """
    if count < 2:
        what = "a discriminator that reads needs another image's text, and a batch or micro-batch has one image alone"
        raise UserError(what, hint="take a --batch and a --micro-batch of 2 at least")
