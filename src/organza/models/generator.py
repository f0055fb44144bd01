"""A checkpoint as a frozen callable: latent codes and labels in, images out."""

from __future__ import annotations

import hashlib
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor, nn

from organza.contract.data import DataSpec
from organza.contract.model import Latents
from organza.contract.texts import captions_as_tokens, text_as_tokens
from organza.core.device import computing, fit_threads
from organza.core.errors import UserError
from organza.core.text import printable
from organza.media.images import Pixels, to_image, to_pixels
from organza.models.labels import by_name, label_vectors, text_vectors
from organza.models.loaded import Loaded
from organza.models.sampling import Noise, check_psi
from organza.ops import inference


def at_once(resolution: tuple[int, int]) -> int:
    """How many images of ``resolution`` a processor without a GPU generates fastest at once.

    Example:
        >>> at_once((64, 64)), at_once((256, 256))
        (16, 1)
    """
    return max(1, 2**16 // (resolution[0] * resolution[1]))


@dataclass(frozen=True)
class Generator(Loaded):
    """A trained generator. Made by `organza.load`; it never changes.

    Attributes:
        kind: the method's name, such as ``"stylegan2"``.
        net, critic, encoder: the networks; the last two None where there are none.
        source: the checkpoint that it was read from; None for a network made in memory.
        reader: the network that understands text, where it takes text.
        classifier: the network that tells the class of an image, where the method trains one (Triple-GAN).

    Example:
        >>> from organza import load
        >>> G = load(tiny_run)
        >>> G.resolution, G.channels, G.z_dim, G.num_ws
        ((16, 16), 3, 8, 6)
    """

    kind: str
    spec: DataSpec
    latents: Latents
    net: nn.Module
    critic: nn.Module | None
    device: torch.device
    dtype: torch.dtype
    source: Path | None = None
    encoder: nn.Module | None = None
    reader: nn.Module | None = None
    classifier: nn.Module | None = None

    @property
    def channels(self) -> int:
        """1 (grey), 3 (RGB) or 4 (RGBA)."""
        return self.spec.channels

    @property
    def z_dim(self) -> int:
        """Length of a latent code z."""
        return self.latents.z_dim

    @property
    def w_dim(self) -> int:
        """Length of an intermediate code w; `z_dim` where the method has none."""
        return self.latents.w_dim

    @property
    def num_ws(self) -> int:
        """How many w's make one image: one a layer in StyleGAN2."""
        return self.latents.num_ws

    @property
    def label_dim(self) -> int:
        """Length of a label vector; 0 for unconditional networks."""
        return self.latents.label_dim

    @property
    def w_avg(self) -> Tensor:
        """The mean w ``[w_dim]``, towards which truncation pulls."""
        return self.latents.center(self.net)

    def z(self, seeds: int | Sequence[int]) -> Tensor:
        """The latent codes of seeds: ``[N, z_dim]``. A seed means the same as in NVIDIA's tools.

        Raises:
            UserError: a seed is no whole number between 0 and 2^32 - 1.
        """
        rows = [np.random.RandomState(seed).randn(1, self.z_dim) for seed in _seeds(seeds)]
        return torch.from_numpy(np.concatenate([np.zeros([0, self.z_dim]), *rows])).float().to(self.device)

    def placed(self, translate: tuple[float, float] = (0.0, 0.0), rotate: float = 0.0) -> Generator:
        """The same network with its images moved and turned before they become pixels.

        Only StyleGAN3's networks can: their input is a field of waves that has no edges. The weights are shared.

        Args:
            translate: to the right and down, as a share of the image's longer side.
            rotate: degrees counterclockwise, about the centre, before moving. Config T only turns its input: its
                layers were not made for it.

        Raises:
            UserError: another kind of network, or numbers that are not finite.
        """
        if self.latents.placed is None:
            raise UserError(f"images of {self.kind} can't be moved or turned", hint="StyleGAN3's can")
        if not all(map(math.isfinite, (*translate, rotate))):
            raise UserError(f"a move of {translate} and a turn of {rotate}", hint="give finite numbers")
        return replace(self, net=self.latents.placed(self.net, translate, rotate))

    def only(self, number: int) -> Generator:
        """The same network with every image made by one of its generators; MAD-GAN has several.

        Args:
            number: which, from 0.

        Raises:
            UserError: a network of a single generator, or one that has no such number.
        """
        choose, mapping = self.latents.choose, self.latents.mapping
        if choose is None:
            raise UserError(f"{self.kind} has one generator", hint="MAD-GAN has several")
        if not 0 <= number < self.latents.generators:
            raise UserError(f"there is no generator {number}", hint=f"give 0 to {self.latents.generators - 1}")

        def mapped(net: nn.Module, z: Tensor, labels: Tensor) -> Tensor:
            return choose(mapping(net, z, labels), number)

        return replace(self, latents=replace(self.latents, mapping=mapped))

    def mapping(
        self, z: Tensor, labels: ArrayLike | Tensor | None = None, psi: float = 1.0, cutoff: int | None = None
    ) -> Tensor:
        """Latent codes to intermediate codes, with truncation (StyleGAN, arXiv 1812.04948, appendix B).

        Args:
            z: ``[N, z_dim]``, from a standard normal.
            labels: floats ``[N, label_dim]`` or one ``[label_dim]`` for all, or whole numbers: one class index for all
                or one for each z; or the name of a class for all.
            psi: 1 leaves w as it is, 0 gives the mean.
            cutoff: truncate only the first so many layers; None all.

        Returns:
            ``[N, num_ws, w_dim]``.

        Raises:
            UserError: a conditional network without labels, or labels of another length.
        """
        z = torch.as_tensor(z, dtype=torch.float32, device=self.device)
        with inference():
            ws = self.latents.mapping(self.net, z, self._rows(labels, len(z)))
        return self.truncate(ws, psi, cutoff)

    def texts(self, text: str | Sequence[str]) -> Tensor:
        """The vectors of texts, which this network takes for labels: ``[N, label_dim]``, one alone for one text.

        Raises:
            UserError: it takes no text, or a text can't be understood (`organza.contract.texts.text_as_tokens`).
        """
        access = self.latents.text
        if access is None:
            raise UserError("this network takes no text", hint="train stackgan or stackgan-v2 on captioned images")
        if self.reader is None:
            hint = "give vectors of that encoder: --embeddings FILE"
            raise UserError("this network was trained on vectors of another text encoder", hint=hint)
        return self._encoded(text_as_tokens(self.spec, [text] if isinstance(text, str) else list(text)))

    def captions(self, captions: Sequence[str]) -> Tensor:
        """The vectors of a dataset's captions, as `texts` gives them; what the network does not know is left out.

        Raises:
            UserError: it takes no text.
        """
        if self.latents.text is None or self.reader is None:
            raise UserError("this network has no encoder of captions")
        return self._encoded(captions_as_tokens(captions, self.spec.words)[:, : self.spec.text_length])

    def _encoded(self, tokens: NDArray[np.int64]) -> Tensor:
        assert self.latents.text is not None and self.reader is not None
        with inference():
            return self.latents.text.encode(self.reader, torch.from_numpy(tokens).to(self.device))

    def _rows(self, labels: ArrayLike | Tensor | None, count: int) -> Tensor:
        """A label vector for each of ``count`` images."""
        if self.latents.text is not None:
            return text_vectors(labels, count, self.label_dim, self.device)
        known = by_name(labels, self.spec) if self.label_dim else None
        return label_vectors(known, count, self.label_dim, self.device)

    def encode(self, images: Tensor) -> Tensor:
        """The codes of images, of an autoencoder: what `synthesis` turns back into them, as well as it can.

        Args:
            images: ``[N, C, H, W]`` in [-1, 1], of the network's size.

        Returns:
            ``[N, num_ws, w_dim]``.

        Raises:
            UserError: the network has no encoder, or images of another size.
        """
        encoder, encode = self.check_encoder()
        shape = (self.channels, *self.resolution)
        if tuple(images.shape[1:]) != shape:
            hint = f"this network takes {list(shape)} each"
            raise UserError(f"can't encode images of {list(images.shape[1:])}", hint=hint)
        images = torch.as_tensor(images, dtype=torch.float32, device=self.device)
        parts = torch.split(images, 64)
        with inference(), computing(self.dtype):
            return torch.cat([encode(encoder, part).float() for part in parts])

    def check_encoder(self) -> tuple[nn.Module, Callable[[nn.Module, Tensor], Tensor]]:
        """The encoder, and how it encodes; see `organza.contract.model.Latents`.

        Raises:
            UserError: the network has none.
        """
        if self.encoder is None or self.latents.encode is None:
            what = f"{self.kind} makes images and can't read them: it has no encoder"
            hint = "vae and autoencoder have one; organza project searches codes with any network"
            raise UserError(what, where=self.source, hint=hint)
        return self.encoder, self.latents.encode

    def truncate(self, ws: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
        """Pull intermediate codes ``[N, num_ws, w_dim]`` towards the mean w; see `mapping`."""
        check_psi(psi)
        if psi == 1:
            return ws
        end, tail = self.num_ws if cutoff is None else cutoff, self.w_dim - self.latents.label_tail
        pulled = torch.cat([self.w_avg.lerp(ws[:, :end], psi)[..., :tail], ws[:, :end, tail:]], dim=2)
        return torch.cat([pulled, ws[:, end:]], dim=1)

    def synthesis(self, ws: Tensor, noise: Noise = "const", rng: torch.Generator | None = None) -> Tensor:
        """Intermediate codes ``[N, num_ws, w_dim]`` to raw float32 images ``[N, C, H, W]``, about in [-1, 1].

        Args:
            ws: one w for each layer.
            noise: ``"const"`` (the stored noise), ``"random"`` (fresh, from ``rng``) or ``"none"``.
            rng: source of fresh noise, on this generator's device; None takes torch's default.
        """
        ws = torch.as_tensor(ws, dtype=torch.float32, device=self.device)
        if self.device.type == "cpu":
            fit_threads()
        # Few at a time stay in the processor's caches; fresh noise must come in the order of one batch.
        count = len(ws) if noise == "random" or self.device.type != "cpu" else at_once(self.resolution)
        with inference(), computing(self.dtype):
            if len(ws) <= count:
                return self.latents.synthesis(self.net, ws, noise, rng)
            return torch.cat([self.latents.synthesis(self.net, part, noise, rng) for part in torch.split(ws, count)])

    def generate(
        self,
        seeds: int | Sequence[int],
        labels: ArrayLike | Tensor | None = None,
        psi: float = 1.0,
        cutoff: int | None = None,
        noise: Noise = "const",
        batch: int = 8,
        text: str | Sequence[str] | None = None,
    ) -> Pixels:
        """The images of seeds, uint8 ``[N, H, W, C]``; see `mapping` and `synthesis` for the other arguments.

        Fresh noise is sampled from each seed, so a seed's image does not depend on its neighbours. ``text`` says what
        to show, for networks that take text: the same for all seeds, or one text for each.
        """
        seeds = _seeds(seeds)
        labels = labels if text is None else self.texts(text)
        ws = self.mapping(self.z(seeds), labels, psi, cutoff)
        step = 1 if noise == "random" else batch
        parts = []
        for start in range(0, len(seeds), step):
            rng = self.noise_rng(seeds[start]) if noise == "random" else None
            parts.append(to_pixels(self.synthesis(ws[start : start + step], noise, rng)))
        return np.concatenate(parts) if parts else np.zeros([0, *self.resolution, self.channels], np.uint8)

    def images(
        self,
        seeds: int | Sequence[int],
        labels: ArrayLike | Tensor | None = None,
        psi: float = 1.0,
        cutoff: int | None = None,
        noise: Noise = "const",
        batch: int = 8,
        text: str | Sequence[str] | None = None,
    ) -> list[Image.Image]:
        """`generate` as Pillow images: grey, RGB or RGBA.

        Example:
            >>> [image.size for image in G.images([0, 1], psi=0.7)]
            [(32, 32), (32, 32)]
        """
        return [to_image(pixels) for pixels in self.generate(seeds, labels, psi, cutoff, noise, batch, text)]

    def noise_rng(self, seed: int) -> torch.Generator:
        """The source of a seed's fresh noise, for `synthesis`."""
        digest = hashlib.blake2b(f"noise/{seed}".encode(), digest_size=7).digest()
        return torch.Generator(self.device).manual_seed(int.from_bytes(digest, "little"))

    @torch.no_grad()
    def discriminator(self, images: Tensor, labels: ArrayLike | Tensor | None = None) -> Tensor:
        """Logits ``[N, 1]`` of images, float32 ``[N, C, H, W]`` in [-1, 1]; high means real.

        Raises:
            UserError: the network was loaded without its discriminator, or has none.
        """
        if self.critic is None:
            raise UserError(
                "no discriminator is loaded", hint='use load(path, networks="all") of an adversarial method'
            )
        images = torch.as_tensor(images, dtype=torch.float32, device=self.device)
        told, text = self._rows(labels, len(images)), self.latents.text
        with computing(self.dtype):
            logits: Tensor = self.critic(images, told if text is None else text.told(self.net, told))
        return logits.float()

    @torch.no_grad()
    def classify(self, images: Tensor) -> Tensor:
        """Probabilities of classes ``[N, label_dim]`` of images, float32 ``[N, C, H, W]`` in [-1, 1].

        Raises:
            UserError: the method trains no classifier.
        """
        if self.classifier is None:
            raise UserError(f"{self.kind} has no classifier", hint="triple-gan trains one")
        images = torch.as_tensor(images, dtype=torch.float32, device=self.device)
        with computing(self.dtype):
            logits: Tensor = self.classifier(images)
        return logits.float().softmax(1)


def _seeds(seeds: int | Sequence[int]) -> list[int]:
    """Seeds in a list; one may come alone."""
    try:
        found = [operator.index(seed) for seed in (seeds if isinstance(seeds, Iterable) else [seeds])]
    except TypeError:
        shown = printable(repr(seeds), 60)
        raise UserError(f"seeds are whole numbers, not {shown}", hint="give one, or several in a list") from None
    for seed in found:
        if not 0 <= seed < 2**32:
            raise UserError(f"seed {seed} is not between 0 and {2**32 - 1}")
    return found
