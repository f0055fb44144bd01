"""The folder of a training in stages: a run for each group of images, and ``stages.json``, which says where each is."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from organza.core.config import from_plain
from organza.core.errors import UserError
from organza.core.files import atomic_write, read_error
from organza.core.jsons import read_json
from organza.core.messages import logger
from organza.data.groups import ALL, Known

log = logger(__name__)

FILE = "stages.json"
_FORMAT = 1


@dataclass(frozen=True)
class Part:
    """A group of a training in stages.

    Attributes:
        stage: ``"all"``, or by what it was parted: ``"age-sex"``.
        parent: the group whose model it started from, or None.
        sources, targets: how many images it has on each side.
        kimg: thousands of images shown in its own stage, and with those of the stages before it.
        run: its run's folder, in the folder of all; None where it is merged, or not trained yet.
        merged: the group whose model stands for it.
        figures: of its last evaluated snapshot, by their names.
    """

    stage: str
    parent: str | None
    sources: int
    targets: int
    kimg: float = 0.0
    total_kimg: float = 0.0
    run: str | None = None
    merged: str | None = None
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Staged:
    """What ``stages.json`` says.

    Attributes:
        folder: where it is.
        stages: by what images were parted, as typed.
        groups, target_groups: how sources and targets were grouped, as typed.
        faceres: the file that knew ages, where it did; else None.
        ages: see `organza.data.groups.parse_ages`.
        parts: the groups by their names, each after its parent.
    """

    folder: Path
    stages: str
    groups: str
    target_groups: str
    faceres: str | None
    ages: tuple[float, float]
    parts: dict[str, Part]

    @property
    def factors(self) -> tuple[str, ...]:
        """By what the last stage parts."""
        last = self.stages.rpartition(",")[2].strip()
        return () if last == ALL else tuple(last.split("-"))

    def group_of(self, known: Known) -> str:
        """The group of an image of which something is known: as far as there is one.

        Example:
            >>> parts = {name: Part("", None, 9, 9) for name in ("all", "old", "old-male")}
            >>> staged = Staged(Path("runs/x"), "all,age,age-sex", "auto", "whole", None, (15, 40), parts)
            >>> staged.group_of({"age": "old", "sex": "male"}), staged.group_of({"age": "child", "sex": "male"})
            ('old-male', 'all')
        """
        for count in range(len(self.factors), 0, -1):
            words = [known.get(factor, "") for factor in self.factors[:count]]
            if (name := "-".join(words)) in self.parts:
                return name
        return ALL

    def trained(self, group: str | None = None) -> str:
        """The group whose model stands for ``group``: itself, or the nearest before it that has one.

        Raises:
            UserError: there is no such group, or no stage is finished.
        """
        name = ALL if group is None else group
        if name not in self.parts:
            raise UserError(f"there is no group {name!r}", where=self.folder, hint=f"choose {', '.join(self.parts)}")
        seen: set[str] = set()
        while self.parts[name].run is None:
            seen.add(name)
            above = self.parts[name].merged or self.parts[name].parent
            if above is None or above in seen or above not in self.parts:
                hint = "go on with the same training"
                raise UserError("no stage is finished yet", where=self.folder, hint=hint)
            name = above
        return name

    def run(self, group: str | None = None) -> Path:
        """The folder of the run for a group.

        Raises:
            UserError: as `trained`.
        """
        place = self.parts[self.trained(group)].run
        assert place is not None
        return self.folder / place

    def write(self) -> None:
        """Write ``stages.json``."""
        plain = {name: value for name, value in asdict(self).items() if name != "folder"}
        with atomic_write(self.folder / FILE) as temporary:
            temporary.write_text(json.dumps({"format": _FORMAT, **plain}, indent=2) + "\n")


def is_staged(folder: Path) -> bool:
    """Whether a folder is that of a training in stages."""
    return (folder / FILE).is_file()


def read_staged(folder: Path) -> Staged:
    """What ``stages.json`` in a folder says.

    Raises:
        UserError: it can't be read, or says what can't be.
    """
    file = folder / FILE
    try:
        plain = read_json(file.read_bytes(), file)
    except OSError as error:
        raise read_error(file, error) from error
    if not isinstance(plain, dict) or plain.pop("format", None) != _FORMAT:
        raise UserError("is not what a training in stages writes", where=file, hint="update Organza")
    found = from_plain(Staged, {**plain, "folder": folder}, where=str(file))
    for part in found.parts.values():
        if part.run is not None and (Path(part.run).is_absolute() or ".." in Path(part.run).parts):
            raise UserError(f"names a run outside of its folder, {part.run!r}", where=file)
    return found


def in_stages(path: Path, group: str | None) -> Path:
    """The run that ``path`` means: of a training in stages, that of a group; otherwise ``path`` itself.

    Raises:
        UserError: a group of what has none, or as `Staged.run`.
    """
    if not is_staged(path):
        if group is not None:
            raise UserError("was not trained in stages, so it has no groups", where=path, hint="leave --group out")
        return path
    staged = read_staged(path)
    name = staged.trained(group)
    if group is None:
        log.info(f"{path}: the model of the stage all; its groups are {', '.join(staged.parts)}")
    elif name != group:
        log.info(f"{path}: the group {group} has no model of its own, {name}'s is taken")
    return staged.run(name)
