"""A training takes fewer threads beside other programs, but only where that changes no bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from organza.contract.data import Batch
from organza.contract.method import Adam, Method, Phase, Player, Result, Schedule
from organza.core import cores
from organza.ops import conv2d
from organza.training.state import State
from organza.training.threads import Threads, same_bits


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class Net(nn.Module):
    """A layer and a buffer that every use moves."""

    count: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.register_buffer("count", torch.zeros(()))


def state(sees_threads: bool) -> State:
    """A training of one weight; its loss may depend on the number of threads."""

    def loss(nets: Any, batch: Batch, rng: torch.Generator) -> Result:
        nets["D"].count.add_(1)
        noise = torch.rand((), generator=rng) + (1e-6 * torch.get_num_threads() if sees_threads else 0.0)
        return Result((nets["D"].weight * noise).sum())

    method = Method(
        nets={"D": Net()},
        players={"D": Player(("D",), Adam())},
        phases=(Phase("D", "D", loss),),
        models={},
    )
    return State.fresh(method, torch.device("cpu"))


BATCH = Batch(torch.zeros(2, 3, 4, 4), torch.zeros(2, 0))


@pytest.mark.parametrize(("sees_threads", "number"), [(False, 1), (True, 2)])
def test_fewer_threads_only_where_no_bit_changes(
    monkeypatch: pytest.MonkeyPatch, sees_threads: bool, number: int
) -> None:
    said: list[str] = []
    threads = Threads(state(sees_threads), said.append)
    monkeypatch.setattr(cores, "wish", lambda now: 1)
    for _ in range(3):
        threads.fit(BATCH, Schedule())
    assert torch.get_num_threads() == number
    assert len(said) == 1 and ("warning" in said[0]) == sees_threads
    monkeypatch.setattr(cores, "wish", lambda now: 2)
    threads.fit(BATCH, Schedule())
    assert torch.get_num_threads() == 2


def test_growing_networks_and_evaluations_keep_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = Threads(state(False), print)
    monkeypatch.setattr(cores, "wish", lambda now: 1)
    torch.set_num_threads(1)  # an evaluation did that
    threads.fit(BATCH, Schedule(batch=4))
    assert torch.get_num_threads() == 2


def test_comparing_leaves_the_training_as_it_was() -> None:
    training = state(False)
    assert same_bits(training, BATCH, 1, 2)
    assert training.method.nets["D"].count == 0
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("inputs", "outputs", "size", "kernel", "stride"), [(32, 32, 32, 3, 1), (64, 64, 16, 3, 1), (32, 64, 17, 3, 2)]
)
def test_gradients_of_weights_are_the_same_with_one_thread_and_two(
    dtype: torch.dtype, inputs: int, outputs: int, size: int, kernel: int, stride: int
) -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(16, inputs, size, size, generator=rng).to(dtype).contiguous(memory_format=torch.channels_last)
    found = []
    for number in (1, 2):
        torch.set_num_threads(number)
        w = torch.ones(outputs, inputs, kernel, kernel, dtype=dtype, requires_grad=True)
        y = conv2d(x, w, stride=stride, padding=1)
        (y * torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(dtype)).sum().backward()
        assert w.grad is not None
        found.append(w.grad)
    assert torch.equal(*found)
