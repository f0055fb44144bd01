"""Methods side by side at equal images and equal time, in one command that goes on where it was stopped."""

from __future__ import annotations

import json
import shutil

import pytest
from PIL import Image

from organza import UserError
from organza.cli.main import main
from organza.runs import recipe
from organza.runs.recipe import Budget, carry_out, presets_of
from organza.runs.recipe_page import markdown

SMALL = ("--kimg", "0.008", "--minutes", "0.0005", "--metrics", "ms_ssim4", "--set", "width=8", "z_dim=4", "batch=4")


@pytest.fixture
def command(faces, tmp_path):
    return ["compare", "--recipe", "gan,vae-mlp", "--data", str(faces), "--outdir", str(tmp_path / "c"), *SMALL]


def test_a_table_of_two_methods(command, tmp_path, capsys, monkeypatch):
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "## After 0.008 kimg" in out and "## After 0.0005 minutes" in out
    entries = json.loads((tmp_path / "c" / "comparison.json").read_text())
    assert [(e["preset"], e["mark"]) for e in entries] == [
        (name, mark) for name in ("gan", "vae-mlp") for mark in ("images", "minutes")
    ]
    assert all(e["seen"] == 8 and set(e["figures"]) == {"ms_ssim4"} for e in entries if e["mark"] == "images")
    assert all(e["seen"] >= 4 and e["seconds"] >= 0.03 for e in entries if e["mark"] == "minutes")
    with Image.open(tmp_path / "c" / "comparison.png") as figure:
        assert figure.size == (150 + 10 * 56, 2 * 58)  # ten samples of 28 pixels, twice as large

    def never(*args, **more):
        raise AssertionError("everything is there")

    monkeypatch.setattr(recipe, "train", never)
    assert main(command) == 0  # nothing is trained twice
    assert main([*command[:-1], "batches=4"]) == 2
    assert "no method has a setting 'batches'" in capsys.readouterr().err
    for word, message in (
        ("dcgan.width=4", "dcgan.width: dcgan is not one of the methods; these are: gan, vae-mlp"),
        ("vae-mlp.widths=4", "no such method has a setting 'widths'"),
    ):
        assert main([*command[:-1], word]) == 2
        assert message in capsys.readouterr().err
    assert main([*command, "--kimg", "9"]) == 2
    assert "c: holds a comparison with kimg 0.008, not 9.0; give another --outdir" in capsys.readouterr().err


def test_settings_of_one_method():
    budget = Budget(1, 1, settings={"width": 32, "wgan-gp.width": 16, "dcgan.batch": 64})
    runs = {name: recipe._run(name, budget, "32") for name in ("dcgan", "wgan-gp")}
    found = {name: (run.method.width, run.training.batch, run.data.resolution) for name, run in runs.items()}
    assert found == {"dcgan": (32, 64, "32"), "wgan-gp": (16, 64, "32")}


def test_it_goes_on_where_it_was_stopped(command, tmp_path, monkeypatch, capsys):
    trained = []
    real = recipe.train

    def stops(run, data, **more):
        if len(trained) == 2:
            trained.append("stopped")
            return real(run, data, **more).__class__(tmp_path, 4, False)
        trained.append(more["outdir"].parent.name)
        return real(run, data, **more)

    monkeypatch.setattr(recipe, "train", stops)
    assert main(command) == 130
    assert "stopped; the same command goes on" in capsys.readouterr().err
    assert main(command) == 0
    assert len(json.loads((tmp_path / "c" / "comparison.json").read_text())) == 4


def test_one_methods_trouble_is_a_line_of_the_table(faces, tmp_path):
    budget = Budget(0.004, 0.0001, "ms_ssim4", settings={"batch": 4, "width": 8, "labels": "none"})
    entries, finished = carry_out(("cgan", "gan"), faces, tmp_path, budget)
    assert finished and [bool(e.note) for e in entries] == [True, True, False, False]
    assert "labels" in entries[0].note
    table = markdown(entries, budget)
    assert "| cgan | - | - | 0 |" in table and "- cgan, seed 0: " in table


def test_slow_methods_are_evaluated_at_the_clock_first(faces, tmp_path):
    budget = Budget(0.012, 1e-6, "ms_ssim4", settings={"batch": 4, "width": 8, "z_dim": 4})
    entries, _ = carry_out(("gan",), faces, tmp_path, budget, seeds=(0, 1))
    assert [(e.seed, e.mark, e.seen) for e in entries] == [
        *((0, "images", 12), (0, "minutes", 4)),
        *((1, "images", 12), (1, "minutes", 4)),
    ]
    shutil.rmtree(tmp_path / "gan" / "seed1")
    again, _ = carry_out(("gan",), faces, tmp_path, budget, seeds=(0, 1))
    assert [e.figures for e in again] == [e.figures for e in entries]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("gann", "no preset is called 'gann'"),
        ("", "a recipe of nothing"),
        ("pix2pix", "pix2pix makes images from images"),
        ("stackgan", "stackgan makes images from text"),
    ],
)
def test_what_is_no_recipe(words, message):
    with pytest.raises(UserError, match=message):
        presets_of(words)
