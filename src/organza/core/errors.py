"""Errors meant for people."""

from __future__ import annotations

from organza.core.text import printable


class UserError(Exception):
    """Something the user can put right: says what is wrong, where, and what to do.

    Names from files are made printable. The command line prints it as one line and exits with code 2; a traceback is
    shown only under ``--debug``.

    Example:
        >>> raise UserError("no images found", where="photos/", hint="give a folder or a zip of images")
        Traceback (most recent call last):
        ...
        organza.core.errors.UserError: photos/: no images found; give a folder or a zip of images
    """

    def __init__(self, what: str, *, where: object = None, hint: str | None = None) -> None:
        self.what, self.where, self.hint = what, where, hint
        prefix = "" if where is None else f"{where}: "
        suffix = f"; {hint}" if hint else ""
        super().__init__(printable(" ".join(f"{prefix}{what}{suffix}".split())))
