"""Which pixels show a person: MediaPipe's selfie segmenter, from an ONNX file that is not ours."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from organza.core.errors import UserError
from organza.vision.onnx_net import OnnxNet

SIDE = 256
"""Of the images that it takes."""


class PersonSegmenter(nn.Module):
    """Images to the probability that a pixel shows a person."""

    def __init__(self, net: OnnxNet) -> None:
        super().__init__()
        self.net = net

    @classmethod
    def read(cls, path: Path) -> PersonSegmenter:
        """The network in ``selfie.onnx``, on the CPU, in evaluation mode.

        Raises:
            UserError: unreadable, broken, or of another network.
        """
        net = OnnxNet.read(path)
        if net.outputs != ("alpha",):
            what = f"is another network than the segmenter: it gives {', '.join(net.outputs)[:80]}"
            raise UserError(what, where=path)
        return cls(net)

    def forward(self, images: Tensor) -> Tensor:
        """Images ``[N, 1 | 3 | 4, H, W]`` in [-1, 1] -> ``[N, 1, H, W]`` in [0, 1]; found at 256x256."""
        x = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images[:, :3]
        size = [*x.shape[2:]]
        if size != [SIDE, SIDE]:
            x = F.interpolate(x, [SIDE, SIDE], mode="bilinear", align_corners=False, antialias=True)
        found: Tensor = self.net((x + 1) / 2)["alpha"]
        return found if size == [SIDE, SIDE] else F.interpolate(found, size, mode="bilinear", align_corners=False)
