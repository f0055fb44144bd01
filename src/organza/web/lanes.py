"""A bounded queue of images, and the threads that compute them.

Nothing waits twice: an image waits in the queue until a lane is free, and there at most `wait` for others to fill its
batch. The queue never grows beyond its bound; who finds it full is told when to come again. Images that nobody wants
any more leave it at once.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

A = TypeVar("A")
R = TypeVar("R")


class FullError(Exception):
    """The queue has no room; ``seconds`` is when it probably will."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"too many images are waiting; come again in {seconds} s")


class ClosedError(Exception):
    """The server is stopping."""

    def __init__(self) -> None:
        super().__init__("the server is stopping")


@dataclass(eq=False)
class _Waiting(Generic[A, R]):
    ask: A
    born: float
    future: Future[R] = field(default_factory=Future)


class Lanes(Generic[A, R]):
    """Threads that compute images from a queue.

    Args:
        compute: what is asked for, one to ``batch`` of it, to an answer or an error for each.
        count: how many threads.
        capacity: how much may wait.
        batch: how much is computed at once, at most.
        wait: seconds that the first of a batch waits for others, at most.
        alike: only what gives the same may be computed together.
        begin: called in each thread before all else.

    Example:
        >>> lanes = Lanes(lambda asks: [2 * ask for ask in asks], count=1, capacity=8)
        >>> lanes.start()
        >>> [future.result(5) for future in lanes.submit([1, 2, 3])]
        [2, 4, 6]
        >>> lanes.close()
    """

    def __init__(
        self,
        compute: Callable[[list[A]], Sequence[R | Exception]],
        *,
        count: int,
        capacity: int,
        batch: int = 1,
        wait: float = 0.0,
        alike: Callable[[A], Hashable] = lambda ask: None,
        begin: Callable[[], None] = lambda: None,
    ) -> None:
        self._compute, self._alike, self._begin = compute, alike, begin
        self._batch, self._wait, self._capacity = batch, wait, capacity
        self._queue: deque[_Waiting[A, R]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._pace = 1.0  # seconds for an image, all lanes together
        self._last = time.monotonic()
        self._threads = [threading.Thread(target=self._run, name=f"lane {number}") for number in range(count)]

    @property
    def waiting(self) -> int:
        """How much is in the queue."""
        return len(self._queue)

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def check_room(self, count: int = 1) -> None:
        """See that there is room, before more is done for a request.

        Raises:
            FullError, ClosedError: as `submit`.
        """
        if self._closed:
            raise ClosedError
        if len(self._queue) + count > self._capacity:
            over = len(self._queue) + count - self._capacity
            raise FullError(min(60, max(1, math.ceil(over * self._pace))))

    def submit(self, asks: Sequence[A]) -> list[Future[R]]:
        """Put all of it into the queue, or nothing.

        Raises:
            FullError: it does not fit.
            ClosedError: nothing is taken any more.
        """
        now = time.monotonic()
        with self._changed:
            self.check_room(len(asks))
            if not self._queue:
                self._last = now
            new: list[_Waiting[A, R]] = [_Waiting(ask, now) for ask in asks]
            self._queue.extend(new)
            self._changed.notify_all()
        return [each.future for each in new]

    def cancel(self, futures: Sequence[Future[R]]) -> None:
        """Take what has not begun out of the queue."""
        gone = {id(future) for future in futures if not future.done() or future.cancelled()}
        if not gone:
            return
        with self._changed:
            left = [each for each in self._queue if id(each.future) not in gone]
            for each in self._queue:
                if id(each.future) in gone:
                    each.future.cancel()
            self._queue = deque(left)

    def close(self) -> None:
        """Take nothing more, finish what waits, and end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _run(self) -> None:
        self._begin()
        while batch := self._next():
            self._answer(batch)

    def _next(self) -> list[_Waiting[A, R]]:
        """What is computed next; nothing at the end."""
        with self._changed:
            while True:
                while not self._queue and not self._closed:
                    self._changed.wait()
                if not self._queue:
                    return []
                first = self._queue[0]
                fitting = list(self._fitting(first))
                left = first.born + self._wait - time.monotonic()
                if len(fitting) < self._batch and left > 0 and not self._closed:
                    self._changed.wait(left)
                    continue  # somebody else may have taken it
                for each in fitting:
                    self._queue.remove(each)
                begun = [each for each in fitting if each.future.set_running_or_notify_cancel()]
                if begun:
                    return begun

    def _fitting(self, first: _Waiting[A, R]) -> Iterator[_Waiting[A, R]]:
        kind, count = self._alike(first.ask), 0
        for each in self._queue:
            if self._alike(each.ask) == kind:
                yield each
                count += 1
            if count == self._batch:
                return

    def _answer(self, batch: list[_Waiting[A, R]]) -> None:
        answers: Sequence[R | Exception]
        try:
            answers = self._compute([each.ask for each in batch])
        except Exception as error:  # a fault must not end the lane
            answers = [error] * len(batch)
        self._measure(len(batch))
        for each, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Exception):
                each.future.set_exception(answer)
            else:
                each.future.set_result(answer)

    def _measure(self, count: int) -> None:
        with self._changed:
            now = time.monotonic()
            self._pace += 0.1 * ((now - self._last) / count - self._pace)
            self._last = now
