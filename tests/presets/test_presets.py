"""The index of names agrees with the families' files, which it must not import."""

from __future__ import annotations

import importlib.util
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import organza
from organza import presets
from organza.contract.method import MethodConfig
from organza.core.config import check
from organza.presets import METHODS, PRESETS, Run, index
from organza.presets.facts import FACTS

FAMILIES = {name: import_module(f"organza.presets.{name}") for name in index.SUMMARIES}


def test_every_family_is_in_the_index() -> None:
    files = {path.stem for path in Path(index.__file__).parent.glob("*.py")}
    assert files == {"__init__", "facts", "index", "methods", "run", *FAMILIES}


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


def test_facts_are_those_of_the_methods() -> None:
    words = {"pairs": "pairs", "unpaired": "two sets", "captioned": "captions", "video": "video pairs"}
    assert [*FACTS] == [*PRESETS]
    folder = Path(organza.__file__).parent
    told = "".join(path.read_text() for room in ("methods", "nn") for path in (folder / room).rglob("*.py"))
    for name, preset in PRESETS.items():
        run = preset.run
        wanted = words.get(run.method.layout)
        if name == "triple-gan":
            wanted = "some labels"
        elif wanted is None:
            needed = run.data.labels != "none"
            wanted = "labels" if needed else "images, labels" if run.method.takes_labels else "images"
        assert preset.facts.takes == wanted, name
        assert not re.match(r"\d{4}\.", preset.facts.paper) or preset.facts.paper in told, name


@pytest.fixture(scope="module")
def costs() -> Any:
    """The script that counts."""
    spec = importlib.util.spec_from_file_location("costs", Path(__file__).parents[2] / "tools" / "costs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["dcgan", "stylegan2-tiny", "pix2pix", "stargan", "stackgan", "discogan", "cgan"])
def test_costs_are_counted(name: str, costs: Any) -> None:
    assert costs.rounded(costs.gflop(PRESETS[name])) == PRESETS[name].facts.gflop


def test_a_cost_by_hand(costs: Any) -> None:
    """DCGAN at 64x64: G and D are four strided convolutions and one of 4x4 each; a step of D is G forward, D twice
    forward and back, one of G is both forward and back (D for its input alone)."""
    maps = 2 * 16 * sum(a * b * side * side for a, b, side in ((512, 256, 4), (256, 128, 8), (128, 64, 16)))
    first, last = 2 * 16 * 3 * 64 * 32 * 32, 2 * 16 * 512
    G, D = maps + first + 2 * 100 * 512 * 16, maps + first + last
    # Backward: once for weights, once for inputs; neither z nor real images need a gradient.
    of_D = G + 2 * (3 * D - first)
    of_G = 3 * G - 2 * 100 * 512 * 16 + D + D
    assert costs.gflop(PRESETS["dcgan"]) == pytest.approx((of_D + of_G) / 1e9, rel=0.02)


def test_what_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'RUNS'"):
        presets.RUNS  # noqa: B018
