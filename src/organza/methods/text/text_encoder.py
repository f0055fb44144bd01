"""A text encoder that is trained on a dataset's own captions, before the images are.

StackGAN takes its vectors from a network of Reed et al. (2016, arXiv 1605.05396), which learns to tell which caption
belongs to which image, and holds it still afterwards. So does this one: a small transformer (Vaswani et al. 2017, arXiv
1706.03762) over the words of a caption, and a head on voile64's features of the image, whose vectors should be near
each other where they belong together (the symmetric cross-entropy of Radford et al. 2021, arXiv 2103.00020). Captions
are often the same for many images: each of them is right for all of these.

R-precision (Xu et al. 2018, arXiv 1711.10485, section 4) says how well it tells them apart: how often an image's best
caption is its own, or one with the same words.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec
from organza.contract.method import Adam, Nets, Phase, Player, Result
from organza.contract.model import TextAccess
from organza.core.ranges import Count, Depth, PositiveOrZero
from organza.media.images import as_levels
from organza.vision.features import voile64

TEXT, IMAGES = "text", "voile64"
"""Names of the encoder, and of the frozen network that looks at images."""
JOINT = 64
"""Length of the vectors that are compared."""
STAGE = 0
"""The stage in which the encoder learns."""


@dataclass(frozen=True)
class TextSettings:
    """Settings of the encoder, for methods that take text."""

    text_dim: Count = 256
    """Length of a text's vector; where vectors are given, theirs counts."""
    text_width: Count = 128
    """Length of a word's vector in the encoder."""
    text_layers: Depth = 2
    """Layers of the encoder."""
    text_epochs: PositiveOrZero = 20.0
    """Passes over the data in which the encoder learns, before the images; then it is held still."""
    text_lr: PositiveOrZero = 0.0005
    """Learning rate of the encoder."""

    def dim(self, spec: DataSpec) -> int:
        """Length of a text's vector for this data; 0 without text."""
        return spec.embedding_dim or (self.text_dim if spec.words else 0)


class TextEncoder(nn.Module):
    """Tokens to a vector, and how well a vector fits an image.

    Args:
        words: how many there are.
        length: most words of a text.
        width, layers: of the transformer.
        dim: length of a text's vector.
    """

    def __init__(self, words: int, length: int, width: int, layers: int, dim: int) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(words + 1, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(layers))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, dim)
        self.text_head = nn.Linear(dim, JOINT)
        places = voile64.DIM * (voile64.SIZE // 16) ** 2
        self.image_head = nn.Sequential(nn.Linear(places, 2 * JOINT), nn.ReLU(), nn.Linear(2 * JOINT, JOINT))
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))

    def forward(self, tokens: Tensor) -> Tensor:
        """int64 ``[N, L]`` -> ``[N, dim]``, of mean 0 and variance 1 each."""
        there = tokens > 0
        x = self.words(tokens) + self.places.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x, there)
        x = self.norm(x) * there[..., None]
        x = self.out(x.sum(1) / there.sum(1, keepdim=True).clamp(min=1))
        return F.layer_norm(x, (self.out.out_features,))

    def fit(self, vectors: Tensor, places: Tensor) -> Tensor:
        """How well each image fits each text: ``[images, texts]``.

        Args:
            vectors: of texts, ``[M, dim]``.
            places: what `seen` says of images, ``[N, ...]``.
        """
        texts = F.normalize(self.text_head(vectors), dim=1)
        images = F.normalize(self.image_head(F.layer_norm(places, places.shape[1:])), dim=1)
        return images @ texts.t() * self.log_scale.clamp(max=math.log(100.0)).exp()


class Block(nn.Module):
    """Self-attention and two layers, normalised before."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = next(heads for heads in (4, 2, 1) if width % heads == 0)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.layers = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """``[N, L, width]``, of which ``there [N, L]`` are words -> the same shape."""
        query, key, value = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        scores = query @ key.transpose(2, 3) / query.shape[3] ** 0.5
        scores = scores.masked_fill(~there[:, None, None], -1e9)
        x = x + self.out((scores.softmax(3) @ value).transpose(1, 2).flatten(2))
        found: Tensor = x + self.layers(self.norm2(x))
        return found


def seen(net: nn.Module, images: Tensor) -> Tensor:
    """What voile64 sees at each of its last 4x4 places: images ``[N, C, H, W]`` in [-1, 1] -> ``[N, 2048]``."""
    assert isinstance(net, voile64.Voile64)
    levels = as_levels(images.float().clamp(-1, 1))
    return net.stages(voile64.prepare(levels))[-1].flatten(1)


def same_text(text: Tensor) -> Tensor:
    """Which texts ``[N, ...]`` are the same: bool ``[N, N]``."""
    return (text[:, None] == text[None]).flatten(2).all(2)


def contrastive(fit: Tensor, same: Tensor) -> Tensor:
    """The symmetric cross-entropy of arXiv 2103.00020 (figure 3), for each image ``[N]``.

    Args:
        fit: ``[images, texts]``.
        same: which texts are right for which image, bool ``[N, N]``; several share the probability.

    Example:
        >>> contrastive(torch.zeros(2, 2), torch.eye(2).bool())  # log 2
        tensor([0.6931, 0.6931])
    """
    right = same.float() / same.sum(1, keepdim=True)
    return -(right * (fit.log_softmax(1) + fit.t().log_softmax(1))).sum(1) / 2


def r_precision(fit: Tensor, same: Tensor) -> Tensor:
    """Share of images whose best text is right for them.

    Args:
        fit, same: as in `contrastive`.

    Example:
        >>> r_precision(torch.tensor([[2.0, 1.0], [3.0, 1.0]]), torch.eye(2).bool())
        tensor(0.5000)
    """
    return same.gather(1, fit.argmax(1, keepdim=True)).float().mean()


def image_network() -> nn.Module:
    """voile64, frozen; where tensors have no numbers, its shape alone."""
    return voile64.Voile64() if torch.empty(0).is_meta else voile64.load(torch.device("cpu"))


@dataclass(frozen=True)
class Reader:
    """What a method needs of text: the encoder's networks, its player and phase, and vectors of a batch.

    Attributes:
        settings: of the encoder.
        spec: of the data; without words there is no encoder.
    """

    settings: TextSettings
    spec: DataSpec

    @property
    def learns(self) -> bool:
        """Whether there is an encoder to be trained."""
        return bool(self.spec.words)

    def nets(self) -> dict[str, nn.Module]:
        """The encoder by its name."""
        own, spec = self.settings, self.spec
        if not self.learns:
            return {}
        sizes = (len(spec.words), max(spec.text_length, 1), own.text_width, own.text_layers)
        return {TEXT: TextEncoder(*sizes, own.text_dim)}

    def frozen(self) -> dict[str, nn.Module]:
        """What looks at images, by its name."""
        return {IMAGES: image_network()} if self.learns else {}

    def players(self) -> dict[str, Player]:
        """The encoder's player."""
        return {TEXT: Player((TEXT,), Adam(self.settings.text_lr, (0.9, 0.999)))} if self.learns else {}

    def phases(self) -> tuple[Phase, ...]:
        """The encoder's step, in the first stage alone."""
        return (Phase(TEXT, TEXT, self.loss, active=lambda stage: stage == STAGE),) if self.learns else ()

    def loss(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        """The encoder's loss."""
        tokens, encoder = _text(batch), _encoder(nets[TEXT])
        same = same_text(tokens)
        fit = encoder.fit(encoder(tokens), seen(nets[IMAGES], batch.images))
        loss = contrastive(fit, same).mean()
        return Result(loss, {"loss/text": loss, "r_precision/real": r_precision(fit, same)})

    @torch.no_grad()
    def vectors(self, nets: Nets, batch: Batch) -> Tensor:
        """Of the batch's texts, ``[N, dim]``."""
        text = _text(batch)
        vectors: Tensor = nets[TEXT](text) if self.learns else text
        return vectors

    @torch.no_grad()
    def checked(self, nets: Nets, batch: Batch, images: Tensor, name: str) -> dict[str, Tensor]:
        """R-precision of ``images`` of the batch's texts, for the log; nothing where there is no encoder."""
        if not self.learns:
            return {}
        tokens, encoder = _text(batch), _encoder(nets[TEXT])
        fit = encoder.fit(encoder(tokens), seen(nets[IMAGES], images))
        return {f"r_precision/{name}": r_precision(fit, same_text(tokens))}

    def access(self, told: Callable[[nn.Module, Tensor], Tensor]) -> TextAccess:
        """How words come into the generator; ``told``: see `TextAccess`."""
        return TextAccess(TEXT if self.learns else None, lambda net, tokens: net(tokens), told)


def _text(batch: Batch) -> Tensor:
    assert batch.text is not None
    return batch.text


def _encoder(net: nn.Module) -> TextEncoder:
    assert isinstance(net, TextEncoder)
    return net
