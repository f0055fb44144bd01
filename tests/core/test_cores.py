"""Sharing the cores with other programs: how much else they do, and what follows."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from organza.core import cores


def see(monkeypatch: pytest.MonkeyPatch, *looks: tuple[float, float, float]) -> None:
    """Switch the sharing on, on a machine that shows these one after the other."""
    shown = [cores.Look(*numbers) for numbers in looks]
    monkeypatch.setattr(cores, "look", lambda: shown.pop(0))
    monkeypatch.setattr(cores.time, "monotonic", lambda: shown[0].clock)
    monkeypatch.setattr(cores, "_mark", shown.pop(0))
    monkeypatch.setattr(cores, "_most", 0)


def test_threads_follow_what_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    # Alone on two cores; then somebody takes two thirds of one; then, with one thread here, all of it; then nobody.
    see(monkeypatch, (0, 0, 0), (2, 4, 4), (4, 8, 6.6), (6, 12, 8.6), (8, 14, 10.6))
    assert cores.wish(2) == 2
    assert cores.wish(2) == 1
    assert cores.wish(1) == 1
    assert cores.wish(1) == 2


def test_the_machine_is_looked_at_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    see(monkeypatch, (0, 0, 0), (0.9, 1.8, 0))
    assert cores.wish(2) == 2


def test_nothing_happens_unless_it_was_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_mark", None)
    assert cores.wish(8) == 8


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux says what each core does")
def test_a_look_counts_our_own_work() -> None:
    before = cores.look()
    sum(range(3_000_000))
    after = cores.look()
    assert before is not None and after is not None
    assert after.own > before.own and after.busy >= before.busy


def settings(code: str, **environment: str) -> str:
    """What ``code`` leaves in the environment, and whether the watch is on, in a fresh process."""
    kept = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    code += "; import os; from organza.core import cores; print(os.environ.get('GOMP_SPINCOUNT'), bool(cores._mark))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**kept, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1]


def test_only_the_command_changes_the_process() -> None:
    watched = sys.platform.startswith("linux")
    command = "import sys; sys.argv = ['organza', '--version']; from organza.cli.main import main; main()"
    assert settings("import organza; organza.UserError") == "None False"
    assert settings("from organza.cli.main import main; main(['--version'])") == "None False"
    assert settings(command) == f"{cores.SPINS} {watched}"
    assert settings(command, OMP_NUM_THREADS="2") == f"{cores.SPINS} False"
    assert settings(command, GOMP_SPINCOUNT="7") == f"7 {watched}"
    assert settings(command, OMP_WAIT_POLICY="ACTIVE") == f"None {watched}"


def test_who_has_threads_of_its_own_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    see(monkeypatch, (0, 0, 0), (2, 4, 0))
    cores.keep()
    assert cores.wish(2) == 2
