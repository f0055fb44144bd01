"""Blend, pairs, student: each is what its own command makes, and a stopped call goes on with the same bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import organza
from organza import UserError, train
from organza.cli.main import main
from organza.models.sampling import Sampling
from organza.runs import toonify as module
from organza.runs.toonify import Recipe, toonify
from organza.studio.blend import blended
from organza.studio.codes import codes, draw
from organza.weights.save import averaged
from tests.shapes import toy

SMALL: dict[str, Any] = {"batch": 2, "grid": "2x1", "metrics": "none", "kimg": 0.004}
RECIPE = Recipe(swap=8, pairs=11, held_out=3, first_seed=100, psi=0.5)


@pytest.fixture(scope="module")
def second(tiny_run: Path, faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network trained on from `tiny_run`, quickly far away from it."""
    more: dict[str, Any] = {"kimg": 0.016, "batch": 4, "grid": "4x2", "lr": 0.05, "ema_kimg": 0.001}
    return train(toy("stylegan2"), faces, outdir=tmp_path_factory.mktemp("second"), resume=tiny_run, **more).folder


@pytest.fixture(scope="module")
def done(tiny_run: Path, second: Path, tmp_path_factory: pytest.TempPathFactory) -> module.Toonified:
    outdir = tmp_path_factory.mktemp("toonify") / "out"
    return toonify(tiny_run, second, outdir, RECIPE, student=toy("pix2pix"), **SMALL)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_pairs_are_both_networks_images_of_the_same_w(done: module.Toonified, tiny_run: Path, second: Path) -> None:
    G, C = organza.load(tiny_run), organza.load(done.blend)
    wanted = blended(G, organza.load(second), swap=8)
    assert all(bool((value == wanted[name]).all()) for name, value in averaged(C).items())
    for part, seeds in (("train", range(100, 111)), ("val", range(111, 114))):
        ws = codes(G, list(seeds), Sampling(psi=0.5))
        for side, network in (("A", G), ("B", C)):
            files = sorted((done.pairs / side / part).iterdir())
            assert [int(file.stem) for file in files] == list(seeds)
            difference = np.stack([pixels(file) for file in files]).astype(int) - draw(network, ws)
            assert abs(difference).max() <= 1  # batches of another size
    assert not np.array_equal(pixels(done.pairs / "A/val/0000111.png"), pixels(done.pairs / "B/val/0000111.png"))


def test_the_student_has_learnt_from_the_pairs(done: module.Toonified) -> None:
    config = json.loads((done.student.folder / "config.json").read_text())
    assert config["data"]["paired"] and config["data"]["images"] == 11 and done.student.finished
    T = organza.load(done.student.folder)
    assert done.comparison is not None
    sheet = pixels(done.comparison)
    made = np.asarray(T.translate(done.pairs / "A/val/0000111.png"))
    assert sheet.shape[:2] == (52, 52)  # with a pixel around each
    assert np.array_equal(sheet[1:17, 1:17], pixels(done.pairs / "A/val/0000111.png"))
    assert np.array_equal(sheet[18:34, 1:17], pixels(done.pairs / "B/val/0000111.png"))
    assert np.array_equal(sheet[35:51, 1:17], made)


def test_a_stopped_call_goes_on_with_the_same_bits(
    done: module.Toonified, tiny_run: Path, second: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Any] = []

    def dying(image: Any, path: Any) -> Path:
        written.append(path)
        if len(written) == 20:
            raise KeyboardInterrupt
        return save(image, path)

    save = module.save_picture
    with monkeypatch.context() as patch:
        patch.setattr(module, "save_picture", dying)
        with pytest.raises(KeyboardInterrupt):
            toonify(tiny_run, second, tmp_path / "out", RECIPE, student=toy("pix2pix"), **SMALL)
    again = toonify(tiny_run, second, tmp_path / "out", RECIPE, student=toy("pix2pix"), **SMALL)
    names = sorted(path.relative_to(done.pairs) for path in done.pairs.rglob("*.png"))
    assert names == sorted(path.relative_to(again.pairs) for path in again.pairs.rglob("*.png"))
    assert all((done.pairs / name).read_bytes() == (again.pairs / name).read_bytes() for name in names)
    one, other = (next((run.student.folder / "checkpoints").glob("0*")) for run in (done, again))
    assert (one / "nets.safetensors").read_bytes() == (other / "nets.safetensors").read_bytes()


def test_the_command(tiny_run: Path, second: Path, tmp_path: Path, capsys: Any) -> None:
    words = ["toonify", "--network", str(tiny_run), "--second", str(second), "--outdir", str(tmp_path / "out")]
    words += ["--pairs", "4", "--held-out", "2", "--kimg", "0.002", "--swap", "8"]
    words += ["--set", "batch=2", "width=2", "width_d=2", "layers_d=1", "grid=2x1"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "comparison.png" in said.out and "organza translate --network" in said.err
    assert main(words) == 0  # all is there
    assert "already at" in capsys.readouterr().err
    assert main([*words, "--trunc", "0.9"]) == 2
    assert "holds pairs with psi 0.7, not 0.9" in capsys.readouterr().err


def test_what_cannot_be_is_said_before_anything_is_written(tiny_run: Path, second: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match="cyclegan does not learn from pairs"):
        toonify(tiny_run, second, out, RECIPE, student="cyclegan")
    with pytest.raises(UserError, match="no setting is called 'kimgs'"):
        toonify(tiny_run, second, out, RECIPE, kimgs=3)
    with pytest.raises(UserError, match="an image of 16x16 does not fit this network"):
        toonify(tiny_run, second, out, RECIPE)  # pix2pix at its full depth
    with pytest.raises(UserError, match="0 pairs"):
        toonify(tiny_run, second, out, Recipe(pairs=0))
    assert not out.exists()
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="holds something else"):
        toonify(tiny_run, second, tmp_path, RECIPE, student=toy("pix2pix"))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
