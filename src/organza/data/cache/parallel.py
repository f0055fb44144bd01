"""Run one picklable job over many chunks on all cores.

Workers are fresh interpreters fed through pipes rather than `multiprocessing` ones: those would run a user's script
again (or deadlock on a fork beside PyTorch's threads). They import nothing but this package's torch-free part, so they
are there in a fifth of a second. They end by themselves when their parent dies, because their pipe closes.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import warnings
from contextlib import ExitStack, suppress
from tempfile import TemporaryFile
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Item = TypeVar("Item", contravariant=True)
Result = TypeVar("Result", covariant=True)


class Job(Protocol[Item, Result]):
    """Something that can be pickled and turns a chunk of items into a result."""

    def __call__(self, chunk: Sequence[Item], /) -> Result:
        """Do the work of one chunk."""
        ...


def cores() -> int:
    """How many processor cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no affinity
        return os.cpu_count() or 1


def run(
    job: Job[Item, Result], items: Sequence[Item], *, chunk: int = 32, workers: int | None = None
) -> Iterator[Result]:
    """Results of ``job`` over ``items`` in chunks, in order.

    This process is one of the workers: what is small is done without starting another, and one start is saved always.

    Args:
        job: what to do.
        items: to be cut into chunks.
        chunk: items in each.
        workers: processes in all; as many as cores by default.

    Raises:
        ChildProcessError: a worker died (out of memory, a crash in a decoder).
        Exception: whatever the job raises.
    """
    chunks = [items[i : i + chunk] for i in range(0, len(items), chunk)]
    helpers = max(1, min(cores() if workers is None else workers, len(chunks) // 2)) - 1
    with ExitStack() as stack:
        board = _Board(len(chunks), ahead=8 * (helpers + 1))
        for _ in range(helpers):
            worker = stack.enter_context(Worker(job))
            thread = Thread(target=board.serve, args=(worker.ask, chunks), daemon=True)
            thread.start()
            stack.callback(thread.join)
        stack.callback(board.stop)
        for number in range(len(chunks)):
            while not board.ready(number):
                own = board.claim()
                if own is None:
                    board.wait(number)
                    continue
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    board.put(own, job(chunks[own]))
            yield board.take(number)


class _Board:
    """Which chunks are claimed and what has come of them. Nobody runs far ahead of what has been taken."""

    def __init__(self, count: int, ahead: int) -> None:
        self.count, self.ahead = count, ahead
        self.next = self.taken = 0
        self.results: dict[int, Any] = {}
        self.error: BaseException | None = None
        self.changed = Condition()

    def claim(self) -> int | None:
        """The next chunk, if there is one and it is not too far ahead."""
        with self.changed:
            if self.next >= min(self.count, self.taken + self.ahead):
                return None
            self.next += 1
            return self.next - 1

    def put(self, number: int, result: Any) -> None:
        with self.changed:
            self.results[number] = result
            self.changed.notify_all()

    def ready(self, number: int) -> bool:
        """Whether a result is there; raises what went wrong elsewhere."""
        with self.changed:
            if self.error is not None and number not in self.results:
                raise self.error
            return number in self.results

    def wait(self, number: int) -> None:
        with self.changed:
            self.changed.wait_for(lambda: number in self.results or self.error is not None)

    def take(self, number: int) -> Any:
        with self.changed:
            self.taken = number + 1
            self.changed.notify_all()
            return self.results.pop(number)

    def stop(self) -> None:
        """No more chunks; a helper that waits for one goes home."""
        with self.changed:
            self.count = 0
            self.changed.notify_all()

    def serve(self, ask: Callable[[Any], Any], chunks: Sequence[Any]) -> None:
        """The life of a helper's thread."""
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.next >= self.count or self.next < self.taken + self.ahead)
            number = self.claim()
            if number is None:
                if self.next >= self.count:
                    return
                continue
            try:
                self.put(number, ask(chunks[number]))
            except BaseException as error:
                with self.changed:
                    self.error = self.error or error
                    self.changed.notify_all()
                return


class Worker(Generic[Item, Result]):
    """One interpreter at the other end of two pipes; it ends with this process, or on leaving the block."""

    def __init__(self, job: Job[Item, Result]) -> None:
        code = f"import sys; sys.path[:] = {sys.path!r}; from organza.data.cache.parallel import serve; serve()"
        self.complaints = TemporaryFile()  # noqa: SIM115 (closed on exit)
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.complaints
        )
        self.job = job
        self.started = False

    def __enter__(self) -> Worker[Item, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.complaints):
            with suppress(OSError):  # what was still to be flushed has nowhere to go
                if pipe:
                    pipe.close()

    def ask(self, chunk: Sequence[Item]) -> Result:
        """Send a chunk, wait for its result."""
        assert self.process.stdin
        assert self.process.stdout
        try:
            if not self.started:
                self.started = True
                pickle.dump(self.job, self.process.stdin, pickle.HIGHEST_PROTOCOL)
            pickle.dump(chunk, self.process.stdin, pickle.HIGHEST_PROTOCOL)
            self.process.stdin.flush()
            ok, result = pickle.load(self.process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            code = self.process.wait()
            self.complaints.seek(0)
            last = self.complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise ChildProcessError(f"a worker process died (exit status {code}) {last}".strip()) from None
        if not ok:
            raise result
        return result  # type: ignore[no-any-return]


def serve() -> None:
    """The worker's whole life: jobs' chunks from standard input, results to standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    warnings.simplefilter("ignore")
    questions = sys.stdin.buffer
    with open(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # whatever a library prints must not end up among the answers
        try:
            job = pickle.load(questions)
            while True:
                chunk = pickle.load(questions)
                answers.write(_answer(job, chunk))
                answers.flush()
        except (EOFError, BrokenPipeError):
            return


def _answer(job: Job[Any, Any], chunk: Sequence[Any]) -> bytes:
    try:
        return pickle.dumps((True, job(chunk)), pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        try:
            return pickle.dumps((False, error), pickle.HIGHEST_PROTOCOL)
        except Exception:  # an exception that holds what can't be pickled
            return pickle.dumps((False, RuntimeError(repr(error))), pickle.HIGHEST_PROTOCOL)
