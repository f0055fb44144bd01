"""The queue is bounded, is left by who goes, and loses nothing of what it took."""

from __future__ import annotations

import threading
import time

import pytest

from organza.web.lanes import ClosedError, FullError, Lanes


class Gate:
    """A computation that waits until it may go on, and says what it was given."""

    def __init__(self):
        self.open, self.entered, self.batches = threading.Event(), threading.Event(), []

    def __call__(self, asks):
        self.entered.set()
        assert self.open.wait(10)
        self.batches.append(list(asks))
        return [10 * ask for ask in asks]


@pytest.fixture
def gate():
    return Gate()


def started(compute, **settings):
    lanes = Lanes(compute, **{"count": 1, "capacity": 8, **settings})
    lanes.start()
    return lanes


def results(futures):
    return [future.result(10) for future in futures]


def test_what_comes_first_is_computed_first(gate):
    lanes = started(gate)
    futures = lanes.submit([1, 2]) + lanes.submit([3])
    gate.open.set()
    assert results(futures) == [10, 20, 30]
    assert gate.batches == [[1], [2], [3]]
    lanes.close()


def test_all_or_nothing_finds_room(gate):
    lanes = started(gate, capacity=4)
    first = lanes.submit([0])
    assert gate.entered.wait(10)
    held = lanes.submit([1, 2, 3])
    with pytest.raises(FullError) as full:
        lanes.submit([4, 5])
    assert 1 <= full.value.seconds <= 60
    assert lanes.waiting == 3
    held += lanes.submit([6])
    gate.open.set()
    assert results(first + held) == [0, 10, 20, 30, 60]
    lanes.close()


def test_who_goes_leaves_room(gate):
    lanes = started(gate, capacity=4)
    begun = lanes.submit([0])
    assert gate.entered.wait(10)
    gone, stays = lanes.submit([1, 2, 3]), lanes.submit([4])
    lanes.cancel(begun + gone)
    assert lanes.waiting == 1
    assert all(future.cancelled() for future in gone)
    more = lanes.submit([5, 6, 7])
    gate.open.set()
    assert results(begun + stays + more) == [0, 40, 50, 60, 70]
    lanes.close()


def test_a_batch_waits_for_others_and_no_longer(gate):
    gate.open.set()
    lanes = started(gate, batch=4, wait=0.05)
    began = time.monotonic()
    assert results(lanes.submit([1])) == [10]
    assert 0.05 <= time.monotonic() - began < 5
    assert results(lanes.submit([1, 2, 3, 4, 5])) == [10, 20, 30, 40, 50]
    assert gate.batches == [[1], [1, 2, 3, 4], [5]]
    lanes.close()


def test_a_full_batch_does_not_wait(gate):
    gate.open.set()
    lanes = started(gate, batch=2, wait=60)
    assert results(lanes.submit([1]) + lanes.submit([2])) == [10, 20]
    lanes.close()


def test_only_what_is_alike_is_computed_together(gate):
    gate.open.set()
    lanes = started(gate, batch=3, wait=0.02, alike=lambda ask: ask % 2)
    futures = lanes.submit([1, 2, 3, 4, 5])
    assert results(futures) == [10, 20, 30, 40, 50]
    assert gate.batches == [[1, 3, 5], [2, 4]]
    lanes.close()


def test_the_end_finishes_what_waits(gate):
    lanes = started(gate, count=2, batch=2, wait=60)
    futures = lanes.submit([1, 2, 3])
    gate.open.set()
    lanes.close()
    assert results(futures) == [10, 20, 30]
    with pytest.raises(ClosedError):
        lanes.submit([1])


def test_one_that_never_began_can_be_closed(gate):
    Lanes(gate, count=1, capacity=1).close()


def test_a_fault_ends_no_lane():
    def compute(asks):
        if asks == [0]:
            raise ZeroDivisionError
        return [ValueError(str(ask)) if ask < 0 else ask for ask in asks]

    lanes = started(compute)
    zero, below, fine = lanes.submit([0, -1, 7])
    assert isinstance(zero.exception(10), ZeroDivisionError)
    assert str(below.exception(10)) == "-1"
    assert fine.result(10) == 7
    lanes.close()


def test_many_threads_get_their_own_answers():
    lanes = started(lambda asks: [ask * ask for ask in asks], count=3, capacity=10**4, batch=5, wait=0.001)
    wrong = []

    def client(number):
        asks = list(range(number * 100, number * 100 + 20))
        futures = lanes.submit(asks)
        if number % 3 == 0:
            lanes.cancel(futures)
        elif results(futures) != [ask * ask for ask in asks]:
            wrong.append(number)

    threads = [threading.Thread(target=client, args=[number]) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    lanes.close()
    assert not wrong
    assert lanes.waiting == 0
