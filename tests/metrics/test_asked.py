"""Whether translations show the label that was asked for: a classifier that learns from real images says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import organza
from organza import UserError, open_dataset, train
from organza.cli.main import main
from organza.data import DataOptions
from organza.metrics import evaluate
from organza.metrics.opened import open_labelled
from organza.runs.watch import read_best, wanted_of_translations
from tests.shapes import toy

SHORT = {"batch": 4, "grid": "2x1", "kimg": 0.008, "resolution": "16"}
COLOURS = {"green": (40, 200, 60), "red": (220, 40, 30), "violet": (150, 40, 220)}


def write(folder: Path, name: str, colour: tuple[int, int, int], seed: int) -> None:
    noise = np.random.RandomState(seed).randint(-30, 30, (16, 16, 3))
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8)).save(folder / name)


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes, a colour each."""
    folder = tmp_path_factory.mktemp("colours")
    for number, (name, colour) in enumerate(COLOURS.items()):
        for k in range(14):
            write(folder, f"{name}/{k:02d}.png", colour, 100 * number + k)
    return folder


@pytest.fixture(scope="module")
def marks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two attributes: light or dark, red or blue."""
    folder, rows = tmp_path_factory.mktemp("marks"), ["image,light,red"]
    for k in range(60):
        light, red = k % 2, k // 2 % 2
        level = 200 if light else 60
        write(folder, f"{k:02d}.png", (level + 50, level, level) if red else (level, level, level + 50), k)
        rows.append(f"{k:02d}.png,{light},{red}")
    (folder / "table.csv").write_text("\n".join(rows))
    return folder


def painted(net, x, labels, z):
    """What a perfect translator between `COLOURS` makes."""
    flat = torch.tensor(list(COLOURS.values())).float() / 127.5 - 1
    return flat[labels.argmax(1)][:, :, None, None].expand(x.shape)


def test_asked_of_classes(colours, tmp_path):
    run = train(toy("stargan"), colours, outdir=tmp_path, labels="folders", **SHORT).folder
    T = organza.load(run)
    data = open_labelled(colours, T)
    right = replace(T, model=replace(T.model, apply=painted))
    still = replace(T, model=replace(T.model, apply=lambda net, x, labels, z: x))
    report = evaluate(right, data, "asked21,fd_voile64_20_full")
    assert report["asked_voile64_21"] == report["asked_voile64_21_real"] == 1
    assert report.figures["asked_voile64_21"].generated == 2 * 21 and "asked_voile64_21_kept" not in report.figures
    assert evaluate(still, data, "asked10")["asked_voile64_10"] == 0
    with pytest.raises(UserError, match="l1 compares translations"):
        evaluate(right, data, "l1")


def test_asked_of_attributes(marks, tmp_path):
    options = {"labels": f"{marks}/table.csv:light,red", **SHORT}
    run = train(toy("stargan"), marks, outdir=tmp_path, metrics="asked10", metrics_share=1.0, **options).folder
    assert read_best(run)["metric"] == "asked_voile64_10"
    T = organza.load(run)
    data = open_labelled(marks, T)

    def lit(net, x, labels, z):
        """Light and dark as asked; red and blue stay."""
        return x - x.mean() + (labels[:, 0] * 1.1 - 0.5)[:, None, None, None]

    report = evaluate(replace(T, model=replace(T.model, apply=lit)), data, "asked20")
    assert report["asked_voile64_20_real"] > 0.95
    assert 0.4 < report["asked_voile64_20"] < 0.6  # one of two labels
    assert report["asked_voile64_20_kept"] > 0.7


def test_evaluate_from_the_command_line(colours, tmp_path, capsys):
    run = train(toy("stargan"), colours, outdir=tmp_path, labels="folders", **SHORT).folder
    file = tmp_path / "report.json"
    assert main(["evaluate", "--network", f"{run}", "--data", f"{colours}", "--json", f"{file}"]) == 0
    assert set(json.loads(file.read_text())["figures"]) == {"asked_voile64_21", "asked_voile64_21_real"}
    assert main(["evaluate", "--network", f"{run}"]) == 2
    assert "tried on labelled images" in capsys.readouterr().err
    (tmp_path / "two" / "a").mkdir(parents=True)
    for name in ("a", "b"):
        write(tmp_path / "two", f"{name}/0.png", (1, 2, 3), 0)
    assert main(["evaluate", "--network", f"{run}", "--data", f"{tmp_path / 'two'}"]) == 2
    assert "the network knows 3 labels, the data has 2" in capsys.readouterr().err


def test_what_asked_is_not_for(colours, marks, pairs, tmp_path):
    data = open_dataset(colours, DataOptions(labels="folders", resolution="16"))
    for name, message in (("l1", "needs pairs"), ("cycle", "is for two sides"), ("ppl2_wend", "latent space")):
        with pytest.raises(UserError, match=message):
            wanted_of_translations(name, data)
    with pytest.raises(UserError, match="of one dataset"):
        wanted_of_translations("asked20", data, joint=True)
    run = train(toy("pix2pix"), pairs, outdir=tmp_path, **SHORT).folder
    from organza.metrics.opened import open_source_and_target

    T = organza.load(run)
    with pytest.raises(UserError, match="needs a translator with labels"):
        evaluate(T, open_source_and_target(pairs, T), "asked20")
