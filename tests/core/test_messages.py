"""Messages go through logging: quiet in a program unless it asks, whole and clean on the command line."""

from __future__ import annotations

import io
import logging
import subprocess
import sys

import pytest

import organza
from organza.cli import main as cli
from organza.core.messages import logger, shown, verbose

log = logger("organza.example")
HOSTILE = "\x1b[31mred\nx"
CLEAN = "\\x1b[31mred x"

PROGRAM = """
import organza, sys
from organza.core.messages import logger
log = logger("organza.example")
if "verbose" in sys.argv:
    organza.verbose()
log.info("all is well")
log.warning("an odd \\x1bfile")
if "quiet" in sys.argv:
    organza.verbose(False)
    log.info("nobody hears this")
print("torch" in sys.modules)
"""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "an odd \\x1bfile\n"),
        (["verbose"], "all is well\nan odd \\x1bfile\n"),
        (["verbose", "quiet"], "all is well\nan odd \\x1bfile\n"),
    ],
)
def test_a_program_sees_warnings_and_the_rest_if_it_asks(words: list[str], said: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False\n", said)


def test_a_program_with_a_logging_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "organza")
    log.info("%s of %d", HOSTILE, 3)
    log.warning(HOSTILE)
    assert [(record.name, record.levelname, record.getMessage()) for record in caplog.records] == [
        ("organza.example", "INFO", f"{CLEAN} of 3"),
        ("organza.example", "WARNING", CLEAN),
    ]


def test_the_command_line_shows_all_of_them_while_it_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(words: list[str]) -> int:
        log.info(HOSTILE)
        log.warning("organza: odd")
        return 0

    monkeypatch.setattr(cli, "_run", run)
    for _ in range(2):
        assert cli.main([]) == 0
        assert capsys.readouterr() == ("", f"{CLEAN}\norganza: odd\n")
    log.info("later")
    assert capsys.readouterr() == ("", "")


def test_afterwards_things_are_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    top = logging.getLogger("organza")

    def now() -> tuple[int, bool, list[logging.Handler]]:
        return top.level, top.propagate, [*top.handlers]

    quiet = now()
    with shown():
        assert now() != quiet
    assert now() == quiet
    verbose()
    loud = now()
    with shown(), shown():
        assert now() == loud
    assert now() == loud
    verbose()
    assert now() == loud
    organza.verbose(False)
    assert now() == quiet


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = io.StringIO()
    gone.close()
    monkeypatch.setattr(sys, "stderr", gone)
    with shown():
        log.warning("into the void")
