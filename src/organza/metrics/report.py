"""What an evaluation found."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from organza.core.files import atomic_write

Interval = tuple[float, float]


@dataclass(frozen=True)
class Figure:
    """One number.

    Attributes:
        value: the number.
        interval: 95% confidence interval, or None.
        generated, real: images (or pairs, or paths) on each side.
        network: the feature network or the distance, or None.
        better: whether ``"lower"`` or ``"higher"`` is better.
        error: where the interval comes from.
        std: deviation over subsets or splits, where papers state it.
    """

    value: float
    interval: Interval | None = None
    generated: int = 0
    real: int = 0
    network: str | None = None
    better: str = "lower"
    error: str | None = None
    std: float | None = None


@dataclass(frozen=True)
class Report:
    """Figures by name, and everything that they depend on.

    Attributes:
        figures: by the metric's full name.
        networks: each feature network and distance: checksum, resize filter, size.
        generated, real: what was evaluated, and against what.
        settings: seed, psi, noise, mirror, batch.
        versions: of Organza and of what it computes with.
        notes: warnings.
        seconds: the whole evaluation took.

    Example:
        >>> report = Report({"fid5k": Figure(12.5, (12.0, 13.0))})
        >>> report["fid5k"]
        12.5
    """

    figures: dict[str, Figure]
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    generated: dict[str, Any] = field(default_factory=dict)
    real: dict[str, Any] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    def __getitem__(self, name: str) -> float:
        return self.figures[name].value

    def plain(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        values = asdict(self)
        values["notes"] = list(self.notes)
        return {"values": {name: figure.value for name, figure in self.figures.items()}, **values}

    def write(self, path: str | Path) -> Path:
        """Write the report as JSON, whole or not at all."""
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(self.plain(), indent=2) + "\n")
        return Path(path)
