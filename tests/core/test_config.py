"""Settings to JSON and back, with every wrong value named."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Literal

import pytest

from organza import PRESETS, UserError
from organza.core.config import differences, from_plain, to_plain
from organza.core.method import Adam


@dataclass(frozen=True)
class Everything:
    whole: int
    real: float = 0.5
    maybe: int | None = None
    choice: Literal["a", "b"] = "a"
    pair: tuple[int, float] = (1, 2.0)
    many: tuple[str, ...] = ()
    table: dict[str, float] = field(default_factory=dict)
    inner: Adam = field(default_factory=Adam)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_round_trips(name: str) -> None:
    run = PRESETS[name].run
    for part in (run.method, run.training, run.data):
        assert from_plain(type(part), json.loads(json.dumps(to_plain(part)))) == part


def test_round_trip_of_every_type() -> None:
    value = Everything(3, 1.0, 7, "b", (4, 0.25), ("x", "y"), {"k": 1.0}, Adam(0.1))
    assert from_plain(Everything, json.loads(json.dumps(to_plain(value)))) == value


def test_whole_numbers_serve_as_reals_and_missing_ones_as_defaults() -> None:
    assert from_plain(Everything, {"whole": 1, "real": 2}) == Everything(1, 2.0)


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"whole": 1, "size": 2}, r"config: Everything has no setting 'size'; was it written by a newer Organza\?"),
        ({}, r"config: Everything lacks 'whole'"),
        ({"whole": "1"}, r"config.whole: '1' is not a int"),
        ({"whole": True}, r"config.whole: True is not a int"),
        ({"whole": 1, "choice": "c"}, r"config.choice: 'c' is not a"),
        ({"whole": 1, "pair": [1]}, r"config.pair: \[1\] is not a"),
        ({"whole": 1, "maybe": 1.5}, r"config.maybe: 1.5 is not a"),
        ({"whole": 1, "inner": {"lr": None}}, r"config.inner.lr: None is not a float"),
        (["whole"], r"config: expected the fields of Everything"),
    ],
)
def test_wrong_files(plain: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        from_plain(Everything, plain)


def test_differences_are_named_by_path() -> None:
    assert differences({"a": {"b": 1}, "c": 2}, {"a": {"b": 1, "d": 3}, "c": 4}) == {"a.d": (None, 3), "c": (2, 4)}
