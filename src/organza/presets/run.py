"""The type of a preset's value."""

from __future__ import annotations

from dataclasses import dataclass, field

from organza.contract.method import MethodConfig
from organza.data import DataOptions
from organza.training.settings import Training


@dataclass(frozen=True)
class Run:
    """All settings of a training: which method, how it trains, how images are read.

    Example:
        >>> from organza.methods.basic.dcgan import DCGAN
        >>> Run(DCGAN(lr=0.001), Training(kimg=100)).training.kimg
        100
    """

    method: MethodConfig
    training: Training = field(default_factory=Training)
    data: DataOptions = field(default_factory=DataOptions)
