"""Who a face is: frozen networks that give a unit vector for a face, and how far two are apart.

Either of two networks serves: MobileFaceNet, as minivision's photo2cartoon trains with it, or faceres of the human
package, which knows age and sex as well. Weights never come with the package.
"""

from __future__ import annotations

import os
from pathlib import Path

from torch import Tensor, nn

from organza.core.errors import UserError
from organza.core.files import user_path
from organza.vision.face_id.faceres import FaceRes
from organza.vision.face_id.mobilefacenet import MobileFaceNet, crop

NAMES = ("model_mobilefacenet.pth", "mobilefacenet.pth", "faceres.onnx")
"""What the files are called, in the folder ``faces`` of a folder of weights; the first that is there is taken."""


class MobileFaceId(nn.Module):
    """`MobileFaceNet` behind the crop that belongs to it."""

    def __init__(self, net: MobileFaceNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """Aligned photographs ``[N, 1 | 3 | 4, H, W]`` in [-1, 1] -> unit vectors ``[N, size]``."""
        x = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images[:, :3]
        found: Tensor = self.net(crop(x))
        return found


FaceId = MobileFaceId | FaceRes
"""Called with images ``[N, 1 | 3 | 4, H, W]`` in [-1, 1], each gives unit vectors ``[N, F]``, with gradients."""


def cosine_distance(one: Tensor, other: Tensor) -> Tensor:
    """``1 - cos`` of unit vectors ``[N, F]`` and others: ``[N]``, from 0 (the same person) to 2.

    Example:
        >>> import torch
        >>> cosine_distance(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])).tolist()
        [0.0, 1.0]
    """
    return 1 - (one * other).sum(1)


def open_face_id(path: str | os.PathLike[str]) -> FaceId:
    """The network in a file, on the CPU: ``.onnx`` is faceres, anything else MobileFaceNet.

    Raises:
        UserError: missing, broken, or of another network.
    """
    file = user_path(path)
    if not os.path.isfile(file):  # False also of a name that no file can have
        raise UserError("does not exist", where=file, hint=f"give a file such as {NAMES[0]} or {NAMES[2]}")
    if file.suffix.lower() == ".onnx":
        return FaceRes.read(file)
    return MobileFaceId(MobileFaceNet.read(file))


def find_face_id(folder: str | os.PathLike[str]) -> Path:
    """The file in ``faces/`` of a folder of weights, or in the folder itself.

    Raises:
        UserError: there is none.
    """
    root = user_path(folder)
    for place in (root / "faces", root):
        for name in NAMES:
            if os.path.isfile(place / name):
                return place / name
    raise UserError("holds no network for faces", where=root, hint=f"put {NAMES[0]} or {NAMES[2]} into its faces/")
