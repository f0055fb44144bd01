"""Which statistics a translator is used with: measured after training, stored, obeyed, and overridden."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import organza
from organza import UserError, train
from organza.cli.main import main
from organza.media.images import save_picture
from organza.models.norm_mode import measure
from organza.nn.norms import calibrated, depends_on_mode
from organza.training import checkpoint
from organza.translate.files import calibrate_on
from tests.shapes import toy

SHORT = {"batch": 4, "grid": "2x1", "kimg": 0.008, "resolution": "16"}


@pytest.fixture(scope="module")
def halves(tmp_path_factory) -> Path:
    """Side-by-side pairs with a part for validation."""
    root = tmp_path_factory.mktemp("halves")
    for part, count in (("train", 8), ("val", 3)):
        for number in range(count):
            pixels = np.random.RandomState(number).randint(0, 256, (16, 32, 3), np.uint8)
            save_picture(pixels, root / part / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def run(halves, tmp_path_factory) -> Path:
    return train(toy("pix2pix"), halves, outdir=tmp_path_factory.mktemp("runs"), **SHORT).folder


def test_the_best_mode_is_measured_on_held_out_pairs_and_stored(run, capsys):
    T = organza.load(run)
    stored, about = checkpoint.read_added(T.source, "norm")
    assert about["by"] == "from the targets of 3 held-out pairs" and T.mode == about["mode"] == T.preferred
    assert stored and {name.partition(".")[0] for name in stored} == {"G"}
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    assert torch.equal(T.apply(x), T.apply(x, mode=T.mode)) or T.mode == "train"
    assert not torch.equal(T.apply(x, mode="calibrated"), T.apply(x, mode="eval"))
    assert T.apply(x, mode="calibrated")[:1].allclose(T.apply(x[:1], mode="calibrated"), atol=1e-5)
    checkpoint.check(T.source)


def test_a_training_goes_on_from_such_a_checkpoint_as_if_nothing_had_been_measured(run, halves, tmp_path):
    outdir = shutil.copytree(run.parent, tmp_path / "runs")
    longer = {**SHORT, "kimg": 0.016}
    on = train(toy("pix2pix"), halves, outdir=outdir, **longer).folder
    at_once = train(toy("pix2pix"), halves, outdir=tmp_path / "once", **longer).folder
    one, other = (checkpoint.read_nets(folder / "checkpoints" / "000000016", "nets") for folder in (on, at_once))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_calibrated_statistics_are_those_of_what_is_shown():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.BatchNorm2d(2)).train()
    images = [torch.randn(1, 2, 8, 8) * 3 + 1 for _ in range(5)]
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = calibrated(net, [lambda x=x: net(x) for x in images])
    assert found["1.running_mean"].allclose(torch.stack([x.mean((0, 2, 3)) for x in images]).mean(0))
    assert found["1.running_var"].allclose(torch.stack([x.var((0, 2, 3)) for x in images]).mean(0))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net[0].training and net[1].training and net[1].momentum == 0.1


def test_networks_in_which_all_modes_are_one_are_left_alone(pairs, tmp_path):
    folder = train(toy("cyclegan"), pairs, outdir=tmp_path, **SHORT).folder
    T = organza.load(folder)
    assert not depends_on_mode(T.net) and T.preferred is None and not (T.source / "norm.safetensors").exists()
    with pytest.raises(UserError, match="no calibrated statistics are stored; --calibrate DATA measures them"):
        T.apply(torch.zeros(1, 3, 16, 16), mode="calibrated")
    folder = train(toy("cyclegan"), pairs, outdir=tmp_path, norm="batch", **SHORT).folder
    T, home = (organza.load(folder, model=name) for name in ("AtoB", "BtoA"))
    assert T.preferred == home.preferred is not None
    _, about = checkpoint.read_added(T.source, "norm")
    assert about["by"].startswith("after a cycle of ")
    assert measure({"AtoB": T}, replace(organza.data.open_domains(pairs), paired=False), "training") is None


def test_others_weights_are_calibrated_on_a_folder(run, halves, tmp_path):
    T = organza.load(run)
    Image.fromarray(np.zeros([16, 16, 3], np.uint8)).save(tmp_path / "black.png")
    alone = calibrate_on(T, tmp_path)
    assert alone.mode == "calibrated" and not torch.equal(
        alone.statistics["downs.1.norm.running_mean"], T.statistics["downs.1.norm.running_mean"]
    )
    common = ["translate", "--network", str(run), "--input", str(tmp_path / "black.png")]
    outputs = {}
    for name, more in (("own", []), ("eval", ["--norm-mode", "eval"]), ("other", ["--calibrate", str(tmp_path)])):
        assert main([*common, "--output", str(tmp_path / "out" / f"{name}.png"), *more]) == 0
        outputs[name] = (tmp_path / "out" / f"{name}.png").read_bytes()
    assert outputs["eval"] != outputs["other"]


def test_a_broken_note_is_told(run, tmp_path):
    folder = shutil.copytree(organza.load(run).source, tmp_path / "one")
    (folder / "checksums.json").unlink()
    (folder / "norm.safetensors").unlink()
    checkpoint.add(folder, "norm", {"G.downs.1.norm.running_mean": torch.zeros(3)}, {"mode": "calibrated"})
    with pytest.raises(UserError, match=r"statistics 'downs.1.norm.running_mean' don't fit the network"):
        organza.load(folder)
    checkpoint.add(folder, "norm", {}, {"mode": "best"})
    with pytest.raises(UserError, match="stores no known mode"):
        organza.load(folder)
