"""A translator of videos at work: frame after frame, each with what it remembers of those before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from organza.contract.model import Memory, NormMode
from organza.data.photo import Photo
from organza.media.flow import is_cut
from organza.media.images import Pixels

Step = Callable[[Tensor, Memory, "NormMode | None"], tuple[Tensor, Memory]]


class Following:
    """Called with one frame after the other. Made by `Translator.follow`.

    Args:
        read: an image as people have it -> a photo with the network's channels.
        framed: ``(photo, size, function of [1, C, H, W]) -> photo``.
        step: ``(frame [1, C, H, W], memory, mode) -> (result, memory)``.
        cuts: whether a cut begins a new sequence.

    Attributes:
        found: cuts so far.
    """

    def __init__(
        self,
        read: Callable[[Any], Photo],
        framed: Callable[[Photo, Any, Callable[[Tensor], Tensor]], Photo],
        step: Step,
        cuts: bool = True,
    ) -> None:
        self._read, self._framed, self._step, self._cuts = read, framed, step, cuts
        self._memory: Memory = ()
        self._before: Pixels | None = None
        self.found = 0

    def reset(self) -> None:
        """Forget: the next frame is the first of a sequence."""
        self._memory, self._before = (), None

    def __call__(self, image: Any, *, size: Any = "trained", mode: NormMode | None = None) -> Photo:
        """What the next frame becomes; arguments as for `Translator.photo`. A frame of another size begins anew.

        Raises:
            UserError: as `Translator.translate`.
        """
        photo = self._read(image)
        here = photo.eight()
        if self._before is not None and here.shape != self._before.shape:
            self.reset()
        if self._cuts and self._before is not None and is_cut(here, self._before):
            self.found += 1
            self.reset()
        self._before = here
        return self._framed(photo, size, lambda x: self._remembering(x, mode))

    def _remembering(self, x: Tensor, mode: NormMode | None) -> Tensor:
        if self._memory and self._memory[0].shape[2:] != x.shape[2:]:
            self._memory = ()
        found, self._memory = self._step(x, self._memory, mode)
        return found
