"""One page with everything about a translation."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from organza import train
from organza.cli.main import main
from organza.media.images import save_picture
from tests.shapes import toy

SHORT = {"batch": 4, "grid": "2x1", "kimg": 0.008}


@pytest.fixture(scope="module")
def run(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(toy("cyclegan"), pairs, outdir=tmp_path_factory.mktemp("runs"), **SHORT).folder


def columns(page: str) -> list[str]:
    return re.findall(r"<th>([^<\n]+)", page)


def test_a_page_of_halves_holds_all_images(run, tmp_path, capsys):
    for number in range(2):
        pixels = np.random.RandomState(number).randint(0, 256, (16, 32, 3), np.uint8)
        save_picture(pixels, tmp_path / "in" / f"<b>{number}.png")
    words = ["translate", "--network", str(run), "--input", str(tmp_path / "in"), "--outdir", str(tmp_path / "out")]
    assert main([*words, "--side", "left", "--report", str(tmp_path / "page.html")]) == 0
    assert "page.html" in capsys.readouterr().out
    page = (tmp_path / "page.html").read_text()
    assert columns(page) == ["input", "output", "target", "cycle"]
    images = [Image.open(io.BytesIO(base64.b64decode(data))) for data in re.findall(r"base64,([^\"]+)", page)]
    assert len(images) == 8 and {image.size for image in images} == {(16, 16)}
    assert "<b>" not in page and "levels from the target" in page and "http" not in page
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_targets_by_name_and_what_a_page_refuses(run, tmp_path, capsys):
    for folder, number in (("in", 0), ("in", 1), ("wanted", 1)):
        pixels = np.random.RandomState(number).randint(0, 256, (16, 16, 3), np.uint8)
        save_picture(pixels, tmp_path / folder / f"{number}.png")
    words = ["translate", "--network", str(run), "--input", str(tmp_path / "in" / "1.png")]
    words += ["--output", str(tmp_path / "o.png"), "--report"]
    assert main([*words, str(tmp_path / "page.html"), "--targets", str(tmp_path / "wanted")]) == 0
    assert columns((tmp_path / "page.html").read_text()) == ["input", "output", "target", "cycle"]
    words[4] = str(tmp_path / "in")  # one of two has a target
    assert main([*words[:5], "--outdir", str(tmp_path / "o"), "--report", str(tmp_path / "page.html"), *words[8:]]) == 0
    words[4] = str(tmp_path / "in" / "1.png")
    assert main([*words, str(tmp_path / "page.html")]) == 0
    assert columns((tmp_path / "page.html").read_text()) == ["input", "output", "cycle"]
    before = (tmp_path / "page.html").read_bytes()
    for more, what in (
        ([str(tmp_path / "page.pdf")], ".html"),
        ([str(tmp_path / "page.html"), "--compare"], "a column"),
    ):
        capsys.readouterr()
        assert main([*words, *more]) == 2
        assert what in capsys.readouterr().err
    assert (tmp_path / "page.html").read_bytes() == before


def test_each_image_meets_the_target_of_its_own_folder(run, tmp_path, capsys):
    """Halves that are alike within an image, in two folders under one name: only swapped targets are far away."""
    for folder, level in (("x", 40), ("y", 200)):
        save_picture(np.full([16, 32, 3], level, np.uint8), tmp_path / "in" / folder / "0.png")
        save_picture(np.full([16, 16, 3], level, np.uint8), tmp_path / "wanted" / folder / "0.jpg")
    words = ["translate", "--network", str(run), "--input", str(tmp_path / "in"), "--outdir", str(tmp_path / "out")]
    words += ["--report", str(tmp_path / "page.html")]
    for more in (["--side", "left"], ["--targets", str(tmp_path / "wanted")]):
        assert main([*words, *more]) == 0
        data = re.findall(r"base64,([^\"]+)", (tmp_path / "page.html").read_text())
        images = [np.asarray(Image.open(io.BytesIO(base64.b64decode(each)))) for each in data]
        levels = {round(float(image.mean()), -1) for image in images[2::4]}
        assert len(images) == 8 and levels == {40, 200}, more
        assert abs(images[0].mean() - images[2].mean()) < 2 and abs(images[4].mean() - images[6].mean()) < 2, more
    save_picture(np.zeros([16, 16, 3], np.uint8), tmp_path / "others" / "z" / "1.png")
    capsys.readouterr()
    assert main([*words, "--targets", str(tmp_path / "others")]) == 0
    assert "no target for x/0.png (2 of 2)" in capsys.readouterr().err


def test_targets_alone_and_the_mode_that_a_page_names(run, tmp_path, capsys):
    save_picture(np.zeros([16, 16, 3], np.uint8), tmp_path / "in" / "0.png")
    words = ["translate", "--network", str(run), "--input", str(tmp_path / "in"), "--outdir", str(tmp_path / "out")]
    assert main([*words, "--targets", str(tmp_path / "in")]) == 2
    assert "give --report" in capsys.readouterr().err and not (tmp_path / "out").exists()
    for mode in ("train", "eval"):
        assert main([*words, "--norm-mode", mode, "--report", str(tmp_path / "page.html")]) == 0
        assert f"in mode {mode}," in (tmp_path / "page.html").read_text()
