"""Intermediate codes w: from seeds, on disk, and to images."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from organza.core.arrays import read_arrays
from organza.core.errors import UserError
from organza.core.files import atomic_write
from organza.media.images import Pixels, check_suffix, to_pixels
from organza.models.sampling import Noise, Sampling

if TYPE_CHECKING:
    from organza.models.generator import Generator


def batch_size(resolution: tuple[int, int]) -> int:
    """How many images of ``resolution`` (H, W) to generate at once: enough for speed, few enough for any memory.

    Example:
        >>> batch_size((64, 64)), batch_size((1024, 1024))
        (16, 4)
    """
    return max(1, min(16, 2**22 // (resolution[0] * resolution[1])))


def codes(G: Generator, seeds: Sequence[int], sampling: Sampling = Sampling()) -> Tensor:
    """The w's of seeds: ``[N, num_ws, w_dim]``.

    Args:
        G: a network from `organza.load`.
        seeds: whole numbers from 0 to 2^32 - 1.
        sampling: labels and truncation.

    Raises:
        UserError: no seeds, one out of range, or what `Sampling.check` says.

    Example:
        >>> codes(G, [1, 2], Sampling(psi=0.7)).shape
        torch.Size([2, 8, 16])
    """
    check_seeds(G, seeds, sampling)
    return mapped(G, G.z(list(seeds)), sampling)


def check_seeds(G: Generator, seeds: Sequence[int], sampling: Sampling) -> None:
    """See that ``G`` can sample ``seeds`` so.

    Raises:
        UserError: no seeds, or what `Sampling.check` says.
    """
    if not len(seeds):
        raise UserError("no seeds", hint="give at least one, such as 0-15")
    sampling.check(G.latents, len(seeds))


def mapped(G: Generator, z: Tensor, sampling: Sampling) -> Tensor:
    """The w's ``[N, num_ws, w_dim]`` of latent codes ``[N, z_dim]``, truncated."""
    labels = sampling.labels if sampling.text is None else G.texts(sampling.text)
    return G.mapping(z, labels, sampling.psi, sampling.cutoff)


def truncated(G: Generator, ws: Tensor, sampling: Sampling) -> Tensor:
    """Saved w's ``[N, num_ws, w_dim]``, truncated. Their labels are in them already.

    Raises:
        UserError: what `Sampling.check` says.
    """
    sampling.check(G.latents, None)
    return G.truncate(ws, sampling.psi, sampling.cutoff)


def raw(G: Generator, ws: Tensor, noise: Noise = "const", seeds: Sequence[int] | None = None) -> Iterator[Tensor]:
    """The image of each of ``ws``, float32 ``[1, C, H, W]``, about in [-1, 1], generated a batch at a time.

    Args:
        G: a network from `organza.load`.
        ws: ``[N, num_ws, w_dim]``.
        noise: see `Noise`.
        seeds: of fresh noise, one for each of ``ws``; 0, 1, 2 ... without.
    """
    step = 1 if noise == "random" else batch_size(G.resolution)
    for start in range(0, len(ws), step):
        seed = start if seeds is None else seeds[start]
        rng = G.noise_rng(seed) if noise == "random" else None
        for image in G.synthesis(ws[start : start + step], noise, rng):
            yield image[None]


def draw(G: Generator, ws: Tensor, noise: Noise = "const", seeds: Sequence[int] | None = None) -> Pixels:
    """The images of ``ws``, uint8 ``[N, H, W, C]``; see `raw`.

    Example:
        >>> draw(G, codes(G, [1, 2])).shape
        (2, 32, 32, 3)
    """
    return np.concatenate([to_pixels(image) for image in raw(G, ws, noise, seeds)])


def save_codes(path: str | os.PathLike[str], ws: Tensor, **more: NDArray[Any]) -> Path:
    """Write ``ws [N, num_ws, w_dim]`` as the array ``w`` of a ``.npz``, where NVIDIA's tools look for it.

    Args:
        path: the file.
        ws: intermediate codes.
        **more: further arrays.

    Raises:
        UserError: another suffix, or the file can't be written.
    """
    path = check_suffix(path, (".npz",))
    arrays: dict[str, Any] = {"w": ws.detach().cpu().numpy(), **more}
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)
    return path


_NAMES = ("w", "ws", "w_plus", "wplus", "latent", "latents", "dlatent", "dlatents", "latent_in")
"""What codes are called by the tools that save several things in one file, the likeliest first."""


def load_codes(path: str | os.PathLike[str], G: Generator) -> Tensor:
    """Read w's for ``G``: ``[N, num_ws, w_dim]``.

    From a ``.npz`` or ``.npy`` (NVIDIA's projectors and ours, rolux), or a torch file with a tensor (PTI, e4e, pSp), a
    list of them, or one by name (rosinality). What the axes mean follows from the network: ``[..., num_ws, w_dim]`` are
    w's for each layer, also where only one image's stands there; any other ``[..., w_dim]`` are w's for all layers.

    Raises:
        UserError: not such a file, or w's of another network.

    Example:
        >>> load_codes(save_codes(folder / "two.npz", codes(G, [1, 2])), G).shape
        torch.Size([2, 8, 16])
    """
    path = check_suffix(path, (".npz", ".npy", ".pt", ".pth"))
    if not path.exists():
        raise UserError("does not exist", where=path, hint="organza generate --save-w writes such a file")
    torch_file = path.suffix.lower() in (".pt", ".pth")
    found = _in_torch_file(path) if torch_file else _chosen(read_arrays(path))
    if not found:
        raise UserError("holds no array called w", where=path, hint="organza generate --save-w writes one")
    return torch.cat([_shaped(array, G, path) for array in found]).to(G.device)


def _shaped(array: NDArray[Any], G: Generator, path: Path) -> Tensor:
    shape, wanted = array.shape, (G.num_ws, G.w_dim)
    if shape[-2:] == wanted:
        ws = array.reshape(-1, *wanted)
    elif shape[-1:] == wanted[1:] and (len(shape) < 3 or shape[-2] == 1):
        ws = array.reshape(-1, 1, G.w_dim).repeat(G.num_ws, axis=1)
    else:
        ws = array[:0]
    if array.dtype.kind != "f" or not len(ws):
        raise UserError(f"its w is {list(shape)}", where=path, hint=f"this network wants [N, {G.num_ws}, {G.w_dim}]")
    if not np.isfinite(ws).all():
        raise UserError("its w is not finite", where=path, hint="make it again")
    return torch.from_numpy(ws.astype(np.float32))


def _chosen(arrays: Mapping[str, Any]) -> list[Any]:
    """Of several things those that are codes by their name; one alone is whatever it is called."""
    named = [arrays[name] for name in _NAMES if name in arrays][:1]
    return named or (list(arrays.values()) if len(arrays) == 1 else [])


def _in_torch_file(path: Path) -> list[NDArray[Any]]:
    from organza.tensors.opening import open_file
    from organza.tensors.records import Array, RefusedError, TensorRef

    def within(value: Any, depth: int = 0) -> list[NDArray[Any]]:
        if isinstance(value, (TensorRef, Array)):
            return [value.tensor().float().numpy()]
        if isinstance(value, dict) and depth < 3:
            plain = {str(key): item for key, item in value.items()}
            each = [] if _chosen(plain) else [item for item in plain.values() if isinstance(item, dict)]
            value = _chosen(plain) or each  # rosinality: {"photo.png": {"latent": ...}}
        if isinstance(value, (list, tuple)) and depth < 3:
            return [array for item in value[:100_000] for array in within(item, depth + 1)]
        return []

    try:
        return within(open_file(path).value)
    except RefusedError as error:
        raise UserError(f"refused: {error}", where=path) from None
