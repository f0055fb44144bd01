import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from data_helpers import pngs, write_folder

from organza.data.cache import parallel
from organza.data.cache.prepare import DecodeInto
from organza.data.decode import Target
from organza.data.readers.folder import FolderSource


def test_results_come_in_order():
    results = list(parallel.run(sum, list(range(1000)), chunk=10, workers=2))
    assert results == [sum(range(i, i + 10)) for i in range(0, 1000, 10)]
    assert list(parallel.run(sum, list(range(1000)), chunk=10, workers=1)) == results


def test_a_jobs_exception_reaches_the_caller():
    with pytest.raises(TypeError, match="unsupported operand"):
        list(parallel.run(sum, [1] * 50 + ["x"] + [1] * 50, chunk=5, workers=2))


def test_a_worker_that_dies_is_named():
    with pytest.raises(ChildProcessError, match=r"a worker process died \(exit status 3\)"):
        list(parallel.run(Exit(), [3] * 10, chunk=1, workers=2))


class Exit:
    """A job that ends a worker's process and leaves this one alone."""

    def __call__(self, chunk):
        time.sleep(0.2)

    def __reduce__(self):
        return eval, ("lambda chunk: __import__('os')._exit(chunk[0])",)


def test_stopping_early_ends_the_workers():
    results = parallel.run(sum, list(range(1000)), chunk=1, workers=2)
    next(results)
    results.close()


def test_workers_do_not_load_torch():
    code = "import sys, organza.data.cache.prepare, organza.data.cache.parallel; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_a_full_disk_is_an_error_and_no_crash(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    source = FolderSource(write_folder(tmp_path / "a", pngs(2)))
    with pytest.raises(OSError, match="No space left"):
        DecodeInto(source, Target((8, 8), 3), Path("/dev/full"))(list(enumerate(source.entries())))
