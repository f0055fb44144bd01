import subprocess
import sys

import pytest

from organza.core.errors import UserError
from organza.core.lock import locked

HOLD = """
import sys
from pathlib import Path
from organza.core.lock import locked
with locked(Path(sys.argv[1])):
    print(1, flush=True)
    input()
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_lock_is_gone_when_its_holder_is_killed(tmp_path, kind):
    path = tmp_path if kind == "folder" else tmp_path / "lock"
    job = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert job.stdout.readline() == b"1\n"
    holder = f"process {job.pid} on " if kind == "file" else "another process"
    for _ in range(2):  # asking does not wipe out the holder's name
        with pytest.raises(BlockingIOError, match=holder), locked(path, wait=False):
            pass
    job.kill()
    job.communicate()
    with locked(path, wait=False):
        pass


def test_file_systems_that_can_not_lock(tmp_path, monkeypatch):
    import errno
    import fcntl

    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(tmp_path / "lock", wait=False), locked(tmp_path / "lock", wait=False):
        pass


def test_a_link_is_no_lock(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    for target in ("letter.txt", "nothing.txt"):
        (tmp_path / "lock").symlink_to(tmp_path / target)
        with pytest.raises(UserError, match="lock: is a link"), locked(tmp_path / "lock"):
            pass
        (tmp_path / "lock").unlink()
    assert (tmp_path / "letter.txt").read_text() == "dear" and not (tmp_path / "nothing.txt").exists()
