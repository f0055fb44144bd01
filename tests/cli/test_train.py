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
import torch
from PIL import Image

from organza.cli.main import main
from organza.contract.data import Batch, DataSpec
from organza.presets import PRESETS
from organza.training import estimate
from organza.training.state import State

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
    first, *nets, memory, time_ = out.splitlines()
    assert first == "stylegan2 on 48 images 16x16, in batches of 4"
    assert [re.sub(r"[\d,]+ ", "N ", net) for net in nets] == ["G: N parameters", "D: N parameters"]
    assert re.fullmatch(r"memory: about [\d.]+ GB of memory.*", memory)
    assert re.fullmatch(r"time: about (\d+d )?(\d+h )?(\d+m )?(\d+s )?for 25000 kimg \(\d+ s/kimg\)", time_)
    command = ["train", "stylegan2", "--data", str(faces), "--dry-run", "--settings", *TOY]
    assert main(command) == 0
    settings = json.loads(capsys.readouterr().out.split("settings:")[1])
    assert settings["config"]["channel_base"] == 128 and settings["training"]["batch"] == 4
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
    assert "on 4 images" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--dry-run"]])
def test_what_can_not_fit_is_refused_before_anything_is_allocated(
    words: list[str], faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "stylegan2", "--data", str(faces), "--outdir", str(tmp_path), *TOY, *words]
    for huge in ("--z-dim=100000000000", "--z-dim=2000000000", "--batch=20000000", "--channel-max=2000000000"):
        more = ["--channel-base=2000000000"] if "channel" in huge else []
        assert main([*command, huge, *more]) == 2
        error = capsys.readouterr().err
        assert re.search(r"needs about [\d,.]+ GB|fits no machine|must be at most 2147483647", error), error
    assert "--micro-batch" not in error
    assert main([*command, "--batch=20000000"]) == 2
    assert re.search(r"try --micro-batch \d+$", capsys.readouterr().err.strip())
    assert not list(tmp_path.iterdir())


def test_little_memory_is_told_and_nothing_else(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("organza.training.estimate.free_memory", lambda device: 10_000)
    command = ["train", "dcgan", "--data", str(faces), "--outdir", str(tmp_path), "--grid=2x1", "--metrics=none"]
    assert main([*command, "--z-dim=4", "--width=2", "--kimg=0.004", "--batch=4"]) == 0
    assert "but only 0.0 GB are free: it may not fit" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("name", ["stylegan2", "stylegan2-d", "stylegan3-r", "progan", "msg-stylegan", "wgan-gp"])
def test_the_memory_on_meta_tensors_is_that_of_real_ones(name: str) -> None:
    spec = DataSpec((16, 16))
    config = PRESETS[name].run.method.toy().resolve(spec, 4)
    found = []
    for state in (estimate.on_meta(config, spec), State.fresh(config.build(spec), torch.device("cpu"))):
        device = next(iter(state.learners.values())).flat.device
        batch = Batch(torch.zeros(4, 3, 16, 16, device=device), torch.zeros(4, 0, device=device), 10**6)
        found.append([estimate._kept(state, phase, batch)[0] for phase in state.method.phases])
    assert found[0] == pytest.approx(found[1], rel=0.05)


def test_profile(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "stylegan2", "--data", str(faces), "--outdir", str(tmp_path), *TOY, "--snapshot-kimg", "9"]
    command += ["--r1-every", "4", "--pl-every", "2", "--profile"]
    assert main([*command, "--kimg", "0.004"]) == 0
    assert "too short to profile" in capsys.readouterr().err
    assert main([*command, "--kimg", "0.032"]) == 0
    assert "4 steps profiled" in capsys.readouterr().err
    (run,) = tmp_path.iterdir()
    text = (run / "profile.txt").read_text()
    calls = {m[1]: int(m[2]) for m in re.finditer(r"(\w+): loss +(\d+) ", text)}
    assert calls == {"Gmain": 4, "Dmain": 4, "Greg": 2, "Dreg": 1}
    assert "mkldnn_convolution" in text or "conv" in text
    trace = json.loads(gzip.decompress((run / "trace.json.gz").read_bytes()))
    assert any(event.get("name") == "Dreg: gradients and step" for event in trace["traceEvents"])
    assert {path.name for path in run.iterdir()} >= {"trace.json.gz", "log.jsonl"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "stylegan5", "--data", "x"], "no preset is called 'stylegan5'; did you mean stylegan2?"),
        (["train", "stylegan", "--data", "x"], "did you mean one of stylegan-a to stylegan-f, or stylegan2?"),
        (["train", "stylegan2-ada", "--data", "x"], "did you mean stylegan2 (with --augment ada)?"),
        (["train", "dcgan", "--data", "/nowhere/at/all"], "/nowhere/at/all: there is no such file or folder"),
        (["train", "dcgan", "--data", "x", "--kimgs", "3"], "unknown option --kimgs (did you mean --kimg?)"),
        (["train", "dcgan", "--data", "FACES", "--kimg", "many"], "--kimg: 'many' is not a number"),
        (["train", "dcgan", "--data", "FACES", "--kimg", "0"], "--kimg must be from 0.001 to 1e+09, not 0"),
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


def test_the_first_things_that_newcomers_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train"]) == 2
    out, error = capsys.readouterr()
    assert "stylegan2-tiny" in out
    assert error == "organza: no preset is named; a good start is `organza train stylegan2 --data FOLDER`\n"
    assert main(["train", "--data", "my photos"]) == 2
    assert "`organza train stylegan2 --data 'my photos'`" in capsys.readouterr().err
    for words in ([], ["--kimg", "5"], ["--resume"]):
        assert main(["train", "stylegan2", *words]) == 2
        error = capsys.readouterr().err
        assert error.startswith("organza: --data is missing; give a folder or an archive of images; `organza faces")
        assert error.count("\n") == 1
    assert main(["train", "--help"]) == 0


def test_help_shows_ranges(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "stylegan2", "--help"])
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--style-mixing FLOAT Share of batches in which two codes are mixed. (from 0 to 1; default: 0.9)" in out


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

    from organza.runs.demo import demo

    made = demo(tmp_path, faces=20, kimg=0.016)
    with Image.open(made.grid) as image:
        assert image.width > 2 * 6 * 96 and image.height > 4 * 96
    assert made.film.exists() and made.finished
