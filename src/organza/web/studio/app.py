"""The application behind `organza studio`: one page, and the API that it asks."""

from __future__ import annotations

import contextlib
import io
import mimetypes
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import StringConstraints
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect

from organza.core.device import choose_device
from organza.core.errors import UserError
from organza.core.text import printable
from organza.core.version import __version__
from organza.core.zoo import FOLDER, PREFIX
from organza.data.decode import Target, open_picture, render
from organza.data.source import BadPicture
from organza.media.images import to_image
from organza.web.answers import GoneError, SupersededError, explain
from organza.web.app import ERRORS
from organza.web.guard import HEADERS, Gate, Guard, Rules, refused
from organza.web.limits import REQUEST_BYTES
from organza.web.studio import at_once, work
from organza.web.studio.contents import contents
from organza.web.studio.forms import Forms
from organza.web.studio.jobs import ManyJobsError, NoJobError, Queue, kind_of
from organza.web.studio.opened import Networks
from organza.web.studio.settings import PIXELS, Room
from organza.web.studio.uploads import FullDiskError, Uploads
from organza.web.studio.workspace import LONGEST, NotThereError, Workspace

PAGE = Path(__file__).parent / "page"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_IMAGE_MB = 64
_BLOCK = 1 << 20
LOOKING = 3
"""Files that are decoded at a time: each may take as much memory as `PIXELS` do, and nobody else waits for them."""
_FILE = re.compile(r"[a-z0-9][a-z0-9-]*(\.[a-z0-9-]+)*\.(js|css|svg|png|json|html|woff2)")
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json"}
_SHOWN = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".csv": "text/plain; charset=utf-8",
    ".jsonl": "text/plain; charset=utf-8",
}
"""What a browser may show; anything else is a download."""

Id = Annotated[str, Query(max_length=LONGEST, description="What is meant: a path in the workspace.")]


def rules_of(room: Room) -> Rules:
    """What the guard lets through."""

    def most(method: str, path: str) -> int:
        if path == "/api/uploads":
            return room.upload_mb << 20
        return _IMAGE_MB << 20 if path in ("/api/translate", "/api/cartoon") else REQUEST_BYTES

    return Rules(
        opened=lambda path: not path.startswith("/api") and path != "/openapi.json",
        most=most,
        seconds=lambda method, path: room.timeout * (10 if path == "/api/uploads" else 1),
        headers=HEADERS | {"content-security-policy": CSP},
        alone=True,
    )


def make_studio(
    workspace: Workspace, forms: Forms, room: Room = Room(), gate: Gate = Gate(), device: str | None = None
) -> FastAPI:
    """The application. Its lanes and its queue run as long as it does; jobs go on without it.

    Args:
        workspace: the folder that it works in.
        forms: the command line, from `organza.cli.web.forms`.
        room: how much it holds.
        gate: who may ask.
        device: of networks; see `organza.load`.
    """
    networks, queue, uploads = Networks(workspace, device), Queue(workspace, room.jobs), Uploads(workspace, room)
    place = choose_device(device)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        queue.open()
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(queue.close)
            await anyio.to_thread.run_sync(networks.close)

    app = FastAPI(
        title="Organza studio",
        version=__version__,
        description='The API of the studio\'s page. Errors are JSON: {"error": "one line"}.',
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        middleware=[Middleware(Guard, gate=gate, rules=rules_of(room))],
        responses=ERRORS
        | {
            404: ERRORS[400] | {"description": "Nothing of this name is in the workspace."},
            409: ERRORS[400] | {"description": "A newer request took its place."},
        },
    )
    _explain(app, workspace)

    @app.get("/api/about", summary="What this studio is")
    async def about() -> dict[str, Any]:
        return {
            "version": __version__,
            "workspace": workspace.root.name,
            "device": str(place),
            "token": gate.token is not None,
            "faces": at_once.faces_at_hand(),
            "limits": {"upload_mb": room.upload_mb, "images": room.images, "side": room.side, "image_mb": _IMAGE_MB},
        }

    @app.get("/api/workspace", summary="What is in the workspace")
    async def listed() -> dict[str, Any]:
        found: dict[str, Any] = await anyio.to_thread.run_sync(contents, workspace)
        jobs = {job.run: job.id for job in reversed(queue.all()) if job.run is not None}
        for run in found["runs"]:
            run["job"] = jobs.get(run["id"])
        return found

    _add_files(app, workspace, uploads)
    at_once.add(app, at_once.AtOnce(workspace, room, forms, networks))
    work.add(app, work.Work(workspace, forms, queue))
    _add_page(app)
    return app


def _add_files(app: FastAPI, workspace: Workspace, uploads: Uploads) -> None:
    looking = anyio.CapacityLimiter(LOOKING)

    @app.post("/api/uploads", summary="Send a file", status_code=201, openapi_extra=at_once.BODY)
    async def upload(
        request: Request,
        name: Annotated[str, Query(min_length=1, max_length=400)],
        into: Annotated[str | None, Query(max_length=80)] = None,
    ) -> dict[str, Any]:
        path = await anyio.to_thread.run_sync(uploads.place, name)
        try:
            waiting = bytearray()
            async for part in request.stream():
                waiting += part
                if len(waiting) >= _BLOCK:
                    await anyio.to_thread.run_sync(uploads.add, path, bytes(waiting))
                    waiting.clear()
            if waiting:
                await anyio.to_thread.run_sync(uploads.add, path, bytes(waiting))
            return await anyio.to_thread.run_sync(uploads.take, path, into, limiter=looking)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(uploads.drop, path)

    @app.delete("/api/items", summary="Remove an upload or a result", status_code=204)
    async def remove(id: Id) -> Response:
        await anyio.to_thread.run_sync(uploads.remove, id)
        return Response(status_code=204)

    @app.get("/api/files", summary="A file", response_class=Response)
    async def files(id: Id, download: bool = False) -> Response:
        path = workspace.path(id)
        if not path.is_file():
            raise UserError("is a folder", where=id, hint="name a file in it")
        if not id.startswith(("studio/", "runs/", "zoo/")) and kind_of(path) not in ("image", "video"):
            raise UserError("is not the studio's to give away", where=id, hint="images, videos, runs and results are")
        type = _SHOWN.get(path.suffix.lower())
        how = "attachment" if download or type is None else "inline"
        return FileResponse(
            path.resolve(),
            media_type=type or "application/octet-stream",
            filename=path.name,
            content_disposition_type=how,
        )

    @app.get("/api/thumbnail", summary="An image, small", response_class=Response)
    async def thumbnail(id: Id, side: Annotated[int, Query(ge=16, le=512)] = 128) -> Response:
        data = await anyio.to_thread.run_sync(_thumbnail, workspace, id, side, limiter=looking)
        return Response(data, media_type="image/png")


def _thumbnail(workspace: Workspace, id: str, side: int) -> bytes:
    path = workspace.path(id)
    if not path.is_file() or path.stat().st_size > 1 << 28:
        raise UserError("is no image", where=id)
    try:
        target = Target((side, side), 4, "pad")
        image = open_picture(path.read_bytes(), target)
        if image.width * image.height > PIXELS:
            raise UserError("has too many pixels", where=id)
        found = to_image(render(image, Target(None, 4)))
    except BadPicture as error:
        raise UserError(f"can't be shown: {error}", where=id) from None
    found.thumbnail((side, side))
    buffer = io.BytesIO()
    found.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def _add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(PAGE / "index.html", media_type="text/html; charset=utf-8")

    @app.get("/page/{name}", include_in_schema=False)
    async def part(name: Annotated[str, StringConstraints(max_length=80)]) -> Response:
        path = PAGE / name
        if not _FILE.fullmatch(name) or not path.is_file():
            return refused(404, "there is no such page")
        return FileResponse(path, media_type=_TYPES.get(path.suffix) or mimetypes.guess_type(name)[0])

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon() -> Response:
        return Response(status_code=204)


def _explain(app: FastAPI, workspace: Workspace) -> None:
    """Let every error be one line of JSON, with ids where it names places."""
    root, zoo = f"{workspace.root}{os.sep}", f"{FOLDER}{os.sep}"

    def line(error: Exception) -> str:
        return printable(str(error).replace(root, "").replace(zoo, PREFIX), 600)

    explain(app, line)

    async def not_there(request: Request, error: Exception) -> Response:
        return refused(404, line(error))

    async def full(request: Request, error: Exception) -> Response:
        return refused(413, line(error))

    async def many(request: Request, error: Exception) -> Response:
        return refused(503, "too many jobs wait; remove some", {"retry-after": "60"})

    async def superseded(request: Request, error: Exception) -> Response:
        return refused(409, "superseded")

    async def gone(request: Request, error: Exception) -> Response:
        return Response(status_code=499)

    async def of_the_system(request: Request, error: Exception) -> Response:
        assert isinstance(error, OSError)
        return refused(422, printable(error.strerror or "the system refused it", 200))

    app.add_exception_handler(NotThereError, not_there)
    app.add_exception_handler(NoJobError, not_there)
    app.add_exception_handler(FullDiskError, full)
    app.add_exception_handler(ManyJobsError, many)
    app.add_exception_handler(SupersededError, superseded)
    app.add_exception_handler(GoneError, gone)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(OSError, of_the_system)
