"""Plain state dicts: names and tensors, from a torch file of any age, read without running anything of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from organza.core.errors import UserError
from organza.formats.opening import open_file
from organza.formats.records import RefusedError, TensorRef


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that `torch.save` wrote from ``module.state_dict()``.

    Raises:
        UserError: unreadable, broken, hostile, or something else than named tensors.

    Example:
        >>> import torch
        >>> torch.save(nn.Linear(3, 2).state_dict(), folder / "a.pth")
        >>> read_state_dict(folder / "a.pth")["weight"].shape
        torch.Size([2, 3])
    """
    value: Any = open_file(path).value
    while isinstance(value, dict) and isinstance(value.get("state_dict"), dict):
        value = value["state_dict"]
    found = {str(k): v for k, v in value.items() if isinstance(v, TensorRef)} if isinstance(value, dict) else {}
    if not found:
        raise UserError("holds no named tensors", where=path, hint="give a state dict, such as torch.save writes")
    try:
        return {name: tensor.tensor() for name, tensor in found.items()}
    except RefusedError as error:
        raise UserError(f"refused: {error}", where=path) from None


def fill(net: nn.Module, tensors: Mapping[str, Tensor], where: Path) -> None:
    """Put tensors into a network; what the network doesn't have is left out, and counters of steps may be missing.

    Raises:
        UserError: one is missing or has another shape.
    """
    wanted = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    hint = "the file is of another network"
    for name, ours in wanted.items():
        if name not in tensors:
            raise UserError(f"has no tensor {name!r}", where=where, hint=hint)
        if tensors[name].shape != ours.shape:
            what = f"the tensor {name!r} is {list(tensors[name].shape)}, not {list(ours.shape)}"
            raise UserError(what, where=where, hint=hint)
    net.load_state_dict({name: tensors[name].float() for name in wanted}, strict=False)
