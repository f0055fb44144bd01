"""What takes long: verbs with their forms, jobs, and how trainings stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import anyio.to_thread
from fastapi import FastAPI, Query, Response
from pydantic import BaseModel, ConfigDict, Field, StrictStr, StringConstraints

from organza.web.studio.contents import read_config, run_of
from organza.web.studio.forms import Forms
from organza.web.studio.jobs import Job, Queue
from organza.web.studio.progress import run_facts, training_progress
from organza.web.studio.workspace import LONGEST, NotThereError, Workspace


class Asked(BaseModel):
    """A job."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"verb": "walk", "options": {"network": "zoo/digits-vae", "output": ".gif"}}]},
    )

    verb: Annotated[StrictStr, StringConstraints(max_length=40)] = Field(description="See /api/verbs; or train.")
    preset: Annotated[StrictStr, StringConstraints(max_length=60)] | None = Field(None, description="Of train.")
    options: Annotated[dict[str, Any], Field(max_length=300)] = Field(default={}, description="Values by field.")


@dataclass(frozen=True)
class Work:
    """What all of it needs."""

    workspace: Workspace
    forms: Forms
    queue: Queue


def add(app: FastAPI, all: Work) -> None:
    """Put the routes into an application."""
    _add_forms(app, all)
    _add_jobs(app, all)
    _add_runs(app, all)


def _add_forms(app: FastAPI, all: Work) -> None:
    @app.get("/api/verbs", summary="The verbs of jobs, and their fields")
    async def verbs() -> list[dict[str, Any]]:
        return await anyio.to_thread.run_sync(all.forms.verbs)

    @app.get("/api/presets", summary="What can be trained")
    async def presets() -> list[dict[str, Any]]:
        return await anyio.to_thread.run_sync(all.forms.presets)

    @app.get("/api/presets/{name}", summary="The fields of a training")
    async def preset(name: Annotated[str, StringConstraints(max_length=60)]) -> dict[str, Any]:
        return await anyio.to_thread.run_sync(all.forms.preset, name)


def _add_jobs(app: FastAPI, all: Work) -> None:
    queue = all.queue

    def whole(job: Job) -> dict[str, Any]:
        return _told(all, job) | {"lines": queue.lines(job), "results": queue.results(job)}

    @app.post("/api/jobs", summary="Put a job into the queue", status_code=201)
    async def ask(body: Asked) -> dict[str, Any]:
        def make(out: str) -> Any:
            return all.forms.command(all.workspace, body.verb, body.preset, body.options, out)

        return whole(await anyio.to_thread.run_sync(queue.add, make))

    @app.get("/api/jobs", summary="All jobs, the newest first")
    async def jobs() -> list[dict[str, Any]]:
        return await anyio.to_thread.run_sync(lambda: [_told(all, job) for job in queue.all()])

    @app.get("/api/jobs/{number}", summary="A job, with its last lines and its results")
    async def job(number: int) -> dict[str, Any]:
        return await anyio.to_thread.run_sync(lambda: whole(queue.get(number)))

    @app.post("/api/jobs/{number}/stop", summary="Let a job end")
    async def stop(number: int) -> dict[str, Any]:
        return await anyio.to_thread.run_sync(lambda: whole(queue.stop(number)))

    @app.post("/api/jobs/{number}/resume", summary="Let a job go on")
    async def resume(number: int) -> dict[str, Any]:
        return await anyio.to_thread.run_sync(lambda: whole(queue.resume(number)))

    @app.delete("/api/jobs/{number}", summary="Remove a job that has ended", status_code=204)
    async def remove(number: int) -> Response:
        await anyio.to_thread.run_sync(queue.remove, number)
        return Response(status_code=204)


def _told(all: Work, job: Job) -> dict[str, Any]:
    told = all.queue.about(job)
    if job.verb == "train" and job.state == "running" and job.run is not None:
        folder = all.workspace.root / job.run
        told["progress"] = training_progress(folder, read_config(folder)) or told["progress"]
    return told


def _add_runs(app: FastAPI, all: Work) -> None:
    def facts(id: str) -> dict[str, Any]:
        folder = all.workspace.path(id)
        config = read_config(folder) if folder.is_dir() and folder.is_relative_to(all.workspace.root) else None
        if config is None:
            raise NotThereError(id)
        mine = [job for job in all.queue.all() if job.run == id]
        lines = [line for job in reversed(mine) for line in all.queue.lines(job)]
        told = run_of(all.workspace, folder, config) | run_facts(all.workspace, id, config, lines)
        return told | {"job": mine[0].id if mine else None}

    @app.get("/api/runs", summary="How a training stands: curves, images, settings")
    async def runs(id: Annotated[str, Query(max_length=LONGEST)]) -> dict[str, Any]:
        return await anyio.to_thread.run_sync(facts, id)
