"""What every loaded network says of itself."""

from __future__ import annotations

from typing import Literal

import torch

from organza.contract.data import DataSpec


class Loaded:
    """A network for images of `spec`, with activations of `dtype`: fields of the dataclasses that build on it."""

    spec: DataSpec
    dtype: torch.dtype

    @property
    def precision(self) -> Literal["float32", "bf16"]:
        """The format of activations, as `organza.load` takes it."""
        return "bf16" if self.dtype == torch.bfloat16 else "float32"

    @property
    def resolution(self) -> tuple[int, int]:
        """Height and width of the images, in training."""
        return self.spec.resolution
