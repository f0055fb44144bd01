"""What stands between the network and the application: who may ask, how much, and what browsers may do with it.

A page from anywhere can make a browser send requests to this machine. So the name of the host must be one that is
ours (a foreign name may be made to lead here: DNS rebinding), an ``Origin`` too, and nothing may be embedded or read by
others. With a token any name will do, since no foreign page knows it.
"""

from __future__ import annotations

import asyncio
import hmac
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from organza.web.limits import CLIENTS, REQUEST_BYTES, Limits

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
OPEN = ("/health",)
"""What may be asked without a token."""


@dataclass(frozen=True)
class Rules:
    """What differs between our applications.

    Attributes:
        opened: whether a path may be asked for without a token.
        most: method and path of a request to the bytes that its body may have.
        seconds: method and path to the seconds that its body may take to come.
        headers: of every answer.
        alone: whether only pages of this very address may ask, not those of another port of this machine.
    """

    opened: Callable[[str], bool]
    most: Callable[[str, str], int]
    seconds: Callable[[str, str], float]
    headers: Mapping[str, str] = field(default_factory=lambda: HEADERS)
    alone: bool = False


def rules_of(limits: Limits) -> Rules:
    """Those of `organza serve`."""
    return Rules(
        opened=lambda path: path in OPEN,
        most=lambda method, path: limits.upload_mb << 20 if path.endswith("/translate") else REQUEST_BYTES,
        seconds=lambda method, path: limits.timeout,
    )


@dataclass(frozen=True)
class Gate:
    """Who may ask.

    Attributes:
        hosts: names under which the server is reached; () with a token: any.
        token: that each request must carry; None: nobody else can connect.
        rate: requests a minute from each address; 0: any number.
    """

    hosts: tuple[str, ...] = LOOPBACK
    token: str | None = None
    rate: int = 0


class Guard:
    """Middleware that lets through what it may; see `Gate` and `Rules`."""

    def __init__(self, app: ASGIApp, gate: Gate, rules: Rules) -> None:
        self._app, self._gate, self._rules = app, gate, rules
        self._rates = Rates(gate.rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the application."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._rules.headers.items():
                    headers[name] = value
            await send(message)

        if (refusal := self._refusal(scope)) is not None:
            await refusal(scope, receive, with_headers)
            return
        await self._app(scope, self._bounded(scope, receive), with_headers)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        if self._gate.hosts and not is_ours(headers.getlist("host"), self._gate.hosts):
            return refused(421, "this server has no such name; start it with --names NAME to let it have one")
        if any(len(headers.getlist(name)) > 1 for name in ("origin", "sec-fetch-site", "authorization")):
            return refused(400, "a header that may stand there once stands there twice")
        origin = headers.get("origin")
        if origin is not None and self._gate.hosts and not is_ours([_host_of(origin)], self._gate.hosts):
            return refused(403, "pages from elsewhere may not ask this server")
        if self._rules.alone and not _same_origin(headers, origin):
            return refused(403, "pages from elsewhere may not ask this server")
        if (wait := self._rates.wait((scope.get("client") or ("", 0))[0])) > 0:
            return refused(429, f"more than {self._gate.rate} requests a minute", {"retry-after": str(wait)})
        if self._gate.token is not None and not self._rules.opened(scope["path"]):
            given = headers.get("authorization", "").encode()
            if not hmac.compare_digest(given, f"Bearer {self._gate.token}".encode()):
                return refused(401, "a token is needed: Authorization: Bearer TOKEN", {"www-authenticate": "Bearer"})
        length = headers.get("content-length", "0")
        if not re.fullmatch(r"\d{1,18}", length) or int(length) > self._most(scope):
            return refused(413, self._too_large(scope))
        return None

    def _most(self, scope: Scope) -> int:
        return self._rules.most(scope["method"], scope["path"])

    def _too_large(self, scope: Scope) -> str:
        return f"the request is too large; {self._most(scope):,} bytes at most"

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """The body of a request, as long as it may be and as long as it may take."""
        end = time.monotonic() + self._rules.seconds(scope["method"], scope["path"])
        most, seen, more = self._most(scope), 0, True

        async def bounded() -> Message:
            nonlocal seen, more
            if not more:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, end - time.monotonic()))
            except asyncio.TimeoutError:
                raise HTTPException(408, "the request did not come in time") from None
            seen += len(message.get("body", b""))
            if seen > most:
                raise HTTPException(413, self._too_large(scope))
            more = bool(message.get("more_body"))
            return message

        return bounded


class Rates:
    """Requests of each address: a bucket that fills in a minute.

    Example:
        >>> rates = Rates(60)
        >>> [rates.wait("a", now=0.0) for _ in range(61)][-2:], rates.wait("b", now=0.0), rates.wait("a", now=1.5)
        ([0, 1], 0, 0)
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str, now: float | None = None) -> int:
        """Seconds until ``client`` may ask again; 0: now, and it is counted."""
        if not self._rate:
            return 0
        now = time.monotonic() if now is None else now
        left, last = self._left.pop(client, (float(self._rate), now))
        left = min(float(self._rate), left + (now - last) * self._rate / 60)
        wait = 0 if left >= 1 else max(1, math.ceil((1 - left) * 60 / self._rate))
        self._left[client] = (left if wait else left - 1, now)
        if len(self._left) > CLIENTS:
            self._left.popitem(last=False)
        return wait


def is_ours(given: Sequence[str], hosts: Sequence[str]) -> bool:
    """Whether the one host that a request names is one of ours, at any port.

    Example:
        >>> is_ours(["localhost:8000"], LOOPBACK), is_ours(["evil.example"], LOOPBACK), is_ours([], LOOPBACK)
        (True, False, False)
    """
    if len(given) != 1:
        return False
    return re.sub(r":\d{1,5}$", "", given[0].lower()) in hosts


def _same_origin(headers: Headers, origin: str | None) -> bool:
    site = headers.get("sec-fetch-site", "none")
    if site not in ("same-origin", "none"):
        return False
    return origin is None or _host_of(origin).lower() == headers.get("host", "").lower()


def _host_of(origin: str) -> str:
    scheme, _, host = origin.partition("://")
    return host if scheme in ("http", "https") else ""


def refused(status: int, why: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An answer that says in one line what is wrong."""
    return JSONResponse({"error": why}, status, headers)
