"""The application behind `organza serve`: networks in, an HTTP API out."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import anyio.to_thread
import numpy as np
from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from organza.core.errors import UserError
from organza.core.messages import logger
from organza.core.text import printable
from organza.core.version import __version__
from organza.media.images import Pixels, make_grid
from organza.models.generator import Generator
from organza.models.translator import Translator
from organza.web.answers import GoneError, computed, explain, png
from organza.web.asked import Generate, Translate
from organza.web.counts import TYPE, Counts
from organza.web.guard import Gate, Guard, refused, rules_of
from organza.web.lanes import ClosedError, FullError
from organza.web.limits import UPLOADS, Limits
from organza.web.served import Served

log = logger(__name__)
T = TypeVar("T")

_TEXT, _SEED = {"type": "string"}, {"type": "integer"}
_ONE = {"type": "object", "properties": {"seed": _SEED, "png": _TEXT | {"format": "byte"}}, "required": ["png"]}
_ALL = {"type": "object", "properties": {"network": _TEXT, "images": {"type": "array", "items": _ONE}}}
CONTENT = {
    "image/png": {"schema": {"type": "string", "format": "binary"}},
    "application/json": {"schema": _ALL},
}
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": what,
        "content": {"application/json": {"schema": {"type": "object", "properties": {"error": {"type": "string"}}}}},
    }
    for status, what in {
        400: "Not a request.",
        401: "A token is needed.",
        408: "The request did not come in time.",
        413: "Too large.",
        422: "Not what this network takes.",
        429: "Too many requests from this address.",
        503: "Too much is waiting; see Retry-After.",
    }.items()
}


def make_app(networks: Mapping[str, Served], limits: Limits = Limits(), gate: Gate = Gate()) -> FastAPI:
    """The application. Its lanes run as long as it does; at the end they finish what waits.

    Args:
        networks: from `organza.web.served.open_networks`.
        limits: of requests, queues and time.
        gate: who may ask.

    Example:
        >>> from organza.web.served import serve
        >>> app = make_app({"toy": serve("toy", G)})
        >>> [path for path in app.openapi()["paths"] if "toy" in path]
        ['/v1/toy/generate']
    """
    counts = Counts(networks)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        for served in networks.values():
            served.lanes.start()
        try:
            yield
        finally:
            for served in networks.values():
                await anyio.to_thread.run_sync(served.lanes.close)

    app = FastAPI(
        title="Organza",
        version=__version__,
        description='Images from trained GANs. Errors are JSON: {"error": "one line"}.',
        docs_url=None,  # it would fetch scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        middleware=[Middleware(Guard, gate=gate, rules=rules_of(limits))],
        responses=ERRORS,
    )
    explain(app)

    @app.get("/health", summary="Whether the server runs")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics", summary="Counters for Prometheus", response_class=Response)
    async def metrics() -> Response:
        return Response(counts.text(), media_type=TYPE)

    @app.get("/v1/networks", summary="The networks, and what they take")
    async def listed() -> dict[str, list[dict[str, Any]]]:
        return {"networks": [served.about() for served in networks.values()]}

    for served in networks.values():
        add = _add_generate if isinstance(served.network, Generator) else _add_translate
        add(app, served, limits, counts)

    @app.post("/v1/{name}/{verb}", include_in_schema=False)
    async def unknown(name: str, verb: str) -> Response:
        known = ", ".join(f"/v1/{each.name}/{each.about()['does']}" for each in networks.values())
        return refused(404, printable(f"there is no /v1/{name}/{verb}; there is {known}", 1000))

    return app


def _add_generate(app: FastAPI, served: Served, limits: Limits, counts: Counts) -> None:
    G = served.network
    assert isinstance(G, Generator)

    async def answer(request: Request, body: Generate) -> Response:
        asks = body.images(G, limits)
        images = await computed(request, served.lanes, served.lanes.submit(asks), limits.timeout)
        counts.images.labels(served.name).inc(len(images))
        return await anyio.to_thread.run_sync(_sent, served, list(body.seeds), images, body.format)

    about = served.about()
    takes = [f"{about['width']}x{about['height']} pixels"]
    takes += [f"classes or attributes: {', '.join(about['label_names'][:12])}"] if about["label_names"] else []
    takes += ["text"] if about["text"] else []
    app.post(
        f"/v1/{served.name}/generate",
        summary=f"Generate images with {served.name}",
        description=f"{about['kind']}; {'; '.join(takes)}.",
        operation_id=f"generate_{served.name}",
        response_class=Response,
        responses={200: {"description": "The image, or JSON.", "content": CONTENT}},
    )(_counted(served, counts, answer))


def _add_translate(app: FastAPI, served: Served, limits: Limits, counts: Counts) -> None:
    T = served.network
    assert isinstance(T, Translator)
    uploads = asyncio.Semaphore(UPLOADS)

    async def answer(request: Request, body: Annotated[Translate, Query()]) -> Response:
        served.lanes.check_room()  # before the upload is taken in
        if uploads.locked():
            raise FullError(1)
        async with uploads:
            data = await request.body()
            wish = await anyio.to_thread.run_sync(body.wish, T, data, limits)
            del data
            images = await computed(request, served.lanes, served.lanes.submit([wish]), limits.timeout)
        counts.images.labels(served.name).inc()
        return await anyio.to_thread.run_sync(_sent, served, None, images, body.format)

    about = served.about()
    targets = f"; targets: {', '.join(about['targets'][:12])}" if about["targets"] else ""
    app.post(
        f"/v1/{served.name}/translate",
        summary=f"Translate an image with {served.name}",
        description=f"{about['kind']}{targets}. The image is the body of the request.",
        operation_id=f"translate_{served.name}",
        response_class=Response,
        responses={200: {"description": "The image, or JSON.", "content": CONTENT}},
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
    )(_counted(served, counts, answer))


def _counted(served: Served, counts: Counts, answer: Callable[..., Awaitable[Response]]) -> Callable[..., Any]:
    """``answer``, counted by how it ends."""

    @functools.wraps(answer)
    async def counted(**given: Any) -> Response:
        began, status = time.monotonic(), 500
        try:
            response = await answer(**given)
            status = response.status_code
            counts.seconds.labels(served.name).observe(time.monotonic() - began)
            return response
        except UserError:
            status = 422
            raise
        except (FullError, ClosedError, TimeoutError):
            status = 503
            raise
        except HTTPException as error:
            status = error.status_code
            raise
        except GoneError:
            status = 499
            counts.gone.labels(served.name).inc()
            return Response(status_code=499)
        finally:
            counts.requests.labels(served.name, str(status)).inc()

    return counted


def _sent(served: Served, seeds: list[int] | None, images: Sequence[Pixels], how: str) -> Response:
    """An image, several in a grid, or all in JSON."""
    if how == "png":
        whole = images[0] if len(images) == 1 else make_grid(np.stack(images))
        return Response(png(whole), media_type="image/png")
    told: list[dict[str, Any]] = [{"png": base64.b64encode(png(image)).decode()} for image in images]
    if seeds is not None:
        told = [{"seed": seed, **each} for seed, each in zip(seeds, told, strict=True)]
    return JSONResponse({"network": served.name, "images": told})
