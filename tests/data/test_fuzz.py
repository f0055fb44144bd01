"""Mutated archives and records: a message for people or pictures comes out; no traceback, no half a result."""

import contextlib
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from data_helpers import BAD, encoded, noise, write_folder, write_zip
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_idx import CLASSES, DIGITS, idx
from test_readers import binary_batches, python_batches, write_tar

from organza.apps.dataset import info
from organza.core.errors import UserError
from organza.data import DataOptions, open_dataset, tfrecord
from organza.data.build import build


def _seeds():
    """A small valid file of each format."""
    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp)
        kinds = (("PNG", {}), ("JPEG", {}), ("WEBP", {}), ("GIF", {}), ("BMP", {}), ("TIFF", {}))
        entries = {f"a/{kind}": encoded(noise(i), kind, **more) for i, (kind, more) in enumerate(kinds)}
        labels = json.dumps({"labels": [[name, i % 2] for i, name in enumerate(entries)]}).encode()
        stored = write_zip(folder / "s.zip", {**entries, "dataset.json": labels}, 0).read_bytes()
        packed = write_zip(folder / "d.zip", {**entries, "dataset.json": labels}).read_bytes()
        tar = write_tar(folder / "t.tar", {**entries, "a/PNG.cls": b"1", "dataset.json": labels}).read_bytes()
        cifar = write_tar(folder / "c.tar.gz", binary_batches(), "w:gz").read_bytes()
        pickled = write_tar(folder / "p.tar", python_batches()).read_bytes()
    pixels = np.stack([noise(i).transpose(2, 0, 1) for i in range(3)])
    return {
        "stored.zip": stored,
        "packed.zip": packed,
        "set.tar": tar,
        "cifar.tar.gz": cifar,
        "pickled.tar": pickled,
        "x.tfrecords": b"".join(tfrecord.frames(tfrecord.examples(pixels))),
        "train-images-idx3-ubyte": idx(DIGITS),
        "photo.png": encoded(noise(0, 32, 32)),
        "official.zip": (BAD / "good" / "dataset_int_6.zip").read_bytes(),
    }


SEEDS = _seeds()


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
