"""Files from the network: checked, cached, resumed where a connection broke, within limits of size and time."""

from __future__ import annotations

import email.utils
import errno
import hashlib
import http.client
import os
import re
import shutil
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from organza.core.cache import cache_root
from organza.core.errors import UserError
from organza.core.files import make_folder, write_error
from organza.core.lock import locked
from organza.core.sniff import HEAD, instead
from organza.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from organza.core.progress import Progress

TRIES = 5
"""Attempts in a row that bring nothing new, before giving up."""
PAUSE = 1.0
"""Seconds before the second attempt; doubled each time."""
LONGEST_PAUSE = 60.0
"""A server that asks for more patience than this many seconds is not waited for."""
SLOWEST = 1024
"""Bytes a second, averaged over `timeout`, below which a connection is given up."""
MOST = 1 << 38
"""Bytes that a file may have where nobody states a limit (256 GiB); beyond 4 GiB the server must state the size."""
_UNSTATED = 1 << 32
_BLOCK = 1 << 18
_RETRIED = frozenset((408, 425, 429, 500, 502, 503, 504))
_BROKEN = frozenset((errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETRESET, errno.EBADF))
"""What the system says of a connection that is gone; other errors are the disk's."""


class _Trouble(Exception):
    """Something that may be over at the next attempt."""

    def __init__(self, what: str, pause: float | None = None) -> None:
        super().__init__(what)
        self.pause = pause


def offline_wished() -> bool:
    """Whether ``ORGANZA_OFFLINE`` is set."""
    return os.environ.get("ORGANZA_OFFLINE", "") not in ("", "0")


def cached_download(url: str) -> Path:
    """A file from anywhere, kept in the cache; schemes other than http(s) go through fsspec.

    Raises:
        UserError: it can't be had.
    """
    dest = cache_path(url, "downloads")
    if url.startswith(("http://", "https://")):
        return download(url, dest)
    make_folder(dest.parent)
    with locked(dest.with_name(f".{dest.name}.lock")):
        if dest.is_file():
            return dest
        if offline_wished():
            raise UserError("not downloaded yet, and offline", where=url, hint="go online once")
        _through_fsspec(url, dest)
    return dest


def cache_path(url: str, room: str) -> Path:
    """Where in the cache, under ``room``, the file at ``url`` is, or will be.

    Raises:
        UserError: not an address.

    Example:
        >>> cache_path("https://host/pets.zip?version=2", "downloads").name
        'pets.zip'
    """
    try:
        path = urlsplit(url).path
    except ValueError as error:
        raise UserError(f"not an address ({error})", where=printable(url, 200)) from None
    name = re.sub(r"[^\w.,=@+-]+", "_", PurePosixPath(path).name)[-100:].lstrip(".") or "download"
    return cache_root() / room / hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:12] / name


@contextmanager
def kept_if_it_opens(path: Path) -> Iterator[Path]:
    """Forget a fetched file that turns out, inside the block, to be something else: the next try fetches it again.

    Only files inside the cache are removed.
    """
    try:
        yield path
    except UserError:
        if path.is_file() and cache_root().resolve() in path.resolve().parents:
            path.unlink(missing_ok=True)
        raise


def download(
    url: str,
    dest: Path,
    *,
    sha256: str | None = None,
    offline: bool | None = None,
    timeout: float = 30,
    most: int = MOST,
    progress: Progress | None = None,
) -> Path:
    """Fetch ``url`` to ``dest``, unless it is there already.

    What arrives is kept in ``dest.part`` and, where the server can send ranges of the same version, continued on the
    next try, also after a kill. ``dest`` appears only when complete, verified if ``sha256`` is given, and not a web
    page or an error in place of a file. Between attempts there are pauses, as long as the server asks for.

    Args:
        url: http or https.
        dest: where to.
        sha256: hexadecimal, or its first digits where more is not known; None if nobody knows it.
        offline: never use the network; by default as ``ORGANZA_OFFLINE`` says.
        timeout: seconds without a byte, or below `SLOWEST`, after which a connection is given up.
        most: bytes that the file may have.
        progress: called as ``progress(bytes, total)``; total may be 0 for unknown.

    Raises:
        UserError: offline, not reachable, refused, too large, or not what it should be.
    """
    make_folder(dest.parent)
    with locked(dest.with_name(f".{dest.name}.lock")):
        if dest.is_file():
            if sha256 is None or digest(dest).startswith(sha256):
                return dest
            dest.unlink()  # changed since it was verified
        if offline_wished() if offline is None else offline:
            raise UserError("not downloaded yet, and offline", where=url, hint="go online once, or put the file there")
        part = _Part(dest.with_name(dest.name + ".part"))
        try:
            _fetch(url, part, timeout, most, progress)
            _verify(url, part, sha256)
            os.replace(part.path, dest)
        except OSError as error:
            raise write_error(dest, error) from error
    return dest


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    sums = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            sums.update(block)
    return sums.hexdigest()


@dataclass(frozen=True)
class _Part:
    """What has come of a file, and beside it the version that it is of (ETag or date), if the server names one."""

    path: Path

    @property
    def _tag(self) -> Path:
        return self.path.with_name(self.path.name + ".tag")

    @property
    def version(self) -> str:
        return self._tag.read_text("latin-1") if self._tag.exists() else ""

    @property
    def size(self) -> int:
        """Bytes that can be continued from: none without a version, or the rest might be of another file."""
        return self.path.stat().st_size if self.version and self.path.exists() else 0

    def begin(self, version: str) -> None:
        self.drop()
        if version:
            self._tag.write_text(version, "latin-1")

    def end(self) -> None:
        self._tag.unlink(missing_ok=True)

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)
        self._tag.unlink(missing_ok=True)


def _verify(url: str, part: _Part, sha256: str | None) -> None:
    if sha256 is not None:
        if not (found := digest(part.path)).startswith(sha256):
            part.drop()
            what = f"what came has another checksum (SHA-256 {found}, expected {sha256})"
            raise UserError(what, where=url, hint="try again; if it stays so, the file was changed")
        return
    with open(part.path, "rb") as file:
        _refuse_pages(url, file.read(HEAD), part)


def _refuse_pages(url: str, head: bytes, part: _Part) -> None:
    """Servers that have no file to give often say so in a page with status 200."""
    found = instead(head)
    if found is not None and found[0].endswith("not the file itself"):
        part.drop()
        title = re.search(rb"<title[^>]*>([^<]{1,200})", head, re.IGNORECASE)
        says = f" ({printable(title[1].decode('utf-8', 'replace').strip(), 80)})" if title else ""
        raise UserError(f"the server sent {found[0]}{says}", where=url, hint=found[1])


def _fetch(url: str, part: _Part, timeout: float, most: int, progress: Progress | None) -> None:
    failures, best = 0, part.size
    while True:
        try:
            _attempt(url, part, timeout, most, progress)
            return
        except _Trouble as trouble:
            have = part.size
            if have - best >= min(1 << 20, best // 8 + 1):  # what moves on is not failing
                failures, best = 0, have
            failures += 1
            pause = PAUSE * 2 ** (failures - 1) if trouble.pause is None else trouble.pause
            if failures >= TRIES or pause > LONGEST_PAUSE:
                hint = "what has come is kept: the same command continues" if have else "try again later"
                if pause > LONGEST_PAUSE:
                    hint = f"it asks to wait {pause:.0f} seconds"
                raise UserError(str(trouble), where=url, hint=hint) from None
            time.sleep(pause)


def _attempt(url: str, part: _Part, timeout: float, most: int, progress: Progress | None) -> None:
    """One connection, until the file is whole.

    Raises:
        _Trouble: it may go better the next time.
        UserError: it won't.
    """
    have, version = part.size, part.version
    headers = {"User-Agent": "organza", "Accept-Encoding": "identity"}
    if have:
        # If-Range: if the file has changed since, the server sends all of the new one.
        headers |= {"Range": f"bytes={have}-", "If-Range": version}
    try:
        with _opener(timeout).open(Request(url, headers=headers), timeout=timeout) as answer:
            _receive(url, answer, part, have, timeout, most, progress)
    except HTTPError as error:
        error.close()
        what = f"the server answers {error.code} ({printable(error.reason, 80)})"
        if error.code == 416:  # the part is longer than the file: it belongs to another version
            part.drop()
            raise _Trouble(what, pause=0) from None
        if error.code in _RETRIED:
            raise _Trouble(what, _asked_pause(error.headers.get("Retry-After"))) from None
        raise UserError(what, where=url) from None
    except URLError as error:
        refused = isinstance(error.reason, ConnectionRefusedError) and not have  # nobody is there, rather than gone
        if isinstance(error.reason, (ConnectionError, TimeoutError)) and not refused:
            raise _Trouble(f"can't be reached ({error.reason})") from None
        raise UserError(f"can't be reached ({error.reason})", where=url, hint="is the network there?") from None
    except (http.client.InvalidURL, UnicodeError, ValueError) as error:
        raise UserError(f"not an address ({printable(error, 120)})", where=url) from None
    except (http.client.HTTPException, OSError) as error:
        connection = isinstance(error, (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError))
        if isinstance(error, OSError) and not connection and error.errno not in _BROKEN:
            raise  # of the disk
        told = f" ({printable(error, 120)})" if str(error) else ""
        raise _Trouble(f"the connection broke{told}") from None


def _receive(
    url: str, answer: Any, part: _Part, have: int, timeout: float, most: int, progress: Progress | None
) -> None:
    headers = answer.headers
    if encoding := headers.get("Content-Encoding", "identity").lower().replace("identity", ""):
        raise UserError(f"the server packs its answer ({printable(encoding, 40)}) although asked not to", where=url)
    version = _version(headers)
    length = _number(headers.get("Content-Length"))
    total = None if length is None else have + length
    if answer.status == 206:
        first, last, whole = _range(headers.get("Content-Range"))
        if not have or first != have or (version and version != part.version):
            part.drop()
            raise _Trouble("the server sent another part than it was asked for", pause=0)
        total = last + 1 if whole is None else whole
        if last + 1 != total or (length is not None and length != total - first):
            part.drop()
            raise _Trouble("the server sent another part than it was asked for", pause=0)
    elif answer.status == 200:
        have, total = 0, length
        part.begin(version if headers.get("Accept-Ranges", "bytes").lower() != "none" else "")
    else:
        raise UserError(f"the server answers {answer.status}, which is no file", where=url)
    _check_size(url, part, have, total, most)
    limit = min(most, _UNSTATED) if total is None else total
    with open(part.path, "ab") as file:
        pace = _Pace(timeout)
        while block := answer.read1(_BLOCK):
            if not have and len(block) >= HEAD:
                _refuse_pages(url, block[:HEAD], part)
            have += len(block)
            if have > limit:
                part.drop()
                raise UserError(f"the server sends more than {limit >> 20:,} MB without end", where=url)
            file.write(block)
            pace.add(len(block))
            if progress is not None:
                progress(have, total or 0)
        file.flush()
        os.fsync(file.fileno())
    if total is not None and have < total:
        raise _Trouble(f"the connection broke (after {have:,} of {total:,} bytes)")
    part.end()


def _check_size(url: str, part: _Part, have: int, total: int | None, most: int) -> None:
    if total is None:
        return
    free = shutil.disk_usage(part.path.parent).free
    if total > most:
        part.drop()
        raise UserError(f"{total >> 20:,} MB is more than the {most >> 20:,} MB that it may have", where=url)
    if total - have > free:
        what = f"{(total - have) >> 20:,} MB are to come and {free >> 20:,} MB are free"
        raise UserError(what, where=part.path.parent, hint="free some space, or set ORGANZA_CACHE to another disk")


class _Pace:
    """Raises `_Trouble` when a connection trickles."""

    def __init__(self, window: float) -> None:
        self.window, self.since, self.bytes = window, time.monotonic(), 0

    def add(self, count: int) -> None:
        self.bytes += count
        elapsed = time.monotonic() - self.since
        if elapsed >= self.window:
            if self.bytes < SLOWEST * elapsed:
                raise _Trouble(f"the connection is too slow ({self.bytes / elapsed:.0f} bytes a second)")
            self.since, self.bytes = time.monotonic(), 0


def _version(headers: Any) -> str:
    """What names the version of a file: a strong ETag, or else the date of its last change."""
    tag: str = headers.get("ETag") or ""
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified") or ""


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"\d{1,19}", text.strip()) else None


def _range(content_range: str | None) -> tuple[int, int, int | None]:
    found = re.fullmatch(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)", (content_range or "").strip())
    if not found:
        return -1, -1, None
    return int(found[1]), int(found[2]), None if found[3] == "*" else int(found[3])


def _asked_pause(retry_after: str | None) -> float | None:
    """Retry-After (RFC 9110, 10.2.3) in seconds: a number, or a date."""
    if (seconds := _number(retry_after)) is not None:
        return float(seconds)
    with suppress(TypeError, ValueError, IndexError, OverflowError):
        when = email.utils.parsedate_to_datetime(retry_after or "")
        return max(0.0, when.timestamp() - time.time())
    return None


def _opener(timeout: float) -> OpenerDirector:
    """What follows redirections to http and https alone, and waits for an answer's head no longer than ``timeout``."""

    def connection(kind: Callable[..., http.client.HTTPConnection]) -> Callable[..., http.client.HTTPConnection]:
        return lambda *args, **more: _impatient(kind(*args, **more), timeout)

    class Plain(HTTPHandler):
        def http_open(self, request: Request) -> http.client.HTTPResponse:
            return self.do_open(connection(http.client.HTTPConnection), request)

    class Secure(HTTPSHandler):
        def https_open(self, request: Request) -> http.client.HTTPResponse:
            return self.do_open(connection(http.client.HTTPSConnection), request)

    opener = OpenerDirector()
    for part in (Plain(), Secure(), ProxyHandler(), UnknownHandler(), HTTPRedirectHandler()):
        opener.add_handler(part)
    for judge in (HTTPDefaultErrorHandler(), HTTPErrorProcessor()):
        opener.add_handler(judge)
    return opener


def _impatient(connection: http.client.HTTPConnection, timeout: float) -> http.client.HTTPConnection:
    """A socket's own time-out starts anew with each byte: a head that trickles in would be waited for without end."""
    usual = connection.getresponse

    def getresponse() -> http.client.HTTPResponse:
        sock = connection.sock
        timer = threading.Timer(timeout, _shut, (sock,))
        timer.daemon = True
        timer.start()
        try:
            return usual()
        finally:
            timer.cancel()

    connection.getresponse = getresponse  # type: ignore[method-assign]
    return connection


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _through_fsspec(url: str, dest: Path) -> None:
    try:
        import fsspec
    except ImportError:
        hint = 'install it with pip install "organza[remote]"'
        raise UserError("addresses of this kind need the package fsspec", where=url, hint=hint) from None
    part = _Part(dest.with_name(dest.name + ".part"))
    try:
        with fsspec.open(url, "rb") as remote:
            stated = getattr(remote, "size", None)
            total = stated if isinstance(stated, int) else None
            _check_size(url, part, 0, total, MOST)
            limit, have = _UNSTATED if total is None else total, 0
            with open(part.path, "wb") as local:
                while block := remote.read(_BLOCK):
                    have += len(block)
                    if have > limit:
                        raise UserError(f"more than {limit >> 20:,} MB came, without end", where=url)
                    local.write(block)
        if total is not None and have < total:
            raise UserError(f"only {have:,} of {total:,} bytes came", where=url, hint="try again")
        _verify(url, part, None)
        os.replace(part.path, dest)
    except UserError:
        raise
    except Exception as error:  # every file system of fsspec has its own exceptions
        raise UserError(f"can't be fetched ({printable(error, 200)})", where=url) from None
    finally:
        part.drop()
