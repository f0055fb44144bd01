"""An extension of griffe, which reads our docstrings for the site: what our style has and Google's has not."""

from __future__ import annotations

import re
from typing import Any

import griffe

SEVERAL = re.compile(r"^    (\w+(?:, \w+)+):((?:.*)(?:\n     .*)*)", re.MULTILINE)


def as_google(text: str) -> str:
    """A docstring as griffe expects it: `Examples:`, and one entry for each of the arguments `a, b: ...`."""
    text = re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE)
    head, args, rest = text.partition("\nArgs:\n")
    section, end, after = rest.partition("\n\n")
    split = SEVERAL.sub(lambda m: "\n".join(f"    {name}:{m[2]}" for name in m[1].split(", ")), section)
    return head + args + split + end + after


class OurStyle(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called by griffe for each module, class, function and attribute, once it is complete."""
        if obj.docstring:
            obj.docstring.value = as_google(obj.docstring.value)
