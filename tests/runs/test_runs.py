"""Two trainings never share a folder; what fills a disk or closes a terminal ends in one line or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from organza import PRESETS, UserError, train
from organza.core.lock import locked
from organza.runs.folder import LOCK, take
from organza.training import checkpoint
from organza.training.monitor import read_log

SHORT = {"batch": 4, "grid": "2x1", "snapshot_kimg": 0.008, "precision": "float32", "metrics": "none"}
JOB = """
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from organza import PRESETS, UserError, train
run = PRESETS["dcgan"].run
run = replace(run, method=run.method.toy())
data, outdir, lr, kimg = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
try:
    train(run, data, outdir=outdir, kimg=float(kimg), lr=float(lr), batch=4, grid="2x1", metrics="none",
          snapshot_kimg=0.02, tick_kimg=0.02)
except UserError as error:
    sys.exit(str(error))
"""


def toy():
    run = PRESETS["dcgan"].run
    return replace(run, method=run.method.toy())


class Jobs:
    """Processes that begin to train at the same moment."""

    def __init__(self, faces, outdir, rates, kimg):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [sys.executable, "-c", JOB, str(faces), str(outdir)]
        self.jobs = [subprocess.Popen([*command, str(rate), str(kimg)], text=True, **pipes) for rate in rates]
        for job in self.jobs:
            assert job.stdout.readline() == "ready\n"
        for job in self.jobs:
            job.stdin.write("\n")
            job.stdin.flush()

    def __enter__(self):
        return self.jobs

    def __exit__(self, *_):
        for job in self.jobs:
            job.kill()
            job.communicate()


@pytest.mark.parametrize("kind", ["sweep", "same", "new", "labels"])
def test_a_folder_is_taken_by_one(kind, tmp_path):
    """Eight at the same moment, again and again."""

    def changed(folder):
        other = json.loads((folder / "config.json").read_text())
        return {} if other == config.config else {"lr": (1, 2)}

    config = threading.local()

    def one(number):
        config.config = {"lr": number if kind == "sweep" else 0}
        label = f"gan-{number}" if kind == "labels" else "gan"
        start.wait()
        try:
            with take(outdir, label, config.config, changed, resume=False, new=kind == "new") as folder:
                everyone.wait()
                return folder.name
        except UserError as error:
            everyone.wait()
            return str(error).partition(" is being trained by process ")[0]

    for attempt in range(5):
        outdir, start, everyone = tmp_path / str(attempt), threading.Barrier(8), threading.Barrier(8)
        with ThreadPoolExecutor(8) as pool:
            names = sorted(pool.map(one, range(8)))
        if kind == "same":
            assert names == sorted(["00000-gan", *[f"{outdir}/00000-gan:"] * 7])
        else:
            assert sorted(name[:5] for name in names) == [f"{number:05d}" for number in range(8)]
        assert len(list(outdir.iterdir())) == (1 if kind == "same" else 8)


def test_trainings_that_start_together(faces, tmp_path):
    """One trains, the other says who does; killed, it lets go."""
    with Jobs(faces, tmp_path, [0.002, 0.002], kimg=1000) as pair:
        for job in pair:
            for line in job.stderr:
                if line.startswith("dcgan on 48"):
                    winner = job
                    break
                said = line
            else:
                loser = job
        assert loser.wait() == 1
        assert f"is being trained by process {winner.pid} on " in said and said.endswith("with --new\n")
        winner.kill()
        winner.wait()
    (folder,) = tmp_path.iterdir()
    options = {"batch": 4, "grid": "2x1", "metrics": "none", "tick_kimg": 0.02, "snapshot_kimg": 0.02}
    assert train(toy(), faces, outdir=tmp_path, lr=0.002, kimg=0.04, **options).folder == folder


@pytest.mark.slow
@pytest.mark.parametrize("rates", [[0.001, 0.002, 0.003, 0.004], [0.001] * 6])
def test_many_trainings_that_start_together(rates, faces, tmp_path):
    for attempt in range(3):
        outdir = tmp_path / str(attempt)
        with Jobs(faces, outdir, rates, kimg=0.4) as jobs:
            codes = [(job.communicate()[1], job.returncode)[1] for job in jobs]
        folders = sorted(outdir.iterdir())
        assert len(folders) == len(set(rates)) and set(codes) <= {0, 1}
        assert sorted(json.loads((f / "config.json").read_text())["config"]["lr"] for f in folders) == sorted(
            set(rates)
        )
        for folder in folders:
            (last, *_) = checkpoint.newest_first(folder / "checkpoints")
            assert checkpoint.check(last).name == "000000400"
            seen = [record["seen"] for record in read_log(folder) if "seconds" in record]
            assert seen == sorted(set(seen)) and seen[-1] == 400


def test_a_run_that_is_being_trained_is_left_alone(faces, tmp_path):
    options = {"outdir": tmp_path, **SHORT}
    folder = train(toy(), faces, kimg=0.008, **options).folder
    with (
        locked(folder / LOCK),
        pytest.raises(UserError, match=rf"is being trained by process {os.getpid()} on .*--new"),
    ):
        train(toy(), faces, kimg=0.016, **options)
    with locked(folder / LOCK):
        assert train(toy(), faces, kimg=0.008, new=True, **options).folder.name == "00001-dcgan-faces"
        assert train(toy(), faces, kimg=0.008, lr=0.5, **options).folder.name == "00002-dcgan-faces"
    # Each of several runs with the same data goes on where it was.
    assert train(toy(), faces, kimg=0.012, lr=0.5, **options).folder.name == "00002-dcgan-faces"
    assert train(toy(), faces, kimg=0.012, **options).folder.name == "00001-dcgan-faces"


def test_mistakes_leave_no_folder(faces, tmp_path):
    for changes in ({"grid": "8"}, {"held_out": "1000"}, {"resume": True}):
        with pytest.raises(UserError):
            train(toy(), faces, outdir=tmp_path, kimg=0.004, **{**SHORT, **changes})
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_training_left_is_cleared_away(faces, tmp_path):
    folder = train(toy(), faces, outdir=tmp_path, kimg=0.008, **SHORT).folder
    (folder / ".log.0123abcd.tmp.jsonl").write_text("")
    (folder / "checkpoints" / ".latest.0123abcd.tmp").write_text("")
    (folder / "checkpoints" / ".000000012.0123abcd.part").mkdir()
    (folder / "samples" / ".000000012.0123abcd.tmp.png").write_text("")
    train(toy(), faces, outdir=tmp_path, kimg=0.012, **SHORT)
    assert not [path for path in folder.rglob(".*") if path.name != LOCK]


@contextlib.contextmanager
def no_file_beyond(size):
    """As on a full disk: what would be longer fails half-way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def straight(faces, tmp_path_factory):
    outdir = tmp_path_factory.mktemp("straight")
    return train(toy(), faces, outdir=outdir, kimg=0.024, tick_kimg=0.004, **SHORT).folder


@pytest.mark.parametrize("what", ["log.jsonl", "tensorboard", "checkpoints", "samples"])
def test_a_disk_that_fills_up_while_training(what, straight, faces, tmp_path):
    """One line whatever the file; then the run goes on bit for bit."""
    options = {**SHORT, "tick_kimg": 0.004}
    folder = train(toy(), faces, outdir=tmp_path / "b", kimg=0.008, **options).folder
    sizes = {
        "log.jsonl": (folder / "log.jsonl").stat().st_size + 10,
        "tensorboard": 200,
        "checkpoints": max(path.stat().st_size for path in folder.glob("checkpoints/*/*")) - 10,
        "samples": min(path.stat().st_size for path in folder.glob("samples/*")) - 10,
    }
    with no_file_beyond(sizes[what]), pytest.raises(UserError, match="larger than this disk or your limit"):
        train(toy(), faces, outdir=tmp_path / "b", kimg=0.024, **options)
    assert train(toy(), faces, outdir=tmp_path / "b", kimg=0.024, **options).folder == folder
    for name in ("nets", "ema", "resume"):
        one, other = (load_file(f / "checkpoints" / "000000024" / f"{name}.safetensors") for f in (straight, folder))
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert [r["seen"] for r in read_log(folder) if "seconds" in r] == [4, 8, 12, 16, 20, 24]


def test_a_training_outlives_its_reader(faces, tmp_path, monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with contextlib.suppress(BrokenPipeError), open(writer, "w", buffering=1) as pipe, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", pipe)
        outcome = train(toy(), faces, outdir=tmp_path, kimg=0.008, **SHORT)
    assert outcome.finished and checkpoint.check(outcome.folder / "checkpoints" / "000000008")


@pytest.mark.slow
def test_a_training_outlives_its_terminal(faces, tmp_path):
    def close():
        os.close(1)
        os.close(2)

    code = JOB.replace('print("ready", flush=True)', "")
    command = [sys.executable, "-c", code, str(faces), str(tmp_path), "0.1", "0.1"]
    subprocess.run(command, input=b"\n", preexec_fn=close, check=True)
    (folder,) = tmp_path.iterdir()
    assert checkpoint.check(folder / "checkpoints" / "000000100")


def test_tensorboard_reads_what_we_write(faces, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    options = {"outdir": tmp_path, **SHORT, "tick_kimg": 0.004, "snapshot_kimg": 0.004}
    folder = train(toy(), faces, kimg=0.012, **options).folder
    for path in list(checkpoint.newest_first(folder / "checkpoints"))[:1]:
        checkpoint.discard(path)  # the training goes back to 8
    train(toy(), faces, kimg=0.02, **options)
    events = accumulator.EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    losses = events.Scalars("loss/G")
    assert [event.step for event in losses] == [4, 8, 12, 16, 20]
    logged = [record["loss/G"] for record in read_log(folder) if "loss/G" in record]
    assert [event.value for event in losses] == pytest.approx(logged)
    image = events.Images("samples")[-1]
    assert (image.step, image.width, image.height) == (20, 32, 16)


def test_permissions_follow_the_umask(faces, tmp_path):
    for umask in (0o022, 0o027):
        old = os.umask(umask)
        try:
            folder = train(toy(), faces, outdir=tmp_path / str(umask), kimg=0.008, held_out="4", **SHORT).folder
        finally:
            os.umask(old)
        for path in [folder, *folder.rglob("*")]:
            full = 0o777 if path.is_dir() else 0o666
            assert path.stat().st_mode & 0o777 == full & ~umask, path
        assert {"log.jsonl", "latest", "ema.safetensors", "held-out.txt"} <= {path.name for path in folder.rglob("*")}


def test_how_to_continue_is_said_in_the_words_of_the_caller(monkeypatch):
    from organza.runs.train import _how_to_continue

    def said(program, processes=1, world=1):
        monkeypatch.setattr(sys, "argv", [program, "train", "dcgan", "--data", "my faces"])
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        monkeypatch.setenv("WORLD_SIZE", str(world))
        return _how_to_continue()

    command = "organza train dcgan --data 'my faces'"
    assert said("/usr/bin/organza") == said("/lib/organza/__main__.py") == f"continue with: {command}"
    assert said("/lib/organza/__main__.py", 2, 2) == f"continue with: torchrun --nproc-per-node 2 -m {command}"
    assert said("/lib/organza/__main__.py", 2, 4) == "continue with the same torchrun command on each node"
    assert said("sweep.py") == "the same call goes on from here"
