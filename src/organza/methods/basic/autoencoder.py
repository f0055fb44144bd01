"""The autoencoder.

Geoffrey Hinton, Ruslan Salakhutdinov: Reducing the Dimensionality of Data with Neural Networks. Science 313, 2006. An
introduction: Bank, Koenigstein, Giryes 2020, arXiv 2003.05991.

An encoder turns an image into a short code, a decoder turns the code back into the image, and both learn to lose as
little as possible. There is no adversary and nothing says which codes are likely: a code that no image has may decode
into anything. To sample all the same, codes are taken from a normal distribution with the mean and the deviation that
each of their numbers has had in training. The networks are DCGAN's pyramids, or fully connected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import Adam, Method, Nets, Phase, Player, Result
from organza.core.ranges import Count, PositiveOrZero, Range
from organza.nn.dense import DenseDecoder, DenseEncoder, first_of_dense
from organza.nn.latent import plain_latents
from organza.nn.likelihood import Likelihood, bernoulli_nll, gaussian_nll
from organza.nn.pyramid import Decoder, Encoder, first_of_decoder

MOMENTUM = 0.01
"""Share of a batch in the running mean and deviation of codes."""


@dataclass(frozen=True, kw_only=True)
class Coders:
    """Settings of an encoder and a decoder."""

    networks: Literal["conv", "mlp"] = "conv"
    """DCGAN's pyramids, or a hidden layer of tanh units in each."""
    z_dim: Count = 64
    """Length of the code."""
    width: Count = 32
    """Feature maps at full resolution, doubled at each halving; of conv alone."""
    hidden: Count = 500
    """Units of the hidden layers; of mlp alone."""
    likelihood: Likelihood = "gaussian"
    """What the decoder says of a pixel: a Gaussian around its value, or how likely it is white (for black and white
    images, such as digits)."""
    sigma: Annotated[float, Range(least=0.001)] = 0.2
    """Standard deviation of the Gaussian, for images in [-1, 1]: smaller is sharper, larger is smoother."""
    lr: PositiveOrZero = 0.0005
    """Learning rate."""

    def encoder(self, spec: DataSpec, outputs: int) -> nn.Module:
        """An image ``[N, C, H, W]`` to a vector ``[N, outputs]``."""
        if self.networks == "mlp":
            return DenseEncoder(spec.channels * math.prod(spec.resolution), outputs, (self.hidden,), nn.Tanh)
        return Encoder(outputs, spec.resolution, spec.channels, self.width, nn.BatchNorm2d)

    def decoder(self, spec: DataSpec) -> Decoder | DenseDecoder:
        """A code ``[N, z_dim]`` to an image in [-1, 1]."""
        if self.networks == "mlp":
            return DenseDecoder(self.z_dim, spec.resolution, spec.channels, (self.hidden,), nn.Tanh)
        return Decoder(self.z_dim, spec.resolution, spec.channels, self.width, nn.BatchNorm2d)

    def error(self, decoder: nn.Module, codes: Tensor, images: Tensor) -> Tensor:
        """-log p(x|z) ``[N]``, in nats: of ``images``, if ``decoder`` decodes ``codes``."""
        assert isinstance(decoder, Decoder | DenseDecoder)
        logits = decoder.logits(codes)
        if self.likelihood == "gaussian":
            return gaussian_nll(torch.tanh(logits), images, self.sigma)
        return bernoulli_nll(2 * logits, (images + 1) / 2)  # sigmoid(2 a) is where tanh(a) stands between -1 and 1


@dataclass(frozen=True)
class Autoencoder(Coders):
    """Settings of the autoencoder."""

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "images"

    def resolve(self, spec: DataSpec, batch: int) -> Autoencoder:
        """Nothing depends on the data."""
        return self

    def like(self, other: Autoencoder, spec: DataSpec) -> Autoencoder:
        """These settings with the architecture of ``other``."""
        return replace(self, networks=other.networks, z_dim=other.z_dim, width=other.width, hidden=other.hidden)

    def toy(self) -> Autoencoder:
        """Tiny networks, for tests."""
        return replace(self, z_dim=8, width=4, hidden=16)

    def build(self, spec: DataSpec) -> Method:
        """The networks and their one phase.

        Raises:
            UserError: images of this size can't be halved down to a few pixels.
        """
        encoder, decoder = self.encoder(spec, self.z_dim), SamplingDecoder(self.decoder(spec), self.z_dim)

        def error(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            codes = nets["encoder"](batch.images)
            nats = self.error(nets["decoder"].get_submodule("decoder"), codes, batch.images).mean()
            loss = nats / batch.images[0].numel()
            seen = codes.detach()
            stats = {"loss/AE": loss, "terms/reconstruction": nats}
            return Result(loss, stats | {"codes/mean": seen.mean(0), "codes/square": seen.square().mean(0)})

        def after(nets: Nets, result: Result, rng: torch.Generator) -> None:
            net = nets["decoder"]
            assert isinstance(net, SamplingDecoder)
            net.note(result.stats["codes/mean"], result.stats["codes/square"])

        latents = plain_latents("decoder", self.z_dim, mapping=_likely, first=_first)
        return Method(
            nets={"encoder": encoder, "decoder": decoder},
            players={"AE": Player(("encoder", "decoder"), Adam(self.lr, (0.9, 0.999)))},
            phases=(Phase("AE", "AE", error, after=after, shapes=dict.fromkeys(CODES, (self.z_dim,))),),
            models={"decoder": replace(latents, center=_center, encoder="encoder", encode=encoded)},
            ema=("decoder",),
            bf16=("training", "sampling") if self.networks == "conv" else (),
        )


CODES = ("codes/mean", "codes/square")


class SamplingDecoder(nn.Module):
    """A decoder that knows which codes images have: the mean and the deviation of each of their numbers."""

    code_mean: Tensor
    code_deviation: Tensor

    def __init__(self, decoder: nn.Module, z_dim: int) -> None:
        super().__init__()
        self.decoder = decoder
        self.register_buffer("code_mean", torch.zeros(z_dim))
        self.register_buffer("code_deviation", torch.ones(z_dim))

    def forward(self, codes: Tensor) -> Tensor:
        """``[N, z_dim]`` -> ``[N, C, H, W]``."""
        images: Tensor = self.decoder(codes)
        return images

    @torch.no_grad()
    def note(self, mean: Tensor, square: Tensor) -> None:
        """Take the means ``[z_dim]`` of a batch's codes, and of their squares, into the running ones."""
        second = self.code_deviation.square() + self.code_mean.square()
        self.code_mean.lerp_(mean, MOMENTUM)
        second.lerp_(square, MOMENTUM)
        self.code_deviation.copy_((second - self.code_mean.square()).clamp(min=0).sqrt())


def encoded(encoder: nn.Module, images: Tensor) -> Tensor:
    """The codes of images as w's: ``[N, C, H, W]`` -> ``[N, 1, z_dim]``."""
    codes: Tensor = encoder(images)
    return codes[:, None]


def _likely(net: nn.Module, z: Tensor, labels: Tensor) -> Tensor:
    """Standard normal ``[N, z_dim]`` to codes ``[N, 1, z_dim]`` that images might have."""
    assert isinstance(net, SamplingDecoder)
    return (net.code_mean + net.code_deviation * z)[:, None]


def _center(net: nn.Module) -> Tensor:
    return net.get_buffer("code_mean")


def _first(net: nn.Module) -> Tensor:
    decoder = net.get_submodule("decoder")
    return first_of_dense(decoder) if isinstance(decoder, DenseDecoder) else first_of_decoder(decoder)
