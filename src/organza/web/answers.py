"""What all our applications answer with: images that were waited for, and errors as one line of JSON."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from organza.core.errors import UserError
from organza.core.text import printable
from organza.media.images import Pixels, to_image
from organza.web.guard import HEADERS, refused
from organza.web.lanes import ClosedError, FullError, Lanes

R = TypeVar("R")
A = TypeVar("A")
_TRIED = frozenset({"float", "int", "str", "bool", "list", "none"})


class GoneError(Exception):
    """Nobody waits for the answer any more."""


class SupersededError(Exception):
    """A newer request took this one's place before it began."""


async def computed(request: Request, lanes: Lanes[A, R], futures: Sequence[Future[R]], timeout: float) -> list[R]:
    """The answers of a queue, unless the client goes away or time runs out: then nothing of it stays there.

    Args:
        request: whose client is watched.
        lanes: of the queue.
        futures: what its `submit` gave.
        timeout: in seconds.

    Raises:
        UserError, FullError, ClosedError: as they come from the lanes.
        GoneError: the client is gone.
        SupersededError: somebody took it out of the queue.
        TimeoutError: it took too long.
    """
    done = asyncio.gather(*map(asyncio.wrap_future, futures))
    gone = asyncio.create_task(_disconnected(request))
    try:
        waited: list[asyncio.Future[Any]] = [done, gone]
        await asyncio.wait(waited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if done.done():
            if any(future.cancelled() for future in futures):
                raise SupersededError
            return list(done.result())
        if gone.done():
            raise GoneError
        raise TimeoutError
    finally:
        lanes.cancel(futures)
        gone.cancel()
        done.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await done


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def png(image: Pixels, level: int = 4) -> bytes:
    """An image uint8 ``[H, W, C]`` as PNG, by one of zlib's levels: 1 is soon, 9 is small."""
    buffer = io.BytesIO()
    to_image(image).save(buffer, format="PNG", compress_level=level)
    return buffer.getvalue()


def place_of(loc: Sequence[int | str]) -> str:
    """Which field of a request is meant, without the kinds that pydantic tried there.

    Example:
        >>> place_of(("body", "mix", 0, "layers")), place_of(("body", "label", "list[function-after[...]]", 2))
        ('mix.0.layers', 'label.2')
        >>> place_of(("body", "psi", "float")), place_of(("body",))
        ('psi', '')
    """
    named = [part for part in loc[1:] if isinstance(part, int) or (part.isidentifier() and part not in _TRIED)]
    return printable(".".join(map(str, named)), 100)


def explain(app: FastAPI, line: Callable[[Exception], str] = str) -> None:
    """Let every error be one line of JSON; ``line`` words one that is for people."""

    async def of_people(request: Request, error: Exception) -> Response:
        return refused(422, line(error))

    async def of_shape(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            return refused(400, "the body is not JSON")
        where = place_of(first["loc"])
        more = f" ({len(error.errors())} complaints)" if len(error.errors()) > 1 else ""
        return refused(422, printable(f"{where}: {first['msg']}{more}" if where else first["msg"], 400))

    async def of_room(request: Request, error: Exception) -> Response:
        wait = error.seconds if isinstance(error, FullError) else 5
        return refused(503, str(error), {"retry-after": str(wait)})

    async def of_time(request: Request, error: Exception) -> Response:
        return refused(503, "it took too long", {"retry-after": "5"})

    async def of_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        what = "the body is not JSON" if error.status_code == 400 else printable(str(error.detail), 400)
        return refused(error.status_code, what, dict(error.headers or {}))

    async def of_ours(request: Request, error: Exception) -> Response:
        return refused(500, "this should not happen; the server's log says more", HEADERS)

    app.add_exception_handler(UserError, of_people)
    app.add_exception_handler(RequestValidationError, of_shape)
    app.add_exception_handler(FullError, of_room)
    app.add_exception_handler(ClosedError, of_room)
    app.add_exception_handler(TimeoutError, of_time)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(Exception, of_ours)
