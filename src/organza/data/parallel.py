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
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from queue import Queue
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
    """Results of ``job`` over ``items`` in chunks, in order. Work that is too small for workers is done right here.

    Raises:
        ChildProcessError: a worker died (out of memory, a crash in a decoder).
        Exception: whatever the job raises, with its worker's traceback as a note in the cause.
    """
    workers = cores() if workers is None else workers
    chunks = [items[i : i + chunk] for i in range(0, len(items), chunk)]
    workers = min(workers, len(chunks))
    if workers <= 1 or len(chunks) < 4:
        for part in chunks:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield job(part)
        return
    with ExitStack() as stack:
        idle: Queue[_Worker[Any, Any]] = Queue()
        for _ in range(workers):
            idle.put(stack.enter_context(_Worker(job)))
        pool = stack.enter_context(ThreadPoolExecutor(workers))

        def one(part: Sequence[Item]) -> Result:
            worker = idle.get()
            try:
                return worker.ask(part)  # type: ignore[no-any-return]
            finally:
                idle.put(worker)

        pending: deque[Future[Result]] = deque()
        try:
            for part in chunks:
                pending.append(pool.submit(one, part))
                if len(pending) > 4 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


class _Worker(Generic[Item, Result]):
    """One interpreter at the other end of two pipes."""

    def __init__(self, job: Job[Item, Result]) -> None:
        code = f"import sys; sys.path[:] = {sys.path!r}; from organza.data.parallel import serve; serve()"
        self.complaints = TemporaryFile()  # noqa: SIM115 (closed on exit)
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.complaints
        )
        self.job = job
        self.started = False

    def __enter__(self) -> _Worker[Item, Result]:
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
