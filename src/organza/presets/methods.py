"""The methods of all families by name."""

from __future__ import annotations

from organza.contract.method import MethodConfig
from organza.presets import basic, ensembles, stylegan, text, translation

METHODS: dict[str, type[MethodConfig]] = {
    **stylegan.METHODS,
    **translation.METHODS,
    **text.METHODS,
    **basic.METHODS,
    **ensembles.METHODS,
}
"""Method names, as checkpoints store them, and their settings' classes."""
