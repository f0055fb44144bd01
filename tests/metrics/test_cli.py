"""organza evaluate, as typed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from organza import PRESETS, open_dataset, train
from organza.cli.main import main


@pytest.fixture(autouse=True)
def _toys(toys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(capsys, *words):
    code = main(["evaluate", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_network(capsys, tiny_run, faces, tmp_path):
    code, out, err = run(
        capsys, "--network", tiny_run, "--data", faces, "--metrics", "fd40_full,pr20n3", "--json", "a.json"
    )
    assert code == 0
    lines = out.splitlines()
    assert lines[1].split()[0] == "fd_voile64_40_full"
    assert lines[1].rstrip().endswith("40 against 48")
    assert "voile64: images resized by means over 4x4 tiles; weights and preparation" in out
    assert lines[-1] == "a.json"
    assert "warning: fd_voile64_40_full: under 2000 generated images" in err
    found = json.loads((tmp_path / "a.json").read_text())
    figure = found["figures"]["fd_voile64_40_full"]
    assert found["values"]["fd_voile64_40_full"] == figure["value"]
    assert figure["interval"][0] <= figure["value"] <= figure["interval"][1]
    assert found["settings"] == {"seed": 0, "psi": 1.0, "noise": "random", "mirror": False, "batch": 32}
    assert found["networks"]["voile64"]["digest"]
    assert found["real"]["pictures"] == 48
    assert found["versions"]["organza"]


def test_pictures(capsys, faces, tmp_path):
    code, out, _ = run(capsys, "--pictures", faces, "--data", faces, "--metrics", "fid48_full", "--features", "lenet")
    assert code == 0
    assert "fd_lenet_48_full" in out
    assert run(capsys, "--pictures", faces, "--metrics", "ms_ssim9", "--outdir", "o", "--no-intervals")[0] == 0
    assert (
        json.loads((tmp_path / "o" / "evaluate-faces.zip.json").read_text())["figures"]["ms_ssim9"]["interval"] is None
    )


def test_arrays_and_statistics(capsys, faces, tmp_path, toy_features):
    images = open_dataset(faces).fetch(range(48))[0]
    np.savez(tmp_path / "samples.npz", images)
    code, out, _ = run(capsys, "--pictures", "samples.npz", "--data", faces, "--metrics", "fd48_full")
    assert code == 0
    name, value = out.splitlines()[1].split()[:2]
    assert name == "fd_voile64_48_full" and float(value) < 1e-6
    table = toy_features("inception")(torch.from_numpy(images)).features.double().numpy()
    np.savez(tmp_path / "stats.npz", mu=table.mean(0), sigma=np.cov(table, rowvar=False))
    code, out, _ = run(capsys, "--pictures", "samples.npz", "--reference", "stats.npz")
    assert code == 0
    assert out.splitlines()[1].split()[0] == "fid48_full" and "real: the statistics in stats.npz" in out
    code, _, err = run(capsys, "--pictures", faces, "--data", "stats.npz", "--metrics", "fid48_full")
    assert code == 2 and "`organza evaluate --reference` takes them" in err


def test_held_out_pictures(capsys, faces, tmp_path):
    run_ = PRESETS["stylegan2"].run
    run_ = replace(run_, method=run_.method.toy(), data=replace(run_.data, held_out="25%"))
    folder = train(run_, faces, outdir=tmp_path, kimg=0.004, batch=4, grid="4x2", metrics="none").folder
    counts = {}
    for against in ("training", "held-out", "all"):
        words = ["--network", folder, "--data", faces, "--metrics", "fd8_full", "--against", against]
        assert run(capsys, *words, "--json", "a.json")[0] == 0
        counts[against] = json.loads((tmp_path / "a.json").read_text())["real"]["pictures"]
        found = json.loads((tmp_path / "a.json").read_text())
        assert found["real"]["part"] == against
        assert len(found["generated"]["sha256"]) == 64 and Path(found["generated"]["path"]).is_absolute()
    assert counts == {"training": 36, "held-out": 12, "all": 48}


def test_without_a_name_few_pictures_are_all_taken(capsys, faces):
    code, out, _ = run(capsys, "--pictures", faces, "--data", faces)
    assert code == 0
    assert "fd_voile64_48_full" in out and "real: 48 images of faces, 16x16" in out


def test_the_list(capsys):
    code, out, _ = run(capsys, "--list")
    assert code == 0
    assert "fid50k_full" in out and "ppl2_wend" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "what should be evaluated?; give either --network or --pictures"),
        (["--network", "RUN", "--pictures", "FACES"], "what should be evaluated?"),
        (["--network", "RUN", "--metrics", "fidd"], "no metric is called 'fidd'"),
        (["--network", "RUN", "--metrics", "fd20"], "fd20 needs real images; give them with --data"),
        (["--network", "nowhere", "--data", "FACES"], "nowhere: does not exist"),
        (["--network", "RUN", "--data", "nowhere"], "nowhere: there is no such file or folder"),
        (["--network", "RUN", "--data", "FACES", "--trunc", "nan"], "--trunc must be a finite number, not nan"),
        (["--network", "RUN", "--data", "FACES", "--batch", "0"], "--batch must be at least 1, not 0"),
        (
            ["--network", "RUN", "--data", "FACES", "--against", "held-out"],
            "the network was trained without --held-out",
        ),
        (["--network", "RUN", "--data", "FACES", "--resolution", "32"], "evaluated at their own size"),
        (["--pictures", "FACES", "--data", "FACES", "--metrics", "fd100"], "fd100 needs 100 images, there are 48"),
    ],
)
def test_wrong_words(capsys, tiny_run, faces, tmp_path, words, message):
    known = {"RUN": tiny_run, "FACES": faces}
    code, _, err = run(capsys, *[known.get(word, word) for word in words], "--json", tmp_path / "x" / "a.json")
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "x").exists()
