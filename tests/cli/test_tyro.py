"""What `cli/parse.py` and `cli/complaints.py` rely on although tyro does not promise it.

Where one of these fails after an upgrade: adapt those files, or narrow the versions in pyproject.toml.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import pytest
import tyro
from packaging.specifiers import SpecifierSet

from organza.cli.complaints import one_line, unbroken
from organza.cli.parse import parse
from organza.core.ranges import Count

OTHERWISE = f"tyro {version('tyro')} does this in another way: see the top of this file"


@dataclass(frozen=True)
class Options:
    """Do it."""

    network: Path
    """Which network."""
    count: Count = 3
    """How many."""
    lr: float | None = None
    """How fast."""
    noise: Literal["const", "random"] = "const"
    """How."""
    dry: bool = False
    """Only look."""


@dataclass(frozen=True)
class Nested:
    """Do it in parts."""

    part: Options = field(default_factory=lambda: Options(Path("a")))


def box(*words: str) -> str:
    """What tyro draws."""
    said = io.StringIO()
    with pytest.raises(SystemExit) as stop, contextlib.redirect_stderr(said), unbroken():
        tyro.cli(Options, args=list(words), prog="organza do", config=(tyro.conf.FlagCreatePairsOff,))
    assert stop.value.code == 2, OTHERWISE
    return re.sub(r"\x1b\[[0-9;]*m", "", said.getvalue())


def test_the_installed_version_is_one_of_those_we_name() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    (named,) = re.findall(r'"tyro(.*?)"', text)
    assert "<" in named
    assert version("tyro") in SpecifierSet(named)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("", r"Missing from organza do: --network PATH Which network\. \(required\)"),
        ("--network", r"Missing value for argument '--network"),
        ("--network a --lr x", r"Error parsing --lr.*: .*\bFLOAT\b"),
        ("--network a --count x", r"Error parsing --count: invalid literal for int"),
        ("--network a --noise x", r"invalid choice 'x' for argument '--noise'\. Expected one of \('const', 'random'"),
        ("--network a b", r"Unrecognized options: b"),
        ("--network a --no-dry", r"Unrecognized options: --no-dry"),
    ],
)
def test_its_words_for_what_is_wrong(words: str, text: str) -> None:
    said = box(*words.split())
    assert re.search(text, re.sub(r"[\s│]+", " ", said)), f"{OTHERWISE}\n{said}"


def test_its_box_has_a_title_and_one_row_for_what_is_wrong() -> None:
    said = box("--network", "a", *(f"{number:030}" for number in range(30)))
    assert f"{29:030}" in one_line(said), OTHERWISE
    assert len([row for row in said.splitlines() if "0000" in row]) == 1, OTHERWISE


def test_it_believes_the_width_that_the_environment_states() -> None:
    before = dict(os.environ)
    with unbroken():
        assert shutil.get_terminal_size().columns == 100_000
    assert dict(os.environ) == before


@pytest.fixture
def help_of(capsys: pytest.CaptureFixture[str]) -> Iterator[object]:
    def ask(kind: type) -> str:
        with pytest.raises(SystemExit) as stop:
            parse(kind, ["--help"], "organza do", pairs=kind is not Options)
        said = capsys.readouterr()
        assert stop.value.code == 0 and said.err == "", OTHERWISE
        return said.out

    return ask


def test_help_is_on_standard_output_with_our_ranges_and_names(help_of) -> None:
    said = help_of(Options)
    assert "usage: organza do" in said and "Do it." in said, OTHERWISE
    assert "(at least 1; default: 3)" in said, OTHERWISE
    assert "--network PATH" in said and "Which network. (required)" in said, OTHERWISE
    assert "--dry" in said and "--no-dry" not in said, OTHERWISE


def test_parts_and_their_ranges(help_of) -> None:
    kind = tyro.conf.configure(tyro.conf.OmitArgPrefixes)(Nested)
    said = help_of(kind)
    assert "--count INT" in said and "--part" not in said, OTHERWISE
    assert "--dry, --no-dry" in said and "(at least 1; default: 3)" in said, OTHERWISE
    part = parse(kind, ["--count", "5", "--network", "~/x", "--no-dry"], "organza do", pairs=True).part
    assert part == Options(Path.home() / "x", 5), OTHERWISE


def test_names_within_annotations() -> None:
    item = tyro.conf.arg(name="class", metavar="N")
    assert getattr(item, "name", None) == "class", OTHERWISE
    assert "Positional" in repr(tyro.conf.Positional), OTHERWISE
