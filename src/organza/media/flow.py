"""Motion between frames: optical flow, warping along it, cuts, and the flicker that is left when motion is taken away.

Flow is that of the dense inverse search (Kroeger, Timofte, Dai, Van Gool: Fast Optical Flow using Dense Inverse Search.
ECCV 2016, arXiv 1603.03590), as OpenCV has it: the extra ``flow``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from organza.core.errors import UserError
from organza.media.images import Pixels

Flow = NDArray[np.float32]
"""``[H, W, 2]``: for each pixel of a frame, how far to the right and down it was in the frame before, in pixels."""

CUT_LEVELS, CUT_LIKENESS = 12.0, 0.4
"""Frames belong to two scenes where small copies differ by more and are correlated by less."""
TRUST_LEVELS = 12.0
"""Where a frame and the one before, moved along the flow, differ by this much, the flow is trusted by 1/e."""


def check_flow() -> None:
    """See that there is a flow.

    Raises:
        UserError: OpenCV is missing.
    """
    _opencv()


def flow_between(frame: Pixels, before: Pixels) -> Flow:
    """Where each pixel of ``frame`` was in the frame ``before``.

    Args:
        frame, before: uint8 ``[H, W, C]`` of one size.

    Raises:
        UserError: OpenCV is missing.
    """
    cv2 = _opencv()
    grey = [_grey(image) for image in (frame, before)]
    least = min(grey[0].shape)
    if least < 16:  # smaller than its patches
        return np.zeros([*grey[0].shape, 2], np.float32)
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found: Flow = search.calc(*grey, None)
    return found


def warp(image: NDArray[Any], flow: Flow) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """An image moved along a flow, bilinearly.

    Args:
        image: ``[H, W, C]``, the frame before, or what was made of it.
        flow: from `flow_between`.

    Returns:
        float32 ``[H, W, C]``, and ``[H, W]``: whether a pixel comes from within the image.

    Example:
        >>> image = np.arange(4, dtype=np.float32).reshape(1, 4, 1)
        >>> moved, inside = warp(image, np.full([1, 4, 2], [1, 0], np.float32))
        >>> moved[0, :3, 0].tolist(), inside[0].tolist()
        ([1.0, 2.0, 3.0], [True, True, True, False])
    """
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    x, y = x.clip(0, width - 1), y.clip(0, height - 1)
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    right, below = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across, down = (x - left)[..., None], (y - top)[..., None]
    values = image.astype(np.float32)
    upper = values[top, left] * (1 - across) + values[top, right] * across
    lower = values[below, left] * (1 - across) + values[below, right] * across
    return upper * (1 - down) + lower * down, inside


def is_cut(frame: Pixels, before: Pixels) -> bool:
    """Whether two neighbouring frames belong to two scenes.

    Example:
        >>> one = np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8)
        >>> is_cut(one, one), is_cut(one, one[::-1, ::-1])
        (False, True)
    """
    if frame.shape != before.shape:
        return True
    small, small_before = (_small(image) for image in (frame, before))
    one, other = (x - x.mean((0, 1)) for x in (small, small_before))
    likeness = (one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum() + 1e-9)
    return bool(np.abs(small - small_before).mean() > CUT_LEVELS and likeness < CUT_LIKENESS)


def trust(frame: Pixels, before: Pixels, flow: Flow) -> NDArray[np.float32]:
    """How much a flow explains: 1 where the frame before, moved along it, is this one, towards 0 where it is not.

    Returns:
        float32 ``[H, W]``.
    """
    moved, inside = warp(before, flow)
    off = np.abs(frame.astype(np.float32) - moved).mean(2)
    found: NDArray[np.float32] = (np.exp(-((off / TRUST_LEVELS) ** 2)) * inside).astype(np.float32)
    return found


@dataclass
class Smoother:
    """Takes the flicker out of what is made of a video: results follow the motion of their sources.

    What was made of the frame before is moved along the flow between the two sources and blended in, as far as the flow
    explains the source. After a cut it begins anew.

    Attributes:
        strength: share of the frame before, from 0 to below 1, where the flow is trusted entirely.
        cuts: found so far.
        raw, smooth: flicker of each pair of neighbouring results, before and after, see `flicker`.
    """

    strength: float = 0.7
    cuts: int = 0
    raw: list[float] = field(default_factory=list)
    smooth: list[float] = field(default_factory=list)
    _source: Pixels | None = None
    _made: Pixels | None = None
    _shown: NDArray[np.float32] | None = None

    def forget(self) -> None:
        """Begin anew, as after a cut."""
        self._source = None

    def __call__(self, source: Pixels, made: Pixels) -> Pixels:
        """The result for one frame.

        Args:
            source: the frame, uint8 ``[H, W, C]``.
            made: what was made of it, of any size, but the same for all frames.
        """
        size = (made.shape[1], made.shape[0])
        here = np.asarray(Image.fromarray(_rgb(source)).resize(size, Image.Resampling.BILINEAR))
        shown = made.astype(np.float32)
        before, self._source = self._source, here
        if before is not None and is_cut(here, before):
            self.cuts += 1
        elif before is not None and self._shown is not None and self._made is not None:
            flow = flow_between(here, before)
            sure = trust(here, before, flow)
            moved, _ = warp(self._shown, flow)
            share = self.strength * sure[..., None]
            shown = shown * (1 - share) + moved * share
            self.raw.append(flicker(made, self._made, flow, sure))
            self.smooth.append(flicker(shown, self._shown, flow, sure))
        self._made, self._shown = made, shown
        return (shown + 0.5).clip(0, 255).astype(np.uint8)


def flicker(made: NDArray[Any], before: NDArray[Any], flow: Flow, sure: NDArray[np.float32]) -> float:
    """The warping error: how far a result is from the one before, moved along the flow, in levels of 255.

    Counted where the flow is trusted, by a half at least.

    Lai, Huang, Wang, Shechtman, Yumer, Yang: Learning Blind Video Temporal Consistency. ECCV 2018, arXiv 1808.00449,
    section 4.
    """
    known = sure > 0.5
    if not known.any():
        return 0.0
    off = np.abs(made.astype(np.float32) - warp(before, flow)[0]).mean(2)
    return float(off[known].mean())


def _rgb(image: Pixels) -> Pixels:
    return image.repeat(3, axis=2) if image.shape[2] == 1 else np.ascontiguousarray(image[..., :3])


def _small(image: Pixels) -> NDArray[np.float64]:
    return np.asarray(Image.fromarray(_rgb(image)).resize((32, 32), Image.Resampling.BOX), np.float64)


def _grey(image: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(_rgb(image)).convert("L"))


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise UserError("flow needs the package OpenCV", hint="pip install organza[flow]") from error
    return cv2
