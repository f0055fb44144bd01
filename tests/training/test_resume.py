"""A stopped training goes on as if it had never stopped, for every method; a broken checkpoint is passed over."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from organza import PRESETS, Run, UserError, train
from organza.runs.train import Outcome
from organza.training import checkpoint
from tests.shapes import METHODS

SHORT = {"batch": 4, "lr_decay": 0.0, "grid": "2x1", "snapshot_kimg": 0.008, "precision": "float32"}


def toy(name: str) -> Run:
    run = PRESETS[name].run
    return replace(run, method=run.method.toy())


def last(outcome: Outcome) -> Path:
    return next(checkpoint.newest_first(outcome.folder / "checkpoints"))


def bits(path: Path) -> dict[str, torch.Tensor]:
    return {k: v for name in ("nets", "ema", "resume") for k, v in load_file(path / f"{name}.safetensors").items()}


def assert_equal_bits(one: Path, other: Path) -> None:
    first, second = bits(one), bits(other)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


@pytest.mark.parametrize("name", METHODS)
def test_resumed_training_is_bit_identical(name: str, shown: Callable[[str], Path], tmp_path: Path) -> None:
    data, run = shown(name), toy(name)
    # Where phases are rare (WGAN's generator) they come again; a translator's come each step, and take long.
    kimg = 0.016 if run.method.layout in ("pairs", "unpaired") else 0.024
    straight = train(run, data, outdir=tmp_path / "a", kimg=kimg, **SHORT)
    half = train(run, data, outdir=tmp_path / "b", kimg=kimg / 2, **SHORT)
    whole = train(run, data, outdir=tmp_path / "b", kimg=kimg, resume=True, **SHORT)
    assert half.folder == whole.folder
    assert_equal_bits(last(straight), last(whole))


@pytest.mark.parametrize("name", ["dcgan", "progan"])  # with its own schedule of rates, and without
def test_falling_rates_resume_exactly(name: str, faces: Path, tmp_path: Path) -> None:
    options = {**SHORT, "kimg": 0.024, "lr_decay": 0.75}
    straight = train(toy(name), faces, outdir=tmp_path / "a", **options)

    def interrupt(checkpoint: Path) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGTERM)
        return {}

    stopped = train(toy(name), faces, outdir=tmp_path / "b", evaluate=interrupt, **options)
    assert not stopped.finished
    assert_equal_bits(last(straight), last(train(toy(name), faces, outdir=tmp_path / "b", **options)))
    steady = train(toy(name), faces, outdir=tmp_path / "c", **SHORT, kimg=0.024)
    assert any(not torch.equal(t, bits(last(steady))[n]) for n, t in bits(last(straight)).items())


def test_a_run_with_falling_rates_is_lengthened(faces: Path, tmp_path: Path, told: Callable[[], str]) -> None:
    options = {**SHORT, "lr_decay": 0.5}
    first = train(toy("dcgan"), faces, outdir=tmp_path, kimg=0.012, **options)
    longer = train(toy("dcgan"), faces, outdir=tmp_path, kimg=0.016, **options)
    assert longer.folder == first.folder and longer.seen == 16
    assert "from 0.012 kimg, with learning rates at 50%" in told()
    assert train(toy("dcgan"), faces, outdir=tmp_path, kimg=0.016, **SHORT).folder != first.folder


def test_a_signal_finishes_the_step_saves_and_says_how_to_continue(
    faces: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    straight = train(toy("stylegan2"), faces, outdir=tmp_path / "a", kimg=0.024, **SHORT)

    def interrupt(checkpoint: Path) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGTERM)
        return {"figure": 1.5}

    stopped = train(toy("stylegan2"), faces, outdir=tmp_path / "b", kimg=0.024, evaluate=interrupt, **SHORT)
    assert not stopped.finished
    assert stopped.seen == 12  # the snapshot at 8 sent the signal, and one more step was under way
    assert "the same call goes on from here" in capfd.readouterr().err
    assert '"figure": 1.5' in (stopped.folder / "log.jsonl").read_text()
    again = train(toy("stylegan2"), faces, outdir=tmp_path / "b", kimg=0.024, **SHORT)
    assert again.finished
    assert_equal_bits(last(straight), last(again))


def test_the_same_command_again_does_nothing_when_finished(
    faces: Path, tmp_path: Path, told: Callable[[], str]
) -> None:
    first = train(toy("dcgan"), faces, outdir=tmp_path, kimg=0.008, **SHORT)
    again = train(toy("dcgan"), faces, outdir=tmp_path, kimg=0.008, **SHORT)
    assert again == replace(first)
    assert "already at 0.008 kimg; --kimg lengthens it, --new starts another" in told()
    assert train(toy("dcgan"), faces, outdir=tmp_path, kimg=0.008, new=True, **SHORT).folder.name.startswith("00001-")


def test_other_settings_start_another_run_or_are_refused(faces: Path, tmp_path: Path) -> None:
    train(toy("dcgan"), faces, outdir=tmp_path, kimg=0.008, **SHORT)
    with pytest.raises(UserError, match=r"can't resume with other settings: config.lr was 0.0002, now 0.5.*--new"):
        train(toy("dcgan"), faces, outdir=tmp_path, kimg=0.016, resume=True, lr=0.5, **SHORT)
    assert train(toy("dcgan"), faces, outdir=tmp_path, kimg=0.008, seed=1, **SHORT).folder.name.startswith("00001-")


def test_nothing_to_resume(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no run of dcgan-faces to resume; leave --resume out"):
        train(toy("dcgan"), faces, outdir=tmp_path, resume=True, **SHORT)


@pytest.mark.parametrize("broken", ["nets.safetensors", "ema.safetensors", "resume.safetensors"])
def test_a_truncated_checkpoint_is_passed_over(
    broken: str, faces: Path, tmp_path: Path, told: Callable[[], str]
) -> None:
    straight = train(toy("stylegan2"), faces, outdir=tmp_path / "a", kimg=0.024, **SHORT)
    run = train(toy("stylegan2"), faces, outdir=tmp_path / "b", kimg=0.016, **SHORT)
    file = last(run) / broken
    file.write_bytes(file.read_bytes()[:-100])
    again = train(toy("stylegan2"), faces, outdir=tmp_path / "b", kimg=0.024, **SHORT)
    assert f"{file}: broken checkpoint" in told()
    assert_equal_bits(last(straight), last(again))


def test_no_intact_checkpoint(faces: Path, tmp_path: Path) -> None:
    run = train(toy("dcgan"), faces, outdir=tmp_path, kimg=0.008, **SHORT)
    for path in checkpoint.newest_first(run.folder / "checkpoints"):
        (path / "resume.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match=r"no intact checkpoint is left; start again with --new"):
        train(toy("dcgan"), faces, outdir=tmp_path, kimg=0.016, **SHORT)


def test_a_full_disk_leaves_the_older_checkpoint(faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train(toy("dcgan"), faces, outdir=tmp_path, kimg=0.008, **SHORT)
    before = bits(last(run))

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        with pytest.raises(UserError, match=r"could not save a checkpoint .*the disk is full.*000000008 is intact"):
            train(toy("dcgan"), faces, outdir=tmp_path, kimg=0.016, **SHORT)
    assert [p.name for p in (run.folder / "checkpoints").iterdir() if p.is_dir()] == ["000000008"]
    assert all(torch.equal(tensor, before[name]) for name, tensor in bits(last(run)).items())


def test_a_file_in_the_way_of_the_run(faces: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(UserError, match=r"cannot be written; a part of this path is a file, not a folder"):
        train(toy("dcgan"), faces, outdir=tmp_path / "runs", kimg=0.008, **SHORT)


def test_the_log_goes_on_where_the_checkpoint_is(faces: Path, tmp_path: Path) -> None:
    options = {**SHORT, "tick_kimg": 0.004}
    run = train(toy("dcgan"), faces, outdir=tmp_path, kimg=0.016, **options)
    log = run.folder / "log.jsonl"
    log.write_text(log.read_text() + json.dumps({"seen": 20, "kimg": 0.02, "loss/D": 7.0}) + '\n{"seen": 24, "ki')
    train(toy("dcgan"), faces, outdir=tmp_path, kimg=0.024, **options)
    seen = [json.loads(line)["seen"] for line in log.read_text().splitlines() if "seconds" in line]
    assert seen == [4, 8, 12, 16, 20, 24]
    assert 7.0 not in [json.loads(line).get("loss/D") for line in log.read_text().splitlines()]


def test_only_so_many_checkpoints_are_kept(faces: Path, tmp_path: Path) -> None:
    options = {**SHORT, "snapshot_kimg": 0.004, "keep": 2}
    run = train(toy("dcgan"), faces, outdir=tmp_path, kimg=0.016, **options)
    names = [p.name for p in checkpoint.newest_first(run.folder / "checkpoints")]
    assert names == ["000000016", "000000012"]
    assert (run.folder / "checkpoints" / "latest").read_text() == "000000016\n"


def test_changed_pictures_are_another_run(faces: Path, tmp_path: Path) -> None:
    run = train(toy("dcgan"), faces, outdir=tmp_path, kimg=0.008, **SHORT)
    with pytest.raises(UserError, match=r"data.max_images was None, now 40"):
        train(toy("dcgan"), faces, outdir=tmp_path, kimg=0.016, resume=True, max_images=40, **SHORT)
    assert last(run).name == "000000008"
