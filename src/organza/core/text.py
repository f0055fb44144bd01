"""Text, made fit to be shown wherever it came from."""

from __future__ import annotations

import sys
import unicodedata

_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def printable(text: object, limit: int | None = None) -> str:
    r"""``text`` without anything that moves a cursor, colours a terminal or turns the writing direction.

    Control, format, surrogate and unassigned characters become escapes; tabs and line breaks become spaces. Everything
    printed that came from a file, an address or an archive goes through here (`UserError` does so by itself).

    Args:
        text: anything; its ``str`` counts.
        limit: cut to so many characters, with an ellipsis.

    Example:
        >>> printable("a\x1b[31mred\nb")
        'a\\x1b[31mred b'
        >>> printable("x" * 50, limit=8)
        'xxxxxxx…'
    """
    plain = str(text)
    if limit is not None and len(plain) > limit:
        plain = plain[: limit - 1] + "…"
    if plain.isascii() and plain.isprintable():
        return plain
    return "".join(_shown(character) for character in plain)


def say(*lines: object, error: bool = False) -> None:
    r"""Print ``lines``, each made `printable`; to standard error where ``error``. Whatever is printed goes this way.

    Example:
        >>> say("a\x1b[2Jb", "two")
        a\x1b[2Jb
        two
    """
    print("\n".join(map(printable, lines)), file=sys.stderr if error else sys.stdout)


def _shown(character: str) -> str:
    if character in "\t\n\r\v\f":
        return " "
    if unicodedata.category(character) in _HIDDEN and character != "\u200d":  # the joiner inside emoji
        return character.encode("unicode_escape").decode()
    return character
