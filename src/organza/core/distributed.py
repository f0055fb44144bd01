"""Several processes under torchrun; every function is a no-op with one process.

A process that is killed breaks its connections: the others say so and end. One that is only stopped would let them
wait for hours, as long as rank 0 may really need to read a dataset. So each has a pulse that the others listen to.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from organza.core.errors import UserError
from organza.core.messages import logger

log = logger(__name__)
T = TypeVar("T")
LONGEST = timedelta(hours=6)
"""What processes wait for each other: so long rank 0 may need to read a dataset."""
AGAIN = "the same torchrun command goes on from the last checkpoint"
_RANKS = [b"%d" % number for number in range(10_000)]
_pulse: Pulse | None = None
_groups = itertools.count()


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
    """Join the group that torchrun announced in the environment: NCCL with GPUs, gloo without.

    A program may `start` and `stop` any number of times, each process as often as the others.

    Raises:
        UserError: ``ORGANZA_PATIENCE`` is not a number of seconds.
    """
    global _pulse
    if world() > 1 and not _active():
        _patience()
        atexit.register(stop)
        with _talking():
            # Addresses of an earlier group would lie under the same names, and be taken for those of this one.
            store = dist.PrefixStore(f"organza{next(_groups)}", _meeting())  # type: ignore[attr-defined]
            backend = "nccl" if torch.cuda.is_available() else "gloo"
            dist.init_process_group(backend, store=store, timeout=LONGEST, rank=rank(), world_size=world())
        _pulse = _start_pulse()


@cache
def _meeting() -> Any:
    """The store where the processes tell each other their addresses: one for all groups, as its server has one port."""
    return next(dist.rendezvous("env://", timeout=LONGEST))[0]  # type: ignore[attr-defined]


def stop() -> None:
    """Leave the group."""
    global _pulse
    if _pulse is not None:
        _pulse.close()
        _pulse = None
    if _active():
        dist.destroy_process_group()


def barrier() -> None:
    """Wait until every process is here."""
    if _active():
        with _talking():
            dist.barrier()


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether the flag is set on any process; the same answer on all."""
    if not _active():
        return flag
    vote = torch.tensor([float(flag)], device=device)
    with _talking():
        dist.all_reduce(vote, op=dist.ReduceOp.MAX)
    return bool(vote.item() > 0)


def average(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over all processes, in one all-reduce of one flat float32 buffer."""
    if not _active() or not tensors:
        return
    flat = torch.cat([t.detach().reshape(-1).float() for t in tensors])
    with _talking():
        dist.all_reduce(flat)
    flat /= world()
    for tensor, part in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def concatenate(tensor: Tensor) -> Tensor:
    """The tensors ``[N, ...]`` of all processes, of equal shapes, one after the other: ``[world * N, ...]``."""
    if not _active():
        return tensor
    found = [torch.empty_like(tensor) for _ in range(world())]
    with _talking():
        dist.all_gather(found, tensor.contiguous())
    return torch.cat(found)


def gather(value: T) -> list[T]:
    """Every process's value, in order of rank, on all of them. Values travel pickled: among our own processes only."""
    if not _active():
        return [value]
    found: list[T] = [value] * world()
    with _talking():
        dist.all_gather_object(found, value)
    return found


def from_first(function: Callable[[], T]) -> T:
    """What ``function`` returns on rank 0, where alone it is called, for all of them.

    If it fails there, the other processes end without a word: rank 0 says why.
    """
    if not _active():
        return function()
    answer: list[T] = []
    if rank() == 0:
        try:
            answer.append(function())
        except BaseException:
            with contextlib.suppress(SystemExit):
                gather(answer)
            raise
    told = gather(answer)[0]
    if not told:
        raise SystemExit(2)
    return told[0]


class Pulse:
    """Tells the other processes that this one lives, and the person when one of them seems to have stopped.

    After ``patience`` seconds without a beat of a process that was heard before, this one ends: the training can't go
    on, and its last checkpoint is whole. Beats are datagrams; where a network swallows them, nobody is missed.

    Args:
        rank: this process.
        peers: the address and a description of each process, in order of rank.
        mine: the socket that is bound to our address.
        patience: seconds; a warning comes after a minute, or after half of it.
        end: called with an exit code when patience is over.
    """

    def __init__(
        self,
        rank: int,
        peers: Sequence[tuple[tuple[str, int], str]],
        mine: socket.socket,
        patience: float,
        end: Callable[[int], None] = os._exit,
    ) -> None:
        self.rank, self.peers, self.socket, self.patience, self.end = rank, peers, mine, patience, end
        self.warn, self.beat = min(60.0, patience / 2), min(5.0, patience / 12)
        self._heard: dict[int, float] = {}
        self._warned: set[int] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="organza-pulse", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take leave: a process that has ended in good order is not missed."""
        self._over.set()
        with contextlib.suppress(OSError):
            self.socket.sendto(b"", self.socket.getsockname())  # wakes the thread
        self._thread.join()
        self._send(b"bye")
        self.socket.close()

    def _run(self) -> None:
        awake = time.monotonic()
        while not self._over.is_set():
            self._send(b"beat")
            self._listen(time.monotonic() + self.beat)
            now = time.monotonic()
            if now - awake > self.warn:  # it is we who were stopped
                self._heard = dict.fromkeys(self._heard, now)
            awake = now
            for other, heard in self._heard.items():
                self._judge(other, now - heard)

    def _send(self, word: bytes) -> None:
        for other, (address, _) in enumerate(self.peers):
            if other != self.rank:
                with contextlib.suppress(OSError):
                    self.socket.sendto(b"organza %s %d" % (word, self.rank), address)

    def _listen(self, until: float) -> None:
        while not self._over.is_set() and (left := until - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                words = self.socket.recv(100).split()
            except OSError:  # nothing came; or an earlier word of ours met a closed door
                continue
            if len(words) == 3 and words[0] == b"organza" and words[2] in _RANKS[: len(self.peers)]:
                self._hear(int(words[2]), words[1])

    def _hear(self, other: int, word: bytes) -> None:
        if other in self._warned:
            self._warned.discard(other)
            _warn(f"rank {other} is back")
        if word == b"bye":
            self._heard.pop(other, None)
        else:
            self._heard[other] = time.monotonic()

    def _judge(self, other: int, silent: float) -> None:
        who = f"rank {other} ({self.peers[other][1]}) has not been heard of for {silent:.0f} s"
        if silent > self.patience:
            _warn(f"{who}: this training ends; {AGAIN}")
            self.end(2)
        elif silent > self.warn and other not in self._warned:
            self._warned.add(other)
            _warn(f"{who}: is it stopped? After {self.patience:g} s (ORGANZA_PATIENCE) this training ends")


def _start_pulse() -> Pulse:
    mine = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with contextlib.suppress(OSError):  # the address by which the others reach us is that by which we reach rank 0
        mine.connect((os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])))
    host = mine.getsockname()[0]
    mine.close()
    mine = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    mine.bind((host, 0))
    peers = gather((mine.getsockname(), f"process {os.getpid()} on {socket.gethostname()}"))
    return Pulse(rank(), peers, mine, _patience())


def _patience() -> float:
    text = os.environ.get("ORGANZA_PATIENCE", "600")
    try:
        patience = float(text)
    except ValueError:
        patience = 0.0
    if not patience >= 1:
        raise UserError(f"ORGANZA_PATIENCE={text} is not a number of seconds from 1 on")
    return patience


@contextmanager
def _talking() -> Iterator[None]:
    """What goes wrong between processes ends this one, in one line.

    It is said here and now: torchrun is about to end this process, too, and would not wait for it to clear up.
    """
    try:
        yield
    except RuntimeError as error:
        reason = re.sub(r"^\[[^]]*:\d+\] *", "", str(error).partition("\n")[0]).rstrip(".")
        _warn(f"another process of this training is lost ({reason}); {AGAIN}")
        raise SystemExit(2) from error


def _warn(text: str) -> None:
    log.warning(f"organza: rank {rank()}: {text}")


def _active() -> bool:
    return dist.is_available() and dist.is_initialized()
