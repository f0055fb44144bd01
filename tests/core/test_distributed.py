"""What happens when one of several processes stops, dies or fails."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from organza import UserError
from organza.core import distributed
from organza.core.distributed import Pulse

JOB = """
import os, sys
from dataclasses import replace
from pathlib import Path
from organza import PRESETS, UserError, train
run = PRESETS["dcgan"].run
data, outdir, kimg = sys.argv[1:]
Path(outdir, "pids").mkdir(parents=True, exist_ok=True)
Path(outdir, "pids", os.environ["RANK"]).write_text(str(os.getpid()))
try:
    train(replace(run, method=run.method.toy()), data, outdir=outdir, kimg=float(kimg), batch=4, grid="2x1",
          metrics="none", snapshot_kimg=0.02, tick_kimg=0.02)
except UserError as error:
    print(f"organza: {error}", file=sys.stderr)
    sys.exit(2)
"""


def bound():
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(("127.0.0.1", 0))
    return one


def test_who_falls_silent_is_missed_once_heard(caplog):
    sockets = [bound() for _ in range(4)]
    address = sockets[0].getsockname()
    over, codes = threading.Event(), []

    def end(code):
        codes.append(code)
        over.set()

    peers = [(one.getsockname(), f"process {number} on there") for number, one in enumerate(sockets)]
    pulse = Pulse(0, peers, sockets[0], patience=1.2, end=end)
    sockets[1].sendto(b"organza beat 1", address)  # then never again
    sockets[2].sendto(b"organza beat 2", address)
    sockets[2].sendto(b"organza bye 2", address)  # and rank 3 is not heard at all
    for nonsense in (b"", b"organza beat", b"organza beat 9", b"organza beat x", b"\xff" * 99):
        sockets[3].sendto(nonsense, address)
    assert over.wait(30)
    pulse.close()
    said = caplog.messages
    who = "organza: rank 0: rank 1 (process 1 on there) has not been heard of for 1 s"
    assert f"{who}: is it stopped? After 1.2 s (ORGANZA_PATIENCE) this training ends" in said
    assert f"{who}: this training ends; the same torchrun command goes on from the last checkpoint" in said
    assert set(codes) == {2} and all("rank 1 (" in line for line in said)
    assert sockets[1].recv(100) == b"organza beat 0"
    for one in sockets:
        one.close()


def test_who_comes_back_is_welcome(caplog):
    sockets = [bound(), bound()]
    peers = [(one.getsockname(), "process 7 on there") for one in sockets]
    pulse = Pulse(0, peers, sockets[0], patience=60.0, end=lambda code: None)
    pulse._hear(1, b"beat")
    pulse._judge(1, 31.0)
    pulse._judge(1, 32.0)
    pulse._hear(1, b"beat")
    pulse.close()
    sockets[1].close()
    said = caplog.messages
    assert len(said) == 2 and "31 s: is it stopped?" in said[0] and said[1] == "organza: rank 0: rank 1 is back"


@pytest.mark.parametrize("patience", ["soon", "0", "nan"])
def test_patience_is_a_number_of_seconds(patience, monkeypatch):
    monkeypatch.setenv("ORGANZA_PATIENCE", patience)
    with pytest.raises(UserError, match=f"ORGANZA_PATIENCE={patience} is not a number of seconds from 1 on"):
        distributed._patience()


def test_what_goes_wrong_between_processes_is_one_line(caplog):
    raw = "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:33447\nmore"
    with pytest.raises(SystemExit) as caught, distributed._talking():
        raise RuntimeError(raw)
    assert caught.value.code == 2
    assert caplog.messages == [
        "organza: rank 0: another process of this training is lost (Connection closed by peer [127.0.0.1]:33447); "
        "the same torchrun command goes on from the last checkpoint"
    ]


def together(faces, outdir, kimg, processes=2):
    job = outdir / "job.py"
    outdir.mkdir(exist_ok=True)
    job.write_text(JOB)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.Popen(
        [*launch, str(job), str(faces), str(outdir), str(kimg)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "ORGANZA_PATIENCE": "6"},
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_is_lost_or_stopped(number, rank, faces, tmp_path):
    job = together(faces, tmp_path, 1000)
    said = []
    for line in job.stderr:
        said.append(line)
        if "img/s" in line:  # it is under way
            break
    time.sleep(1)
    os.kill(int((tmp_path / "pids" / str(rank)).read_text()), number)
    said += job.communicate(timeout=120)[1].splitlines(keepends=True)
    ours = [line for line in said if line.startswith("organza: ")]
    assert job.returncode != 0 and ours
    if number == signal.SIGKILL:
        assert f"rank {1 - rank}: another process of this training is lost" in ours[-1]
    else:
        assert f"rank {rank} (process " in ours[0] and "is it stopped? After 6 s" in ours[0]
        assert "this training ends; the same torchrun command goes on" in ours[1]
    assert "terminate called" not in "".join(said)
    (folder,) = tmp_path.glob("0*")
    seen = int((folder / "checkpoints" / "latest").read_text())
    again = together(faces, tmp_path, (seen + 40) / 1000)
    said = again.communicate(timeout=120)[1]
    assert again.returncode == 0 and "continuing" in said, said
    assert (folder / "checkpoints" / "latest").read_text() == f"{seen + 40:09d}\n"


@pytest.mark.slow
def test_a_mistake_is_told_once(faces, tmp_path):
    job = together(tmp_path / "nowhere", tmp_path, 1)
    said = job.communicate(timeout=120)[1]
    assert job.returncode != 0 and said.count("\norganza: ") + said.startswith("organza: ") == 1
    assert "nowhere" in said


def joined(times, out):
    for _ in range(times):
        distributed.stop()
        distributed.start()
        ranks = distributed.gather(distributed.rank())
    if distributed.rank() == 0:
        Path(out).write_text(str(ranks))


def test_processes_may_part_and_join_again(pair, tmp_path):
    pair(joined, times=4, out=str(tmp_path / "ranks"))
    assert (tmp_path / "ranks").read_text() == "[0, 1]"
