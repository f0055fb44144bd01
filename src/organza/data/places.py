"""Where the result of an image goes: under its name, but never outside the folder, nor in another's place."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from organza.data.tables.names import suffix


def safe_place(name: str, ending: str) -> Path:
    """The path of a result below the output folder: no part of a name from an archive leads out of it.

    Example:
        >>> safe_place("../a/b.jpg", ".png").as_posix(), safe_place("/etc/x", ".png").as_posix()
        ('a/b.png', 'etc/x.png')
    """
    plain = PurePosixPath(name)
    parts = [part.replace("\\", "_").replace(":", "_") for part in plain.parts if part not in ("/", "..", ".")]
    last = parts[-1] if parts else "image"
    stem = last[: -len(suffix(last))] if suffix(last) and last != suffix(last) else last
    return Path(*parts[:-1], f"{stem}{ending}")


def free_place(name: str, ending: str, taken: set[Path]) -> Path:
    """`safe_place`, or one like it that no other image has; it is added to ``taken``.

    Example:
        >>> taken = set()
        >>> [free_place(f"v1.0/{name}", ".png", taken).as_posix() for name in ("a.jpg", "a.png", "a_png.tif")]
        ['v1.0/a.png', 'v1.0/a_png.png', 'v1.0/a_png_tif.png']
    """
    place = safe_place(name, ending)
    if place in taken:  # a.jpg beside a.png
        place = place.with_name(safe_place(PurePosixPath(name).name.replace(".", "_"), ending).name)
    first, number = place, 2
    while place in taken:
        place = first.with_name(f"{first.name.removesuffix(ending)}_{number}{ending}")
        number += 1
    taken.add(place)
    return place
