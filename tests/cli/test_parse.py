from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from organza.cli.parse import parse, parse_grid, parse_seeds
from organza.core.errors import UserError


@dataclass(frozen=True)
class Options:
    """Do it."""

    network: Path
    """Which network."""
    big_number: float = 1.0
    """How much."""
    count: int = 3
    """How many."""
    noise: Literal["const", "random"] = "const"
    """How."""
    dry: bool = False
    """Only look."""


def test_values():
    options = parse(Options, ["--network", "a", "--big-number", "2.5", "--dry"], "organza do")
    assert options == Options(Path("a"), 2.5, dry=True)


def test_help(capsys):
    with pytest.raises(SystemExit) as stop:
        parse(Options, ["--help"], "organza do")
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert "usage: organza do" in out
    assert "Which network." in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "--network is missing"),
        ("--network", "--network needs a value"),
        ("--network a --big-number x", "--big-number: 'x' is not a number"),
        ("--network a --count 1.5", "--count: '1.5' is not a whole number"),
        ("--network a --noise cnst", "--noise can't be 'cnst': choose const, random"),
        ("--network a --big-nmber 2", "unknown option --big-nmber (did you mean --big-number?)"),
        ("--network a --xyzzy", "unknown option --xyzzy"),
        ("--network a b", "nothing is expected at 'b'"),
    ],
)
def test_errors_are_one_line(capsys, words, message):
    with pytest.raises(UserError) as caught:
        parse(Options, words.split(), "organza do")
    assert str(caught.value) == f"{message}; `organza do --help` explains the options"
    assert capsys.readouterr() == ("", "")


def test_seeds():
    assert parse_seeds(" 3, 1-2,1 ") == [3, 1, 2, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "can't read the seeds ''; write numbers and ranges, such as 0,1,4-6"),
        ("1,,2", "can't read the seeds '1,,2'"),
        ("-1", "can't read the seeds '-1'"),
        ("1.5", "can't read the seeds '1.5'"),
        ("5-1", "the range of seeds 5-1 runs backwards; write 1-5"),
        ("4294967296", "the seed 4294967296 is too large; seeds go from 0 to 4294967295"),
        ("0-1000000", "'0-1000000' is more than a million seeds; take them in portions"),
    ],
)
def test_wrong_seeds(text, message):
    with pytest.raises(UserError) as caught:
        parse_seeds(text)
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["4x3", " 4 X 3 ", "4*3"])
def test_grid(text):
    assert parse_grid(text) == (4, 3)


@pytest.mark.parametrize("text", ["4", "0x3", "4x", "axb", "-1x2"])
def test_wrong_grid(text):
    with pytest.raises(UserError) as caught:
        parse_grid(text)
    assert str(caught.value) == f"can't read the grid {text!r}; write columns x rows, such as 4x3"
