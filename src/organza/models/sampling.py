"""How images are sampled: labels, truncation and noise, as one value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from organza.core.errors import UserError
from organza.core.text import printable
from organza.models.labels import as_array, check_labels, check_vectors, is_classes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    from organza.contract.model import Latents

Noise = Literal["const", "random", "none"]
"""Noise inputs: the stored maps, fresh maps for each image, or none."""


@dataclass(frozen=True, eq=False)
class Sampling:
    """How a network makes images of latent codes. The default is its full variety.

    Attributes:
        labels: of networks with labels: a class or a label vector for all images, or one for each; or a class's name.
        psi: truncation (StyleGAN, arXiv 1812.04948, appendix B): 1 for the full variety, 0 for the average image.
        cutoff: truncate only the first so many layers; None all.
        noise: see `Noise`.
        text: of networks that take text: what all images show, or one text for each.

    Raises:
        UserError: a ``psi`` that is not finite or far too large, a negative cutoff, an unknown noise.

    Example:
        >>> from organza.studio.codes import codes, draw
        >>> half = Sampling(psi=0.7, noise="none")
        >>> draw(G, codes(G, [0, 1], half), half.noise).shape
        (2, 32, 32, 3)
    """

    labels: ArrayLike | Tensor | None = None
    psi: float = 1.0
    cutoff: int | None = None
    noise: Noise = "const"
    text: str | tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_psi(self.psi)
        if self.cutoff is not None and self.cutoff < 0:
            raise UserError(f"a cutoff of {self.cutoff}", hint="give the number of layers to truncate")
        if self.noise not in ("const", "random", "none"):
            raise UserError(f"there is no noise {printable(repr(self.noise), 40)}", hint="choose const, random or none")
        if self.text is not None and self.labels is not None:
            raise UserError("a text and a class say the same", hint="leave one of them out")

    def check(self, latents: Latents, count: int | None) -> None:
        """See that a network can do this.

        Args:
            latents: of the network, such as `organza.Generator.latents`.
            count: how many seeds; None for saved w's, whose labels are in them.

        Raises:
            UserError: a cutoff that it has no layers for, labels where it takes none, labels that are missing or don't
                fit.

        Example:
            >>> Sampling(cutoff=99).check(G.latents, 1)
            Traceback (most recent call last):
            organza.core.errors.UserError: a cutoff of 99; this network has 8 layers to truncate
        """
        if self.cutoff is not None and self.cutoff > latents.num_ws:
            raise UserError(f"a cutoff of {self.cutoff}", hint=f"this network has {latents.num_ws} layers to truncate")
        if self.text is not None and latents.text is None:
            raise UserError("this network takes no text", hint="leave --text out")
        if latents.text is not None:
            if isinstance(self.text, tuple) and len(self.text) not in (1, count):
                raise UserError(f"{len(self.text)} texts for {count} images", hint="give one for all, or one for each")
            if count is not None and self.text is None:
                check_vectors(self.labels, count, latents.label_dim)
        elif latents.label_dim == 0:
            if self.labels is not None:
                raise UserError("this network has no classes", hint="leave the class out")
        elif count is not None and not isinstance(self.labels, str):  # a name, which the network's spec knows
            classes = as_array(0 if self.labels is None else self.labels)
            if is_classes(classes) and classes.ndim and len(classes) not in (1, count):
                hint = "give one class for all or one for each seed"
                raise UserError(f"{len(classes)} classes for {count} seeds", hint=hint)
            check_labels(self.labels, count, latents.label_dim)

    def part(self, part: slice, count: int) -> Sampling:
        """The same for some of ``count`` images: of labels for each image, theirs.

        Example:
            >>> Sampling(labels=[4, 2, 0]).part(slice(1, 3), 3).labels
            array([2, 0])
            >>> Sampling(labels=4).part(slice(1, 3), 3).labels
            4
        """
        if isinstance(self.text, tuple) and len(self.text) == count:
            return replace(self, text=self.text[part])
        if self.labels is None or isinstance(self.labels, str):
            return self
        array = as_array(self.labels)
        # A list of classes, or a table of label vectors; one vector is for all, whatever its length.
        each = array.ndim == (1 if is_classes(array) else 2) and len(array) == count > 1
        return replace(self, labels=array[part]) if each else self


def check_psi(psi: float) -> None:
    """See that ``psi`` can be used.

    Raises:
        UserError: it is not finite, or so large that nothing is left of an image.
    """
    if not abs(psi) <= 1000:
        raise UserError(f"a truncation of {psi}", hint="give a number such as 0.7")
