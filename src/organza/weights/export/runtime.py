"""ONNX Runtime for browsers, as npm's package holds it: what a page needs of it, fetched once and checked.

Nothing of the package is run here. npm is asked for it by name, so that whatever registry a person has configured
serves it; a folder or an archive that is there already does as well.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from organza.core.cache import cache_root
from organza.core.download import offline_wished
from organza.core.errors import UserError
from organza.core.files import TakenError, atomic_folder, read_error
from organza.core.messages import logger
from organza.core.text import printable

log = logger(__name__)

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
"""Of the archive that npm packs of this version."""
CODE = {False: "ort.wasm.bundle.min.mjs", True: "ort.webgpu.bundle.min.mjs"}
"""The script, without and with what computes on GPUs."""
MOST = 96 << 20
"""Bytes that a file of the package may have."""
SECONDS = 600
HINT = f"install npm, or fetch the npm package {PACKAGE} elsewhere and give it: --runtime FOLDER or FILE.tgz"


@dataclass(frozen=True)
class Runtime:
    """What a page needs.

    Attributes:
        code: the script, an ES module.
        wasm: what it runs.
        version: of the package.
        webgpu: whether it computes on GPUs where there are any.
    """

    code: bytes
    wasm: bytes
    version: str
    webgpu: bool

    @cached_property
    def packed(self) -> dict[str, str | bool]:
        """The same as a page holds it."""
        code = self.code.replace(b"import.meta.url", b"document.baseURI")  # it comes from memory and has no address
        return {"code": packed(code), "wasm": packed(self.wasm), "webgpu": self.webgpu}


def packed(data: bytes) -> str:
    """Bytes as text: gzip, then base64.

    Example:
        >>> packed(b"")[:8]
        'H4sIAAAA'
    """
    return base64.b64encode(gzip.compress(data, 6, mtime=0)).decode()


def runtime(given: Path | None, webgpu: bool, *, offline: bool | None = None) -> Runtime:
    """The runtime from a folder or an archive, from the cache, or by npm.

    Args:
        given: the package unpacked, its folder ``dist``, or the ``.tgz`` that ``npm pack`` makes; None looks in the
            cache and asks npm.
        webgpu: with what computes on GPUs.
        offline: never use the network; None does as ``ORGANZA_OFFLINE`` says.

    Raises:
        UserError: it is not there, is not the package, or npm can't fetch it.
    """
    if given is not None:
        return _of_archive(given, webgpu) if given.is_file() else _of_folder(given, webgpu)
    kept = cache_root() / PACKAGE / VERSION
    if not kept.is_dir():
        if offline_wished() if offline is None else offline:
            raise UserError(f"{PACKAGE} is not downloaded yet, and offline", hint=HINT)
        _fetch(kept)
    return _of_folder(kept, webgpu)


def _of_folder(folder: Path, webgpu: bool) -> Runtime:
    dist = next((place for place in (folder, folder / "dist", folder / "package/dist") if _held(place, webgpu)), None)
    if dist is None:
        what = "does not exist" if not folder.exists() else f"holds no {CODE[webgpu]}"
        raise UserError(what, where=folder, hint=f"give the npm package {PACKAGE}, unpacked, or its .tgz")

    def read(name: str) -> bytes:
        path = dist / name
        try:
            if path.stat().st_size > MOST:
                raise UserError(f"more than {MOST >> 20} MB", where=path)
            return path.read_bytes()
        except OSError as error:
            raise read_error(path, error) from error

    about = next((place for place in (dist / "package.json", dist.parent / "package.json") if place.is_file()), None)
    return _made(read, None if about is None else about.read_bytes()[: 1 << 20], webgpu, folder)


def _held(folder: Path, webgpu: bool) -> bool:
    return (folder / CODE[webgpu]).is_file()


def _of_archive(path: Path, webgpu: bool) -> Runtime:
    held = _unpacked(path)
    if CODE[webgpu] not in held:
        raise UserError(f"holds no {CODE[webgpu]}", where=path, hint=f"give the npm package {PACKAGE}, as npm packs it")

    def read(name: str) -> bytes:
        if name not in held:
            raise UserError(f"holds no {name}", where=path, hint="fetch the package again")
        return held[name]

    return _made(read, held.get("package.json"), webgpu, path)


def _made(read: Callable[[str], bytes], about: bytes | None, webgpu: bool, where: Path) -> Runtime:
    code = read(CODE[webgpu])
    found = re.search(rb"ort-wasm[\w.-]*\.wasm", code)
    if found is None:
        raise UserError(f"{CODE[webgpu]} is not the script of {PACKAGE}", where=where)
    wasm = read(found[0].decode())
    if not wasm.startswith(b"\0asm"):
        raise UserError(f"{found[0].decode()} is no WebAssembly", where=where, hint="fetch the package again")
    return Runtime(code, wasm, _version(about), webgpu)


def _version(about: bytes | None) -> str:
    try:
        version = json.loads(about or b"{}").get("version", "")
    except (ValueError, AttributeError):
        return ""
    return version if isinstance(version, str) and re.fullmatch(r"[\w.+-]{1,40}", version) else ""


def _fetch(kept: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(f"a page needs {PACKAGE} (ONNX Runtime for browsers), and there is no npm here", hint=HINT)
    log.info(f"fetching {PACKAGE} {VERSION} by npm (33 MB, once)")
    with tempfile.TemporaryDirectory() as name:
        words = [npm, "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--silent"]
        try:
            done = subprocess.run(words, cwd=name, capture_output=True, timeout=SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UserError(f"npm can't be run ({printable(error, 120)})", hint=HINT) from error
        archives = list(Path(name).glob("*.tgz"))
        if done.returncode or len(archives) != 1:
            said = printable(done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}", 200)
            raise UserError(f"npm can't fetch {PACKAGE} ({said})", hint=HINT)
        if hashlib.sha256(archives[0].read_bytes()).hexdigest() != SHA256:
            raise UserError(f"what npm fetched is not {PACKAGE} {VERSION}: its checksum is another", hint=HINT)
        held = _unpacked(archives[0])
        with suppress(TakenError), atomic_folder(kept) as work:  # taken by another process meanwhile
            for file, data in held.items():
                (work / file).write_bytes(data)


def _unpacked(archive: Path) -> dict[str, bytes]:
    """The few files of the package that matter, by their names without folders."""
    wanted = re.compile(r"package/(dist/)?(package\.json|ort\.(wasm|webgpu)\.bundle\.min\.mjs|ort-wasm[\w.-]*\.wasm)")
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r:gz") as packed:
            for member in packed:
                if not member.isfile() or not wanted.fullmatch(member.name):
                    continue
                content = packed.extractfile(member)
                if member.size > MOST or content is None:
                    raise UserError(f"{member.name} has more than {MOST >> 20} MB", where=archive)
                found[Path(member.name).name] = content.read()
    except (tarfile.TarError, EOFError, ValueError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"is no archive of {PACKAGE} ({printable(error, 120)})", where=archive) from error
    except OSError as error:
        raise read_error(archive, error) from error
    return found
