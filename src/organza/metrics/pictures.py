"""Where the images to evaluate come from: a network or a dataset, by number."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from organza.contract.model import Memory
from organza.contract.texts import words_of
from organza.core.errors import UserError
from organza.data.hashing import mix, permutation
from organza.media.images import to_levels, to_tensor
from organza.models.generator import Generator
from organza.models.sampling import Sampling

if TYPE_CHECKING:
    from organza.data.dataset import Dataset
    from organza.data.domains import Domains
    from organza.data.sequences import Sequences
    from organza.models.translator import Translator

Indices = NDArray[np.int64]
SEEDS = 1_000_000
"""``--seed s`` evaluates the images of seeds ``s * SEEDS`` and on."""


class Pictures(Protocol):
    """Images by number, always the same for the same number."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    @property
    def limit(self) -> int | None:
        """How many there are; None: as many as one likes."""
        ...

    def fetch(self, indices: Indices) -> Tensor:
        """uint8 ``[N, H, W, C]``."""
        ...


@dataclass(frozen=True)
class Shown:
    """The images of a dataset in a random order; with ``mirror`` each is there twice, the second time mirrored.

    Attributes:
        dataset: where they are.
        mirror: whether mirrored images count as real.
        seed: of the order.

    Example:
        >>> from organza import open_dataset
        >>> shown = Shown(open_dataset(faces), mirror=True)
        >>> shown.limit, shown.fetch(np.arange(3)).shape
        (96, torch.Size([3, 16, 16, 3]))
    """

    dataset: Dataset
    mirror: bool = False
    seed: int = 0

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.dataset.name

    @property
    def limit(self) -> int:
        """Images, mirrored ones included."""
        return len(self.dataset) * (2 if self.mirror else 1)

    @property
    def key(self) -> str:
        """Changes with everything that changes the images or their order."""
        return hashlib.sha256(f"{self.dataset.key}/{self.limit}/{self.mirror}/{self.seed}".encode()).hexdigest()

    def fetch(self, indices: Indices) -> Tensor:
        """uint8 ``[N, H, W, C]``."""
        places = self._order[indices]
        count = len(self.dataset)
        images, _ = self.dataset.fetch(places % count)
        flipped = places >= count
        images[flipped] = images[flipped, :, ::-1]
        return torch.from_numpy(images)

    def labels(self, indices: Indices) -> NDArray[np.float32]:
        """float32 ``[N, label_dim]``."""
        return self.dataset.labels(self._order[indices] % len(self.dataset))

    @cached_property
    def _order(self) -> Indices:
        return permutation(self.limit, self.seed, 0)


@dataclass(frozen=True)
class Drawn:
    """The images that a network generates from consecutive seeds.

    Attributes:
        G: the network.
        first: seed of image 0.
        sampling: truncation and noise; fresh noise is another for each batch, from its first seed.
        labels: dataset from which conditional networks' labels are taken: the image's number decides which.
        paired: images 2i and 2i + 1 share a label.

    Example:
        >>> from organza import load
        >>> Drawn(load(tiny_run)).fetch(np.arange(3)).shape
        torch.Size([3, 16, 16, 3])
    """

    G: Generator
    first: int = 0
    sampling: Sampling = Sampling(noise="random")
    labels: Dataset | None = None
    paired: bool = False

    @property
    def name(self) -> str:
        """The checkpoint's path, or the kind of network."""
        return self.G.kind if self.G.source is None else str(self.G.source)

    @property
    def limit(self) -> None:
        """A network never runs out."""
        return None

    def codes(self, indices: Indices) -> tuple[Tensor, Tensor | None]:
        """z ``[N, z_dim]`` and labels ``[N, label_dim]``."""
        return self.G.z([self.first + int(i) for i in indices]), self.label(indices)

    def label(self, indices: Indices) -> Tensor | None:
        """Labels as frequent as in the data; None for networks without."""
        if not self.G.label_dim:
            return None
        if self.G.latents.text is not None:
            return self._texts(indices)
        if self.labels is None or self.labels.spec.label_dim != self.G.label_dim:
            had = 0 if self.labels is None else self.labels.spec.label_dim
            raise UserError(
                f"the network needs labels of {self.G.label_dim} numbers, the data has {had}",
                hint="give the data that it was trained on with --data, and --labels",
            )
        return torch.from_numpy(self.labels.labels(self._places(indices, len(self.labels))))

    @cached_property
    def captioned(self) -> Indices:
        """The images of the data that have captions.

        Raises:
            UserError: there are none, or the network has no encoder to read them.
        """
        if self.G.reader is None:
            raise UserError("a network that was trained on given vectors has no texts to be evaluated with")
        said = None if self.labels is None else self.labels.captions
        found = [row for row, text in enumerate(said or ()) if caption_words(text)]
        if not found:
            hint = "give the data that it was trained on with --data"
            raise UserError("the network makes images from text, and the data has no captions", hint=hint)
        return np.array(found, np.int64)

    def caption_rows(self, indices: Indices) -> Indices:
        """The images of the data with whose captions these are made."""
        return self.captioned[self._places(indices, len(self.captioned))]

    def _texts(self, indices: Indices) -> Tensor:
        """Vectors of captions of the data: of several about an image, the first."""
        rows = self.caption_rows(indices).tolist()
        assert self.labels is not None and self.labels.captions is not None
        return self.G.captions([" ".join(caption_words(self.labels.captions[row])) for row in rows])

    def _places(self, indices: Indices, count: int) -> Indices:
        """Which of ``count`` each of these is made like."""
        numbers = indices // 2 if self.paired else indices
        salt = mix(np.array([self.first], np.uint64))
        return np.asarray(mix(salt ^ numbers.astype(np.uint64)) % np.uint64(count), np.int64)

    def fetch(self, indices: Indices) -> Tensor:
        """uint8 ``[N, H, W, C]``, on the network's device."""
        z, labels = self.codes(indices)
        ws = self.G.mapping(z, labels, self.sampling.psi, self.sampling.cutoff)
        noise = self.sampling.noise
        rng = self.G.noise_rng(self.first + int(indices[0])) if noise == "random" else None
        return to_levels(self.G.synthesis(ws, noise, rng))


def caption_words(captions: str) -> tuple[str, ...]:
    """The words of an image's caption; of several (one a line), of the first that has any.

    Example:
        >>> caption_words("!\\nBlue hair\\nred"), caption_words("")
        (('blue', 'hair'), ())
    """
    return next((tuple(words) for line in captions.split("\n") if (words := words_of(line))), ())


@dataclass(frozen=True)
class Translated:
    """What a translator makes of the source images of a dataset, in their order.

    Attributes:
        T: the translator, used in its own mode.
        domains: source and target.
        back: the translator of the other direction, if there is one.
    """

    T: Translator
    domains: Domains
    back: Translator | None = None

    @property
    def name(self) -> str:
        """The checkpoint's path, or the kind of network."""
        return self.T.kind if self.T.source is None else str(self.T.source)

    @property
    def limit(self) -> int:
        """Source images."""
        return len(self.domains.source)

    def fetch(self, indices: Indices) -> Tensor:
        """uint8 ``[N, H, W, C]``, on the network's device."""
        return self.triples(indices)[1]

    def triples(self, indices: Indices) -> tuple[Tensor, Tensor, Tensor | None]:
        """Sources, translations, and what comes back of these (None without a way back): uint8 ``[N, H, W, C]``."""
        sources = self.domains.source.fetch(indices)[0]
        made, returned = [], []
        for index, pixels in zip(indices, sources, strict=True):  # one by one: batch statistics are each image's own
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(index))  # dropout and style codes
                made.append(self.T.apply(to_tensor(pixels[None])))
                if self.back is not None:
                    returned.append(self.back.apply(made[-1]))
        back = to_levels(torch.cat(returned)) if returned else None
        return torch.from_numpy(sources), to_levels(torch.cat(made)), back

    def targets(self, indices: Indices) -> Tensor:
        """The partners of sources, uint8 ``[N, H, W, C]``."""
        return torch.from_numpy(self.domains.target.fetch(indices)[0])


@dataclass
class _Now:
    """How far a video is: the frame that was translated last, what became of it, and what is remembered."""

    index: int = -1
    image: Tensor | None = None
    memory: Memory = ()


@dataclass(frozen=True)
class Followed(Translated):
    """What a translator makes of videos, frame after frame in the order of their time.

    One that remembers is shown each scene from its beginning; where a part is asked for, all before it is shown first.

    Attributes:
        sequences: the frames of `domains`, by scenes.
    """

    sequences: Sequences = field(kw_only=True)
    _now: _Now = field(default_factory=_Now, compare=False, kw_only=True)

    @cached_property
    def order(self) -> Indices:
        """The frames, one scene after the other."""
        return np.concatenate(self.sequences.runs)

    @cached_property
    def starts(self) -> frozenset[int]:
        """Places in this order where a scene begins."""
        return frozenset(np.cumsum([0, *map(len, self.sequences.runs[:-1])]).tolist())

    @property
    def limit(self) -> int:
        """Frames."""
        return len(self.order)

    def triples(self, indices: Indices) -> tuple[Tensor, Tensor, Tensor | None]:
        """As `Translated.triples`; ``indices`` are places in `order`."""
        sources = self.domains.source.fetch(self.order[indices])[0]
        frames = zip(indices.tolist(), sources, strict=True)
        made = [self._frame(index, to_tensor(pixels[None])) for index, pixels in frames]
        return torch.from_numpy(sources), to_levels(torch.cat(made)), None

    def targets(self, indices: Indices) -> Tensor:
        """As `Translated.targets`."""
        return super().targets(self.order[indices])

    def _frame(self, index: int, source: Tensor) -> Tensor:
        """What becomes of a frame ``[1, C, H, W]``."""
        now = self._now
        if now.image is not None and now.index == index:
            return now.image
        if self.T.model.follow is not None and index not in self.starts and now.index != index - 1:
            start = max(start for start in self.starts if start < index)
            if not start <= now.index < index:
                now.index, now.image, now.memory = start - 1, None, ()
            for place in range(now.index + 1, index):
                self._frame(place, to_tensor(self.domains.source.fetch(self.order[[place]])[0]))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(index)  # dropout and style codes
            if self.T.model.follow is None:
                now.image = self.T.apply(source)
            else:
                now.image, now.memory = self.T.next(source, () if index in self.starts else now.memory)
        now.index = index
        return now.image


@dataclass(frozen=True)
class Retargeted:
    """What a translator with labels makes of labelled images, in a random order: each with another one's labels.

    Attributes:
        T: the translator, used in its own mode.
        dataset: where the images are, with the labels that the translator knows.
        seed: of the order.
    """

    T: Translator
    dataset: Dataset
    seed: int = 0

    @property
    def name(self) -> str:
        """The checkpoint's path, or the kind of network."""
        return self.T.kind if self.T.source is None else str(self.T.source)

    @property
    def limit(self) -> int:
        """Images."""
        return len(self.dataset)

    @cached_property
    def shown(self) -> Shown:
        """The images themselves, in this order."""
        return Shown(self.dataset, seed=self.seed)

    def fetch(self, indices: Indices) -> Tensor:
        """uint8 ``[N, H, W, C]``, on the network's device: labels are as frequent as in the data."""
        return self.to(indices, torch.from_numpy(self.shown.labels((indices + 1) % self.limit)))

    def to(self, indices: Indices, labels: Tensor) -> Tensor:
        """With these labels ``[N, label_dim]``: uint8 ``[N, H, W, C]``."""
        pixels = self.shown.fetch(indices)
        made = []
        for index, image, row in zip(indices, pixels, labels, strict=True):  # one by one, as in `Translated`
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(index))
                made.append(self.T.apply(to_tensor(image[None].numpy()), row[None]))
        return to_levels(torch.cat(made))


def places(indices: Indices, seed: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each of ``indices``, always the same.

    Example:
        >>> bool(0.45 < places(np.arange(1000), 0).mean() < 0.55)
        True
    """
    salt = mix(np.array([seed], np.uint64)) ^ np.uint64(0x7A7)
    return np.asarray((mix(salt ^ indices.astype(np.uint64)) >> np.uint64(11)) * 2.0**-53)
