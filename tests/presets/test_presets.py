"""The index of names agrees with the families' files, which it must not import."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from organza import presets
from organza.contract.method import MethodConfig
from organza.core.config import check
from organza.presets import METHODS, PRESETS, Run, index

FAMILIES = {name: import_module(f"organza.presets.{name}") for name in index.SUMMARIES}


def test_every_family_is_in_the_index() -> None:
    files = {path.stem for path in Path(index.__file__).parent.glob("*.py")}
    assert files == {"__init__", "index", "methods", "run", *FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_index_names_what_its_families_have_in_their_order(family: str) -> None:
    assert [*index.SUMMARIES[family]] == [*FAMILIES[family].RUNS]
    assert all(isinstance(run, Run) and check(run) == run for run in FAMILIES[family].RUNS.values())


def test_no_name_is_taken_twice() -> None:
    assert len(PRESETS) == sum(len(names) for names in index.SUMMARIES.values())
    assert len(METHODS) == sum(len(family.METHODS) for family in FAMILIES.values())
    together = dict(item for family in FAMILIES.values() for item in family.METHODS.items())
    assert together == METHODS
    assert len({*METHODS.values()}) == len(METHODS)


def test_a_preset_is_of_a_registered_method() -> None:
    for name, preset in PRESETS.items():
        kind: type[MethodConfig] = type(preset.run.method)
        assert kind in FAMILIES[preset.family].METHODS.values(), name
        assert preset.run is preset.run


def test_what_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'RUNS'"):
        presets.RUNS  # noqa: B018
