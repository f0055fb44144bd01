"""organza train and organza demo, as typed."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from organza.cli.main import main

TOY = ["--z-dim=8", "--w-dim=8", "--channel-base=128", "--channel-max=8", "--batch=4", "--grid=4x2"]


def test_train_then_the_same_command_again(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "stylegan2", "--data", str(faces), "--outdir", str(tmp_path), "--kimg", "0.008", *TOY]
    assert main(command) == 0
    assert "next: organza generate --network" in capsys.readouterr().err
    (run,) = tmp_path.iterdir()
    assert run.name == "00000-stylegan2-faces"
    config = json.loads((run / "config.json").read_text())
    assert config["config"]["r1_gamma"] == pytest.approx(0.0002 * 256 / 4)
    assert main(command) == 0
    assert "already at 0.008 kimg" in capsys.readouterr().err


def test_dry_run(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "stylegan2", "--data", str(faces), "--outdir", str(tmp_path), "--dry-run", *TOY]) == 0
    out = capsys.readouterr().out
    assert '"channel_base": 128' in out
    assert re.search(r"G: [\d,]+ parameters", out)
    assert re.search(r"memory: about [\d.]+ GB", out)
    assert re.search(r"time: about \d+ s/kimg, [\d.]+ h for 25000 kimg", out)
    assert not list(tmp_path.iterdir())


def test_pairs_and_two_sets_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("trainA", "trainB"):
        (tmp_path / "set" / folder).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (8, 8), (90 * number, 0, 0)).save(tmp_path / "set" / folder / f"{number}.png")
    command = ["train", "stylegan2", "--data", str(tmp_path / "set"), "--outdir", str(tmp_path / "runs"), *TOY]
    for more in ([], ["--dry-run"]):
        assert main([*command, *more]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "name one" in said and "--layout images takes them as they are" in said
    assert not (tmp_path / "runs").exists()
    assert main([*command, "--kimg", "0.004", "--resolution", "8", "--layout", "images"]) == 0
    assert "on 4 pictures" in capsys.readouterr().err


def test_profile(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "stylegan2", "--data", str(faces), "--outdir", str(tmp_path), *TOY, "--snapshot-kimg", "9"]
    assert main([*command, "--kimg", "0.004", "--profile"]) == 0
    assert "too short to profile" in capsys.readouterr().err
    assert main([*command, "--kimg", "0.088", "--profile"]) == 0
    assert "16 steps profiled" in capsys.readouterr().err
    (run,) = tmp_path.iterdir()
    text = (run / "profile.txt").read_text()
    calls = {m[1]: int(m[2]) for m in re.finditer(r"(\w+): loss +(\d+) ", text)}
    assert calls == {"Gmain": 16, "Dmain": 16, "Greg": 4, "Dreg": 1}
    assert "mkldnn_convolution" in text or "conv" in text
    trace = json.loads(gzip.decompress((run / "trace.json.gz").read_bytes()))
    assert any(event.get("name") == "Dreg: gradients and step" for event in trace["traceEvents"])
    assert {path.name for path in run.iterdir()} >= {"trace.json.gz", "log.jsonl"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "stylegan2"], "--data is missing"),
        (["train", "stylegan5", "--data", "x"], "no preset is called 'stylegan5'; did you mean stylegan2?"),
        (["train", "dcgan", "--data", "/nowhere/at/all"], "/nowhere/at/all: there is no such file or folder"),
        (["train", "dcgan", "--data", "x", "--kimgs", "3"], "unknown option --kimgs (did you mean --kimg?)"),
        (["train", "dcgan", "--data", "FACES", "--kimg", "many"], "--kimg: 'many' is not a number"),
        (["train", "dcgan", "--data", "FACES", "--kimg", "0"], "--kimg must be above 0"),
        (["train", "dcgan", "--data", "FACES", "--resolution", "17"], "can't halve 17x17"),
        (["train", "stylegan2", "--data", "FACES", "--resolution", "big"], "--resolution: 'big' is not a size"),
        (["train", "dcgan", "--data", "FACES", "--device", "tpu9"], "no device 'tpu9' here"),
    ],
)
def test_wrong_words(
    words: list[str], message: str, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(faces) if word == "FACES" else word for word in words]
    assert main([*words, "--outdir", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("organza: ")
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_without_a_preset_it_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train"]) == 2
    assert "stylegan2-tiny" in capsys.readouterr().out
    assert main(["train", "--help"]) == 0


def test_sigint_saves_and_exits_with_zero(faces: Path, tmp_path: Path) -> None:
    words = ["train", "stylegan2", "--data", str(faces), "--outdir", str(tmp_path), "--kimg", "1000", *TOY]
    job = subprocess.Popen([sys.executable, "-m", "organza", *words], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("*/samples/*.png")):
        assert time.monotonic() < deadline
        assert job.poll() is None
        time.sleep(0.1)
    job.send_signal(signal.SIGINT)
    _, error = job.communicate(timeout=120)
    assert job.returncode == 0, error
    assert "continue with: organza train stylegan2 --data" in error
    assert list(tmp_path.glob("*/checkpoints/*/resume.safetensors"))


def test_a_rank_that_dies_ends_the_run_with_its_message(faces: Path, tmp_path: Path) -> None:
    script = tmp_path / "job.py"
    script.write_text(
        "import os, sys\n"
        "from dataclasses import replace\n"
        "from organza import PRESETS, UserError, train\n"
        "from organza.data import Loader\n"
        "plain = Loader.batch\n"
        "def batch(self, seen, size):\n"
        "    if os.environ['RANK'] == '1' and seen >= 16:\n"
        "        raise UserError('the cable fell out', where='rank 1')\n"
        "    return plain(self, seen, size)\n"
        "Loader.batch = batch\n"
        "run = PRESETS['stylegan2'].run\n"
        "train(replace(run, method=run.method.toy()), sys.argv[1], outdir=sys.argv[2], kimg=100, batch=8, grid='4x2')\n"
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    started = time.monotonic()
    done = subprocess.run(
        [*torchrun, str(script), str(faces), str(tmp_path / "runs")],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode != 0
    assert "rank 1: the cable fell out" in done.stderr
    assert time.monotonic() - started < 200


@pytest.mark.slow
def test_demo_shows_real_and_generated_images_side_by_side(tmp_path: Path) -> None:
    from PIL import Image

    from organza.apps.demo import demo

    made = demo(tmp_path, faces=20, kimg=0.016)
    with Image.open(made.grid) as image:
        assert image.width > 2 * 6 * 96 and image.height > 4 * 96
    assert made.film.exists() and made.finished
