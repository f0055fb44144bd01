"""What generators and discriminators with a level for each size of the image have in common."""

from __future__ import annotations

from organza.contract.data import DataSpec
from organza.core.errors import UserError


def check_channels(spec: DataSpec) -> None:
    """Images are grey, RGB or RGBA.

    Raises:
        UserError: another number of channels.
    """
    if spec.channels not in (1, 3, 4):
        raise UserError(f"images with {spec.channels} channels are not supported", hint="use 1, 3 or 4")


def level_widths(explicit: tuple[int, ...] | None, name: str, base: int, most: int, levels: int) -> list[int]:
    """Feature maps of each level, from 4 pixels up: ``explicit``, or base / size, at most ``most``.

    Args:
        explicit: a user's own, or None.
        name: the setting that ``explicit`` comes from, for the error.
        base, most: see above.
        levels: doublings of the smallest image.

    Raises:
        UserError: explicit widths that don't fit the number of levels.

    Example:
        >>> level_widths(None, "widths_g", base=8192, most=512, levels=5)
        [512, 512, 512, 256, 128, 64]
    """
    if explicit is None:
        return [max(1, min(base // (4 << level), most)) for level in range(levels + 1)]
    if len(explicit) != levels + 1 or min(explicit) < 1:
        raise UserError(f"{name} {list(explicit)} doesn't fit {levels + 1} levels")
    return list(explicit)
