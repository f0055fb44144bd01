"""Files from the network: checked, cached, resumed where a connection broke."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from organza.core.errors import UserError
from organza.core.files import make_folder, write_error
from organza.core.lock import locked
from organza.data.cache import cache_root

if TYPE_CHECKING:
    from organza.data.prepare import Progress

TRIES = 4
_BLOCK = 1 << 18


def offline_wished() -> bool:
    """Whether ``ORGANZA_OFFLINE`` is set."""
    return os.environ.get("ORGANZA_OFFLINE", "") not in ("", "0")


def cached_download(url: str) -> Path:
    """A file from anywhere, kept in the cache; schemes other than http(s) go through fsspec.

    Raises:
        UserError: it can't be had.
    """
    name = PurePosixPath(urlsplit(url).path).name or "download"
    dest = cache_root() / "downloads" / hashlib.sha256(url.encode()).hexdigest()[:12] / name
    if url.startswith(("http://", "https://")):
        return download(url, dest)
    if dest.is_file():
        return dest
    if offline_wished():
        raise UserError("not downloaded yet, and offline", where=url, hint="go online once")
    try:
        import fsspec
    except ImportError:
        hint = 'install it with pip install "organza[remote]"'
        raise UserError("addresses of this kind need the package fsspec", where=url, hint=hint) from None
    make_folder(dest.parent)
    part = dest.with_name(dest.name + ".part")
    try:
        with fsspec.open(url, "rb") as remote, open(part, "wb") as local:
            shutil.copyfileobj(remote, local, _BLOCK)
        os.replace(part, dest)
    except Exception as error:  # every file system of fsspec has its own exceptions
        raise UserError(f"can't be fetched ({error})", where=url) from None
    return dest


def download(
    url: str,
    dest: Path,
    *,
    sha256: str | None = None,
    offline: bool | None = None,
    timeout: float = 30,
    progress: Progress | None = None,
) -> Path:
    """Fetch ``url`` to ``dest``, unless it is there already.

    What arrives is kept in ``dest.part`` and continued on the next try, also after a kill. ``dest`` appears only
    when complete and, if ``sha256`` is given, verified.

    Args:
        url: http or https.
        dest: where to.
        sha256: hexadecimal; None if nobody knows it.
        offline: never use the network; by default as ``ORGANZA_OFFLINE`` says.
        timeout: seconds without a byte.
        progress: called as ``progress(bytes, total)``; total may be 0 for unknown.

    Raises:
        UserError: offline, not reachable, refused, or not what it should be.
    """
    make_folder(dest.parent)
    with locked(dest.with_name(f".{dest.name}.lock")):
        if dest.is_file():
            if sha256 is None or digest(dest) == sha256:
                return dest
            dest.unlink()  # changed since it was verified
        if offline_wished() if offline is None else offline:
            raise UserError("not downloaded yet, and offline", where=url, hint="go online once, or put the file there")
        part = dest.with_name(dest.name + ".part")
        try:
            _fetch(url, part, timeout, progress)
        except OSError as error:
            raise write_error(dest, error) from error
        if sha256 is not None and (found := digest(part)) != sha256:
            part.unlink()
            what = f"what came has another checksum (SHA-256 {found}, expected {sha256})"
            raise UserError(what, where=url, hint="try again; if it stays so, the file was changed")
        os.replace(part, dest)
    return dest


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    sums = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            sums.update(block)
    return sums.hexdigest()


def _fetch(url: str, part: Path, timeout: float, progress: Progress | None) -> None:
    trouble = "the connection broke"
    for _ in range(TRIES):
        try:
            if _attempt(url, part, timeout, progress):
                return
        except HTTPError as error:
            error.close()
            if error.code == 416:  # the part is longer than the file: it belongs to another version
                part.unlink(missing_ok=True)
                continue
            if error.code < 500:
                raise UserError(f"the server answers {error.code} ({error.reason})", where=url) from None
            trouble = f"the server answers {error.code} ({error.reason})"
        except URLError as error:
            if isinstance(error.reason, OSError) and isinstance(error.reason, (ConnectionError, TimeoutError)):
                trouble = f"can't be reached ({error.reason})"
                continue
            raise UserError(f"can't be reached ({error.reason})", where=url, hint="is the network there?") from None
        except (HTTPException, ConnectionError, TimeoutError) as error:
            trouble = f"the connection broke ({error})" if str(error) else "the connection broke"
        except ValueError as error:
            raise UserError(f"not an address ({error})", where=url) from None
    hint = "what has come is kept: the same command continues" if part.exists() else "try again later"
    raise UserError(trouble, where=url, hint=hint)


def _attempt(url: str, part: Path, timeout: float, progress: Progress | None) -> bool:
    """One connection; whether the file is whole now."""
    tag = part.with_name(part.name + ".tag")
    headers = {"User-Agent": "organza", "Accept-Encoding": "identity"}
    have = part.stat().st_size if part.exists() else 0
    known = tag.read_text() if tag.exists() else ""
    if have and known:
        # If-Range: if the file has changed since, the server sends all of the new one.
        headers |= {"Range": f"bytes={have}-", "If-Range": known}
    with urlopen(Request(url, headers=headers), timeout=timeout) as answer:
        continues = answer.status == 206 and _start(answer.headers.get("Content-Range")) == have
        have = have if continues else 0
        length = int(answer.headers.get("Content-Length") or 0)
        total = have + length if length else 0
        tag.write_text(answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "")
        with open(part, "ab" if continues else "wb") as file:
            while block := answer.read(_BLOCK):
                file.write(block)
                have += len(block)
                if progress is not None:
                    progress(have, total)
            file.flush()
            os.fsync(file.fileno())
    if total and have < total:
        return False
    tag.unlink(missing_ok=True)
    return True


def _start(content_range: str | None) -> int:
    found = re.match(r"bytes (\d+)-", content_range or "")
    return int(found[1]) if found else -1
