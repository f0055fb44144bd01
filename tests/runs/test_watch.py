"""Metrics while training: they disturb nothing, stay within their share, and the best checkpoint is kept."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from organza import PRESETS, UserError, load, train
from organza.metrics.names import parse_metrics
from organza.metrics.report import Figure, Report
from organza.runs import watch as watching
from organza.runs.watch import Watch, keep_best, read_best, wanted
from organza.training import checkpoint
from organza.training.monitor import read_log

SHORT = {"batch": 4, "grid": "4x2", "snapshot_kimg": 0.008, "precision": "float32"}
LIMITLESS = {"metrics": "fd_toy_40_full", "metrics_share": 1.0}


def toy():
    run = PRESETS["stylegan2"].run
    return replace(run, method=run.method.toy())


def weights(outcome):
    newest = next(checkpoint.newest_first(outcome.folder / "checkpoints"))
    return load_file(newest / "nets.safetensors") | load_file(newest / "ema.safetensors")


def test_training_is_bit_identical_with_metrics_and_resumed(faces, tmp_path, toys, capsys):
    plain = train(toy(), faces, outdir=tmp_path / "a", kimg=0.032, metrics="none", **SHORT)
    half = train(toy(), faces, outdir=tmp_path / "b", kimg=0.016, **SHORT, **LIMITLESS)
    again = train(toy(), faces, outdir=tmp_path / "b", kimg=0.032, resume=True, **SHORT, **LIMITLESS)
    assert half.folder == again.folder
    one, other = weights(plain), weights(again)
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    assert toys == ["toy"] * 6  # each training first sees whether it can be opened
    records = [r for r in read_log(again.folder) if "metrics/fd_toy_40_full" in r]
    assert [r["seen"] for r in records] == [8, 16, 24, 32]
    for record in records:
        value, low, high = (record[f"metrics/fd_toy_40_full{end}"] for end in ("", "/low", "/high"))
        assert low <= value <= high
    assert not any("metrics/fd_toy_40_full" in record for record in read_log(plain.folder))
    best = min(records, key=lambda r: r["metrics/fd_toy_40_full"])
    found = json.loads((again.folder / "best.json").read_text())
    assert (found["seen"], found["metric"]) == (best["seen"], "fd_toy_40_full")
    assert load(again.folder / "checkpoints" / "best").resolution == (16, 16)
    said = capsys.readouterr().err
    assert "fd_toy_40_full" in said and "the best so far" in said and "best: fd_toy_40_full" in said


def test_the_best_outlives_those_that_are_kept(faces, tmp_path, monkeypatch, toys):
    values = iter([5.0, 3.0, 4.0, 6.0])

    def evaluate(*args, **kwargs):
        return Report({"fd_toy_40": Figure(next(values), (1.0, 9.0))})

    monkeypatch.setattr(watching, "evaluate", evaluate)
    run = train(toy(), faces, outdir=tmp_path, kimg=0.032, keep=1, **SHORT, **LIMITLESS)
    assert [p.name for p in checkpoint.newest_first(run.folder / "checkpoints")] == ["000000032"]
    assert read_best(run.folder)["seen"] == 16
    best = run.folder / "checkpoints" / "best"
    assert checkpoint.check(best) == best
    assert not torch.equal(load(best).w_avg, load(run.folder).w_avg)


def test_no_metrics_without_time(faces, tmp_path, toys):
    run = train(toy(), faces, outdir=tmp_path, kimg=0.016, metrics="fd_toy_40", **SHORT)
    assert toys == ["toy"]  # opened before the training, to see whether it can be; not used
    assert read_best(run.folder) is None


def make(tmp_path, monkeypatch, cost, share=0.05, records=(), total=1e6, metrics="fd_toy_2k"):
    """A watch on a clock of its own, where an image takes ``cost`` seconds; and the counts that it computed."""
    now, computed = [0.0], []

    def evaluate(G, dataset, metrics, **options):
        computed.append(metrics[0].count)
        now[0] += cost * metrics[0].count
        return Report({metrics[0].title("fd_toy"): Figure(1.0 / len(computed))})

    monkeypatch.setattr(watching, "evaluate", evaluate)
    monkeypatch.setattr(watching, "load", lambda *args, **kwargs: None)
    monkeypatch.setattr(watching, "keep_best", lambda *args: False)
    said, trained = [], [0.0]
    watch = Watch(
        tmp_path, range(100), parse_metrics(metrics), share, lambda: trained[0], lambda: total, said.append, records,
        clock=lambda: now[0],
    )  # fmt: skip
    return watch, trained, computed, said


def test_the_share_is_kept(tmp_path, monkeypatch):
    watch, trained, computed, _ = make(tmp_path, monkeypatch, cost=0.01)
    for snapshot in range(1, 101):
        trained[0] = 100.0 * snapshot
        watch(tmp_path / f"{snapshot:09d}")
        assert watch.spent <= 0.05 * trained[0]
    assert tuple(computed[:2]) == watching.PROBES
    assert set(computed[2:]) == {2000}
    assert 0.8 * 0.05 * trained[0] < watch.spent  # the share is also used


def test_it_shrinks_where_it_would_hardly_ever_fit(tmp_path, monkeypatch):
    watch, trained, computed, _ = make(tmp_path, monkeypatch, cost=0.01, total=1000)
    for snapshot in range(1, 11):
        trained[0] = 100.0 * snapshot
        watch(tmp_path / f"{snapshot:09d}")
    assert set(computed[2:]) == {1000}
    assert len(computed) == 6
    log = [{"metrics/seconds": 10.0, "metrics/fd_toy_1k": 3.0, "metrics/fd_toy_1k/low": 2.0}]
    again, _, computed, _ = make(tmp_path, monkeypatch, cost=0.01, records=log, total=1000)
    assert again.metrics[0].count == 1000
    assert again.spent == 10.0
    other, _, _, _ = make(tmp_path, monkeypatch, cost=0.01, records=log, metrics="fd_lenet_2k")
    assert other.metrics[0].count == 2000


def test_a_metric_that_fails_stops_no_training(faces, tmp_path, monkeypatch, toys, capsys):
    def evaluate(*args, **kwargs):
        raise UserError("the feature network is gone")

    monkeypatch.setattr(watching, "evaluate", evaluate)
    run = train(toy(), faces, outdir=tmp_path, kimg=0.024, **SHORT, **LIMITLESS)
    assert run.finished
    assert capsys.readouterr().err.count("off from now on (the feature network is gone)") == 1


def test_a_probe_that_fails_is_no_figure(tmp_path, monkeypatch):
    watch, trained, computed, said = make(tmp_path, monkeypatch, cost=0.0)

    def evaluate(*args, **kwargs):
        raise UserError("kd64 needs 64 images, there are 23")

    monkeypatch.setattr(watching, "evaluate", evaluate)
    trained[0] = 1000.0
    assert watch(tmp_path / "000000001") == {} and watch(tmp_path / "000000002") == {}
    assert computed == [] and len(said) == 1 and "kd64 needs 64 images" in said[0]


def test_as_many_translations_as_are_held_out(pairs, tmp_path, monkeypatch, toys):
    """Of 24 images trained on and 21 held out, auto compares 21."""
    import shutil

    from tests.shapes import toy as translator

    folder = tmp_path / "sets"
    for number in range(24):
        for side in "AB":
            (folder / f"train{side}").mkdir(parents=True, exist_ok=True)
            (folder / f"test{side}").mkdir(exist_ok=True)
            shutil.copy(pairs / side / f"{number}.png", folder / f"train{side}" / f"{side}{number}.png")
            if number < 21:
                shutil.copy(pairs / side / f"{number}.png", folder / f"test{side}" / f"{side}{number}.png")
    run = train(
        translator("cut"), folder, outdir=tmp_path, kimg=0.004, batch=2, grid="2x1", jitter=1.0, metrics_share=1.0
    )
    figures = {name for record in read_log(run.folder) for name in record if name.startswith("metrics/kd")}
    assert {name for name in figures if not name.endswith(("low", "high"))} == {"metrics/kd_voile64_21_full"}


def test_the_best_by_name_and_direction(tmp_path):
    saved = []
    for seen in (1000, 2000, 3000):
        folder = tmp_path / "checkpoints" / f"{seen:09d}"
        folder.mkdir(parents=True)
        (folder / "ema.safetensors").write_text(str(seen))
        saved.append(folder)
    assert keep_best(tmp_path, saved[0], "pr_precision", Figure(0.5, better="higher"))
    assert not keep_best(tmp_path, saved[1], "pr_precision", Figure(0.4, better="higher"))
    assert keep_best(tmp_path, saved[1], "pr_precision", Figure(0.6, better="higher"))
    assert not keep_best(tmp_path, saved[2], "pr_precision", Figure(0.6, better="higher"))
    assert read_best(tmp_path)["kimg"] == 2.0
    assert keep_best(tmp_path, saved[2], "fid5k", Figure(70.0))  # another name starts anew
    assert (tmp_path / "checkpoints" / "best" / "ema.safetensors").read_text() == "3000"


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ("fid1k", "not downloaded yet, and offline; put the file at"),
        ("fd_nothere_1k", "no feature network is called 'nothere'"),
        ("sep1k_w", "sep1k_w needs labels in the data"),
        ("pr_voile64_1k80", "needs at least 81 real images"),
    ],
)
def test_what_cannot_be_computed_is_said_before_training(faces, tmp_path, monkeypatch, metrics, message):
    monkeypatch.setenv("ORGANZA_OFFLINE", "1")
    run = toy()
    with pytest.raises(UserError, match=message):
        train(replace(run, data=replace(run.data, labels="none")), faces, outdir=tmp_path / "runs", metrics=metrics)
    assert not (tmp_path / "runs").exists()


def test_settings(faces, tmp_path):
    with pytest.raises(UserError, match="no metric is called 'fidd'"):
        train(toy(), faces, outdir=tmp_path, metrics="fidd", **SHORT)
    with pytest.raises(UserError, match="metrics_share must be from 0 to 1, not 2"):
        train(toy(), faces, outdir=tmp_path, metrics_share=2.0, **SHORT)
    assert not list(tmp_path.iterdir())
    assert wanted("none") == []
