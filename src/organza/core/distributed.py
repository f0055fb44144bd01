"""Several processes under torchrun; every function is a no-op with one process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def rank() -> int:
    """This process's number, 0 to ``world() - 1``."""
    return dist.get_rank() if _active() else int(os.environ.get("RANK", "0"))


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if _active() else int(os.environ.get("WORLD_SIZE", "1"))


def local_rank() -> int:
    """This process's number on its own node: the index of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def start() -> None:
    """Join the group that torchrun announced in the environment: NCCL with GPUs, gloo without."""
    if world() > 1 and not _active():
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=timedelta(hours=6))


def stop() -> None:
    """Leave the group."""
    if _active():
        dist.destroy_process_group()


def barrier() -> None:
    """Wait until every process is here."""
    if _active():
        dist.barrier()


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether the flag is set on any process; the same answer on all."""
    if not _active():
        return flag
    vote = torch.tensor([float(flag)], device=device)
    dist.all_reduce(vote, op=dist.ReduceOp.MAX)
    return bool(vote.item() > 0)


def average(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over all processes, in one all-reduce of one flat float32 buffer."""
    if not _active() or not tensors:
        return
    flat = torch.cat([t.detach().reshape(-1).float() for t in tensors])
    dist.all_reduce(flat)
    flat /= world()
    for tensor, part in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def gather(value: T) -> list[T]:
    """Every process's value, in order of rank, on all of them. Values travel pickled: among our own processes only."""
    if not _active():
        return [value]
    found: list[T] = [value] * world()
    dist.all_gather_object(found, value)
    return found


def _active() -> bool:
    return dist.is_available() and dist.is_initialized()
