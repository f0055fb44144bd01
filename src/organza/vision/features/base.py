"""What a feature network is to the metrics."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Output(NamedTuple):
    """What a network says about ``N`` images.

    Attributes:
        features: float32 ``[N, dim]``.
        logits: float32 ``[N, classes]``, or None if the network doesn't classify.
    """

    features: Tensor
    logits: Tensor | None


@dataclass(frozen=True)
class Features:
    """A frozen feature network with its preprocessing. Made by `open_features`.

    Attributes:
        name: ``"voile64"``, ``"inception"``, ``"lenet"``, or the file's stem and the start of its checksum.
        dim: length of a feature vector.
        digest: SHA-256 of the weights and of how images are prepared: features with the same digest may be mixed.
        resize: how images come to the network's size, in words.
        device: where it runs.
        standard: whether these are the features that papers report FID and KID with.
        run: the network on float32 images ``[N, C, H, W]``, values 0 to 255, C as given.

    Example:
        >>> from organza.vision.features import open_features
        >>> features = open_features("voile64", device="cpu")
        >>> found = features(torch.zeros(2, 32, 48, 3, dtype=torch.uint8))
        >>> found.features.shape, found.logits is None
        (torch.Size([2, 128]), True)
    """

    name: str
    dim: int
    digest: str
    resize: str
    device: torch.device
    run: Callable[[Tensor], Output]
    standard: bool = False

    def __call__(self, images: Tensor) -> Output:
        """Features of images.

        Args:
            images: uint8 ``[N, H, W, C]`` on any device, C of 1 (grey), 3 or 4 (transparency is laid over white).

        Raises:
            ValueError: not such images.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3, 4):
            raise ValueError(f"expected uint8 [N, H, W, 1 | 3 | 4], got {images.dtype} {list(images.shape)}")
        with torch.no_grad(), _exact():
            found = self.run(images.to(self.device).permute(0, 3, 1, 2).float())
        return Output(found.features.float(), None if found.logits is None else found.logits.float())


@contextmanager
def _exact() -> Iterator[None]:
    """Plain float32 and the same kernels each time, whatever training has chosen for the process."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark, matmul.allow_tf32
    cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark, matmul.allow_tf32 = False, True, False, False
    try:
        yield
    finally:
        cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark, matmul.allow_tf32 = before


def keyed(*parts: object) -> str:
    """A digest of checksums and versions.

    Example:
        >>> keyed("ab", 1) == keyed("ab", 1), keyed("ab", 1) == keyed("a", "b1"), len(keyed("ab"))
        (True, False, 64)
    """
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()
