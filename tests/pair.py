"""Two processes that train together under torchrun, one job after the other: to start such a pair takes seconds."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "tests.pair"]
PATIENCE = 300.0
DONE = "the job is done\n"


class Pair:
    """Starts with its first job, and anew after one that failed.

    Args:
        said: a file for what the processes say.
    """

    def __init__(self, said: Path) -> None:
        self.said = said
        self.process: subprocess.Popen[str] | None = None

    def __call__(self, function: Callable[..., None], **arguments: Any) -> None:
        """Both processes call ``function``, of a module that they can import, with arguments that JSON can hold."""
        if self.process is None:
            with self.said.open("w") as errors:
                self.process = subprocess.Popen(
                    LAUNCH,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    cwd=ROOT,
                    env={**os.environ, "OMP_NUM_THREADS": "1"},
                    start_new_session=True,
                )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps([function.__module__, function.__name__, arguments]) + "\n")
        self.process.stdin.flush()
        clock = threading.Timer(PATIENCE, self._kill)
        clock.start()
        done = any(line == DONE for line in self.process.stdout)
        clock.cancel()
        if not done:
            self.close()
            raise AssertionError(self.said.read_text())

    def close(self) -> None:
        """No more jobs: the processes end."""
        process, self.process = self.process, None
        if process is not None:
            try:
                process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()

    def _kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)


def alone(function: Callable[..., None], **arguments: Any) -> None:
    """What a `Pair` does, in this process, by one thread as there: more of them add up in another order."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        function(**arguments)
    finally:
        torch.set_num_threads(threads)


def learn(name: str, data: str, outdir: str, method: dict[str, Any], **options: Any) -> None:
    """Train the toy of a preset, with ``method`` changed; alike in one process and in a pair."""
    from organza import train
    from tests.shapes import toy

    run = toy(name)
    train(replace(run, method=replace(run.method, **method)), data, outdir=outdir, precision="float32", **options)


def serve() -> None:
    """Do what the one standard input of both processes asks, until it ends."""
    import pytest

    from organza.core import distributed
    from tests.quick import hurry

    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        while True:
            distributed.start()  # a training leaves its group when it ends
            line = distributed.from_first(sys.stdin.readline)
            if not line:
                break
            module, function, arguments = json.loads(line)
            getattr(importlib.import_module(module), function)(**arguments)
            distributed.start()
            distributed.barrier()
            if distributed.rank() == 0:
                sys.stdout.write(DONE)
                sys.stdout.flush()
        distributed.stop()


if __name__ == "__main__":
    serve()
