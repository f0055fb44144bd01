"""The pickle machine: plain values come through, everything else is inert, nothing is without bounds."""

from __future__ import annotations

import collections
import contextlib
import functools
import io
import os
import pickle
import shutil
import struct
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

import organza
from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.formats import weights
from organza.formats.nvidia.write import write_nvidia
from organza.formats.ports.mmgeneration import their_name
from organza.methods.stylegan.stylegan2 import StyleGAN2
from organza.tensors.known import KNOWN
from organza.tensors.opening import open_file
from organza.tensors.pickle.machine import Limits, Stream, unpickle
from organza.tensors.records import RefusedError, Stub
from organza.weights.inspect import inspect
from tests import golden, peak
from tests.formats.test_layouts import mmgeneration

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(-9, 9), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


def read(data: bytes, **limits: int) -> object:
    return unpickle(Stream(data), KNOWN, Limits(**limits))


@given(plain, st.integers(0, 5))
@settings(deadline=None)
def test_plain_values_come_through(value, protocol):
    if protocol == 0 and b"\\n" in pickle.dumps(value, protocol):
        return
    assert read(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4", "i8", "u1", "b1", "f2"])
def test_arrays(protocol, dtype):
    array = np.arange(12).reshape(3, 4).astype(dtype)
    for value in (array, array.T, array[:0]):
        np.testing.assert_array_equal(read(pickle.dumps(value, protocol)).numpy(), value)
    assert read(pickle.dumps(array[1, 1], protocol)) == array[1, 1]


@pytest.mark.parametrize("old", [True, False])
def test_torch_files(old, tmp_path):
    base = torch.arange(24.0).reshape(2, 3, 4)
    value = collections.OrderedDict(
        a=base.permute(2, 0, 1), b=base[1, 1:], c=torch.tensor(3), d=torch.nn.Parameter(base.half()), e=base.bfloat16()
    )
    torch.save(value, tmp_path / "a.pt", _use_new_zipfile_serialization=not old)
    opened = open_file(tmp_path / "a.pt")
    assert opened.container == ("legacy torch" if old else "torch")
    assert not opened.foreign
    for name, tensor in value.items():
        assert torch.equal(opened.value[name].tensor(), tensor)


class Payload:
    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def test_calls_are_notes():
    found = read(pickle.dumps({"a": Payload(os.mkdir, "made"), "b": 1}))
    assert isinstance(found["a"], Stub)
    assert str(found["a"].kind).endswith(".mkdir")
    assert found["b"] == 1
    assert not os.path.exists("made")


def nested(opcodes: bytes, times: int) -> bytes:
    return b"\x80\x04" + b")" + opcodes * times + b"."


HOSTILE = {
    "deep tuples": nested(b"\x85", 80_000),
    "deep lists": b"\x80\x04" + b"]" * 5000 + b"a" * 4999 + b".",
    "a memo of 4 billion": b"\x80\x04]r\xff\xff\xff\xffj\xfe\xff\xff\xff.",
    "bytes of 2^60": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"abc.",
    "a number of 2 GB": b"\x80\x04\x8b\xff\xff\xff\x7f" + b"1" * 20 + b".",
    "instructions without end": b"\x80\x04" + b"N0" * 600_000 + b"N.",
    "copies of copies": b"\x80\x04c_codecs\nencode\nq\x000X\x00\x00\x01\x00"
    + b"a" * 65536
    + b"q\x010"
    + b"h\x00h\x01\x8c\x06latin1\x86R0" * 5000
    + b"N.",
    "keys of nested tuples": b"\x80\x04})" + b"\x85" * 50 + b"Ns.",
    "unknown extension": b"\x80\x04\x82\x01.",
    "an empty stack": b"\x80\x040.",
    "no end": b"\x80\x04N",
    "a line without end": b"c" + b"a" * 100_000,
    "attributes of a function": b"cos\nsystem\n}b.",
    "a buffer from outside": b"\x80\x05\x97.",
    "numbers of megabytes as keys": b"\x80\x04}"
    + (b"\x8b" + struct.pack("<i", 1 << 20) + b"\x01" * (1 << 20))
    + b"Ns.",
    "the same in an OrderedDict": b"\x80\x04ccollections\nOrderedDict\n("
    + (b"\x8b" + struct.pack("<i", 1 << 20) + b"\x01" * (1 << 20) + b"q\x00N\x86")
    + b"h\x00N\x86" * 5000
    + b"t\x85R.",
    "the same in a set": b"\x80\x04cbuiltins\nset\n("
    + b"\x8b"
    + struct.pack("<i", 1 << 20)
    + b"\x01" * (1 << 20)
    + b"l\x85R.",
    "long texts as keys": b"\x80\x04}X" + struct.pack("<I", 1 << 20) + b"a" * (1 << 20) + b"Ns.",
    "sets of tuples of tuples": b"\x80\x04\x8f(" + b")\x85\x85" + b"\x90.",
    "an array larger than its bytes": pickle.dumps(np.zeros(4, "f4"), 2).replace(b"K\x04\x85", b"M\xff\xff\x85"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_bounds(name):
    with pytest.raises(RefusedError):
        read(HOSTILE[name]).numpy()


def test_a_storage_is_never_larger_than_its_entry(tmp_path):
    torch.save({"a": torch.zeros(64)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as old, zipfile.ZipFile(tmp_path / "b.pt", "w", 8) as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))
    with pytest.raises(UserError, match="compressed"):
        open_file(tmp_path / "b.pt")


def test_a_zip_whose_directory_is_huge(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        for index in range(150):
            archive.writestr(f"{index:03d}" + "x" * 60_000, b"")
    with pytest.raises(UserError, match="longer directory"):
        open_file(tmp_path / "a.pt")


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\x89PNG", b"PK\x03\x04", b"\x80\x02}", b"<!DOCTYPE html>", b"\0" * 64]
)
def test_other_files(data, tmp_path):
    path = tmp_path / "file.pkl"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"file\.pkl"):
        organza.load(path)


def seeds() -> list[bytes]:
    """Small files of every kind, to mutate."""
    legacy, modern = io.BytesIO(), io.BytesIO()
    value = {"g_ema": collections.OrderedDict(w=torch.zeros(2, 3)), "args": Payload(os.mkdir, "made")}
    torch.save(value, legacy, _use_new_zipfile_serialization=False)
    torch.save(value, modern)
    evil = [path.read_bytes() for path in sorted((golden.HERE / "evil").glob("*.p*")) if path.stat().st_size < 1000]
    arrays = pickle.dumps(([np.zeros(3), np.float32(1)], {1, 2}, Payload(os.mkdir, "made")), 2)
    tf = golden.HERE / "nvidia_tf_pkl" / "sg2ada_tf_cond5_32" / "network-final.pkl"
    return [legacy.getvalue(), modern.getvalue(), arrays, *evil, *snapshots(), tf.read_bytes(), *others()]


def others() -> list[bytes]:
    """Official files of the other formats, where they lie beside the checkout, and small ones under their names."""
    kinds = ("stylegan3_pkl/t_32", "stylegan3_pkl/r_32", "nvidia_tf_pkl/sg1_32", "progan/akanimax_cond4_16")
    more = ("progan/fair_s1_alpha06", "psp/decoder_32", "mmgen/stylegan2_ema_32", "paddlegan/stylegan2_weight_32")
    folders = [golden.SHARED / kind for kind in (*kinds, *more, "discogan/plain_w3", "cut/resnet6_antialias")]
    found = [path for folder in folders if folder.is_dir() for path in folder.iterdir() if path.suffix != ".npz"]
    spec, modern = DataSpec((8, 8)), io.BytesIO()
    config = StyleGAN2(z_dim=4, w_dim=4, channel_base=32, channel_max=4).resolve(spec, 4)
    tensors = config.build(spec).nets["G"].state_dict()
    named = mmgeneration(tensors, levels=1, layers=2)
    torch.save({"state_dict": {f"generator_ema.{name}": value for name, value in named.items()}}, modern)
    arrays = {their_name(name): value.numpy() for name, value in named.items()}
    alone = save({name: torch.from_numpy(value).contiguous() for name, value in arrays.items()})
    return [*(path.read_bytes() for path in found), modern.getvalue(), pickle.dumps({"gen_ema": arrays}, 2), alone]


def snapshots() -> list[bytes]:
    """Tiny networks as NVIDIA's code and rosinality's store them."""
    spec = DataSpec((8, 8), 3, 2)
    config = StyleGAN2(z_dim=4, w_dim=4, channel_base=32, channel_max=4).resolve(spec, 4)
    nets = config.build(spec).nets
    found = {"G_ema": nets["G"].state_dict(), "D": nets["D"].state_dict()}
    with tempfile.TemporaryDirectory() as folder:
        data = write_nvidia(spec, config, found, Path(folder, "a.pkl")).read_bytes()
    return [data, data]


def mutate(data: bytes, rng: np.random.RandomState) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        at = rng.randint(len(changed)) if changed else 0
        kind = rng.randint(4)
        if kind == 0 and changed:
            changed[at] = rng.randint(256)
        elif kind == 1:
            changed[at:at] = rng.bytes(rng.randint(1, 5))
        elif kind == 2:
            del changed[at : at + rng.randint(1, 9)]
        else:
            start = rng.randint(len(changed)) if changed else 0
            changed[at:at] = changed[start : start + rng.randint(1, 40)]
    return bytes(changed)


def fuzz(count: int, seed: int, folder, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ORGANZA_EVIL_MARKER", str(folder / "marker"))
    rng, files, path = np.random.RandomState(seed), seeds(), folder / "file.pkl"
    for _ in range(count):
        path.write_bytes(mutate(files[rng.randint(len(files))], rng))
        weights._ANNOUNCED.clear()
        for use in (functools.partial(organza.load, networks="all"), inspect):
            with contextlib.suppress(UserError):
                use(path)
    assert [file.name for file in folder.iterdir()] == ["file.pkl"]


def fuzz_folder(count: int, seed: int, run: Path, folder: Path, monkeypatch) -> None:
    """The files of a checkpoint of ours, one of them changed."""
    monkeypatch.chdir(folder)
    (source,) = (path for path in (run / "checkpoints").iterdir() if path.name == "000000016")
    work, rng = folder / "net", np.random.RandomState(seed)
    shutil.copytree(source, work)
    (work / "checksums.json").unlink()
    names = ["config.json", "ema.safetensors", "nets.safetensors"]
    for index in range(count):
        whole = (source / names[index % 3]).read_bytes()
        head = len(whole) if index % 3 == 0 else 8 + int.from_bytes(whole[:8], "little")
        (work / names[index % 3]).write_bytes(mutate(whole[:head], rng) + whole[head:])
        for use in (functools.partial(organza.load, networks="all"), inspect):
            with contextlib.suppress(UserError):
                use(work)
        (work / names[index % 3]).write_bytes(whole)
    assert [file.name for file in folder.iterdir()] == ["net"]


def within_bounds() -> None:
    peak.start()
    assert peak.kilobytes() < 1.5e6


def test_mutated_files_do_nothing(tmp_path, monkeypatch):
    fuzz(300, 0, tmp_path, monkeypatch)


def test_mutated_folders_do_nothing(tiny_run, tmp_path, monkeypatch):
    fuzz_folder(90, 0, tiny_run, tmp_path, monkeypatch)


@pytest.mark.slow
def test_ten_thousand_mutated_files_do_nothing(tmp_path, monkeypatch):
    fuzz(10_000, 1, tmp_path, monkeypatch)
    within_bounds()


@pytest.mark.slow
def test_mutated_folders_do_nothing_in_thousands(tiny_run, tmp_path, monkeypatch):
    fuzz_folder(3000, 1, tiny_run, tmp_path, monkeypatch)
    within_bounds()


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=300)
def test_any_bytes_do_nothing(data):
    with contextlib.suppress(RefusedError):
        read(b"\x80\x04" + data)
