"""Mutated archives and records: a message for people or images comes out; no traceback, no half a result."""

import contextlib
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from data_helpers import encoded, noise, write_folder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from seeds import SEEDS
from test_hostile import look
from test_idx import CLASSES, DIGITS

from organza.core.errors import UserError
from organza.data import DataOptions, open_dataset, tfrecord
from organza.data.export.build import build
from organza.runs.dataset import info


@st.composite
def mutated(draw):
    name = draw(st.sampled_from(sorted(SEEDS)))
    data = bytearray(SEEDS[name])
    for _ in range(draw(st.integers(1, 6))):
        if not data:
            break
        at = draw(st.integers(0, len(data) - 1))
        match draw(st.sampled_from(["set", "set", "flip", "cut", "drop", "double", "zeros", "huge"])):
            case "set":
                data[at] = draw(st.integers(0, 255))
            case "flip":
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[at:]
            case "drop":
                del data[at : at + draw(st.integers(1, 40))]
            case "double":
                data[at:at] = data[at : at + draw(st.integers(1, 40))]
            case "zeros":
                data[at : at + 8] = bytes(8)
            case "huge":
                data[at : at + 4] = b"\xff\xff\xff\x7f"
    return name, bytes(data)


def check(name, data):
    with tempfile.TemporaryDirectory() as tmp:
        source = Path(tmp, "in", name)
        source.parent.mkdir()
        source.write_bytes(data)
        options = DataOptions(resolution="8", labels="own")
        try:
            found = open_dataset(source, options, cache_dir=Path(tmp, "cache"))
            assert found.fetch(range(len(found)))[0].shape == (len(found), 8, 8, found.spec.channels)
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017
        assert not list(Path(tmp).rglob("*.tmp-*"))
        dest = Path(tmp, "out", "built.zip")
        try:
            build(source, dest, options, workers=1)
        except UserError:
            assert not dest.exists()
        else:
            assert len(open_dataset(dest, cache_dir=Path(tmp, "cache"))) > 0
        assert os.listdir(Path(tmp, "out") if dest.parent.exists() else source.parent) in (["built.zip"], [], [name])
        assert sorted(os.listdir(tmp)) in (["cache", "in"], ["cache", "in", "out"], ["in"], ["in", "out"])


@settings(max_examples=60, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(mutated())
@pytest.mark.filterwarnings("ignore")
def test_mutated_files(example):
    check(*example)


@pytest.mark.slow
@settings(
    max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(mutated())
@pytest.mark.filterwarnings("ignore")
def test_many_mutated_files(example):
    check(*example)


def mutant(random, name):
    """A seed with some damage: bits, bytes and numbers changed, stretches cut out or doubled."""
    data = bytearray(SEEDS[name])
    for _ in range(random.randint(1, 6)):
        at = random.randint(len(data)) if data else 0
        length = random.randint(1, 40)
        match random.randint(7):
            case 0 | 1:
                data[at : at + 1] = bytes([random.randint(256)])
            case 2:
                data[at : at + 1] = bytes([data[at] ^ 1 << random.randint(8)]) if data else b""
            case 3:
                del data[at : at + (length if random.randint(3) else len(data))]
            case 4:
                data[at:at] = data[at : at + length]
            case 5:
                data[at : at + 8] = bytes(8)
            case 6:
                data[at : at + 4] = (b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\0\x10")[random.randint(3)]
    return bytes(data)


def look_at_mutants(folder, cache, count, seed):
    random, names = np.random.RandomState(seed), sorted(SEEDS)
    paths = []
    for number in range(count):
        name = names[number % len(names)]
        paths.append(write_folder(folder / str(number), {name: mutant(random, name)}) / name)
    return look(paths, cache)


def test_mutants_are_looked_at(tmp_path, cache):
    """In a process of its own, with limited memory: no crash, no internal error."""
    said = look_at_mutants(tmp_path, cache, 5 * len(SEEDS), seed=0)
    assert any(isinstance(what, str) for what in said)
    assert any(isinstance(what, int) for what in said)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_thousands_of_mutants_are_looked_at(tmp_path, cache, seed):
    assert len(look_at_mutants(tmp_path, cache, 1000, seed)) == 1000


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.binary(max_size=200))
def test_any_bytes_as_a_record(payload):
    with contextlib.suppress(ValueError):
        tfrecord.features(payload)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(json_values | st.lists(st.tuples(st.sampled_from(["0.png", "1.png"]), json_values), max_size=3))
def test_any_json_as_labels(value):
    with tempfile.TemporaryDirectory() as tmp:
        entries = {"0.png": encoded(noise(0)), "1.png": encoded(noise(1))}
        folder = write_folder(Path(tmp, "in"), {**entries, "dataset.json": json.dumps({"labels": value}).encode()})
        try:
            found = open_dataset(folder, DataOptions(labels="own"), cache_dir=Path(tmp, "cache"))
            assert np.isfinite(found.fetch([0, 1])[1]).all()
        except UserError:
            pass


def test_seeds_are_valid(tmp_path):
    for name, data in SEEDS.items():
        found = info(write_folder(tmp_path / name.replace(".", "_"), {name: data}) / name)
        assert found.count > 0, name
        assert not found.skipped, (name, found.skipped)
    assert len(CLASSES) == len(DIGITS)
