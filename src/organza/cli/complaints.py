"""What tyro says is wrong, as one sentence.

Tyro has no interface for its errors: it draws a box on standard error and exits. What is taken from the box here, and
whatever else tyro does not promise, is held by ``tests/cli/test_tyro.py``; pyproject.toml names the versions that pass.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence


@contextlib.contextmanager
def unbroken() -> Iterator[None]:
    """Let tyro think that the terminal is wide, so that it does not break what it says."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100000"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("COLUMNS", None)
        else:
            os.environ["COLUMNS"] = before


def one_line(box: str, argv: Sequence[str] = ()) -> str:
    """Tyro's error box as a sentence; values as they were typed in ``argv``, where the box has broken them.

    Example:
        >>> one_line("╭─ Unrecognized options ─╮\\n│ Unrecognized options: x │\\n│ ─── │\\n│ For help ... │\\n╰──╯")
        "nothing is expected at 'x'"
    """
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    rows = [row.strip(" │╭╮╰╯").strip("─ ") for row in plain.splitlines()]
    # The title, what is wrong, a rule or the end, and help; with lines of blanks where the terminal has no Unicode.
    rows = ["" if set(row) <= {"-"} else row for row in rows]
    start = next((i for i, row in enumerate(rows) if row), 0) + 1
    start = next((i for i in range(start, len(rows)) if rows[i]), len(rows))
    stop = next((i for i in range(start, len(rows)) if not rows[i]), len(rows))
    text = " ".join(rows[start:stop])

    if missing := re.match(r"Missing from .*?: *(.*)", text):
        # Each with its help, which ends so.
        options = [item.split()[0] for item in missing[1].split("(required)") if item.strip()]
        return f"{' and '.join(options)} {'is' if len(options) == 1 else 'are'} missing"
    if unknown := re.match(r"Unrecognized options: *(.*)", text):
        return f"nothing is expected at {unknown[1]!r}"
    if bad := re.match(r"Error parsing (\S+): *(.*)", text):
        option = bad[1].split("/")[-1].rstrip(":")
        typed = typed_at(option, argv)
        return f"{option}: {bad[2]}" if typed is None else f"{option}: {typed} is not {_wanted(bad[2])}"
    if choice := re.match(r"invalid choice '(.*)' for argument '([^']*)'. Expected one of \((.*?),?\)", text):
        option = choice[2].split("/")[-1]
        value = typed_at(option, argv) or repr(choice[1])
        return f"{option} can't be {value}: choose {choice[3].replace(chr(39), '')}"
    if short := re.match(r"Missing value for argument '([^']*)'", text):
        return f"{short[1].split('/')[-1]} needs a value"
    return text[:1].lower() + text[1:]


def _wanted(reason: str) -> str:
    """What a value should have been, from a function's or tyro's complaint about it.

    Example:
        >>> _wanted("no type matching {None}|FLOAT could be instantiated from ['x'].")
        'a number'
    """
    if re.search(r"literal for int|\bINT\b", reason):
        return "a whole number"
    return "a number" if re.search(r"to float|\bFLOAT\b", reason) else "what it takes"


def typed_at(option: str, argv: Sequence[str]) -> str | None:
    """What stands at ``option`` in ``argv``, quoted."""
    for word, after in zip(reversed(argv), reversed([*argv[1:], ""]), strict=True):
        name, equals, value = word.partition("=")
        if name.replace("_", "-") == option:
            return repr(value if equals else after)
    return None
