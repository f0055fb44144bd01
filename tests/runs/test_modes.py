"""The counting of modes, the games, and what two lines say of distances."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from PIL import Image

from organza import UserError
from organza.cli.main import main
from organza.runs.distances import measure
from organza.runs.modes.games import GAMES, play
from organza.runs.modes.stacked import Stacked, classifier_of
from organza.runs.modes.study import Outcome, Plan, carry_out, table, worlds
from organza.runs.modes.worlds import WORLDS, Dense, grid, line, ring

RNG = torch.Generator


@pytest.mark.parametrize("name", WORLDS)
def test_real_data_covers_all_modes_and_is_standardised(name):
    world = WORLDS[name]()
    points = world.draw(5000, RNG().manual_seed(0))
    found = world.covered(points)
    # Of a two-dimensional Gaussian 98.9% lies within three deviations, of one on a line 99.7%.
    assert found.modes == world.modes and abs(found.good - (0.989 if name != "line" else 0.997)) < 0.006
    assert abs(points.mean()) < 0.05 and abs(points.square().mean() - 1) < 0.05


def test_coverage_by_hand():
    world = ring()
    centres = (world.centres - world.centres.mean(0)) / world.scale
    step = 0.02 / world.scale
    on = centres[:3].repeat(10, 1)
    assert world.covered(on) == world.covered(on + torch.tensor([2.9 * step, 0.0]))
    assert (world.covered(on).modes, world.covered(on).good) == (3, 1.0)
    assert world.covered(on + torch.tensor([3.1 * step, 0.0])).good == 0
    half = torch.cat([centres[:1].repeat(50, 1), torch.full([50, 2], 9.0)])
    assert (world.covered(half).modes, world.covered(half).good) == (1, 0.5)
    # One of many is no mode: a tenth of its share is needed, here 1.25 of 100.
    stray = torch.cat([centres[:1].repeat(99, 1), centres[1:2]])
    assert world.covered(stray).modes == 1
    assert world.covered(torch.cat([stray, centres[1:2]])).modes == 2
    assert (grid().modes, line().modes) == (25, 5)


def test_trainings_side_by_side_do_not_touch():
    """A seed alone comes out as it does beside others."""
    for name in ("gan", "gman", "mad-gan", "wgan"):
        alone = play(GAMES[name], line(), [5], steps=6, batch=12, looks=1)
        beside = play(GAMES[name], line(), [5, 8], steps=6, batch=12, looks=1)
        torch.testing.assert_close(beside[0].samples, alone[0].samples, rtol=1e-3, atol=1e-4, msg=name)
        assert not torch.allclose(beside[1].samples, alone[0].samples)


def test_dense_layers_are_linear_ones():
    layer = Dense([3, 4], 5, 2)
    x = torch.randn(2, 7, 5)
    for n in range(2):
        torch.testing.assert_close(layer(x)[n], x[n] @ layer.weight[n] + layer.bias[n])


@pytest.mark.parametrize("name", GAMES)
def test_every_game_is_played(name):
    played = play(GAMES[name], ring(), [0, 1], steps=3, batch=12, looks=3)
    assert [[step for step, _ in each.history] for each in played] == [[1, 2, 3]] * 2
    assert all(each.samples.shape == (2500, 2) and each.samples.isfinite().all() for each in played)


def test_weights_of_wgan_are_clipped(monkeypatch):
    from organza.runs.modes import worlds as made

    critics = []
    critic = made.Mixture.critic
    monkeypatch.setattr(made.Mixture, "critic", lambda *a: critics.append(critic(*a)) or critics[-1])
    play(GAMES["wgan"], ring(), [0], steps=1, batch=8, looks=1)
    assert max(p.abs().max() for p in critics[0].parameters()) <= 0.1


# --- the study ---


def test_a_study_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    told: list[str] = []
    plan = Plan(worlds(["ring", "line"], None), ["gan", "mad-gan"], [0, 1], 4, 8, tmp_path)
    ticks: list[tuple[int, int]] = []
    first = carry_out(plan, lambda *done: ticks.append(done), told.append)
    assert len(first) == len(told) == 8 and ticks[-1] == (16, 16)
    plan.file("line", "gan", 1).write_text("{broken")
    told.clear()
    again = carry_out(plan, say=told.append)
    assert len(told) == 1 and told[0].startswith("line, gan, seed 1: ")
    assert [(o.world, o.game, o.seed) for o in again] == [(o.world, o.game, o.seed) for o in first]
    for one, other in zip(first, again, strict=True):
        assert one.good == pytest.approx(other.good, abs=0.01)
    heads, *rows = table(again)
    assert heads == ["game", "ring: modes of 8", "good %", "line: modes of 5", "good %"]
    assert [row[0] for row in rows] == ["gan", "mad-gan"]


def test_a_table_has_deviations():
    outcomes = [Outcome("ring", "gan", s, 8, m, g, 1.0, [], []) for s, m, g in ((0, 6.0, 0.5), (1, 8.0, 0.7))]
    assert table(outcomes)[1] == ["gan", "7.0 ± 1.4", "60 ± 14"]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"bench modes --outdir {tmp_path} --worlds ring,line --games gan,gman --seeds 0-1 --steps 3 --batch 8"
    assert main(line.split()) == 0
    out, err = capsys.readouterr()
    assert "ring: modes of 8" in out and out.rstrip().endswith("modes.png") and "ring, gan, seed 0" in err
    with Image.open(tmp_path / "modes.png") as image:
        assert image.size[0] > 500
    assert json.loads((tmp_path / "modes" / "ring-gan-3x8-0.json").read_text())["of"] == 8
    for words, said in (
        ("--worlds moon", "there is no world 'moon'; choose of grid, ring, line, stacked"),
        ("--games chess", "there is no game 'chess'; choose of gan, lsgan"),
        ("--seeds x", "can't read the seeds 'x'"),
        ("--worlds stacked", "stacked digits are made of MNIST; say with --mnist where it lies"),
    ):
        assert main(f"bench modes --outdir {tmp_path} {words}".split()) == 2
        assert said in capsys.readouterr().err


def test_stacked_digits_are_counted():
    """A classifier that knows its digits by their brightness."""

    class ByBrightness(torch.nn.Module):
        def forward(self, x):
            places = torch.arange(10.0) / 5 - 1
            return -1000 * (x.mean((1, 2, 3))[:, None] - places).square()

    digits = (torch.arange(10.0) / 5 - 1)[:, None, None, None].expand(10, 1, 32, 32)
    world = Stacked(digits, ByBrightness(), width=4, z_dim=8)
    images = world.draw(3000, RNG().manual_seed(0))
    assert images.shape == (3000, 3, 32, 32)
    found = world.covered(images)
    assert found.good == 1 and found.modes > 900
    assert world.covered(images[:1].expand(10, -1, -1, -1)).modes == 1
    assert world.covered(images + 0.1).good < 0.01  # between two digits
    (played,) = play(GAMES["mad-gan"], world, [0], steps=1, batch=4, looks=1)
    assert played.samples.shape == (2500, 3, 32, 32)
    (played,) = play(GAMES["wgan-gp"], world, [0], steps=1, batch=4, looks=1)
    assert played.samples.shape == (2500, 3, 32, 32)


def test_a_classifier_learns():
    rng = RNG().manual_seed(0)
    classes = torch.randint(3, [600], generator=rng)
    digits = torch.full([600, 1, 32, 32], -1.0)
    for n, which in enumerate(classes.tolist()):
        digits[n, 0, 4 + 8 * which : 10 + 8 * which, 4:28] = 1.0
    net = classifier_of(digits, classes, batch=20)
    assert (net(digits).argmax(1) == classes).float().mean() > 0.95


# --- distances ---


def test_js_is_constant_and_teaches_nothing_where_wasserstein_moves():
    near, far = measure(0.25), measure(1.0)
    for found in (near, far):
        assert found.divergence == pytest.approx(math.log(2), abs=0.02)
        assert abs(found.saturating) < 0.01
        assert found.distance == pytest.approx(found.theta, abs=0.15)
        assert found.wasserstein == pytest.approx(1.0, abs=0.25)


def test_the_command_draws_distances(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    from organza.runs import distances

    monkeypatch.setattr(distances.sweep, "__defaults__", ((-1.0, 0.0, 1.0), 20, lambda done, total: None))
    assert main(["bench", "chess"]) == 2
    assert "there is no bench called 'chess'; choose modes or distances" in capsys.readouterr().err
    assert main(["bench", "distances", "--outdir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.rstrip().endswith("distances.png")
    assert (tmp_path / "distances.png").exists()
    with pytest.raises(UserError):
        worlds(["nowhere"], None)
