"""Plain state dicts: names and tensors, from a torch file of any age, read without running anything of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from organza.core.errors import UserError
from organza.tensors.opening import open_file
from organza.tensors.records import RefusedError


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that `torch.save` wrote from ``module.state_dict()``, without what wrappers add.

    Raises:
        UserError: unreadable, broken, hostile, or something else than named tensors.

    Example:
        >>> import torch
        >>> torch.save(nn.Linear(3, 2).state_dict(), folder / "a.pth")
        >>> read_state_dict(folder / "a.pth")["weight"].shape
        torch.Size([2, 3])
    """
    opened = open_file(path)
    try:
        found = opened.tensors
        if not found:
            raise UserError("holds no named tensors", where=path, hint="give a state dict, such as torch.save writes")
        return {name: tensor.tensor() for name, tensor in found.items()}
    except RefusedError as error:
        raise UserError(f"refused: {error}", where=path) from None


def fill(net: nn.Module, tensors: Mapping[str, Tensor], where: Path) -> None:
    """Put tensors into a network; what the network doesn't have is left out, and counters of steps may be missing.

    Their names may stand behind one prefix, as trainers and dictionaries of networks have them.

    Raises:
        UserError: one is missing or has another shape.
    """
    wanted = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    hint, first = "the file is of another network", next(iter(wanted))
    paths = [name[: -len(first)] for name in tensors if name.endswith(first)]
    path = next((path for path in paths if all(f"{path}{name}" in tensors for name in wanted)), "")
    tensors = {name[len(path) :]: value for name, value in tensors.items() if name.startswith(path)}
    for name, ours in wanted.items():
        if name not in tensors:
            raise UserError(f"has no tensor {name!r}", where=where, hint=hint)
        if tensors[name].shape != ours.shape:
            what = f"the tensor {name!r} is {list(tensors[name].shape)}, not {list(ours.shape)}"
            raise UserError(what, where=where, hint=hint)
    net.load_state_dict({name: tensors[name].float() for name in wanted}, strict=False)
