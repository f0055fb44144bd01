"""Runs side by side, from their logs and from their checkpoints."""

from __future__ import annotations

import json
import shutil

import pytest
from PIL import Image

from organza import load, train
from organza.cli.main import main
from organza.metrics import evaluate
from organza.metrics.opened import open_source_and_target
from organza.runs import compare as comparing
from organza.runs.compare import complete, read_run, read_runs, table
from tests.shapes import toy


@pytest.fixture
def runs(tiny_run, tmp_path):
    """Two runs that differ in one setting, with metrics in their logs."""
    folders = []
    for name, gamma, values in (("a", 1.0, [9.0, 7.0, 8.0]), ("b", 2.0, [6.0, 5.0, 4.0])):
        folder = tmp_path / name / "00000-stylegan2-faces"
        shutil.copytree(tiny_run, folder)
        config = json.loads((folder / "config.json").read_text())
        config["config"]["r1_gamma"] = gamma
        (folder / "config.json").write_text(json.dumps(config))
        lines = []
        for index, value in enumerate(values, 1):
            lines.append({"seen": 1000 * index, "kimg": float(index), "seconds": 1800.0 * index})
            figures = {"metrics/fid5k": value, "metrics/fid5k/low": value - 1, "metrics/fid5k/high": value + 1}
            lines.append({"seen": 1000 * index, "kimg": float(index), **figures, "metrics/seconds": 3.0})
        (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        folders.append(folder)
    return folders


def test_the_table(runs):
    heads, rows = table(read_runs(runs), "fid5k")
    assert heads == ["run", "kimg", "hours", "s/kimg", "best fid5k", "at kimg", "last", "settings"]
    name = "00000-stylegan2-faces"
    assert rows == [
        [f"a/{name}", "3", "1.50", "1800.0", "7 (6 to 8)", "2", "8 (7 to 9)", "r1_gamma=1.0"],
        [f"b/{name}", "3", "1.50", "1800.0", "4 (3 to 5)", "3", "4 (3 to 5)", "r1_gamma=2.0"],
    ]
    run = read_run(runs[0])
    assert (run.hours_at(1.5), run.hours_at(0)) == (0.75, 0)


def test_the_verb(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", *map(str, runs)]) == 0
    out = capsys.readouterr().out
    assert "best fid5k" in out and out.splitlines()[-1] == "compare.png"
    with Image.open("compare.png") as picture:
        assert picture.size == (1100, 420)
    assert (tmp_path / "compare.png.json").exists()


def test_a_run_without_metrics(tiny_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", str(tiny_run)]) == 0
    assert "no run has a metric: --metrics fd_voile64_2k --data IMAGES" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_missing_metrics_are_computed_once(runs, faces, tmp_path, toys, monkeypatch):
    shutil.copytree(next((runs[0] / "checkpoints").glob("0*")), runs[0] / "checkpoints" / "best")
    (runs[0] / "best.json").write_text(json.dumps({"seen": 2000}))
    options = {"metrics": "fd_toy_30_full", "data": faces, "cache": tmp_path / "cache"}
    first = complete(read_runs(runs), **options)
    assert [point.kimg for point in first[0].figures["fd_toy_30_full"]] == [0.016, 2.0]
    assert [point.kimg for point in first[1].figures["fd_toy_30_full"]] == [0.016]
    assert first[0].figures["fid5k"] == read_run(runs[0]).figures["fid5k"]
    asked = len(toys)
    assert asked == 1  # all three checkpoints are the same
    assert complete(read_runs(runs), **options)[0].figures == first[0].figures
    assert len(toys) == asked


def test_what_is_better():
    higher = ["pr5k3_precision", "dc5k5_coverage", "is50k_mean", "lpips10k", "perceptual_voile64_10k", "psnr"]
    higher += ["asked200", "r_precision2k", "palette12", "classes_lenet_2k_right", "classes_lenet_2k_confidence"]
    lower = ["fid5k", "swd16k_mean", "is50k_std", "ms_ssim10k", "ppl2_wend", "kd_voile64_2k", "l1"]
    lower += ["perceptual_voile64", "lpips_alex", "lpips", "content_voile64", "cycle"]
    assert all(comparing.higher_is_better(name) for name in higher)
    assert not any(comparing.higher_is_better(name) for name in lower)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no run is named; organza compare runs/00000-a"),
        (["nowhere"], "nowhere: is not the folder of a run"),
        (["RUN", "--metric", "fid9k"], "no run has the metric fid9k; they have fid5k"),
        (["RUN", "--metrics", "fid9k"], "--metrics needs the real images; give them with --data"),
        (["RUN", "--metrics", "fidk", "--data", "FACES"], "no metric is called 'fidk'"),
        (["RUN", "--data", "FACES"], "--data is for figures that are computed; name them too"),
        (["RUN", "--output", "a.jpg"], "a.jpg: no format is known for '.jpg'"),
    ],
)
def test_wrong_words(runs, faces, words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    known = {"RUN": str(runs[0]), "FACES": str(faces)}
    assert main(["compare", *[known.get(word, word) for word in words]]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("*.png"))


def test_translators_are_compared_as_they_are_evaluated(pairs, tmp_path, monkeypatch, capsys):
    """The figure of a checkpoint is that of `organza evaluate`; for a cycle, the way back is loaded as well."""
    monkeypatch.chdir(tmp_path)
    short = {"batch": 4, "grid": "2x1", "kimg": 0.004, "metrics": "none", "outdir": tmp_path}
    folders = [train(toy(name), pairs, **short).folder for name in ("pix2pix", "cyclegan")]
    assert main(["compare", *map(str, folders)]) == 0
    assert "--metrics content --data IMAGES" in capsys.readouterr().out
    assert main(["compare", *map(str, folders), "--metrics", "l1", "--data", str(pairs)]) == 0
    assert "best l1" in capsys.readouterr().out
    found = complete(read_runs(folders), "l1", pairs, cache=tmp_path / "cache")
    for folder, run in zip(folders, found, strict=True):
        T = load(folder, precision="auto")
        report = evaluate(T, open_source_and_target(pairs, T), "l1")
        (point,) = run.figures["l1"]
        assert point.kimg == 0.004 and point.value == pytest.approx(report.figures["l1"].value, rel=1e-4)
    (cycle,) = complete(read_runs(folders[1:]), "cycle", pairs, cache=tmp_path / "cache")
    assert cycle.figures["cycle"][0].value > 0
