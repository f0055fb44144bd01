"""A stand-in for the hub's HTTP API on this machine: repositories in memory, as far as the client's calls go."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hub:
    """What the server holds.

    Attributes:
        repositories: name -> file -> bytes.
        private: names of those that need a token.
        calls: what was asked, as ``"GET /path"``.
        sizes: file -> a size that is stated in place of the true one.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: set[str] = set()
        self.calls: list[str] = []
        self.sizes: dict[str, int] = {}
        self.url = ""

    def sha(self, name: str) -> str:
        files = self.repositories[name]
        return hashlib.sha1(repr(sorted((key, hash(value)) for key, value in files.items())).encode()).hexdigest()


@contextmanager
def served() -> Iterator[Hub]:
    """A hub at ``url``, on the loopback address."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.answer_get(body=True)

        def do_HEAD(self) -> None:
            self.answer_get(body=False)

        def answer_get(self, body: bool) -> None:
            path = self.path.split("?")[0]
            hub.calls.append(f"{self.command} {path}")
            parts = path.strip("/").split("/")
            if parts[:2] == ["api", "models"]:
                return self.model("/".join(parts[2:4]), parts[4:])
            if parts[2:3] == ["resolve"]:
                return self.file("/".join(parts[:2]), "/".join(parts[4:]), body)
            return self.reply(404, {"error": "not found"})

        def model(self, name: str, rest: list[str]) -> None:
            files = self.found(name)
            if files is None:
                return
            if rest[:1] == ["tree"]:
                listed = [
                    {"type": "file", "path": key, "size": len(data), "oid": _oid(data)} for key, data in files.items()
                ]
                return self.reply(200, listed)
            siblings = [{"rfilename": key, "size": hub.sizes.get(key, len(data))} for key, data in files.items()]
            self.reply(200, {"id": name, "modelId": name, "sha": hub.sha(name), "siblings": siblings, "tags": []})

        def file(self, name: str, key: str, body: bool) -> None:
            files = self.found(name)
            if files is None:
                return None
            if key not in files:
                return self.reply(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
            headers = {"ETag": f'"{_oid(files[key])}"', "X-Repo-Commit": hub.sha(name), "Accept-Ranges": "bytes"}
            return self.reply(200, files[key], headers, body)

        def found(self, name: str) -> dict[str, bytes] | None:
            if name in hub.repositories and (name not in hub.private or self.headers.get("Authorization")):
                return hub.repositories[name]
            self.reply(401 if name in hub.private else 404, {"error": "no"}, {"X-Error-Code": "RepoNotFound"})
            return None

        def do_POST(self) -> None:
            path = self.path.split("?")[0]
            hub.calls.append(f"POST {path}")
            length = self.headers.get("Content-Length")
            data = self.rfile.read(int(length)) if length else self.chunks()
            if not self.headers.get("Authorization"):
                return self.reply(401, {"error": "who are you?"})
            if path == "/api/repos/create":
                asked = json.loads(data)
                name = f"{asked.get('organization', 'me')}/{asked['name']}"
                hub.repositories.setdefault(name, {})
                return self.reply(200, {"url": f"{hub.url}/{name}", "name": name})
            parts = path.strip("/").split("/")
            name = "/".join(parts[2:4])
            if path == "/api/validate-yaml":
                return self.reply(200, {"errors": [], "warnings": []})
            if "preupload" in parts:
                files = [
                    {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for file in json.loads(data)["files"]
                ]
                return self.reply(200, {"files": files})
            if "commit" in parts:
                for line in data.splitlines():
                    told = json.loads(line)
                    if told["key"] == "file":
                        hub.repositories[name][told["value"]["path"]] = base64.b64decode(told["value"]["content"])
                sha = hub.sha(name)
                return self.reply(
                    200, {"commitUrl": f"{hub.url}/{name}/commit/{sha}", "commitOid": sha, "success": True}
                )
            return self.reply(404, {"error": "not found"})

        def chunks(self) -> bytes:
            found = b""
            while size := int(self.rfile.readline().strip() or b"0", 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found

        def reply(self, code: int, value: Any, headers: dict[str, str] | None = None, body: bool = True) -> None:
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(code)
            kind = "application/octet-stream" if isinstance(value, bytes) else "application/json"
            for key, text in {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}.items():
                self.send_header(key, text)
            self.end_headers()
            if body and self.command != "HEAD":
                self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _oid(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()
