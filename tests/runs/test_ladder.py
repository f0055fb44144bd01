"""A ladder trains its configs once, goes on after a stop, and shows them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from organza import UserError
from organza.cli.main import main
from organza.contract.data import DataSpec
from organza.metrics.report import Figure, Report
from organza.presets import PRESETS
from organza.runs.ladder import Budget, climb, rungs, scaled

TINY = {"z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channel_base": 64}


def test_a_ladder(faces, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", "organza.runs.ladder")

    def go(names=("stylegan-e", "stylegan-f"), metric="fd_voile64_48_full"):
        return climb(names, faces, tmp_path, Budget(0.016, 4), metric=metric, seeds=[0, 1, 2], overrides=TINY)

    first = go(["stylegan-e"])
    made = go()
    assert [rung.name for rung in made.rungs] == ["stylegan-e", "stylegan-f"]
    assert made.rungs[0] == first.rungs[0]  # neither trained nor evaluated again
    assert len(list((tmp_path / "stylegan-e").glob("0*"))) == 1
    assert made.rungs[1].changed == {"style_mixing": [0.0, 0.9]}
    assert all(rung.distance is not None and rung.seen == 16 for rung in made.rungs)
    assert made.rungs[0].parameters == made.rungs[1].parameters
    text = made.text.read_text()
    assert "F: E with style mixing" in text and "0.016 kimg each in batches of 4, 16x16" in text
    plain = json.loads(made.json.read_text())
    assert [rung["name"] for rung in plain["rungs"]] == ["stylegan-e", "stylegan-f"]
    with Image.open(made.picture) as picture:
        assert picture.size == (330 + 6 * (3 * 16 + 4), 2 * 6 * 18)
    assert caplog.messages[0].startswith("stylegan-e (1 of 1)")

    def refuse(*_, **__):
        raise UserError("too few images")

    monkeypatch.setattr("organza.metrics.evaluation.evaluate", refuse)
    few = go(["stylegan-e"], metric="fd_voile64_32_full").text.read_text()
    assert "stylegan-e: no fd_voile64_32_full: too few images" in few


def test_a_ladder_of_translators(pairs, tmp_path, monkeypatch):
    def go(names):
        settings = {"width": 4, "width_d": 4, "direction": "BtoA"}
        return climb(names, pairs, tmp_path, Budget(0.004), seeds=[0, 5], overrides=settings)

    go(["pix2pix-pixel"])
    other = Report({"l1": Figure(20.0), "ssim": Figure(0.5)})
    monkeypatch.setattr("organza.runs.ladder_pairs.evaluate", lambda *_, **__: other)
    made = go(["pix2pix-pixel", "pix2pix-16"])
    first, second = made.rungs
    assert first.scores["L1"] != 20 and second.scores == {"L1": 20.0, "SSIM": 0.5}  # the first is not evaluated again
    assert second.changed == {"layers_d": [0, 1]} and second.seen == 4
    assert "in batches of 1, 16x16" in made.text.read_text()
    assert "targets of 24 pairs of train" in made.text.read_text()
    assert made.text.read_text().splitlines()[2].split()[-2:] == ["20.000", "0.500"]
    with Image.open(made.picture) as picture:  # source, two configs and target; two pairs
        assert picture.size == (4 * (8 * 16 + 8) + 8, 2 * (8 * 16 + 8) + 8 + 2 * 16)
        shown = np.asarray(picture)[8:136:8, 8:136:8]
    with Image.open(pairs / "B" / "0.png") as source:  # the direction is that of the training
        assert np.abs(shown.astype(int) - np.asarray(source.convert("RGB"))).mean() < 1


def test_what_a_ladder_of_translators_needs(pairs, faces, tmp_path):
    with pytest.raises(UserError, match="pix2pix-286 needs images of 96 pixels at least, and these have 64"):
        climb(["patch-size"], pairs, tmp_path, Budget(0.004), resolution="64")
    with pytest.raises(UserError, match="pix2pix translates images and dcgan generates them"):
        climb(["pix2pix", "dcgan"], pairs, tmp_path)
    with pytest.raises(UserError, match="pairs"):
        climb(["pix2pix"], faces, tmp_path)
    assert not list(tmp_path.iterdir())
    small = scaled(PRESETS["pix2pix-16"].run, DataSpec((64, 64), source=3), Budget(kimg=2, width=0.25))
    assert (small.method.width, small.method.width_d, small.training.batch) == (16, 16, 1)
    assert (small.training.epochs, small.training.kimg, small.training.lr_decay) == (None, 2, 0.5)


def test_scaling_keeps_what_rungs_differ_in():
    spec, budget = DataSpec((64, 64)), Budget(kimg=8, width=0.5)
    small = {name: scaled(PRESETS[name].run, spec, budget) for name in rungs(["stylegan2"])}
    assert small["stylegan2-f"].method.channel_base == 2 * small["stylegan2-e"].method.channel_base == 1024
    assert small["stylegan2-e"].method.channel_max == 256
    assert small["stylegan2-e"].method.r1_gamma == 10 * small["stylegan2-f"].method.r1_gamma
    assert small["stylegan2-d"].method.pl_weight == 2.0
    assert small["stylegan2-a"].method.rates == ((8, 0.0015), (16, 0.002), (32, 0.003))
    # From 8x8 to 64x64 in half of the training.
    assert 3 * 2 * small["stylegan2-a"].method.fade_kimg == pytest.approx(4)
    assert {run.training.kimg for run in small.values()} == {8}


def test_mistakes(faces, tmp_path):
    with pytest.raises(UserError, match=r"no preset is called 'stylegan4'"):
        climb(["stylegan4"], faces, tmp_path)
    with pytest.raises(UserError, match=r"no config has a setting 'zdim'"):
        climb(["stylegan"], faces, tmp_path, overrides={"zdim": 4})
    with pytest.raises(UserError, match="nonsense"):
        climb(["stylegan"], faces, tmp_path, metric="nonsense")
    with pytest.raises(UserError, match="a ladder of nothing"):
        climb([], faces, tmp_path)


def test_the_command(faces, tmp_path, capsys):
    line = f"ladder dcgan --data {faces} --outdir {tmp_path} --kimg 0.008 --batch 4 --metric none --seeds 0-1"
    assert main([*line.split(), "--set", "z_dim=8", "width=4"]) == 0
    out, err = capsys.readouterr()
    assert "DCGAN with the paper's settings" in out
    assert out.strip().endswith("ladder.png")
    assert "dcgan (1 of 1)" in err
    assert main([*line.split(), "--set", "z_dim"]) == 2
    assert "--set 'z_dim' is not NAME=VALUE" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [{"kimg": -1}, {"kimg": float("nan")}, {"width": 0}, {"growth": float("inf")}])
def test_a_budget_that_is_none(wrong, tmp_path):
    (name,) = wrong
    with pytest.raises(UserError, match=rf"^{name} must be "):
        climb(["dcgan"], "no data", tmp_path, Budget(**wrong))
