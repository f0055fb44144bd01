"""Names of networks that came with the package once, and of what came after them.

organza64 was trained in part on sets that are for research alone. Whoever asks for it gets voile64, whose numbers are
others; results bear the name of what was used.
"""

from __future__ import annotations

from typing import TypeVar

SUCCESSORS = {"organza64": "voile64"}
N = TypeVar("N", str, "str | None")


def current(name: N) -> N:
    """What ``name`` means today.

    Example:
        >>> current("organza64"), current("inception"), current(None)
        ('voile64', 'inception', None)
    """
    return name if name is None else SUCCESSORS.get(name, name)
