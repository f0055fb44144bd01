"""What is damaged or not finite is never taken for a checkpoint, and what is whole is never lost for it."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from organza import PRESETS, UserError, load, train
from organza.cli.main import main
from organza.runs.transfer import read_origin
from organza.training import checkpoint
from organza.weights.convert import convert
from organza.weights.inspect import inspect

SHORT = {"batch": 4, "grid": "2x1", "snapshot_kimg": 0.004, "precision": "float32", "metrics": "none"}
NAN, INF = float("nan"), float("inf")
FILES = ["config.json", "ema.safetensors", "nets.safetensors", "resume.safetensors", "checksums.json"]


def toy(name="dcgan"):
    run = PRESETS[name].run
    return replace(run, method=run.method.toy())


@pytest.fixture(scope="module")
def first(faces, tmp_path_factory):
    """A run with checkpoints at 4 and 8 images."""
    return train(toy(), faces, outdir=tmp_path_factory.mktemp("first"), kimg=0.008, **SHORT).folder


@pytest.fixture
def run(first, tmp_path):
    return Path(shutil.copytree(first, tmp_path / "runs" / first.name))


@pytest.fixture(scope="module")
def straight(faces, tmp_path_factory):
    """The same, to 16 images."""
    return train(toy(), faces, outdir=tmp_path_factory.mktemp("straight"), kimg=0.016, **SHORT).folder


def newest(run):
    return next(checkpoint.newest_first(run / "checkpoints"))


def go_on(run, faces, kimg=0.016, **options):
    assert train(toy(), faces, outdir=run.parent, resume=True, kimg=kimg, **{**SHORT, **options}).folder == run


def assert_same(run, straight):
    for name in ("nets", "ema", "resume"):
        one, other = (load_file(newest(folder) / f"{name}.safetensors") for folder in (run, straight))
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def flip(file, seed):
    data = bytearray(file.read_bytes())
    rng = random.Random(seed)
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(data)


def zero(file, seed):
    data = bytearray(file.read_bytes())
    start = random.Random(seed).randrange(max(len(data) - 4096, 1))
    page = slice(start, start + 4096)
    data[page] = bytes(len(data[page]))
    file.write_bytes(data)


def cut(file, seed):
    data = file.read_bytes()
    file.write_bytes(data[: random.Random(seed).randrange(len(data))])


def vanish(file, seed):
    if file.name == "checksums.json":  # without it, nothing tells that nothing is wrong
        flip(file, seed)
    else:
        file.unlink()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [flip, zero, cut, vanish])
def test_damage_is_noticed(name, damage, run, tmp_path):
    path, good = newest(run), (newest(run) / name).read_bytes()
    for seed in range(20):
        damage(path / name, seed)
        with pytest.raises(UserError, match=name if damage is not vanish else None):
            checkpoint.check(path)
        (path / name).write_bytes(good)
    assert checkpoint.check(path) == path


@pytest.mark.parametrize("name", ["config.json", "nets.safetensors", "resume.safetensors"])
def test_training_goes_on_from_the_one_before(name, run, straight, faces, told):
    damaged = newest(run)
    flip(damaged / name, 0)
    go_on(run, faces)
    said = told()
    assert f"warning: {damaged / name}: broken checkpoint (it is not as it was written" in said
    assert "passed over for 000000004" in said and "continuing" in said
    assert_same(run, straight)


@pytest.mark.parametrize("damage", [flip, zero])
def test_whoever_reads_a_run_says_what_it_passes_over(damage, run, tmp_path, told):
    damage(newest(run) / "ema.safetensors", 1)
    older = newest(run).with_name("000000004")
    images = load(run).generate([0])
    assert "broken checkpoint (it is not as it was written" in told()
    assert (images == load(older).generate([0])).all()
    assert main(["generate", "--network", str(run), "--seeds", "0", "--outdir", str(tmp_path / "out")]) == 0
    assert "passed over for 000000004" in told()
    assert inspect(run).path == older and "passed over" in told()
    assert read_origin(run).about["file"].endswith("000000004") and "passed over" in told()
    with pytest.raises(UserError, match="is not as it was written"):
        load(newest(run))


@pytest.mark.parametrize(
    ("where", "number"), [("nets", NAN), ("ema", -INF), ("resume/optimizers", INF), ("nets/running_mean", NAN)]
)
def test_numbers_that_are_not_finite_are_passed_over(where, number, run, straight, faces, told):
    path = newest(run)
    file, _, inside = where.partition("/")
    config, resume = checkpoint.read_config(path), checkpoint.read_resume(path)
    tensors = {name: load_file(path / f"{name}.safetensors") for name in ("nets", "ema", "resume")}
    name = next(key for key, x in tensors[file].items() if inside in key and x.numel() > 1)
    tensors[file][name].view(-1)[-1] = number
    position = {"position": json.dumps(asdict(resume.position))}
    checkpoint.write(path, config, tensors, metadata=position, replace=True)
    go_on(run, faces)
    assert "holds numbers that are not finite: the training had diverged; use an older" in told()
    assert_same(run, straight)


@pytest.mark.parametrize("tick", [0.004, 10.0])
def test_a_diverged_training_leaves_its_good_checkpoints(tick, run, faces):
    """However the ticks fall, and with one checkpoint kept."""
    original = checkpoint.save

    def save(folder, config, ema, nets, resume, *, keep):
        saved = original(folder, config, ema, nets, resume, keep=keep)
        next(nets["G"].parameters()).data.fill_(NAN)  # the steps after this one are lost
        return saved

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "save", save)
        with pytest.raises(UserError, match=r"diverged at 0\.0 kimg .*the last good checkpoint is .*000000012"):
            go_on(run, faces, kimg=0.04, keep=1, tick_kimg=tick)
    assert [path.name for path in checkpoint.newest_first(run / "checkpoints")] == ["000000012"]
    assert checkpoint.check(newest(run))


def test_a_broken_one_of_the_future_pushes_nothing_out(run, faces):
    flip(newest(run) / "nets.safetensors", 0)
    newest(run).rename(newest(run).with_name("000000032"))
    go_on(run, faces, kimg=0.012, keep=1)
    assert [path.name for path in checkpoint.newest_first(run / "checkpoints")] == ["000000032", "000000012"]
    assert checkpoint.last_whole(run / "checkpoints").name == "000000012"


def test_format_1_goes_on_bit_for_bit(run, straight, faces):
    """``resume.pt``, no checksums."""
    for path in checkpoint.newest_first(run / "checkpoints"):
        resume = checkpoint.read_resume(path)
        adam = {"lr": 0.1, "betas": (0.5, 0.9), "params": [0, 1]}
        old = {
            "position": asdict(resume.position),
            "optimizers": {
                player: {"state": {i: dict(held) for i, held in state.items()}, "param_groups": [adam]}
                for player, state in resume.optimizers.items()
            },
            "state": dict(resume.state),
        }
        torch.save(old, path / "resume.pt")
        config = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps({**config, "format": 1}))
        for name in ("resume.safetensors", "checksums.json"):
            (path / name).unlink()
    assert load(run).kind == "dcgan"
    cut(newest(run) / "resume.pt", 0)
    go_on(run, faces)
    assert_same(run, straight)


def test_what_others_write_has_checksums_too(tiny_run, tmp_path):
    convert(tiny_run, tmp_path / "theirs.pkl", "nvidia")
    folder = convert(tmp_path / "theirs.pkl", tmp_path / "ours")
    flip(folder / "ema.safetensors", 0)
    with pytest.raises(UserError, match="is not as it was written"):
        load(folder)


def test_what_may_not_be_read_is_told(run, monkeypatch):
    secret = newest(run)
    original = Path.open

    def opening(path, *args, **kwargs):
        if path.parent == secret:
            raise PermissionError(13, "Permission denied", str(path))
        return original(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", opening)
    for read in (checkpoint.read_config, checkpoint.read_resume, lambda path: checkpoint.read_nets(path, "ema")):
        with pytest.raises(UserError, match="you may not read this; ask its owner to change the permissions"):
            read(secret)
