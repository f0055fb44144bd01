"""Checkpoint folders of ours that are broken or hostile: one clear line each, before any memory is asked for."""

from __future__ import annotations

import copy
import json
import math
import shutil
import struct
from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import load_file

import organza
from organza import PRESETS
from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.formats.weights import skeleton
from organza.tensors.records import RefusedError
from organza.tensors.tensor_file import read_header
from organza.weights.convert import convert
from organza.weights.inspect import inspect
from tests import peak
from tests.shapes import EACH, spec_of

DEEP: list[object] = []
for _ in range(50):
    DEEP = [DEEP]
ODD = [
    *(None, True, "", "x" * 5000, "\x1b[31m\n", -1, 0, 1, 3.5, math.nan, math.inf, 1e308, [], {}, [[1]], {"a": 1}),
    *(10**5, 10**6, 30_000, 2**31, 10**12, 10**30, [10**9, 10**9], [1, 1], [0, 0], [10**30], ["a"], DEEP, [4] * 1000),
]


@pytest.fixture(scope="module")
def source(tiny_run, tmp_path_factory):
    """A checkpoint without checksums, which whoever changes it on purpose would leave out."""
    copied = tmp_path_factory.mktemp("source") / "000000016"
    shutil.copytree(tiny_run / "checkpoints" / "000000016", copied)
    (copied / "checksums.json").unlink()
    return copied


def places(value, path=()):
    """The way to each value inside."""
    if path:
        yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


def mutants(config):
    for path in places(config):
        for odd in [*ODD, "DELETE", "EXTRA"]:
            changed = copy.deepcopy(config)
            holder = changed
            for key in path[:-1]:
                holder = holder[key]
            if odd == "DELETE":
                del holder[path[-1]]
            elif odd == "EXTRA" and isinstance(holder, dict):
                holder["\x1b[2Jextra"] = 1
            else:
                holder[path[-1]] = odd
            yield path, odd, changed
    yield from (((), odd, odd) for odd in ODD)


def try_all(source, work, count):
    work.mkdir()
    for file in source.iterdir():
        shutil.copyfile(file, work / file.name)
    config = json.loads((source / "config.json").read_text())
    config = {key: config[key] for key in ("format", "method", "spec", "config")} | {"source": {"licence": "mine"}}
    every = list(mutants(config))
    said = []
    for index in np.random.RandomState(0).permutation(len(every))[:count]:
        path, odd, changed = every[index]
        (work / "config.json").write_text(json.dumps(changed))
        for use in (organza.load, inspect, lambda folder: convert(folder, folder.parent / "a.pkl", "nvidia")):
            try:
                use(work)
            except UserError as error:
                said.append(str(error))
            except Exception as error:
                raise AssertionError(f"{path} = {str(odd)[:50]}: {type(error).__name__}: {error}") from error
    assert len(said) > min(count, len(every))
    assert not [text for text in said if "\n" in text or "\x1b" in text]


def test_odd_configs(source, tmp_path):
    try_all(source, tmp_path / "net", 80)


@pytest.mark.slow
def test_every_odd_config(source, tmp_path):
    peak.start()
    try_all(source, tmp_path / "net", 10_000)
    assert peak.kilobytes() < 1.5e6


@pytest.mark.parametrize(
    "raw", [b"", b"\xff\xfe", b"[" * 100_000, b"{", b"null", b"[]", b'{"format": 1}', b'{"format": 1e999}', b'"a"']
)
def test_configs_that_are_none(raw, source, tmp_path):
    shutil.copytree(source, tmp_path / "net")
    (tmp_path / "net" / "config.json").write_bytes(raw)
    for use in (organza.load, inspect):
        with pytest.raises(UserError, match=r"config\.json") as caught:
            use(tmp_path / "net")
        assert "\n" not in str(caught.value)


def test_a_config_asks_for_gigabytes(source, tmp_path):
    shutil.copytree(source, tmp_path / "net")
    config = json.loads((source / "config.json").read_text())
    config["config"] |= {"z_dim": 30_000, "w_dim": 30_000, "channel_base": 1 << 20, "channel_max": 30_000}
    (tmp_path / "net" / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"tensor 'G\..*' is \[8.*\], not \[30000"):
        organza.load(tmp_path / "net")


# --- headers ---


def header(about, data=b"\0" * 8, length=None):
    raw = about if isinstance(about, bytes) else json.dumps(about).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
HEADERS = {
    "good": header({"a": ONE, "__metadata__": {"format": "pt"}}),
    "empty": b"",
    "short": b"\1\2\3",
    "a length that lies": header({"a": ONE}, length=10**6),
    "a huge length": header({"a": ONE}, length=2**63),
    "a negative length": header({"a": ONE}, length=2**64 - 1),
    "a length of nothing": header(b""),
    "no JSON": header(b"{" + b"x" * 100),
    "deep JSON": header(b'{"a":' * 1000 + b"1" + b"}" * 1000),
    "a list": header([ONE]),
    "unknown numbers": header({"a": ONE | {"dtype": "F31"}}),
    "numbers of a list": header({"a": ONE | {"dtype": ["F32"]}}),
    "overlap": header({"a": ONE, "b": ONE}),
    "a gap": header({"a": ONE, "b": ONE | {"data_offsets": [12, 20]}}, b"\0" * 20),
    "backwards": header({"a": ONE | {"data_offsets": [8, 0]}}),
    "beyond the end": header({"a": ONE | {"shape": [1000], "data_offsets": [0, 4000]}}),
    "a shape that lies": header({"a": ONE | {"shape": [3]}}),
    "a huge shape": header({"a": ONE | {"shape": [10**30, 0], "data_offsets": [0, 0]}}, b""),
    "a shape of text": header({"a": ONE | {"shape": "ab"}}),
    "negative sizes": header({"a": ONE | {"shape": [-1, -2]}}),
    "offsets of floats": header({"a": ONE | {"data_offsets": [0.0, 8.0]}}),
    "nothing said": header({"a": None}),
    "more behind": header({"a": ONE}, b"\0" * 100),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers(name, source, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(HEADERS[name])
    if name == "good":
        assert read_header(path)["a"].shape == (2,) == load_file(path)["a"].shape
        return
    with pytest.raises(RefusedError):
        read_header(path)
    shutil.copytree(source, tmp_path / "net")
    (tmp_path / "net" / "ema.safetensors").write_bytes(HEADERS[name])
    with pytest.raises(UserError, match="broken checkpoint") as caught:
        organza.load(tmp_path / "net")
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError):
        organza.load(path)


# --- shapes alone ---


@pytest.mark.parametrize("name", EACH)
def test_shapes_alone_are_those_of_networks(name):
    """In sizes, number formats and order in memory, which fast convolutions want."""
    spec = spec_of(name, 32)
    config = PRESETS[name].run.method.toy().resolve(spec, 4)
    shapes, real = skeleton(config, spec), config.build(spec)
    for net, module in real.nets.items():
        wanted = {key: (v.shape, v.dtype, v.stride()) for key, v in module.state_dict().items()}
        assert {key: (v.shape, v.dtype, v.stride()) for key, v in shapes.nets[net].state_dict().items()} == wanted


def test_a_network_without_end_is_refused():
    config = replace(PRESETS["stylegan2"].run.method.toy(), mapping_layers=10**6).resolve(DataSpec((16, 16)), 4)
    with pytest.raises(RefusedError, match="more layers"):
        skeleton(config, DataSpec((16, 16)))


def test_what_is_passed_over_is_told(tiny_run, tmp_path, told):
    shutil.copytree(tiny_run, tmp_path / "run")
    newest = tmp_path / "run" / "checkpoints" / "000000016"
    shutil.copytree(newest, newest.with_name("000000008"))
    (newest / "ema.safetensors").write_bytes(HEADERS["overlap"])
    (newest / "checksums.json").unlink()
    organza.load(tmp_path / "run")
    said = told()
    assert "warning" in said and "overlaps" in said and "000000008" in said
