"""What the contract promises beside losses: carried tensors, stages, rates, optimizers, frozen helpers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from organza import UserError, train
from organza.contract.data import Batch, DataSpec
from organza.contract.method import SGD, Adam, Clock, Method, Optimizer, Phase, Player, Result, RMSprop, Schedule
from organza.core.config import from_plain, to_plain
from organza.training.checkpoint import content_mark, newest_first
from organza.training.loop import advance
from organza.training.loop import train as run_loop
from organza.training.monitor import Monitor
from organza.training.settings import Training, resolve
from organza.training.state import State
from organza.training.voice import Voice
from tests.pair import Pair, alone, learn
from tests.shapes import batch_of, spec_of, toy

CPU = torch.device("cpu")


def pulled(nets, batch, rng):
    """Pulls weights towards zero."""
    return Result(sum(p.square().sum() for net in nets.values() for p in net.parameters() if p.requires_grad))


def method(**changes) -> Method:
    """Two networks of one player."""
    torch.manual_seed(0)
    whole = Method(
        nets={"A": nn.Linear(2, 2), "B": nn.Linear(2, 2)},
        players={"G": Player(("A", "B"), Adam(0.1))},
        phases=(Phase("G", "G", pulled),),
        models={},
    )
    return replace(whole, **changes)


class Stream:
    """Batches that say where they are."""

    waited, count = 0.0, 10

    def batch(self, seen: int, size: int) -> Batch:
        return Batch(torch.arange(seen, seen + size).float().reshape(-1, 1, 1, 1), torch.zeros(size, 0), seen)


class Quiet(Monitor):
    """Writes no sample grid: these methods have no models."""

    def sample(self, state):
        pass


def run(built: Method, folder: Path, kimg: float, **settings) -> State:
    """The loop over `Stream`; goes on from the newest checkpoint of ``folder``."""
    state = State.fresh(built, CPU)
    for path in newest_first(folder / "checkpoints"):
        state.load(path)
        break
    training = resolve(Training(kimg=kimg, batch=4, **settings), DataSpec((1, 1), 1), 1)
    folder.mkdir(exist_ok=True)
    monitor = Quiet(folder, training, Batch(torch.zeros(1, 1, 1, 1), torch.zeros(1, 0)), state.position, Voice(kimg))
    assert run_loop(state, Stream(), training, torch.float32, monitor, {})
    return state


# --- carry ---


def test_later_phases_find_what_earlier_ones_left(tmp_path):
    found = []

    def first(nets, batch, rng):
        return Result(nets["A"].weight.sum() * 0, carry={"made": batch.images.flatten(1) * 10})

    def after(nets, result, rng):
        assert result.carry["made"].shape == (4, 1)
        return {"made": result.carry["made"] + 1}

    def second(nets, batch, rng):
        found.append((batch.images.flatten().tolist(), batch.carry["made"].flatten().tolist()))
        return Result(nets["B"].weight.sum() * 0)

    run(
        method(phases=(Phase("one", "G", first, after=after), Phase("two", "G", second))),
        tmp_path / "run",
        kimg=0.008,
        micro_batch=2,
    )
    # Each micro-batch finds the part that belongs to its images; nothing is left over for the next step.
    assert found == [
        ([0, 1], [1, 11]),
        ([2, 3], [21, 31]),
        ([4, 5], [41, 51]),
        ([6, 7], [61, 71]),
    ]


def test_carried_tensors_are_by_image():
    def loss(nets, batch, rng):
        return replace(pulled(nets, batch, rng), carry={"x": torch.zeros(3)})

    built = method(phases=(Phase("G", "G", loss),))
    with pytest.raises(UserError, match=r"phase 'G' carries 'x' of shape \[3\], not \[4, ...\]"):
        advance(State.fresh(built, CPU), built.phases[0], Stream().batch(0, 4), Training())


def test_a_pool_is_the_same_however_the_batch_is_cut():
    spec, found = spec_of("cyclegan"), []
    for micro in (8, 2):
        torch.manual_seed(0)
        state = State.fresh(toy("cyclegan").method.resolve(spec, 8).build(spec), CPU)
        for step in range(3):
            torch.manual_seed(step)
            batch = batch_of(spec, 8, seen=8 * step)
            for phase in state.method.phases:
                batch = batch.leaving(advance(state, phase, batch, Training(micro_batch=micro)).carry)
        found.append({name: value.clone() for name, value in state.method.state.items()})
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], rtol=1e-4, atol=1e-4, msg=name)
    assert found[0]["pool/outputs/count"] == 3


TWICE = ["pix2pix", "cyclegan", "bicyclegan", "fastcut", "ugatit-light", "stargan", "pix2pixhd", "animegan"]
TWICE += ["stackgan", "stackgan-v2", "gman", "triple-gan"]


@pytest.mark.parametrize("name", TWICE)
def test_two_processes_learn_as_one_with_two_micro_batches(
    name: str, shown: Callable[[str], Path], pair: Pair, tmp_path: Path
) -> None:
    options = {"kimg": 0.032, "batch": 8, "micro_batch": 4, "grid": "1x1"}
    found = []
    for where, call in (("one", alone), ("two", pair)):
        call(learn, name=name, data=str(shown(name)), outdir=str(tmp_path / where), method={}, **options)
        (folder,) = (tmp_path / where).iterdir()
        path = next(newest_first(folder / "checkpoints"))
        found.append({k: v for file in ("nets", "resume") for k, v in load_file(path / f"{file}.safetensors").items()})
    one, two = found
    assert one.keys() == two.keys()
    for key, tensor in one.items():
        torch.testing.assert_close(tensor, two[key], rtol=1e-4, atol=1e-5, msg=lambda m, key=key: f"{key}: {m}")


# --- stages, rates ---


def test_stages_choose_phases_and_what_learns(tmp_path):
    """A part that is trained first and then held still (pix2pixHD); a phase of the first stage alone (CartoonGAN)."""
    ran = []

    def note(name):
        def loss(nets, batch, rng):
            ran.append((name, batch.seen))
            return pulled(nets, batch, rng)

        return loss

    def fixed(stage):
        return ("A",) if stage else ("B",)

    built = method(
        players={"G": Player(("A", "B"), Adam(0.1, weight_decay=0.1), fixed=fixed)},
        phases=(Phase("warm", "G", note("warm"), active=lambda stage: stage == 0), Phase("G", "G", note("G"))),
        schedule=lambda clock: Schedule(stage=int(clock.seen >= 8)),
    )
    start = {name: net.weight.clone() for name, net in built.nets.items()}
    run(built, tmp_path / "run", kimg=0.008)
    assert torch.equal(built.nets["B"].weight, start["B"]) and not torch.equal(built.nets["A"].weight, start["A"])
    middle = built.nets["A"].weight.clone()
    run(built, tmp_path / "run", kimg=0.016)
    assert torch.equal(built.nets["A"].weight, middle) and not torch.equal(built.nets["B"].weight, start["B"])
    assert ran == [("warm", 0), ("G", 0), ("warm", 4), ("G", 4), ("G", 8), ("G", 12)]


def test_schedules_know_length_and_epochs_and_single_players(tmp_path):
    clocks = []

    def schedule(clock: Clock) -> Schedule:
        clocks.append(clock)
        return Schedule(rates={"D": 0.0})

    torch.manual_seed(0)
    built = method(
        players={"G": Player(("A",), SGD(0.1)), "D": Player(("B",), SGD(0.1))},
        phases=(Phase("G", "G", pulled), Phase("D", "D", pulled)),
        schedule=schedule,
    )
    start = {name: net.weight.clone() for name, net in built.nets.items()}
    run(built, tmp_path / "run", kimg=0.012)
    assert clocks == [Clock(0, 12, 10), Clock(4, 12, 10), Clock(8, 12, 10)]
    assert clocks[1].epoch == 0.4
    assert torch.equal(built.nets["B"].weight, start["B"]) and not torch.equal(built.nets["A"].weight, start["A"])


def test_epochs_become_images():
    spec = DataSpec((16, 16), count=250)
    assert resolve(Training(epochs=2, batch=1), spec, 1).kimg == 0.5
    with pytest.raises(UserError, match="nobody knows how long an epoch of this data is; give --kimg"):
        resolve(Training(epochs=2), DataSpec((16, 16)), 1)


def test_a_typed_length_wins_over_the_presets_epochs(pairs: Path, tmp_path: Path) -> None:
    assert train(toy("pix2pix"), pairs, outdir=tmp_path, kimg=0.004, batch=4, grid="1x1").seen == 4
    assert train(toy("pix2pix"), pairs, outdir=tmp_path, epochs=0.5, batch=4, grid="1x1").seen == 12
    with pytest.raises(UserError, match="--epochs and --kimg are two lengths of one training"):
        train(toy("pix2pix"), pairs, outdir=tmp_path, epochs=1, kimg=1)


# --- optimizers ---


OPTIMIZERS = [Adam(0.01, (0.5, 0.999), weight_decay=0.1), RMSprop(0.01), SGD(0.01), SGD(0.01, 0.9)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_resumes_exactly(optimizer: Optimizer, tmp_path: Path) -> None:
    def fresh() -> Method:
        return method(players={"G": Player(("A", "B"), optimizer)})

    straight = run(fresh(), tmp_path / "straight", kimg=0.024)
    run(fresh(), tmp_path / "cut", kimg=0.012)
    resumed = run(fresh(), tmp_path / "cut", kimg=0.024)
    for name, net in straight.method.nets.items():
        assert torch.equal(net.weight, resumed.method.nets[name].weight)


def test_optimizers_are_pytorchs() -> None:
    """By hand: L2 weight decay is part of the gradient; RMSprop divides by the root of the running mean square."""
    for optimizer, expected in (
        (SGD(0.1, weight_decay=0.5), 1 - 0.1 * (2 + 0.5)),
        (RMSprop(0.1, alpha=0.9), 1 - 0.1 * 2 / (0.1 * 4) ** 0.5),
        (Adam(0.1, (0.0, 0.99)), 1 - 0.1),
    ):
        built = method(nets={"A": nn.Linear(1, 1, bias=False)}, players={"G": Player(("A",), optimizer)})
        nn.init.ones_(built.nets["A"].weight)
        advance(State.fresh(built, CPU), built.phases[0], Stream().batch(0, 4), Training())
        assert built.nets["A"].weight.item() == pytest.approx(expected, abs=1e-6)


# --- frozen helpers ---


def test_frozen_helpers_are_seen_and_never_saved_or_changed(tmp_path):
    helper = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    mark, weight = content_mark(helper), helper[0].weight.clone()

    def loss(nets, batch, rng):
        assert not nets["vgg"].training and not any(p.requires_grad for p in nets["vgg"].parameters())
        return Result((nets["vgg"](nets["A"].weight) ** 2).sum())

    built = method(frozen={"vgg": helper}, phases=(Phase("G", "G", loss),))
    before = built.nets["A"].weight.clone()
    run(built, tmp_path / "run", kimg=0.008)
    assert not torch.equal(built.nets["A"].weight, before)
    assert torch.equal(helper[0].weight, weight)
    saved = load_file(next(newest_first(tmp_path / "run" / "checkpoints")) / "nets.safetensors")
    assert {name.split(".")[0] for name in saved} == {"A", "B"}
    assert content_mark(helper) == mark
    with torch.no_grad():
        helper[0].weight[0, 0] += 1e-3
    assert content_mark(helper) != mark


def test_a_spec_goes_to_plain_and_back() -> None:
    spec = DataSpec((16, 24), 3, source=1, count=250, direction="BtoA")
    assert from_plain(DataSpec, to_plain(spec)) == spec
    assert from_plain(DataSpec, {"resolution": [16, 16], "channels": 3, "label_dim": 0}) == DataSpec((16, 16))
