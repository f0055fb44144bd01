"""faceres: who a face is, its age and its sex, from the human package's ONNX file.

Nobody states what the network was trained on or under what licence its weights are, so they are never part of the
package; `FaceRes.read` takes the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from organza.core.errors import UserError
from organza.vision.onnx_net import OnnxNet

SIDE = 224
"""Of the faces that it takes."""


class Person(NamedTuple):
    """What `FaceRes` finds.

    Attributes:
        embedding: ``[N, 1024]``, not of unit length.
        age: ``[N]`` in years, the mean of its distribution.
        male: ``[N]``, a probability.
    """

    embedding: Tensor
    age: Tensor
    male: Tensor


class FaceRes(nn.Module):
    """Faces with some margin, to embeddings, ages and sexes. Gradients flow to the images."""

    def __init__(self, net: OnnxNet) -> None:
        super().__init__()
        self.net = net

    @classmethod
    def read(cls, path: Path) -> FaceRes:
        """The network in ``faceres.onnx``, on the CPU, in evaluation mode.

        Raises:
            UserError: unreadable, broken, or of another network.
        """
        net = OnnxNet.read(path)
        if set(net.outputs) != {"embedding", "age", "male"}:
            what = f"is another network than faceres: it gives {', '.join(net.outputs)[:80]}"
            raise UserError(what, where=path)
        return cls(net)

    def person(self, images: Tensor) -> Person:
        """Images ``[N, 1 | 3 | 4, H, W]`` in [-1, 1] -> who is on them."""
        x = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images[:, :3]
        if x.shape[2:] != (SIDE, SIDE):
            x = F.interpolate(x, [SIDE, SIDE], mode="bilinear", align_corners=False, antialias=True)
        found = self.net((x + 1) * 127.5)
        ages = torch.arange(found["age"].shape[1], device=x.device, dtype=x.dtype)
        return Person(found["embedding"], found["age"] @ ages, found["male"].flatten())

    def forward(self, images: Tensor) -> Tensor:
        """Images ``[N, 1 | 3 | 4, H, W]`` in [-1, 1] -> unit vectors ``[N, 1024]``."""
        return F.normalize(self.person(images).embedding)
