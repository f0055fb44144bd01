"""How a trained method is used: what `organza.load` makes a generator or a translator from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

Memory = tuple[Tensor, ...]
"""What a translator of videos keeps of the frames before, ``[N, ...]`` each; () where a sequence begins."""

Mode = Literal["eval", "train"]
"""What normalisation and dropout do: stored statistics and none, or the batch's own statistics and dropout."""

NormMode = Literal["eval", "train", "calibrated"]
"""A `Mode`, or ``"eval"`` with statistics that were measured again after training, on translations without dropout."""


@dataclass(frozen=True)
class NoiseInput:
    """Where a layer adds noise: a map times a strength.

    Attributes:
        layer: the layer.
        buffer: the name of its buffer with the stored map.
        strength: one number, or one for each feature map.
    """

    layer: nn.Module
    buffer: str
    strength: nn.Parameter

    @property
    def plane(self) -> Tensor:
        """The stored map ``[H, W]``."""
        return self.layer.get_buffer(self.buffer)

    def store(self, plane: Tensor) -> None:
        """Take another map, ``[H, W]``, or one for each image, ``[N, 1, H, W]``. Gradients reach it."""
        setattr(self.layer, self.buffer, plane)


@dataclass(frozen=True)
class StyleAccess:
    """What tools may read or change in a network whose layers take styles. Each field is a function of the network.

    Attributes:
        mapping: the part that turns z into w. Tuning to an image leaves it as it is.
        affine: the weights ``[features, w_dim]`` that turn a w into the styles of convolutions, for each w that meets
            any, in order (layers to RGB that share a w are left out, as in SeFa, arXiv 2007.06600).
        noise: the noise inputs that can be set one by one, in the order in which they are added.
    """

    mapping: Callable[[nn.Module], nn.Module]
    affine: Callable[[nn.Module], list[Tensor]]
    noise: Callable[[nn.Module], list[NoiseInput]] = lambda net: []


@dataclass(frozen=True)
class TextAccess:
    """How words come into a generator: as vectors in the place of labels, ``Latents.label_dim`` numbers each.

    Attributes:
        encoder: name of the network in ``Method.nets`` that makes them; None where vectors are given.
        encode: ``(encoder, tokens [N, text_length]) -> vectors [N, label_dim]``.
        told: ``(generator, vectors) -> what the discriminator is told [N, ...]`` in the place of labels.
    """

    encoder: str | None
    encode: Callable[[nn.Module, Tensor], Tensor]
    told: Callable[[nn.Module, Tensor], Tensor]


@dataclass(frozen=True)
class Latents:
    """How images come out of a generator: a latent code, its intermediate form, an image.

    Methods without an intermediate space have ``w == z`` and one w for all layers.

    Attributes:
        net: name of the generator in ``Method.nets``.
        z_dim, w_dim, num_ws, label_dim: sizes.
        mapping: ``(net, z [N, z_dim], labels [N, label_dim]) -> ws [N, num_ws, w_dim]``, without truncation.
        synthesis: ``(net, ws, noise "const" | "random" | "none", rng) -> images [N, C, H, W]``, float32.
        center: the mean w ``[w_dim]``, towards which truncation pulls.
        placed: ``(net, (right, down), degrees) -> net`` with its images moved, as a share of their longer side, and
            turned counterclockwise; None where a network can't.
        critic: name of the discriminator or None. Called as ``net(images, labels) -> [N, 1]``.
        styles: the insides of a style-based network; None of another.
        first: of a network without styles: ``net -> weights [features, w_dim]`` of the layer that reads w; None where a
            single matrix does not say it.
        sizes: ``net -> {name: longer side in pixels}`` of the tensors that work at one size, by their names in the
            network; None where there are none.
        text: of a generator that takes words; None of another.
        generators: how many generators share the work; a seed chooses one.
        choose: ``(ws, number) -> ws`` with which a certain one of them makes the images; None of a single one.
        classifier: name of the network that tells the class of an image, or None. Called as
            ``net(images) -> logits [N, label_dim]``.
        label_tail: so many numbers at the end of a w are its label, which truncation leaves as it is.
        encoder: name of the network that finds the w of an image; None without such.
        encode: ``(net, images [N, C, H, W]) -> ws [N, num_ws, w_dim]``, the likeliest.
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
    critic: str | None = None
    styles: StyleAccess | None = None
    first: Callable[[nn.Module], Tensor] | None = None
    sizes: Callable[[nn.Module], dict[str, int]] | None = None
    text: TextAccess | None = None
    generators: int = 1
    choose: Callable[[Tensor, int], Tensor] | None = None
    classifier: str | None = None
    label_tail: int = 0
    encoder: str | None = None
    encode: Callable[[nn.Module, Tensor], Tensor] | None = None


@dataclass(frozen=True)
class Translation:
    """How an image becomes another.

    Attributes:
        net: name of the generator in ``Method.nets``.
        source, channels: channels of what goes in and of what comes out.
        apply: ``(net, images [N, source, H, W], labels [N, label_dim], z [N, z_dim] or None) -> [N, channels, H, W]``,
            float32, both in [-1, 1].
        multiple: height and width of an image must be divisible by this.
        least: and be no smaller than this.
        mode: which `Mode` gives what the method's authors show.
        label_dim, z_dim: sizes of the label and of the style code; 0 without such.
        critic: name of the discriminator or None. Called as ``net(images, condition) -> [N, 1, h, w]``, or a tuple of
            such for several sizes of the images, the largest first.
        conditional: whether the discriminator sees the source image as its condition; else the condition is None.
        only: height and width, of a network that takes images of this size alone.
        heat: ``(net, images [N, source, H, W]) -> [N, 1, h, w]``, float32 in any unit: where the network looks; None of
            one that can't say.
        encoder: name of the network that finds the style code of an image that could be a result; None without such.
        encode: ``(net, images [N, channels, H, W]) -> z [N, z_dim]``, the most likely code.
        least_encoded: the shortest side that the encoder takes.
        palette, palette_exact: of label maps, see `DataSpec`: these are resized without mixing colours, and where the
            palette is exact, any other colour is refused.
        encoded: channels of label maps that come one-hot, with borders, as authors' networks read them: `apply` takes
            those as well; 0 of others.
        clusters: ``net -> [classes, clusters, features]``, NaN where a class has fewer: what the style code chooses
            from for each class; None of one that has no such choice.
        follow: of videos: ``(net, frame [N, source, H, W], memory) -> (what becomes of it [N, channels, H, W], memory
            for the next)``; `apply` is then the first frame of a sequence. None of single images.
    """

    net: str
    source: int
    channels: int
    apply: Callable[[nn.Module, Tensor, Tensor, Tensor | None], Tensor]
    multiple: int = 1
    least: int = 1
    mode: Mode = "eval"
    label_dim: int = 0
    z_dim: int = 0
    critic: str | None = None
    conditional: bool = False
    only: tuple[int, int] | None = None
    heat: Callable[[nn.Module, Tensor], Tensor] | None = None
    encoder: str | None = None
    encode: Callable[[nn.Module, Tensor], Tensor] | None = None
    least_encoded: int = 1
    palette: tuple[tuple[int, ...], ...] = ()
    palette_exact: bool = True
    encoded: int = 0
    clusters: Callable[[nn.Module], Tensor] | None = None
    follow: Callable[[nn.Module, Tensor, Memory], tuple[Tensor, Memory]] | None = None


Model = Latents | Translation
