"""A program that listens is told how far a command is, and how it ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from PIL import Image

from organza.cli.main import main
from organza.core.channel import PREVIEW, PROGRESS


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(PROGRESS, str(tmp_path / "told" / "progress.json"))
    monkeypatch.setattr("organza.core.channel.EVERY", 0.0)
    monkeypatch.setattr("organza.cli.progress.EVERY", 0.0)
    return tmp_path / "told" / "progress.json"


def test_images_are_counted(place, tiny_run, capsys):
    assert main(["generate", "--network", str(tiny_run), "--seeds", "0-4"]) == 0
    told = json.loads(place.read_text())
    assert (told["done"], told["total"], told["unit"], told["pid"]) == (5, 5, "images", os.getpid())
    assert "code" not in told  # it was called from Python, and the process goes on


def test_a_projection_shows_its_newest_image(place, tiny_run, tmp_path, capsys):
    Image.new("RGB", (16, 16), "red").save(tmp_path / "red.png")
    words = ["project", "red.png", "--network", str(tiny_run), "--steps", "3", "--film", "none", "--scale", "2"]
    assert main(words) == 0, capsys.readouterr().err
    with Image.open(place.with_name(PREVIEW)) as image:
        assert image.size == (2 * (16 + 2), 2 * (2 * 16 + 3))  # the target above what was found, with lines between
        assert image.getpixel((5, 5)) == (255, 0, 0)
    told = json.loads(place.read_text())
    assert (told["title"], told["done"], told["total"]) == ("searching", 3, 3)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [(["--version"], 0, None), (["nothing"], 2, "there is no")],
)
def test_how_a_command_ended(place, words, code, said):
    done = subprocess.run([sys.executable, "-m", "organza", *words], capture_output=True, check=False)
    assert done.returncode == code, done.stderr
    told = json.loads(place.read_text())
    assert told["code"] == code and isinstance(told["pid"], int)
    assert told["error"] is None if said is None else said in told["error"] and "\n" not in told["error"]


def test_nobody_listens(tmp_path, monkeypatch, tiny_run, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(PROGRESS, raising=False)
    assert main(["generate", "--network", str(tiny_run), "--seeds", "0"]) == 0
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["out", "seed0000.png", "seed0000.png.json"]
