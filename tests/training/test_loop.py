"""The loop's promises: seeds, micro-batches, processes, divergence, what a run leaves behind."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from organza import PRESETS, UserError, train
from organza.contract.data import Batch, DataSpec
from organza.contract.method import Adam, Method, Nets, Phase, Player, Result
from organza.runs.train import dry_run
from organza.training import ema, optimizers, settings
from organza.training.checkpoint import newest_first
from organza.training.loop import advance
from organza.training.settings import Training
from organza.training.state import State
from tests.pair import Pair, alone, learn
from tests.shapes import EACH, batch_of, spec_of, toy


def total(learner: optimizers.Learner) -> torch.Tensor:
    return torch.stack([p.detach().double().sum() for p in learner.parameters])


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(next(newest_first(folder / "checkpoints")) / "nets.safetensors")


@pytest.mark.parametrize("name", EACH)
def test_each_phase_moves_its_player_alone_and_reaches_every_weight(name: str) -> None:
    spec = spec_of(name)
    config = toy(name).method.resolve(spec, 4)
    torch.manual_seed(0)
    state = State.fresh(config.build(spec), torch.device("cpu"))
    batch = batch_of(spec, 4)
    reached = {n: torch.zeros_like(learner.flat) for n, learner in state.learners.items()}

    def dead(player: str) -> list[list[int]]:
        parameters = state.learners[player].parameters
        parts = reached[player].split([p.numel() for p in parameters])
        return [list(p.shape) for p, part in zip(parameters, parts, strict=True) if not part.any()]

    # Not every layer of a network that grows is in use at once; each is at some time.
    for seen, phase in product((1000, 20, 8, 0), state.method.phases):
        if phase is state.method.phases[0] and not any(map(dead, reached)):
            break
        before = {n: total(learner) for n, learner in state.learners.items()}
        result = advance(state, phase, replace(batch, seen=seen), Training(micro_batch=4))
        batch, stats = batch.leaving(result.carry), result.stats
        assert stats, f"{phase.name} reports nothing"
        assert all(value.isfinite().all() for value in stats.values())
        for player, learner in state.learners.items():
            assert torch.equal(total(learner), before[player]) == (player != phase.player)
        reached[phase.player] += state.learners[phase.player].flat.abs()
    assert state.finite()
    for player in state.learners:
        found = dead(player)
        if getattr(config, "noise", "") == "none":
            found = [shape for shape in found if shape != []]  # how strong the noise is
        # A Wasserstein critic's last bias cancels out of its loss; so does a hinge's while scores are small.
        lost = {"wgan": [[1]], "wgan-gp": [[1]], "lucidrains": [[1]], "dualgan": [[1], [1]]}
        assert found == (lost.get(name, []) if player == "D" else []), player


@pytest.mark.parametrize("name", ["stylegan2", "vae"])
def test_the_seed_decides(name: str, faces: Path, tmp_path: Path) -> None:
    options = {"kimg": 0.008, "batch": 4, "grid": "4x2"}
    runs = [train(toy(name), faces, outdir=tmp_path / str(i), seed=s, **options) for i, s in enumerate([3, 3, 4])]
    first, same, other = (weights(run.folder) for run in runs)
    assert all(torch.equal(first[k], same[k]) for k in first)
    assert not all(torch.equal(first[k], other[k]) for k in first)


@pytest.mark.parametrize(
    "name", ["stylegan2", "stylegan2-d", "dcgan", "began", pytest.param("vid2vid", marks=pytest.mark.slow)]
)
def test_two_processes_match_one_with_two_micro_batches(
    name: str, shown: Callable[[str], Path], pair: Pair, tmp_path: Path
) -> None:
    """Every phase of StyleGAN2, with labels, penalties and running means; the same while networks grow; the running
    statistics of batch normalisation; and sequences."""
    method = {"mbstd_group": 2} if hasattr(toy(name).method, "mbstd_group") else {}
    labels = "auto" if toy(name).method.takes_labels else "none"
    options = {"kimg": 0.032, "batch": 8, "micro_batch": 4, "grid": "4x2", "labels": labels}
    found = []
    for where, call in (("one", alone), ("two", pair)):
        call(learn, name=name, data=str(shown(name)), outdir=str(tmp_path / where), method=method, **options)
        (folder,) = (tmp_path / where).iterdir()
        found.append(weights(folder))
    one, two = found
    assert one.keys() == two.keys()
    for key, tensor in one.items():
        torch.testing.assert_close(tensor, two[key], rtol=1e-5, atol=2e-6, msg=lambda m, key=key: f"{key}: {m}")


@pytest.mark.parametrize("micro", [2, 4])
@pytest.mark.parametrize("name", ["dcgan", "vae"])
def test_normalisation_counts_a_step_once_however_it_is_cut(name: str, micro: int) -> None:
    """Each part of a batch moves the running statistics from where they were; what stays is the mean."""
    spec, batch = DataSpec((16, 16)), Batch(torch.rand(8, 3, 16, 16) * 2 - 1, torch.zeros(8, 0))
    found = []
    for size in (micro, 8):
        torch.manual_seed(0)
        state = State.fresh(toy(name).method.build(spec), torch.device("cpu"))
        advance(state, state.method.phases[0], batch, Training(micro_batch=size))
        found.append({f"{n}.{k}": b for n, net in state.method.nets.items() for k, b in net.named_buffers()})
    counts = [{k: int(b) for k, b in buffers.items() if k.endswith("num_batches_tracked")} for buffers in found]
    assert counts[0] == counts[1] and set(counts[0].values()) <= {1, 2}
    torch.manual_seed(0)
    state = State.fresh(toy(name).method.build(spec), torch.device("cpu"))
    start = {f"{n}.{k}": b.clone() for n, net in state.method.nets.items() for k, b in net.named_buffers()}
    moved = [k for k, b in found[0].items() if not torch.equal(b, start[k])]
    assert any(k.endswith("running_mean") for k in moved)


def test_parts_of_a_batch_leave_the_mean_of_what_they_find() -> None:
    def loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        return Result(nets["N"](batch.images).square().mean())

    method = Method(
        nets={"N": torch.nn.BatchNorm2d(3)},
        players={"N": Player(("N",), Adam(lr=0.0))},
        phases=(Phase("N", "N", loss),),
        models={},
    )
    state, images = State.fresh(method, torch.device("cpu")), torch.randn(6, 3, 4, 4)
    advance(state, method.phases[0], Batch(images, torch.zeros(6, 0)), Training(micro_batch=2))
    norm = method.nets["N"]
    torch.testing.assert_close(norm.running_mean, 0.1 * images.mean((0, 2, 3)))
    spread = torch.stack([part.transpose(0, 1).flatten(1).var(1) for part in images.split(2)]).mean(0)
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * spread)
    assert norm.num_batches_tracked == 1


@pytest.mark.parametrize("shape", [(4,), (1,), (4, 1), (2,)])
def test_statistics_of_each_image_are_refused(shape: tuple[int, ...]) -> None:
    """A number for each image is no mean, and averaging it over parts of the batch would hide that."""
    state = State.fresh(toy("vae").method.build(DataSpec((16, 16))), torch.device("cpu"))
    (phase,) = state.method.phases

    def loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        found = phase.loss(nets, batch, rng)
        return replace(found, stats={**found.stats, "penalty": torch.zeros(shape)})

    batch = Batch(torch.rand(4, 3, 16, 16), torch.zeros(4, 0))
    with pytest.raises(UserError, match=r"phase 'VAE' reports 'penalty' of shape \[.*\], not \[\]; .* Phase.shapes"):
        advance(state, replace(phase, loss=loss), batch, Training())
    stats = advance(state, replace(phase, loss=loss, shapes={"penalty": shape}), batch, Training()).stats
    assert stats["penalty"].shape == shape


@pytest.mark.parametrize("name", [name for name in PRESETS if not PRESETS[name].run.method.takes_labels])
def test_labels_are_refused_where_they_would_be_ignored(name: str, faces: Path, tmp_path: Path) -> None:
    for start in (dry_run, partial(train, outdir=tmp_path)):
        for labels in ("auto", "folders", "dataset.json"):
            with pytest.raises(UserError, match=r"takes no labels; leave out --labels"):
                start(toy(name), faces, labels=labels)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", [name for name in PRESETS if PRESETS[name].run.method.takes_labels])
def test_labels_reach_the_networks_that_take_them(name: str) -> None:
    spec = DataSpec((16, 16), 3, 4)
    nets = toy(name).method.resolve(spec, 4).build(spec)
    assert nets.model.label_dim == 4
    assert nets.model.critic is not None
    one, other = (nets.nets[nets.model.critic](torch.ones(2, 3, 16, 16), torch.eye(4)[[k, k]]) for k in (0, 1))
    method = toy(name).method
    guesses = getattr(method, "label_d", "") == "auxiliary" or method.layout == "labelled"
    assert guesses or not torch.equal(one, other)


def test_divergence_stops_with_a_report(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"the training diverged at .* kimg .*the last good checkpoint is none; try a lower --lr"
    ):
        train(toy("wgan-gp"), faces, outdir=tmp_path, kimg=0.2, batch=4, lr=1e9, tick_kimg=0.04, grid="4x2")


@pytest.mark.usefixtures("plotted")
def test_a_run_leaves_pictures_a_plot_and_a_log(faces: Path, tmp_path: Path) -> None:
    run = train(
        toy("stylegan2"), faces, outdir=tmp_path, kimg=0.016, batch=4, grid="4x2", tick_kimg=0.004, snapshot_kimg=0.008
    )
    assert sorted(p.name for p in (run.folder / "samples").iterdir()) == [
        "000000000.png",
        "000000008.png",
        "000000016.png",
    ]
    with Image.open(run.folder / "samples" / "000000016.png") as picture:
        assert picture.size == (4 * 16 + 4 + 4 * 16, 2 * 16)
        reals = np.asarray(picture)[:, -64:]
    with Image.open(run.folder / "samples" / "000000000.png") as picture:
        assert np.array_equal(np.asarray(picture)[:, -64:], reals)
    with Image.open(run.folder / "plot.png") as picture:
        assert picture.width == 900
    records = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    ticks = [r for r in records if "seconds" in r]
    assert [r["seen"] for r in ticks] == [4, 8, 12, 16]
    assert {"loss/G", "loss/D", "wait_share", "sec_per_kimg", "memory_gb"} <= ticks[0].keys()
    assert any((run.folder / "tensorboard").iterdir())


def test_learning_rates_are_corrected_for_lazy_regularisation() -> None:
    method = PRESETS["stylegan2"].run.method.toy().resolve(DataSpec((16, 16)), 4).build(DataSpec((16, 16)))
    adam = {name: learner.optimizer.param_groups[0] for name, learner in optimizers.build(method).items()}
    assert adam["D"]["lr"] == pytest.approx(0.0025 * 16 / 17)
    assert adam["D"]["betas"][1] == pytest.approx(0.99 ** (16 / 17))
    assert adam["G"]["lr"] == pytest.approx(0.0025 * 4 / 5)
    assert adam["G"]["betas"][1] == pytest.approx(0.99 ** (4 / 5))


LAZY = {"G": "pl_every", "D": "r1_every"}


@pytest.mark.parametrize("every", [1, 2, 3, 16])
@pytest.mark.parametrize("name", EACH)
def test_adam_is_slowed_by_its_steps_in_an_iteration(name: str, every: int) -> None:
    """Counted, over as many iterations as it takes each phase to come round, for every lazy phase that there is."""
    spec, method = spec_of(name), toy(name).method
    lazy = {field: every for field in LAZY.values() if hasattr(method, field)}
    built = replace(method, **lazy).resolve(spec, 4).build(spec)
    rounds = math.lcm(*(phase.every for phase in built.phases))
    for player in built.players:
        mine = [phase for phase in built.phases if phase.player == player]
        mine = [p for p in mine if any(p.active(stage) and mine[0].active(stage) for stage in range(3))]
        steps = {phase.name: sum(n % phase.every == 0 for n in range(rounds)) for phase in mine}
        counted = steps[mine[0].name] + sum(steps[p.name] for p in mine[1:] if p.gain == p.every)
        assert optimizers.lazy_ratio(built.phases, player) == pytest.approx(steps[mine[0].name] / counted)
        if len(mine) == 2 and mine[1].gain == mine[1].every:
            assert optimizers.lazy_ratio(built.phases, player) == pytest.approx(every / (every + 1))


def test_averages_follow_the_half_life() -> None:
    net, average = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    with torch.no_grad():
        net.weight.fill_(1.0)
        average.weight.fill_(0.0)
    for step in range(10):
        ema.update(average, net, ema.decay(100, half_life_kimg=1.0, rampup=None, seen=step * 100))
    assert average.weight.item() == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("changes", "world", "message"),
    [
        ({"batch": 5}, 2, r"--batch 5 can't be shared by 2 processes; take a multiple of 2"),
        ({"batch": 12, "micro_batch": 5}, 1, r"--micro-batch 5 does not divide the 12 images"),
        ({"grid": "8"}, 1, r"--grid '8' is not columns x rows"),
        ({"grid": "99999x99999"}, 1, r"--grid '99999x99999' is not columns x rows, at most 10,000 in all"),
    ],
)
def test_impossible_settings(changes: dict[str, Any], world: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        settings.resolve(replace(Training(), **changes), DataSpec((64, 64)), world)


@pytest.mark.parametrize(
    ("size", "world", "batch"), [(32, 1, 32), (256, 1, 16), (1024, 1, 4), (256, 8, 64), (1024, 8, 32)]
)
def test_automatic_batch_is_the_official_one(size: int, world: int, batch: int) -> None:
    assert settings.auto_batch(DataSpec((size, size)), world) == batch


def test_unknown_setting_and_preset(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no setting is called 'learning_rate'"):
        train("dcgan", faces, outdir=tmp_path, learning_rate=1)
    with pytest.raises(UserError, match=r"no preset is called 'stylgan2'; did you mean stylegan2\?"):
        train("stylgan2", faces, outdir=tmp_path)
    with pytest.raises(UserError, match=r"--grid '8' is not columns x rows, at most 10,000 in all; write 8x6"):
        train(toy("dcgan"), faces, outdir=tmp_path, grid="8", batch=4)


def test_rates_fall_to_zero_at_the_end_in_the_optimizers(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    step = optimizers.Learner.step

    def noted(self: optimizers.Learner, rate: float) -> None:
        step(self, rate)
        rates.append(self.optimizer.param_groups[0]["lr"])

    monkeypatch.setattr(optimizers.Learner, "step", noted)
    train(toy("vae"), faces, outdir=tmp_path, kimg=0.04, batch=4, lr=0.001, lr_decay=0.5, grid="4x2", metrics="none")
    assert [1000 * rate for rate in rates] == pytest.approx([1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])


def test_minutes_end_a_training_that_goes_on_as_if_it_had_not_stopped(faces: Path, tmp_path: Path) -> None:
    short = {"batch": 4, "grid": "2x2", "metrics": "none"}
    first = train(toy("dcgan"), faces, outdir=tmp_path / "a", minutes=1e-6, kimg=0.02, **short)
    assert (first.seen, first.finished) == (4, True)  # a step takes longer than that
    again = train(toy("dcgan"), faces, outdir=tmp_path / "a", minutes=1e-6, kimg=0.02, **short)
    assert (again.seen, again.folder) == (4, first.folder)
    longer = train(toy("dcgan"), faces, outdir=tmp_path / "a", kimg=0.02, **short)
    assert (longer.seen, longer.folder) == (20, first.folder)
    whole = train(toy("dcgan"), faces, outdir=tmp_path / "b", kimg=0.02, **short)
    assert all(torch.equal(weights(longer.folder)[name], value) for name, value in weights(whole.folder).items())


def test_a_dry_run_of_a_method_that_needs_a_whole_batch(faces: Path) -> None:
    assert "time: about" in dry_run(toy("gman"), faces, batch=16, discriminators=6)  # four images would not do
