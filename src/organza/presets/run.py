"""What a preset is: all settings of a training, under a name."""

from __future__ import annotations

from dataclasses import dataclass, field

from organza.contract.method import MethodConfig
from organza.data import DataOptions
from organza.training.settings import Training


@dataclass(frozen=True)
class Run:
    """All settings of a training: which method, how it trains, how pictures are read.

    Example:
        >>> Run(DCGAN(lr=0.001), Training(kimg=100)).training.kimg
        100
    """

    method: MethodConfig
    training: Training = field(default_factory=Training)
    data: DataOptions = field(default_factory=DataOptions)


@dataclass(frozen=True)
class Preset:
    """A named `Run` and a line that says what it is for.

    Example:
        >>> PRESETS["stylegan2"].run.data.mirror
        False
    """

    summary: str
    run: Run
