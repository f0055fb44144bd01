"""A small network that guesses w from an image: where a projection may start.

It is trained on what the generator generates: images of random codes, with these codes as answers, as many as time
allows. As in: J.-Y. Zhu, P. Krähenbühl, E. Shechtman, A. A. Efros, "Generative Visual Manipulation on the Natural Image
Manifold" (2016, arXiv 1609.03552), section 3.1, where it starts the search in z.
"""

from __future__ import annotations

import json
import math
import operator
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from organza.core.errors import UserError
from organza.core.files import atomic_write
from organza.core.jsons import read_json
from organza.media.images import check_suffix

if TYPE_CHECKING:
    from collections.abc import Callable

    from organza.models.generator import Generator

FORMAT = "organza-encoder-1"
SIDE = 64
"""Images with longer sides are reduced to this before the encoder looks at them."""


@dataclass(frozen=True)
class Teaching:
    """How an encoder is trained."""

    pictures: int = 20000
    """Generated images, each seen once."""
    batch: int = 32
    """Images a step."""
    rate: float = 1e-3
    """Highest learning rate of Adam; it falls along a cosine."""
    width: int = 32
    """Feature maps of the first convolution; they double up to eight times as many."""


class Encoder(nn.Module):
    """Images ``[N, C, H, W]`` in [-1, 1] to codes ``[N, w_dim]``, in the generator's own units.

    Convolutions of stride 2 from `SIDE` pixels or less down to 4, then one linear layer.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int, size: tuple[int, int], w_dim: int, width: int) -> None:
        super().__init__()
        scale = min(1.0, SIDE / max(size))
        self.size = tuple(max(4, round(side * scale)) for side in size)
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.LeakyReLU(0.2)]
        height, wide = self.size
        maps = width
        while max(height, wide) > 4:
            grown = min(2 * maps, 8 * width)
            layers += [nn.Conv2d(maps, grown, 3, 2, 1), nn.GroupNorm(8, grown), nn.LeakyReLU(0.2)]
            maps, height, wide = grown, -(-height // 2), -(-wide // 2)
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(maps * height * wide, w_dim)
        self.register_buffer("mean", torch.zeros(w_dim))
        self.register_buffer("deviation", torch.ones(w_dim))

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        if tuple(images.shape[2:]) != self.size:
            images = F.interpolate(images, self.size, mode="bilinear", antialias=True)
        codes: Tensor = self.mean + self.deviation * self.head(self.body(images).flatten(1))
        return codes


def teach(
    G: Generator, settings: Teaching | None = None, *, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> tuple[Encoder, float]:
    """Train an encoder for ``G`` on its own images.

    Args:
        G: a network from `organza.load`; of one with classes, all classes in turn.
        settings: how long and how.
        seed: of everything random.
        progress: called with images seen and wanted.

    Returns:
        The encoder, and what it leaves unexplained of w's variance, over the last tenth of the images, each of which
        was new to it: 1 is no better than the mean.

    Raises:
        UserError: too few images.

    Example:
        >>> encoder, left = teach(G, Teaching(pictures=64, batch=8, width=8))
        >>> encoder(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 16])
    """
    settings = Teaching() if settings is None else settings
    if not 1 <= settings.batch <= settings.pictures:
        hint = "give a thousand or more"
        raise UserError(f"{settings.pictures} images for batches of {settings.batch}", hint=hint)
    rng = torch.Generator().manual_seed(seed)

    def drawn(count: int) -> Tensor:
        z = torch.randn(count, G.z_dim, generator=rng)
        classes = None
        if G.label_dim:
            classes = torch.randint(G.label_dim, [count], generator=rng).numpy()
        return G.mapping(z, classes)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = Encoder(G.channels, G.resolution, G.w_dim, settings.width).to(G.device)
    some = torch.cat([drawn(100)[:, 0] for _ in range(20)])
    encoder.mean.copy_(some.mean(0))
    encoder.deviation.copy_(some.std(0).clamp_min(1e-6))
    adam = torch.optim.Adam(encoder.parameters(), lr=settings.rate, betas=(0.9, 0.99))
    steps = settings.pictures // settings.batch
    left: list[float] = []
    for step in range(steps):
        ws = drawn(settings.batch)
        images = G.synthesis(ws)
        error = ((encoder(images) - ws[:, 0]) / encoder.deviation).square().mean()
        adam.zero_grad()
        error.backward()
        adam.param_groups[0]["lr"] = settings.rate * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        adam.step()
        if step >= 0.9 * steps - 1:
            left.append(error.item())
        if progress is not None:
            progress((step + 1) * settings.batch, steps * settings.batch)
    encoder.eval().requires_grad_(False)
    return encoder, sum(left) / len(left)


def save_encoder(path: str | os.PathLike[str], encoder: Encoder, G: Generator) -> Path:
    """Write ``encoder``, for ``G``, as ``.safetensors``.

    Raises:
        UserError: another suffix, or the file can't be written.
    """
    path = check_suffix(path, (".safetensors",))
    width = encoder.body[0].out_channels
    about = {"channels": G.channels, "size": list(G.resolution), "w_dim": G.w_dim, "width": width}
    tensors = {name: value.detach().cpu().contiguous() for name, value in encoder.state_dict().items()}
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(tensors, metadata={FORMAT: json.dumps(about)}))
    return path


def load_encoder(path: str | os.PathLike[str], G: Generator) -> Encoder:
    """The encoder in a file of `save_encoder`.

    Raises:
        UserError: no such file, or for another kind of network.

    Example:
        >>> encoder, _ = teach(G, Teaching(pictures=8, batch=8, width=8))
        >>> again = load_encoder(save_encoder(folder / "encoder.safetensors", encoder, G), G)
        >>> images = G.synthesis(G.mapping(G.z([1])))
        >>> torch.equal(again(images), encoder(images))
        True
    """
    path = check_suffix(path, (".safetensors",))
    hint = "organza encoder makes such a file"
    if not path.exists():
        raise UserError("does not exist", where=path, hint=hint)
    try:
        with safe_open(path, "pt") as file:
            about = read_json((file.metadata() or {})[FORMAT], path)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        fits = (about["channels"], tuple(about["size"]), about["w_dim"]) == (G.channels, G.resolution, G.w_dim)
        if fits:
            with torch.device("meta"):  # its size is what a file says; memory is what its tensors take
                encoder = Encoder(G.channels, G.resolution, G.w_dim, operator.index(about["width"]))
            # Copies: how a tensor lies in a file's memory can change the last bit of what is computed with it.
            encoder.load_state_dict({name: tensor.clone() for name, tensor in tensors.items()}, assign=True)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError, UserError) as error:
        raise UserError("holds no encoder", where=path, hint=hint) from error
    if not fits:
        raise UserError("is an encoder for another network", where=path, hint="make one for this network")
    return encoder.to(G.device).eval().requires_grad_(False)
