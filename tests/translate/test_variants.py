"""Many results of one image, the style of another, how different they are, and what a cycle hides."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import organza
from organza import UserError, train
from organza.cli.main import main
from organza.media.images import save_picture, to_tensor
from organza.translate.diversity import diversity
from organza.translate.files import translate_files
from organza.translate.hidden import hidden
from organza.vision.lpips import open_distance
from tests.shapes import toy

SHORT = {"batch": 4, "grid": "2x1", "kimg": 0.008}


@pytest.fixture(scope="module")
def runs(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    outdir = tmp_path_factory.mktemp("variants")
    return {name: train(toy(name), pairs, outdir=outdir, **SHORT).folder for name in ("bicyclegan", "cyclegan")}


def image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3), np.uint8)


def test_a_style_comes_from_a_target(runs: dict[str, Path]) -> None:
    T = organza.load(runs["bicyclegan"])
    one, two = T.encode([image(16, 16, 1), image(40, 20, 2)]).split(1)
    assert one.shape == (1, 3) and not torch.equal(one, two)
    assert torch.equal(T.encode(image(16, 16, 1)), one)
    with torch.no_grad():
        assert T.encoder is not None
        torch.testing.assert_close(T.encoder(to_tensor(image(16, 16, 1)[None]))[0], one)
    source = image(16, 16)
    assert np.array_equal(T.translate(source, z=one), T.translate(source, z=one, seed=5))
    assert not np.array_equal(T.translate(source, seed=1), T.translate(source, seed=2))
    assert T.encode(image(1, 3)).shape == (1, 3)


def test_a_network_without_labels_takes_no_target(runs: dict[str, Path]) -> None:
    T = organza.load(runs["cyclegan"], model="AtoB")
    for ask in (T.photo, T.translate):
        with pytest.raises(UserError, match="has no labels, so it takes no target"):
            ask(image(16, 16), target="Young")


def test_samples_lie_beside_their_source(runs: dict[str, Path], tmp_path: Path) -> None:
    T = organza.load(runs["bicyclegan"])
    save_picture(image(16, 16), tmp_path / "a.png")
    (path,) = translate_files(T, tmp_path / "a.png", outdir=tmp_path / "out", samples=3, seed=7).written
    with Image.open(path) as found:
        row = np.asarray(found)
    assert row.shape == (16, 64, 3) and np.array_equal(row[:, :16], image(16, 16))
    for k in range(3):
        assert np.array_equal(row[:, 16 * (k + 1) : 16 * (k + 2)], T.translate(image(16, 16), seed=7 + k))


def test_on_the_command_line(runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_picture(image(16, 16), tmp_path / "a.png")
    save_picture(image(16, 16, 1), tmp_path / "b.png")
    common = ["translate", "--input", str(tmp_path / "a.png"), "--output", str(tmp_path / "o.png"), "--device", "cpu"]
    bicycle, cycle = (["--network", str(runs[name])] for name in ("bicyclegan", "cyclegan"))
    for more, width in (
        ([*bicycle, "--samples", "2"], 48),
        ([*bicycle, "--style", str(tmp_path / "b.png")], 16),
        ([*cycle, "--hidden"], 96),
    ):
        assert main([*common, *more]) == 0
        with Image.open(tmp_path / "o.png") as found:
            assert found.size == (width, 16)
    assert "comes back to " in capsys.readouterr().out
    for more, message in (
        ([*cycle, "--samples", "2"], "cyclegan makes one result of an image, not many; train bicyclegan for many"),
        ([*cycle, "--style", "b.png"], "cyclegan makes one result of an image"),
        ([*bicycle, "--hidden"], "bicyclegan has no way back, so there is nothing to hide; --hidden is for methods"),
        ([*bicycle, "--samples", "2", "--style", "b.png"], "leave one of them out"),
        ([*bicycle, "--style", str(tmp_path / "no.png")], "no.png"),
        ([*bicycle, "--model", "BtoA"], "it has no model 'BtoA'"),
    ):
        assert main([*common, *more]) == 2
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1


def test_diversity_is_the_mean_over_all_pairs(runs: dict[str, Path]) -> None:
    T, images = organza.load(runs["bicyclegan"]), [image(16, 16), image(16, 24, 1)]
    found = diversity(T, images, 4, distance="voile64", seed=2)
    measure, expected = open_distance("voile64", device="cpu"), []
    for number, each in enumerate(images):
        made = [to_tensor(np.asarray(T.translate(each, seed=2 + 4 * number + k))[None]) for k in range(4)]
        expected += [float(measure(one, two)) for one, two in combinations(made, 2)]
    assert found.distance == pytest.approx(np.mean(expected), rel=1e-3)
    assert found.measured == "voile64 perceptual (not LPIPS)" and (found.images, found.samples) == (2, 4)
    for call, message in (
        (lambda: diversity(T, images, 1), "two results of an image at least"),
        (lambda: diversity(organza.load(runs["cyclegan"]), images), "makes one result"),
    ):
        with pytest.raises(UserError, match=message):
            call()


def test_what_a_cycle_hides_is_lost_in_between(runs: dict[str, Path]) -> None:
    """Two networks by hand: one writes the source's red into the output's lowest bits, the other reads it there."""
    T, back = (organza.load(runs["cyclegan"], model=model) for model in ("AtoB", "BtoA"))

    def hide(net: object, images: torch.Tensor, labels: object, z: object) -> torch.Tensor:
        return torch.tensor(0.0) + images.sign() / 127.5

    def find(net: object, images: torch.Tensor, labels: object, z: object) -> torch.Tensor:
        return images.sign()

    there = replace(T, model=replace(T.model, apply=hide))
    home = replace(back, model=replace(back.model, apply=find))
    source = np.where(image(16, 16)[..., :1] > 127, 255, 0).astype(np.uint8).repeat(3, 2)
    found = hidden(there, home, source)
    assert found.distance < 1 and found.distance_noise > 60 and found.distance_jpeg > 20
    assert found.changed_noise < 4 and found.changed_jpeg < 4
    assert np.array_equal(found.source, source) and np.array_equal(found.cycle, source)
    assert found.output.std() < 3 < found.residue.std()
    assert found.figure.size == (96, 16) and np.array_equal(hidden(there, home, source).after_noise, found.after_noise)
    with pytest.raises(UserError, match="don't lead there and home"):
        hidden(there, replace(home, model=replace(home.model, channels=1)), source)
