"""Small datasets: a resumed ADA run is exact, held-out images are never learned from, frozen layers stay."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from organza import PRESETS, Run, UserError, open_dataset, train
from organza.contract.data import Batch, DataSpec
from organza.data import DataOptions, Loader
from organza.data.held_out import split
from organza.training import checkpoint
from organza.training.checkpoint import newest_first
from organza.training.loop import advance
from organza.training.settings import Training
from organza.training.state import State
from tests.pair import alone, learn

SHORT = {"batch": 4, "grid": "4x2", "precision": "float32"}
ADA = {"augment": "ada", "augment_pipe": "bgcfnc", "ada_kimg": 0.04, "ada_target": -0.5}


def toy(**changes) -> Run:
    run = PRESETS["stylegan2"].run
    return replace(run, method=replace(run.method.toy(), **changes))


def everything(folder: Path) -> dict[str, torch.Tensor]:
    newest = next(newest_first(folder / "checkpoints"))
    state = checkpoint.read_resume(newest).state
    return load_file(newest / "nets.safetensors") | load_file(newest / "ema.safetensors") | dict(state)


def test_a_resumed_run_with_ada_is_bit_identical(faces, tmp_path):
    straight = train(toy(**ADA), faces, outdir=tmp_path / "a", kimg=0.056, **SHORT)
    train(toy(**ADA), faces, outdir=tmp_path / "b", kimg=0.028, held_out=None, **SHORT)
    again = train(toy(**ADA), faces, outdir=tmp_path / "b", kimg=0.056, resume=True, **SHORT)
    one, other = everything(straight.folder), everything(again.folder)
    assert one["augment/p"] > 0.2
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", ["dcgan", "wgan-gp", "stylegan3-t"])
@pytest.mark.parametrize("kind", ["ada", "diffaugment"])
def test_other_methods_augment_too(name, kind):
    spec = DataSpec((16, 16))
    config = replace(PRESETS[name].run.method.toy(), augment=kind, ada_kimg=0.04, ada_target=-1.0)
    torch.manual_seed(0)
    state = State.fresh(config.resolve(spec, 4).build(spec), torch.device("cpu"))
    images = torch.rand(4, 3, 16, 16) * 2 - 1
    assert not torch.equal(state.method.augment(images, torch.Generator()), images) or kind == "ada"
    for step in range(5):
        for phase in state.method.phases:
            batch = Batch(images, torch.zeros(4, 0), seen=4 * step)
            stats = advance(state, phase, batch, Training(micro_batch=2)).stats
            if phase.player == "D" and kind == "ada" and "augment/p" in stats:
                p = stats["augment/p"]
    assert kind != "ada" or p in (0.0, pytest.approx(0.4))
    assert state.finite()


def test_two_processes_with_ada_equal_one(faces, pair, tmp_path):
    method = {"mbstd_group": 2, "augment": "ada", "ada_kimg": 0.1, "augment_p": 0.5}
    options = {"kimg": 0.08, "batch": 8, "micro_batch": 4, "held_out": "25%", "tick_kimg": 0.02, "grid": "4x2"}
    found = []
    for name, call in (("one", alone), ("two", pair)):
        call(learn, name="stylegan2", data=str(faces), outdir=str(tmp_path / name), method=method, **options)
        (folder,) = (tmp_path / name).iterdir()
        found.append(everything(folder))
    one, two = found
    assert one["augment/p"] != 0.5
    for key, tensor in one.items():
        torch.testing.assert_close(tensor, two[key], rtol=1e-4, atol=2e-5, msg=lambda m, key=key: f"{key}: {m}")


def test_held_out_pictures_never_reach_a_batch(faces):
    whole = open_dataset(faces)
    training, held_out = split(whole, DataOptions(held_out="10"))
    assert held_out is not None and len(held_out) == 10
    assert sorted([*training.names, *held_out.names]) == sorted(whole.names)
    forbidden = {picture.tobytes() for picture in held_out.fetch(range(10))[0]}
    with Loader(training, seed=0) as loader:
        for seen in range(0, 3 * 38, 19):
            images = ((loader.batch(seen, 19).images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
            assert not {picture.contiguous().numpy().tobytes() for picture in images} & forbidden
    assert split(whole, DataOptions(held_out="10"))[1].names == held_out.names
    assert len(split(whole, DataOptions(held_out="0.5"))[1]) == 24
    assert len(split(whole, DataOptions(held_out=str(faces)))[1]) == 48
    for wrong in ("48", "0", "1.5", "no such file"):
        with pytest.raises(UserError, match="held-out"):
            split(whole, DataOptions(held_out=wrong))


def test_the_gauge_measures_and_disturbs_nothing(faces, tmp_path, capsys):
    options = {"kimg": 0.06, "tick_kimg": 0.004, **SHORT}
    run = toy(augment="fixed", augment_p=0.3)
    _, held_out = split(open_dataset(faces), DataOptions(held_out="25%"))
    # The same training images, without and with the gauge.
    with_gauge = train(run, faces, outdir=tmp_path / "a", held_out="25%", **options)
    from organza.runs import train as module

    original, module._gauge = module._gauge, lambda *_: None
    try:
        without = train(run, faces, outdir=tmp_path / "b", held_out="25%", **options)
    finally:
        module._gauge = original
    one, other = everything(with_gauge.folder), everything(without.folder)
    assert all(torch.equal(one[name], other[name]) for name in one)
    records = [json.loads(line) for line in (with_gauge.folder / "log.jsonl").read_text().splitlines()]
    ticks = [r for r in records if "seconds" in r]
    assert all({"scores/training", "scores/held_out", "signs/held_out", "overfit/r_v"} <= r.keys() for r in ticks)
    assert (with_gauge.folder / "held-out.txt").read_text().split() == held_out.names
    assert json.loads((with_gauge.folder / "config.json").read_text())["data"]["held_out_images"] == 12


def test_the_gauge_warns_once(capsys):
    from organza.training.gauge import Gauge

    class Knowing(torch.nn.Module):
        """Takes dark images for real."""

        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(()))

        def forward(self, x, labels):
            return -x.mean((1, 2, 3))[:, None] * self.scale

    class Plain:
        def __init__(self, level):
            self.level = level

        def __len__(self):
            return 20

        def fetch(self, indices):
            import numpy as np

            return np.full((len(indices), 4, 4, 3), self.level, np.uint8), np.zeros((len(indices), 0), np.float32)

    method = PRESETS["stylegan2"].run.method.toy().resolve(DataSpec((16, 16)), 4).build(DataSpec((16, 16)))
    method = replace(method, nets={**method.nets, "D": Knowing()})
    said = []
    gauge = Gauge(method, Plain(0), Plain(255), Training(batch=4, micro_batch=4), said.append, "--augment ada")
    records = []
    for tick in range(30):
        found = gauge(tick * 1000, {"scores/real": 1.2, "scores/fake": -1.3}, records)
        records.append({"scores/real": 1.2, "scores/fake": -1.3, **found})
    assert found["scores/training"] == 1 and found["scores/held_out"] == -1 and found["signs/held_out"] == -1
    assert found["overfit/r_v"] == pytest.approx(0.8)
    assert said == ["D has memorised its training images (r_v 0.8 at 9 kimg): --augment ada"]


def test_methods_without_a_discriminator_have_nothing_to_gauge(faces, tmp_path):
    run = PRESETS["vae"].run
    with pytest.raises(UserError, match="vae has no discriminator"):
        train(replace(run, method=run.method.toy()), faces, outdir=tmp_path, held_out="5", kimg=0.004, **SHORT)


@pytest.mark.parametrize("architecture", ["resnet", "skip", "orig"])
def test_frozen_blocks_do_not_move(architecture):
    spec = DataSpec((16, 16))
    config = toy(freeze_d=1, architecture_d=architecture, r1_every=1).method.resolve(spec, 4)
    torch.manual_seed(0)
    state = State.fresh(config.build(spec), torch.device("cpu"))
    before = {k: v.clone() for k, v in state.method.nets["D"].state_dict().items()}
    batch = Batch(torch.rand(4, 3, 16, 16) * 2 - 1, torch.zeros(4, 0))
    for _ in range(2):
        for phase in state.method.phases:
            advance(state, phase, batch, Training(micro_batch=4))
    for name, value in state.method.nets["D"].state_dict().items():
        if "taps" not in name:
            assert torch.equal(value, before[name]) == name.startswith("blocks.0."), name
    with pytest.raises(UserError, match="D has 2 blocks"):
        replace(config, freeze_d=3).build(spec)


@pytest.mark.parametrize("loss", ["logistic", "hinge", "least-squares", "wasserstein", "relativistic"])
def test_every_loss_learns_and_r2_is_paid(loss):
    spec = DataSpec((16, 16))
    config = toy(loss=loss, r2_gamma=1.0, augment="ada").method.resolve(spec, 4)
    torch.manual_seed(0)
    state = State.fresh(config.build(spec), torch.device("cpu"))
    batch = Batch(torch.rand(4, 3, 16, 16) * 2 - 1, torch.zeros(4, 0))
    for phase in state.method.phases:
        stats = advance(state, phase, batch, Training(micro_batch=4)).stats
        assert state.learners[phase.player].flat.isfinite().all() and state.learners[phase.player].flat.any()
        assert phase.name != "Dreg" or (stats["r1/penalty"] > 0 and stats["r2/penalty"] > 0)
