"""Long work: a queue of files that survives the page and the server.

A job is a folder, ``studio/jobs/0001-train/``: ``job.json`` says what it is and how it stands, ``log.txt`` what its
command said, ``progress.json`` how far it is (`organza.core.channel`), and ``out/`` is what it made. The command is a
process of its own, so it goes on while no server is there; the next server finds it by its number and its time of
birth, and learns from ``progress.json`` how it ended.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from organza.core.channel import PREVIEW
from organza.core.config import from_plain
from organza.core.errors import UserError
from organza.core.files import append, atomic_folder, atomic_write, discard, sweep
from organza.core.jsons import read_json
from organza.core.messages import logger
from organza.core.text import printable
from organza.web.studio import process
from organza.web.studio.forms import Command
from organza.web.studio.progress import holder
from organza.web.studio.settings import GRACE, JOBS, LINES
from organza.web.studio.workspace import Workspace, allowed

log = logger(__name__)

State = Literal["waiting", "running", "done", "failed", "stopped"]
ENDED = ("done", "failed", "stopped")
NUMBER = re.compile(r"(\d{4,9})-([a-z-]+)")
EVERY = 0.3
"""Seconds between two looks at the processes."""
NEWBORN = 10.0
"""Seconds within which a process whose number nobody wrote down must have said it itself."""


class NoJobError(UserError):
    """There is no such job."""

    def __init__(self, number: int) -> None:
        super().__init__(f"there is no job {printable(str(number), 30)}", hint="GET /api/jobs lists them")


class ManyJobsError(Exception):
    """Too many jobs wait."""


@dataclass(frozen=True)
class Job:
    """A job as ``job.json`` has it.

    Attributes:
        id: its number.
        verb, title: what it is.
        words: all after ``organza``.
        again: what goes on where it was stopped.
        state: how it stands.
        asked, began, ended: seconds since 1970.
        pid, birth: of its process; see `organza.web.studio.process.birth`.
        stopping: when it was told to stop.
        run: the id of the training's folder.
        error: why it failed, in a line.
        times: how often it was begun.
    """

    id: int
    verb: str
    title: str
    words: tuple[str, ...]
    again: tuple[str, ...]
    state: State = "waiting"
    asked: float = 0.0
    began: float | None = None
    ended: float | None = None
    pid: int | None = None
    birth: str | None = None
    stopping: float | None = None
    run: str | None = None
    error: str | None = None
    times: int = 0

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.id:04d}-{self.verb.replace(' ', '-')}"


class Queue:
    """The jobs of a workspace. One server at a time has it: `organza.web.studio.run` holds the workspace's lock.

    Args:
        workspace: where they are.
        at_once: how many run at a time.
    """

    def __init__(self, workspace: Workspace, at_once: int = 1) -> None:
        self.workspace, self._at_once = workspace, at_once
        self._lock, self._adding = threading.RLock(), threading.Lock()
        self._jobs: dict[int, Job] = {}
        self._taken: set[int] = set()  # numbers of folders that can't be read, whose place is not ours
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="jobs", daemon=True)
        self._since = time.monotonic()
        self._load()

    def open(self) -> None:
        """Begin to look after them."""
        self._thread.start()

    def close(self) -> None:
        """Look after them no longer; what runs goes on."""
        self._closed.set()
        if self._thread.ident is not None:
            self._thread.join()

    def add(self, make: Callable[[str], Command]) -> Job:
        """Put a job at the end of the queue.

        Args:
            make: the id of the job's folder for results, to its command; it refuses what can't be done.

        Raises:
            UserError: as ``make``.
            ManyJobsError: too many wait.
        """
        with self._adding:
            with self._lock:
                if sum(job.state == "waiting" for job in self._jobs.values()) >= JOBS:
                    raise ManyJobsError
                number = max([*self._jobs, *self._taken], default=0) + 1
            draft = make(self.workspace.id_of(self.workspace.jobs / _PLACE))
            job = Job(number, draft.verb, draft.title, draft.words, draft.again, asked=round(time.time(), 3))
            out = self.workspace.id_of(self.folder(job) / "out")
            place = self.workspace.id_of(self.workspace.jobs / _PLACE)
            job = replace(job, words=_placed(job.words, place, out), again=_placed(job.again, place, out))
            with atomic_folder(self.folder(job)) as work:
                (work / "job.json").write_text(_text(job), encoding="utf-8")
            with self._lock:
                self._jobs[number] = job
            return job

    def all(self) -> list[Job]:
        """All jobs, the newest first."""
        with self._lock:
            return [self._jobs[number] for number in sorted(self._jobs, reverse=True)]

    def get(self, number: int) -> Job:
        """One of them.

        Raises:
            NoJobError: there is none.
        """
        with self._lock:
            if number not in self._jobs:
                raise NoJobError(number)
            return self._jobs[number]

    def folder(self, job: Job) -> Path:
        """The job's own folder."""
        return self.workspace.jobs / job.name

    def stop(self, number: int) -> Job:
        """Let a job end: one that waits at once, one that runs as by Ctrl-C.

        Raises:
            NoJobError: there is none.
            UserError: it has ended already.
        """
        with self._lock:
            job = self.get(number)
            if job.state == "waiting":
                return self._keep(replace(job, state="stopped", ended=_now()))
            if job.state != "running":
                raise UserError(f"job {number} has ended already")
            if job.stopping is None:
                job = self._keep(replace(job, stopping=_now()))
                if job.pid is not None:
                    process.interrupt(job.pid)
            return job

    def resume(self, number: int) -> Job:
        """Let a job that failed or was stopped go on: the same command again.

        Raises:
            NoJobError: there is none.
            UserError: it has not ended, or it is done.
        """
        with self._lock:
            job = self.get(number)
            if job.state not in ("failed", "stopped"):
                raise UserError(f"job {number} is {job.state}", hint="what was stopped or has failed can go on")
            words = job.again if job.times else job.words
            return self._keep(replace(job, state="waiting", ended=None, error=None, stopping=None, words=words))

    def remove(self, number: int) -> None:
        """Remove a job that has ended, and what it made; the run of a training stays.

        Raises:
            NoJobError: there is none.
            UserError: it has not ended.
        """
        with self._lock:
            job = self.get(number)
            if job.state not in ENDED:
                raise UserError(f"job {number} is {job.state}", hint="stop it first")
            discard(self.folder(job))
            if self.folder(job).exists():
                raise UserError("can't be removed", where=self.workspace.id_of(self.folder(job)))
            del self._jobs[number]

    def about(self, job: Job) -> dict[str, Any]:
        """How a job stands, for ``GET /api/jobs``; the last lines and the results are left out."""
        folder = self.folder(job)
        told = self.told(job) if job.state == "running" else {}
        progress = None
        if job.state == "running" and "total" in told:
            progress = {name: told.get(name) for name in ("title", "done", "total", "unit", "rate", "eta")}
        preview = folder / PREVIEW
        return {
            "id": job.id,
            "verb": job.verb,
            "title": job.title,
            "command": shlex.join(["organza", *job.words]),
            "state": job.state,
            "stopping": job.stopping is not None and job.state == "running",
            "asked": job.asked,
            "began": job.began,
            "ended": job.ended,
            "progress": progress,
            "preview": self.workspace.id_of(preview) if preview.is_file() else None,
            "run": job.run,
            "error": job.error,
        }

    def told(self, job: Job) -> dict[str, Any]:
        """What the job's process last said of itself; {} where it said nothing."""
        return _read(self.folder(job) / "progress.json")

    def lines(self, job: Job) -> list[str]:
        """The last lines of its log."""
        return last_lines(self.folder(job) / "log.txt")

    def results(self, job: Job) -> list[dict[str, Any]]:
        """The files that it made, folders of networks as one."""
        return results(self.workspace, self.folder(job) / "out")

    def _keep(self, job: Job) -> Job:
        with self._lock:
            self._jobs[job.id] = job
            try:
                with atomic_write(self.folder(job) / "job.json") as temporary:
                    temporary.write_text(_text(job), encoding="utf-8")
            except (UserError, OSError) as error:  # the disk is full; it stands in memory, and is tried again
                log.warning(f"job {job.id}: {error}")
            return job

    def _load(self) -> None:
        sweep(self.workspace.jobs)
        for folder in sorted(self.workspace.jobs.iterdir()):
            match = NUMBER.fullmatch(folder.name)
            if match is None:
                continue
            self._taken.add(int(match[1]))
            if folder.is_symlink() or not folder.is_dir():
                continue
            try:
                path = folder / "job.json"
                job = from_plain(Job, read_json(path.read_bytes(), path, max_memory=1 << 24), where=path)
            except (OSError, UserError) as error:
                log.warning(f"{folder.name}: left out ({error})")
                continue
            if job.name == folder.name:
                self._jobs[job.id] = job
            if job.state != "running":  # whose process writes there itself
                sweep(folder)

    def _watch(self) -> None:
        while not self._closed.wait(EVERY):
            try:
                self.look()
            except Exception as error:  # one bad job must not end the queue
                log.warning(f"the queue of jobs: {error}")

    def look(self) -> None:
        """See who has ended, and start who is next."""
        with self._lock:
            for job in [job for job in self._jobs.values() if job.state == "running"]:
                self._look_at(job)
            running = sum(job.state == "running" for job in self._jobs.values())
            waiting = sorted(number for number, job in self._jobs.items() if job.state == "waiting")
            for number in waiting[: max(0, self._at_once - running)]:
                self._start(self._jobs[number])

    def _start(self, job: Job) -> None:
        folder = self.folder(job)
        with contextlib.suppress(OSError):
            (folder / "progress.json").unlink()
        said = shlex.join(["organza", *job.words])
        job = replace(job, state="running", began=_now(), ended=None, pid=None, birth=None, times=job.times + 1)
        job = self._keep(job)
        try:
            append(folder / "log.txt", f"$ {said}\n".encode("utf-8", "replace"))
            child = process.start(job.words, self.workspace.root, folder / "log.txt", folder / "progress.json")
        except (OSError, UserError) as error:
            self._keep(replace(job, state="failed", ended=_now(), error=printable(str(error), 400)))
            return
        self._children[job.id] = child
        self._keep(replace(job, pid=child.pid, birth=process.birth(child.pid)))

    def _look_at(self, job: Job) -> None:
        """Whether a job that ran still does."""
        child = self._children.get(job.id)
        told = self.told(job)
        if child is None and job.pid is None:  # the server was killed between starting it and writing its number
            pid = told.get("pid")
            if isinstance(pid, int) and pid > 1 and (born := process.birth(pid)):
                job = self._keep(replace(job, pid=pid, birth=born))
                if job.stopping is not None:
                    process.interrupt(pid)
            elif time.monotonic() - self._since < NEWBORN and "code" not in told:
                return
        code: int | None = None
        if child is not None:
            code = child.poll()
            alive = code is None
        else:
            alive = job.pid is not None and job.birth is not None and process.birth(job.pid) == job.birth
        if alive:
            self._while_alive(job)
            return
        self._children.pop(job.id, None)
        if isinstance(told.get("code"), int):
            code = told["code"]
        job = self._with_run(job)
        self._keep(replace(job, ended=_now(), **_end(job, code, told, self.lines(job))))

    def _while_alive(self, job: Job) -> None:
        job = self._with_run(job)
        if job.stopping is not None and job.pid is not None and _now() - job.stopping > GRACE:
            process.kill(job.pid)

    def _with_run(self, job: Job) -> Job:
        """With the folder of the training, which names the process that holds it."""
        if job.verb != "train" or job.pid is None:
            return job
        if job.run is not None and holder(self.workspace.root / job.run) == job.pid:
            return job
        for folder in sorted(self.workspace.runs.glob("[0-9]*"), reverse=True):
            if holder(folder) == job.pid and allowed(folder.name):
                return self._keep(replace(job, run=self.workspace.id_of(folder)))
        return job


_PLACE = "OUT-OF-THE-JOB"
"""Stands for the job's folder until its number is known."""


def _placed(words: tuple[str, ...], place: str, out: str) -> tuple[str, ...]:
    return tuple(word.replace(place, out) for word in words)


def _end(job: Job, code: int | None, told: dict[str, Any], lines: list[str]) -> dict[str, Any]:
    """The state of a job that ended, and why."""
    # A training that was told to stop ends well, and says so.
    if code == 0 and not any(line.startswith("stopped at ") for line in lines[-5:]):
        return {"state": "done", "error": None}
    if job.stopping is not None or code in (0, 130):
        return {"state": "stopped", "error": None}
    said = told.get("error")
    last = next((line for line in reversed(lines) if line.strip() and not line.startswith("$ ")), "")
    why = said if isinstance(said, str) and said else last.removeprefix("organza: ")
    if code is None:
        why = f"it ended without a word while no server was there; its last line: {why}" if why else "it is gone"
    elif code < 0:
        why = f"it was killed by signal {-code}; its last line: {why}"
    return {"state": "failed", "error": printable(why, 400) or f"exit code {code}"}


def _now() -> float:
    return round(time.time(), 3)


def _text(job: Job) -> str:
    return json.dumps(asdict(job), indent=2) + "\n"


def _read(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path.read_bytes()[: 1 << 16], path)
    except (OSError, UserError):
        return {}
    return found if isinstance(found, dict) else {}


def last_lines(path: Path, most: int = LINES) -> list[str]:
    """The last lines of a text, without what a terminal would do."""
    try:
        with open(path, "rb") as file:
            file.seek(0, 2)
            size = file.tell()
            file.seek(max(0, size - (1 << 16)))
            raw = file.read(1 << 16)
    except OSError:
        return []
    text = raw.decode("utf-8", "replace")
    lines = [line.rpartition("\r")[2] for line in text.replace("\r\n", "\n").split("\n")]
    return [printable(line, 1000) for line in lines if line][-most:]


KINDS = {
    "image": (".png", ".jpg", ".jpeg", ".webp"),
    "video": (".mp4", ".gif", ".mov", ".mkv", ".webm"),
    "codes": (".npz", ".npy"),
    "json": (".json",),
    "text": (".txt", ".csv", ".md"),
    "page": (".html",),
    "dataset": (".zip", ".tar"),
    "weights": (".safetensors", ".pt", ".pth", ".pkl", ".onnx"),
}
"""What results are, by their endings."""
MOST = 500
"""Files that are listed."""


def kind_of(path: Path) -> str:
    """What a file is, by its ending.

    Example:
        >>> kind_of(Path("a.PNG")), kind_of(Path("b"))
        ('image', 'file')
    """
    ending = path.suffix.lower()
    return next((kind for kind, endings in KINDS.items() if ending in endings), "file")


def results(workspace: Workspace, folder: Path) -> list[dict[str, Any]]:
    """The files below ``folder``, the newest last; a folder with a network is one thing."""
    found: list[dict[str, Any]] = []

    def walk(here: Path, depth: int) -> None:
        try:
            entries = sorted(here.iterdir())
        except OSError:
            return
        for path in entries:
            if len(found) >= MOST:
                return
            if not allowed(path.name) or path.is_symlink():
                continue
            if path.is_dir():
                if (path / "ema.safetensors").is_file() or (path / "checkpoints").is_dir():
                    found.append({"id": workspace.id_of(path), "name": _below(path, folder), "kind": "network"})
                elif depth < 4:
                    walk(path, depth + 1)
            elif path.is_file():
                found.append({"id": workspace.id_of(path), "name": _below(path, folder), "kind": kind_of(path)})

    if (folder / "ema.safetensors").is_file():  # of blend: the folder itself
        found.append({"id": workspace.id_of(folder), "name": folder.name, "kind": "network"})
    walk(folder, 0)
    return found


def _below(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
