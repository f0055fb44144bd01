"""Settings to JSON and back, with every wrong value named."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pytest

from organza import PRESETS, UserError
from organza.contract.method import Adam
from organza.core.config import check, differences, from_plain, to_plain
from organza.core.ranges import Count, Share


@dataclass(frozen=True)
class Everything:
    whole: int
    real: float = 0.5
    maybe: int | None = None
    choice: Literal["a", "b"] = "a"
    pair: tuple[int, float] = (1, 2.0)
    many: tuple[str, ...] = ()
    text: str = ""
    table: dict[str, float] = field(default_factory=dict)
    inner: Adam = field(default_factory=Adam)
    share: Share | None = None
    counts: tuple[Count, ...] | None = None


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_round_trips(name: str) -> None:
    run = PRESETS[name].run
    for part in (run.method, run.training, run.data):
        assert from_plain(type(part), json.loads(json.dumps(to_plain(part)))) == part


def test_round_trip_of_every_type() -> None:
    value = Everything(3, 1.0, 7, "b", (4, 0.25), ("x", "y"), "z", {"k": 1.0}, Adam(0.1), 0.5, (1, 2))
    assert from_plain(Everything, json.loads(json.dumps(to_plain(value)))) == value


def test_whole_numbers_serve_as_reals_and_missing_ones_as_defaults() -> None:
    assert from_plain(Everything, {"whole": 1, "real": 2}) == Everything(1, 2.0)


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"whole": 1, "size": 2}, r"config: Everything has no setting 'size'; was it written by a newer Organza\?"),
        ({}, r"config: Everything lacks 'whole'"),
        ({"whole": "1"}, r"config.whole must be a whole number, not '1'"),
        ({"whole": True}, r"config.whole must be a whole number, not True"),
        ({"whole": 1, "choice": "c"}, r"config.choice must be one of a, b, not 'c'"),
        ({"whole": 1, "pair": [1]}, r"config.pair must be a list of 2, not \[1\]"),
        ({"whole": 1, "maybe": 1.5}, r"config.maybe must be a whole number or none, not 1.5"),
        ({"whole": 1, "inner": {"lr": None}}, r"config.inner.lr must be a number, not None"),
        ({"whole": 1, "inner": {"lr": -1}}, r"config.inner.lr must be at least 0, not -1"),
        ({"whole": 1, "real": float("nan")}, r"config.real must be a finite number, not nan"),
        ({"whole": 1, "real": 10**400}, r"config.real must be a finite number, not 1000"),
        ({"whole": 1, "share": 2}, r"config.share must be from 0 to 1, not 2"),
        ({"whole": 1, "counts": [3, 0]}, r"config.counts must be at least 1, not 0"),
        (
            {"whole": 1, "counts": 10**5000},
            r"config.counts must be a list or none, not a number of thou",
        ),
        ({"whole": 1, 5: 2}, r"config: Everything has no setting '5'"),
        (["whole"], r"config: expected the fields of Everything"),
    ],
)
def test_wrong_files(plain: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        from_plain(Everything, plain)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_within_their_ranges(name: str) -> None:
    assert check(PRESETS[name].run) == PRESETS[name].run


def test_values_from_python_become_what_the_field_says() -> None:
    wild = Everything(np.int64(3), 1, pair=[np.int32(4), 1], many=["x"], counts=[1, 2])  # type: ignore[arg-type]
    found = check(wild)
    assert found == Everything(3, 1.0, pair=(4, 1.0), many=("x",), counts=(1, 2))
    assert type(found.whole) is int and type(found.real) is float


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"whole": "16"}, "whole must be a whole number, not '16'; write 16"),
        ({"whole": 16.0}, "whole must be a whole number, not 16.0; write 16"),
        ({"whole": "many"}, "whole must be a whole number, not 'many'"),
        ({"text": 64}, "text must be text, not 64; write '64'"),
        ({"text": True}, "text must be text, not True"),
        ({"real": "0.5"}, "real must be a number, not '0.5'; write 0.5"),
        ({"share": -0.1}, "share must be from 0 to 1, not -0.1"),
        ({"inner": Adam(lr=float("inf"))}, "lr must be a finite number, not inf"),
        ({"inner": 5}, "inner: expected the fields of Adam"),
    ],
)
def test_wrong_values_from_python(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        check(replace(Everything(1), **changes))
    assert str(caught.value) == message


def test_differences_are_named_by_path() -> None:
    assert differences({"a": {"b": 1}, "c": 2}, {"a": {"b": 1, "d": 3}, "c": 4}) == {"a.d": (None, 3), "c": (2, 4)}
