"""The folder that a studio works in, and how requests name what is there.

A thing's id is its path within the workspace, with slashes, or ``zoo/NAME`` for a network that comes with Organza.
Whatever a request says goes through `Workspace.path`, so nothing outside is ever opened, written or removed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from organza.core.errors import UserError
from organza.core.files import make_folder
from organza.core.zoo import in_zoo, zoo_folder, zoo_names

LONGEST = 1024
"""Letters of an id."""
_FORBIDDEN = re.compile(r'[\\:*?"<>|]')
_WINDOWS = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that are devices there, with any ending."""


class NotThereError(UserError):
    """What a request names is not in the workspace."""

    def __init__(self, id: str) -> None:
        super().__init__("is not in the workspace", where=repr(id[:120]), hint="GET /api/workspace lists what is")


@dataclass(frozen=True)
class Workspace:
    """A folder, resolved.

    Attributes:
        root: with ``runs/``, networks and datasets of the user, and ``studio/`` for what the studio makes.

    Example:
        >>> workspace = Workspace.at(folder)
        >>> workspace.id_of(workspace.jobs)
        'studio/jobs'
    """

    root: Path

    @classmethod
    def at(cls, folder: Path) -> Workspace:
        """The workspace in ``folder``, with its places made.

        Raises:
            UserError: it can't be written, or one of its places is a link that leads out.
        """
        root = make_folder(folder).resolve()
        found = cls(root)
        for place in (found.runs, found.uploads, found.jobs, found.results, found.incoming):
            if place != found.runs:
                make_folder(place)
            if place.resolve() != place:
                hint = "remove the link, or choose another --workspace"
                raise UserError("is a link, and the studio writes there", where=place, hint=hint)
        return found

    @property
    def runs(self) -> Path:
        """Where trainings are."""
        return self.root / "runs"

    @property
    def studio(self) -> Path:
        """What the studio makes."""
        return self.root / "studio"

    @property
    def uploads(self) -> Path:
        """What was sent."""
        return self.studio / "uploads"

    @property
    def jobs(self) -> Path:
        """A folder for each job."""
        return self.studio / "jobs"

    @property
    def results(self) -> Path:
        """Images that were saved."""
        return self.studio / "results"

    @property
    def incoming(self) -> Path:
        """Uploads that nobody has looked at yet; emptied at each start."""
        return self.studio / "incoming"

    def path(self, id: str) -> Path:
        """What an id names.

        Raises:
            NotThereError: nothing that is there, or nothing that lies inside.

        Example:
            >>> Workspace.at(folder).path("../etc/passwd")
            Traceback (most recent call last):
            ...
            organza.web.studio.workspace.NotThereError: '../etc/passwd': is not in the workspace; ...
        """
        if (name := in_zoo(id)) is not None:
            if name not in zoo_names():
                raise NotThereError(id)
            return zoo_folder(name)
        parts = id.split("/")
        if len(id) > LONGEST or not all(map(allowed, parts)):
            raise NotThereError(id)
        if parts[0] == "zoo":  # never a folder of the workspace
            if len(parts) != 3 or parts[1] not in zoo_names() or not (zoo_folder(parts[1]) / parts[2]).is_file():
                raise NotThereError(id)
            return zoo_folder(parts[1]) / parts[2]
        whole = self.root.joinpath(*parts)
        try:
            found = whole.resolve(strict=True)
        except (OSError, RuntimeError, ValueError):
            raise NotThereError(id) from None
        if not found.is_relative_to(self.root) or not (found.is_file() or found.is_dir()):
            raise NotThereError(id)
        return whole

    def id_of(self, path: Path) -> str:
        """The id of a path inside."""
        return path.relative_to(self.root).as_posix()

    def ours(self, id: str) -> Path:
        """What an id below ``studio/`` names, for those who may remove it: neither a place itself nor a job.

        Raises:
            NotThereError: as `path`.
            UserError: anything else of the workspace.
        """
        path, parts = self.path(id), id.split("/")
        real = path.resolve()
        inside = real.is_relative_to(self.uploads) or real.is_relative_to(self.results)
        if in_zoo(id) is not None or parts[:2] not in (["studio", "uploads"], ["studio", "results"]) or not inside:
            hint = "what the studio did not make is yours to remove; jobs go by DELETE /api/jobs/N"
            raise UserError("is neither an upload nor a result", where=id, hint=hint)
        if len(parts) < 3:
            raise UserError("is a place of the studio", where=id, hint="name what lies in it")
        return path


def allowed(name: str) -> bool:
    """Whether a file of this name can be named by a request: on any system, hidden ones apart.

    Example:
        >>> [name for name in ("a b.png", "..", ".lock", "c:x", "nul.txt", "x.", "") if allowed(name)]
        ['a b.png']
    """
    plain = 0 < len(name) <= 255 and name.isprintable() and name[0] != "." and name[-1] not in ". "
    return plain and "/" not in name and not _FORBIDDEN.search(name) and not _WINDOWS.fullmatch(name)


def clean(name: str, otherwise: str = "upload") -> str:
    """A name as a browser sends it, made into one that any file may have.

    Example:
        >>> clean("../../My photo (1).PNG"), clean("C:\\\\Users\\\\me\\\\a.pkl"), clean("con.txt"), clean("....")
        ('My-photo-1-.PNG', 'a.pkl', 'upload-con.txt', 'upload')
    """
    last = re.split(r"[/\\]", name[-400:])[-1]
    plain = re.sub(r"[^\w.-]+|\.{2,}", "-", last, flags=re.UNICODE).strip("-.")
    stem, dot, suffix = plain.rpartition(".")
    plain = f"{stem[:80]}{dot}{suffix[:12]}" if stem else plain[:80]
    plain = plain.strip("-.")
    if plain and _WINDOWS.fullmatch(plain):
        plain = f"{otherwise}-{plain}"
    return plain if plain and allowed(plain) and len(plain.encode("utf-8", "replace")) < 200 else otherwise


def fresh(folder: Path, name: str) -> Path:
    """A path in ``folder`` that nothing has yet: ``name``, or with a number.

    Example:
        >>> fresh(folder, "a.png").name
        'a.png'
    """
    stem, dot, suffix = name.rpartition(".")
    stem, ending = (stem, dot + suffix) if stem else (name, "")
    number, path = 1, folder / name
    while path.exists() or path.is_symlink():
        number += 1
        path = folder / f"{stem}-{number}{ending}"
    return path
