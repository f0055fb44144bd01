"""A command line in a process of its own, which outlives the server that started it and is found again by the next."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from organza.core.channel import PROGRESS
from organza.core.files import appending

if sys.version_info >= (3, 11):
    PYTHON = (sys.executable, "-P", "-m", "organza")
    """Without -P, files of the workspace would be modules."""
else:  # there is no -P
    PYTHON = (
        sys.executable,
        "-c",
        "import sys; sys.path.pop(0); from organza.cli.main import main; sys.exit(main())",
    )


def start(words: Sequence[str], cwd: Path, log: Path, progress: Path) -> subprocess.Popen[bytes]:
    """Start ``organza`` with ``words``, in a session of its own, so that nothing that ends the server ends it.

    Args:
        words: after ``organza``.
        cwd: where paths among them begin.
        log: what it says is added here.
        progress: where it tells how far it is; see `organza.core.channel`.

    Raises:
        OSError: it can't be started.
    """
    environment = {name: value for name, value in os.environ.items() if name != "ORGANZA_TOKEN"}
    environment |= {PROGRESS: str(progress), "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    with open(os.devnull, "rb") as nothing, appending(log) as said:
        return subprocess.Popen(
            [*PYTHON, *words],
            cwd=cwd,
            stdin=nothing,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )


def birth(pid: int) -> str | None:
    """What tells a living process from all others that ever had its number; None where there is none.

    Example:
        >>> birth(os.getpid()) == birth(os.getpid()) != None
        True
    """
    if sys.platform == "win32":
        return None
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except OSError:
        return None
    else:  # state, and ticks since the machine began
        boot = Path("/proc/sys/kernel/random/boot_id")
        with contextlib.suppress(OSError):
            return None if fields[0] in "ZX" else f"{fields[19]} {boot.read_text().strip()}"
        return None if fields[0] in "ZX" else fields[19]
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip() or None


def interrupt(pid: int) -> None:
    """What Ctrl-C in a terminal does: SIGINT to the process and to all that it started."""
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            os.kill(pid, signal.CTRL_BREAK_EVENT)
        else:
            os.killpg(pid, signal.SIGINT)


def kill(pid: int) -> None:
    """End a process, and all that it started."""
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            os.kill(pid, signal.SIGTERM)
        else:
            os.killpg(pid, signal.SIGKILL)
