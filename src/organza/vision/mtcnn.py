"""Faces in photographs, with five landmarks each: MTCNN's three networks.

Source: K. Zhang, Z. Zhang, Z. Li, Y. Qiao, "Joint Face Detection and Alignment using Multitask Cascaded Convolutional
Networks" (2016, arXiv 1604.02878), figures 1 and 2. The weights are not ours: `Detector.read` takes a folder with
``pnet.pt``, ``rnet.pt`` and ``onet.pt``, the state dicts of the package facenet-pytorch (MIT licence).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from organza.core.errors import UserError
from organza.core.files import user_path
from organza.media.images import Pixels
from organza.tensors.state_dict import fill, read_state_dict

STEP = 0.709
"""Factor between neighbouring sizes of the pyramid: half the area."""
CELL, STRIDE = 12, 2
"""Side of what the first network looks at, and how far apart it looks."""
SURE = (0.6, 0.7, 0.7)
"""Probability of a face that each network must find."""
FILES = ("pnet.pt", "rnet.pt", "onet.pt")
BATCH = 512
"""Windows that pass through a network at once."""


@dataclass(frozen=True)
class Face:
    """A face in an image, in pixels; (0, 0) is the middle of the first one, at the top left.

    Attributes:
        score: probability that it is one.
        box: left, top, right, bottom, ``[4]``.
        points: ``[5, 2]``, x and y of both eyes, the tip of the nose and both corners of the mouth; those on the
            image's left come first.
    """

    score: float
    box: NDArray[np.float64]
    points: NDArray[np.float64]


class _Net(nn.Module):
    """Convolutions with PReLU and pooling, a dense layer but in the first network, and several heads."""

    def __init__(
        self, widths: Sequence[int], kernels: Sequence[int], pools: Sequence[int], dense: tuple[int, int] | None
    ) -> None:
        super().__init__()
        self.pools = pools
        count = len(widths)
        for index, (before, width) in enumerate(pairwise((3, *widths)), 1):
            self.add_module(f"conv{index}", nn.Conv2d(before, width, kernels[index - 1]))
            self.add_module(f"prelu{index}", nn.PReLU(width))
        if dense is None:
            self.stem: tuple[str, str] | None = None
            self.heads: tuple[str, ...] = (f"conv{count + 1}_1", f"conv{count + 1}_2")
            for head, size in zip(self.heads, (2, 4), strict=True):
                self.add_module(head, nn.Conv2d(widths[-1], size, 1))
        else:
            number = count + 1
            self.stem = f"dense{number}", f"prelu{number}"
            self.add_module(self.stem[0], nn.Linear(*dense))
            self.add_module(self.stem[1], nn.PReLU(dense[1]))
            sizes = (2, 4, 10)[: 3 if count == 4 else 2]
            self.heads = tuple(f"dense{number + 1}_{index}" for index in range(1, len(sizes) + 1))
            for head, size in zip(self.heads, sizes, strict=True):
                self.add_module(head, nn.Linear(dense[1], size))

    def forward(self, x: Tensor) -> list[Tensor]:
        for index, pool in enumerate(self.pools, 1):
            x = self.get_submodule(f"prelu{index}")(self.get_submodule(f"conv{index}")(x))
            if pool:
                x = F.max_pool2d(x, pool, 2, ceil_mode=True)
        if self.stem is not None:
            # Trained with images stored column by column.
            x = x.permute(0, 3, 2, 1).flatten(1)
            x = self.get_submodule(self.stem[1])(self.get_submodule(self.stem[0])(x))
        first, *rest = (self.get_submodule(head)(x) for head in self.heads)
        return [first.softmax(1)[:, 1], *rest]


def _nets() -> tuple[_Net, _Net, _Net]:
    return (
        _Net((10, 16, 32), (3, 3, 3), (2, 0, 0), None),
        _Net((28, 48, 64), (3, 3, 2), (3, 3, 0), (576, 128)),
        _Net((32, 64, 64, 128), (3, 3, 3, 2), (3, 3, 2, 0), (1152, 256)),
    )


@dataclass(frozen=True)
class Detector:
    """MTCNN: a network that proposes, one that refines, one that decides and finds the landmarks."""

    nets: tuple[nn.Module, nn.Module, nn.Module]

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> Detector:
        """The networks in ``folder``; nothing in the files is run.

        Raises:
            UserError: a file is missing, or is something else.
        """
        nets = _nets()
        for net, name in zip(nets, FILES, strict=True):
            path = user_path(folder) / name
            if not path.is_file():
                hint = f"give a folder with MTCNN's {', '.join(FILES)}, as facenet-pytorch has them"
                raise UserError("does not exist", where=path, hint=hint)
            try:
                fill(net, read_state_dict(path), path)
            except UserError as error:
                what = f"is no weights of MTCNN ({error.what})"
                raise UserError(what, where=path, hint="give facenet-pytorch's files") from error
            net.eval().requires_grad_(False)
        return cls(nets)

    @torch.no_grad()
    def find(self, image: Pixels, least: float | None = None) -> list[Face]:
        """The faces in ``image`` uint8 ``[H, W, 1 or 3]``, the largest first.

        Args:
            image: an image.
            least: side of the smallest face to look for, in pixels; None takes 20, or a fifteenth of the image's
                shorter side where that is more.
        """
        height, width = image.shape[:2]
        least = max(20.0, min(height, width) / 15) if least is None else least
        rgb = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image[..., :3]
        # The networks were trained on levels around zero.
        x = (torch.from_numpy(rgb.copy()).permute(2, 0, 1).float()[None] - 127.5) / 128
        boxes, scores = self._proposed(x, least)
        for stage, side in ((1, 24), (2, 48)):
            boxes = _square(boxes[_seen(boxes, width, height)])
            if not len(boxes):
                return []
            seen = torch.cat([_window(x, box, side) for box in boxes])
            parts = [self.nets[stage](part) for part in torch.split(seen, BATCH)]
            scores, shifts, *points = (torch.cat(found) for found in zip(*parts, strict=True))
            sure = scores > SURE[stage]
            boxes, scores, shifts = boxes[sure], scores[sure], shifts[sure]
            if stage == 1:
                kept = suppressed(boxes, scores, 0.7)
                boxes, scores = _moved(boxes[kept], shifts[kept]), scores[kept]
        # The points come as five x, then five y, in parts of the box.
        places = points[0][sure].reshape(-1, 2, 5).transpose(1, 2)
        places = boxes[:, None, :2] + places * (boxes[:, 2:] - boxes[:, :2])[:, None]
        boxes = _moved(boxes, shifts)
        kept = suppressed(boxes, scores, 0.7, smaller=True)
        # From edges of pixels to their middles.
        found = [(scores[n].item(), boxes[n].double().numpy() - 0.5, places[n].double().numpy() - 0.5) for n in kept]
        faces = [Face(*one) for one in found]
        return sorted(faces, key=lambda face: -float((face.box[2] - face.box[0]) * (face.box[3] - face.box[1])))

    @torch.no_grad()
    def look(self, windows: Pixels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What the last network alone says of windows that show one face each, about as large as its box.

        Args:
            windows: uint8 ``[N, 48, 48, 3]``.

        Returns:
            Probabilities of a face ``[N]``, and landmarks ``[N, 5, 2]`` in pixels of the windows.
        """
        x = (torch.from_numpy(np.ascontiguousarray(windows)).permute(0, 3, 1, 2).float() - 127.5) / 128
        scores, _, places = self.nets[2](x)
        points = places.reshape(-1, 2, 5).transpose(1, 2).double().numpy() * windows.shape[1] - 0.5
        return scores.double().numpy(), points

    def _proposed(self, x: Tensor, least: float) -> tuple[Tensor, Tensor]:
        """Boxes ``[N, 4]`` and scores ``[N]`` of the first network, at all sizes of the pyramid."""
        scale, boxes, scores = CELL / least, [torch.zeros(0, 4)], [torch.zeros(0)]
        while min(x.shape[2:]) * scale >= CELL:
            size = [max(CELL, int(side * scale + 1)) for side in x.shape[2:]]
            score, shift = self.nets[0](F.interpolate(x, size, mode="area"))
            rows, columns = (score[0] > SURE[0]).nonzero().unbind(1)
            corner = STRIDE * torch.stack([columns, rows], 1).float()
            box = torch.cat([corner, corner + CELL], 1) / scale
            kept = suppressed(box, score[0, rows, columns], 0.5)
            boxes.append(_moved(box, shift[0, :, rows, columns].t())[kept])
            scores.append(score[0, rows, columns][kept])
            # Boxes were compared before they moved, as when the network was trained.
            scale *= STEP
        found, sure = torch.cat(boxes), torch.cat(scores)
        kept = suppressed(found, sure, 0.7)
        return found[kept], sure[kept]


def suppressed(boxes: Tensor, scores: Tensor, most: float, smaller: bool = False) -> Tensor:
    """Indices of those of ``boxes [N, 4]`` that share at most ``most`` with each better one (non-maximum suppression).

    Args:
        boxes: left, top, right, bottom.
        scores: ``[N]``.
        most: intersection over union; over the smaller box with ``smaller``.

    Example:
        >>> boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10]])
        >>> suppressed(boxes, torch.tensor([0.8, 0.9, 0.7]), 0.5).tolist()
        [1, 2]
    """
    area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
    left, kept = scores.argsort(descending=True, stable=True), []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        shared = torch.minimum(boxes[best, 2:], boxes[left, 2:]) - torch.maximum(boxes[best, :2], boxes[left, :2])
        inside = shared.clamp(min=0).prod(1)
        whole = torch.minimum(area[best], area[left]) if smaller else area[best] + area[left] - inside
        left = left[inside <= most * whole]
    return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.long)


def _moved(boxes: Tensor, shifts: Tensor) -> Tensor:
    """Boxes with their corners moved by parts of their sides."""
    return boxes + shifts * (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)


def _seen(boxes: Tensor, width: int, height: int) -> Tensor:
    """Which boxes show at least a pixel of the image."""
    shown = torch.minimum(boxes[:, 2:], torch.tensor([width, height])) - boxes[:, :2].clamp(min=0)
    return (shown >= 1).all(1)


def _square(boxes: Tensor) -> Tensor:
    """As large squares around the same middles."""
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) / 2
    return torch.cat([middle - half, middle + half], 1)


def _window(x: Tensor, box: Tensor, side: int) -> Tensor:
    """What ``box`` shows of ``x [1, 3, H, W]``, ``[1, 3, side, side]``; black beyond the border."""
    left, top = (int(v) for v in box[:2].floor())
    right, bottom = (int(v) for v in box[2:].ceil())
    height, width = x.shape[2:]
    inside = x[:, :, max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    edges = (max(0, -left), max(0, right - width), max(0, -top), max(0, bottom - height))
    # Black is -127.5 / 128 here.
    return F.interpolate(F.pad(inside, edges, value=-127.5 / 128), (side, side), mode="area")
