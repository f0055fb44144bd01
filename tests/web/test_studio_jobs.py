"""Jobs: one after the other, found again by the next server, stopped, continued and removed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from organza.core.channel import Channel, channel
from organza.core.errors import UserError
from organza.web.studio import jobs, process
from organza.web.studio.forms import Command
from organza.web.studio.jobs import ManyJobsError, NoJobError, Queue, last_lines
from organza.web.studio.run import alone
from organza.web.studio.workspace import Workspace
from tests.web.conftest import until
from tests.web.studio import fill, studio

SCRIPT = """
import json, os, signal, sys, time
what, *rest = sys.argv[1:]
told = {"pid": os.getpid()}
def tell(**more):
    told.update(more)
    with open(os.environ["ORGANZA_PROGRESS"], "w") as file:
        json.dump(told, file)
tell()
print("begun", what, os.getcwd(), "ORGANZA_TOKEN" in os.environ, flush=True)
if what == "write":
    os.makedirs(rest[0]); open(rest[0] + "/a.png", "w").close(); os.makedirs(rest[0] + "/net")
    open(rest[0] + "/net/ema.safetensors", "w").close()
if what == "polite":
    print("stopped at 0.10 kimg; the same command continues", flush=True)
if what == "fail":
    tell(code=2, error="x.png: is bad"); sys.exit(2)
if what == "crash":
    print("Traceback: oh no", flush=True); os._exit(3)
if what == "deaf":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
if what in ("wait", "deaf"):
    tell(title="waiting", done=3, total=9, unit="steps", rate=1.5, eta=4.0)
    try:
        while not os.path.exists("go"):
            time.sleep(0.02)
    except KeyboardInterrupt:
        tell(code=130, error="stopped"); sys.exit(130)
tell(code=0)
"""


@pytest.fixture(autouse=True)
def fast(tmp_path, monkeypatch, request):
    """A program that is there at once, in the place of ours; a queue that looks often."""
    if "real" in request.keywords:
        return
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    monkeypatch.setattr(process, "PYTHON", (sys.executable, "-S", "-E", str(script)))
    monkeypatch.setattr(jobs, "EVERY", 0.02)


@pytest.fixture
def workspace(tmp_path):
    return Workspace.at(tmp_path / "w")


@pytest.fixture
def queue(workspace):
    found = Queue(workspace)
    found.open()
    yield found
    found.close()
    for child in found._children.values():
        process.kill(child.pid)
        child.wait(10)


def add(queue, *words, verb="walk", again=None):
    return queue.add(lambda out: Command(verb, tuple(w.replace("OUT", out) for w in words), again or words, "a job"))


def state(queue, job):
    return queue.get(job.id).state


def ended(queue, job):
    until(lambda: state(queue, job) in jobs.ENDED)
    return queue.get(job.id)


def test_a_job_from_its_beginning_to_its_end(queue, workspace, monkeypatch):
    monkeypatch.setenv("ORGANZA_TOKEN", "secret")
    job = add(queue, "write", "OUT")
    assert (job.id, job.state, job.name) == (1, "waiting", "0001-walk")
    found = ended(queue, job)
    assert found.state == "done" and found.error is None and found.began <= found.ended
    assert queue.lines(found) == ["$ organza write studio/jobs/0001-walk/out", f"begun write {workspace.root} False"]
    assert queue.results(found) == [
        {"id": "studio/jobs/0001-walk/out/a.png", "name": "a.png", "kind": "image"},
        {"id": "studio/jobs/0001-walk/out/net", "name": "net", "kind": "network"},
    ]
    told = queue.about(found)
    assert told["command"] == "organza write studio/jobs/0001-walk/out" and told["progress"] is None


def test_one_at_a_time_in_their_order(queue, workspace):
    first, second, third = (add(queue, "wait") for _ in range(3))
    until(lambda: state(queue, first) == "running" and "total" in queue.told(first))
    assert [state(queue, job) for job in (first, second, third)] == ["running", "waiting", "waiting"]
    assert queue.about(queue.get(1))["progress"] == {
        "title": "waiting",
        "done": 3,
        "total": 9,
        "unit": "steps",
        "rate": 1.5,
        "eta": 4.0,
    }
    queue.stop(second.id)
    assert state(queue, second) == "stopped"
    (workspace.root / "go").touch()
    assert ended(queue, third).state == ended(queue, first).state == "done"
    assert queue.get(third.id).began >= queue.get(first.id).ended - 0.2
    assert [job.id for job in queue.all()] == [3, 2, 1]


def test_several_at_a_time(workspace):
    queue = Queue(workspace, 2)
    made = [add(queue, "wait") for _ in range(3)]
    queue.look()
    assert [state(queue, job) for job in made] == ["running", "running", "waiting"]
    (workspace.root / "go").touch()
    for child in queue._children.values():
        child.wait(10)


def test_how_jobs_end(queue):
    failed = ended(queue, add(queue, "fail"))
    assert (failed.state, failed.error) == ("failed", "x.png: is bad")
    polite = ended(queue, add(queue, "polite", verb="toonify"))
    assert (polite.state, polite.error) == ("stopped", None)
    crashed = ended(queue, add(queue, "crash"))
    assert (crashed.state, crashed.error) == ("failed", "Traceback: oh no")
    waiting = add(queue, "wait")
    until(lambda: "total" in queue.told(queue.get(waiting.id)))
    assert queue.about(queue.stop(waiting.id))["stopping"] is True
    assert ended(queue, waiting).state == "stopped"
    killed = add(queue, "wait")
    until(lambda: "total" in queue.told(queue.get(killed.id)))
    os.kill(queue.get(killed.id).pid, signal.SIGKILL)
    found = ended(queue, killed)
    assert found.state == "failed" and "killed by signal 9" in found.error


def test_who_does_not_listen_is_killed(queue, monkeypatch):
    monkeypatch.setattr(jobs, "GRACE", 0.2)
    job = add(queue, "deaf")
    until(lambda: "total" in queue.told(queue.get(job.id)))
    queue.stop(job.id)
    assert ended(queue, job).state == "stopped"


def test_resume_and_remove(queue, workspace):
    job = add(queue, "fail", again=("write", "studio/jobs/0001-walk/out"))
    assert ended(queue, job).state == "failed"
    queue.resume(job.id)
    found = ended(queue, job)
    assert found.state == "done" and found.words[0] == "write" and found.times == 2
    assert [line for line in queue.lines(found) if line.startswith("$")] == [
        "$ organza fail",
        "$ organza write studio/jobs/0001-walk/out",
    ]
    with pytest.raises(UserError, match="is done"):
        queue.resume(job.id)
    with pytest.raises(UserError, match="has ended"):
        queue.stop(job.id)
    other = add(queue, "wait")
    with pytest.raises(UserError, match="stop it first"):
        queue.remove(other.id)
    queue.remove(job.id)
    assert not (workspace.jobs / "0001-walk").exists()
    for act in (queue.get, queue.stop, queue.resume, queue.remove):
        with pytest.raises(NoJobError):
            act(job.id)
    assert add(queue, "wait").id == 3


def test_what_is_refused_leaves_nothing(queue, workspace, monkeypatch):
    def refuse(out):
        raise UserError("no")

    with pytest.raises(UserError):
        queue.add(refuse)
    assert not list(workspace.jobs.iterdir())
    monkeypatch.setattr(jobs, "JOBS", 0)
    with pytest.raises(ManyJobsError):
        add(queue, "wait")
    assert not list(workspace.jobs.iterdir())


def test_the_next_server_finds_what_runs(workspace):
    first = Queue(workspace)
    running, waiting = add(first, "wait"), add(first, "write", "OUT")
    first.look()
    pid = first.get(running.id).pid
    try:
        second = Queue(workspace)  # of the first one nothing was closed: it was killed
        second._children = {}
        assert second.get(running.id) == first.get(running.id)
        second.look()
        assert [state(second, job) for job in (running, waiting)] == ["running", "waiting"]
        second.stop(running.id)
        first._children[running.id].wait(10)
        until(lambda: second.look() or state(second, running) == "stopped")
        until(lambda: second.look() or state(second, waiting) == "done")
    finally:
        process.kill(pid)


def test_who_ended_while_no_server_was_there(workspace):
    first = Queue(workspace, 3)
    good, bad, lost = add(first, "wait"), add(first, "wait"), add(first, "wait")
    first.look()
    until(lambda: all("total" in first.told(first.get(job.id)) for job in (good, bad, lost)))
    os.kill(first.get(lost.id).pid, signal.SIGKILL)
    first._children[lost.id].wait(10)
    process.interrupt(first.get(bad.id).pid)
    first._children[bad.id].wait(10)
    (workspace.root / "go").touch()
    first._children[good.id].wait(10)
    second = Queue(workspace)
    second.look()
    assert [state(second, job) for job in (good, bad, lost)] == ["done", "stopped", "failed"]
    assert "begun wait" in second.get(lost.id).error


def test_another_process_of_the_same_number_is_not_ours(workspace):
    first = Queue(workspace)
    job = add(first, "wait")
    first.look()
    process.kill(first.get(job.id).pid)
    first._children[job.id].wait(10)
    path = first.folder(job) / "job.json"
    kept = json.loads(path.read_text())
    path.write_text(json.dumps(kept | {"pid": os.getpid(), "birth": "long ago"}))
    second = Queue(workspace)
    second.look()
    assert state(second, job) == "failed"


def test_killed_between_the_start_and_its_note(workspace, monkeypatch):
    first = Queue(workspace)
    job = add(first, "wait")
    first.look()
    pid = first.get(job.id).pid
    until(lambda: "total" in first.told(first.get(job.id)))
    path = first.folder(job) / "job.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pid": None, "birth": None}))
    second = Queue(workspace)
    second.look()
    assert second.get(job.id).pid == pid and state(second, job) == "running"
    process.kill(pid)
    first._children[job.id].wait(10)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pid": None, "birth": None, "state": "running"}))
    (first.folder(job) / "progress.json").unlink()
    third = Queue(workspace)
    third.look()
    assert state(third, job) == "running"  # it may just have begun
    monkeypatch.setattr(jobs, "NEWBORN", 0.0)
    third.look()
    assert state(third, job) == "failed"


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[]", '{"id": 1}', "\xff", '{"id": "x"}', "[" * 10_000], ids=range(8)
)
def test_a_job_that_can_not_be_read_is_left_out(workspace, text):
    (workspace.jobs / "0001-walk").mkdir()
    (workspace.jobs / "0001-walk" / "job.json").write_bytes(text.encode("latin-1"))
    queue = Queue(workspace)
    assert queue.all() == []
    assert add(queue, "wait").id == 2  # the queue goes on, and nothing of it is lost
    assert (workspace.jobs / "0001-walk" / "job.json").read_bytes() == text.encode("latin-1")


def test_what_a_killed_server_left_is_swept(queue, workspace):
    ended, runs = add(queue, "fail"), add(queue, "wait")
    until(lambda: state(queue, runs) == "running", 20)
    queue.close()
    (workspace.jobs / ".0009-walk.0123abcd.part" / "out").mkdir(parents=True)
    for job in (ended, runs):
        (queue.folder(job) / ".progress.0123abcd.tmp.json").write_text("{")
    again = Queue(workspace)
    assert [job.id for job in again.all()] == [2, 1]
    assert sorted(path.name for path in workspace.jobs.iterdir()) == ["0001-walk", "0002-walk"]
    left = [list(again.folder(job).glob(".*")) for job in (ended, runs)]
    assert [len(each) for each in left] == [0, 1]  # what runs may be writing it


def test_a_log_is_text_whatever_is_in_it(tmp_path):
    path = tmp_path / "log.txt"
    path.write_bytes(b"a\rb\rc\n" + b"\x1b[31mred\xff\n" + b"x" * 200_000 + b"\nlast")
    lines = last_lines(path)
    assert lines[-1] == "last" and all(line.isprintable() and len(line) <= 1001 for line in lines)
    path.write_bytes(b"1%\r50%\r100%\ndone\n")
    assert last_lines(path) == ["100%", "done"]


def test_one_studio_for_a_workspace(workspace):
    with (
        alone(workspace),
        pytest.raises(UserError, match="another studio has this workspace: process"),
        alone(workspace),
    ):
        pass
    with alone(workspace):
        pass


def test_a_channel(tmp_path, monkeypatch):
    assert channel() is None
    place = tmp_path / "progress.json"
    clock = [100.0]
    monkeypatch.setattr("organza.core.channel.time.monotonic", lambda: clock[0])
    listener = Channel(place)
    listener.begun()
    assert json.loads(place.read_text()) == {"pid": os.getpid()}
    for second in range(5):
        clock[0] = 100.0 + second
        listener.progress("drawing", "images", 10 * second, 100)
    told = json.loads(place.read_text())
    assert (told["done"], told["total"], told["rate"], told["eta"]) == (40, 100, 10.0, 6.0)
    clock[0] += 0.1
    listener.progress("drawing", "images", 41, 100)  # too soon
    assert json.loads(place.read_text())["done"] == 40
    listener.progress("drawing", "images", 100, 100)
    assert json.loads(place.read_text())["done"] == 100
    listener.progress("next", "images", 1, 7)
    assert json.loads(place.read_text()) | {"rate": None, "eta": None} == {
        "pid": os.getpid(),
        "title": "next",
        "unit": "images",
        "done": 1,
        "total": 7,
        "rate": None,
        "eta": None,
    }
    listener.ended(2, "is bad")
    assert json.loads(place.read_text())["code"] == 2
    Channel(tmp_path / "file" / "that" / "is" / "new.json").begun()
    (tmp_path / "plain").touch()
    Channel(tmp_path / "plain" / "x.json").begun()  # can't be written: nobody is hurt


def test_the_api_of_jobs(tmp_path, tiny_run, faces):
    workspace = fill(tmp_path, tiny_run, faces)
    with studio(workspace) as client:
        ask = {"verb": "walk", "options": {"network": "zoo/digits-vae", "output": ".gif"}}
        answer = client.post("/api/jobs", json=ask)
        assert answer.status_code == 201 and answer.json()["id"] == 1
        assert answer.json()["command"].startswith(
            "organza walk --network=zoo/digits-vae --output=studio/jobs/0001-walk"
        )
        until(lambda: client.get("/api/jobs/1").json()["state"] == "done")
        assert [job["id"] for job in client.get("/api/jobs").json()] == [1]
        assert client.get("/api/jobs/1").json()["lines"][1].startswith("begun walk")
        assert client.post("/api/jobs/1/resume").status_code == 422
        assert client.delete("/api/jobs/1").status_code == 204
        for answer in (
            client.get("/api/jobs/1"),
            client.get("/api/jobs/99999999999999999999"),
            client.post("/api/jobs/-1/stop"),
            client.delete("/api/jobs/7"),
        ):
            assert answer.status_code == 404 and "there is no job" in answer.json()["error"]
        assert client.get("/api/jobs/x").status_code == 422
        for bad in (
            {},
            {"verb": "push"},
            {"verb": "train", "preset": "nothing"},
            {"verb": "walk", "options": {"network": "../secret"}},
            {"verb": "walk", "options": []},
            {"verb": "walk", "x": 1},
        ):
            answer = client.post("/api/jobs", json=bad)
            assert answer.status_code in (404, 422) and list(answer.json()) == ["error"], bad
        assert client.get("/api/jobs").json() == []


@pytest.mark.slow
@pytest.mark.real
def test_a_training_survives_the_server(tmp_path, faces, monkeypatch):
    """A server that is killed, the next one, a stop, a resume: one run, which goes on where it was."""
    import shutil

    import httpx2 as httpx

    workspace = tmp_path / "w"
    workspace.mkdir()
    shutil.copy(faces, workspace / "faces.zip")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    words = [sys.executable, "-m", "organza", "studio", "--no-browser", "--port", "0", "--workspace", str(workspace)]
    told = tmp_path / "told.txt"

    def serve():
        with open(told, "w") as file:
            child = subprocess.Popen(words, stderr=file)
        until(lambda: " at http://" in told.read_text(), 60)
        return child, told.read_text().split(" at ")[1].split(";")[0]

    options = {"data": "faces.zip", "kimg": 500, "batch": 4, "tick_kimg": 0.04, "snapshot_kimg": 0.4, "metrics": "none"}
    options |= {"grid": "2x2", "width": 8, "z_dim": 8}
    child, place = serve()
    try:
        train = {"verb": "train", "preset": "dcgan", "options": options}
        walk = {"verb": "truncation", "options": {"network": "zoo/digits-vae", "seeds": "0", "columns": 3}}
        assert httpx.post(f"{place}/api/jobs", json=train).status_code == 201
        assert httpx.post(f"{place}/api/jobs", json=walk).status_code == 201
        until(lambda: httpx.get(f"{place}/api/jobs/1").json()["run"] is not None, 60)
        pid = json.loads(next(workspace.glob("studio/jobs/0001-train/job.json")).read_text())["pid"]
        child.kill()
        child.wait()
        assert process.birth(pid) is not None
        child, place = serve()
        second = subprocess.run(words, capture_output=True, text=True, timeout=60)
        assert second.returncode == 2 and "another studio has this workspace: process" in second.stderr
        found = httpx.get(f"{place}/api/jobs/1").json()
        assert found["state"] == "running" and httpx.get(f"{place}/api/jobs/2").json()["state"] == "waiting"
        until(lambda: (httpx.get(f"{place}/api/jobs/1").json()["progress"] or {}).get("unit") == "kimg", 60)
        assert httpx.post(f"{place}/api/jobs/1/stop").json()["state"] == "running"
        until(lambda: httpx.get(f"{place}/api/jobs/1").json()["state"] == "stopped", 60)
        facts = httpx.get(f"{place}/api/runs", params={"id": found["run"]}).json()
        assert facts["state"] == "stopped" and facts["kimg"] > 0
        until(lambda: httpx.get(f"{place}/api/jobs/2").json()["state"] == "done", 60)
        assert [each["kind"] for each in httpx.get(f"{place}/api/jobs/2").json()["results"]] == ["image", "json"]
        assert httpx.post(f"{place}/api/jobs/1/resume").json()["state"] == "waiting"
        said = f"continuing {found['run']} from {facts['kimg']:g} kimg"
        until(lambda: said in "\n".join(httpx.get(f"{place}/api/jobs/1").json()["lines"]), 60)
        until(lambda: httpx.get(f"{place}/api/runs", params={"id": found["run"]}).json()["kimg"] > facts["kimg"], 60)
        httpx.post(f"{place}/api/jobs/1/stop")
        until(lambda: httpx.get(f"{place}/api/jobs/1").json()["state"] == "stopped", 60)
        assert len(list((workspace / "runs").iterdir())) == 1
    finally:
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 0
