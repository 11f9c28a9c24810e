"""A hub on loopback: the few endpoints that the real client libraries ask, over real HTTP.

It serves repositories from memory at one commit each, refuses gated ones without the right token,
answers with the hub's own error codes, supports ranges, and can cut a download or let it hang.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_" + "a" * 34
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class LocalHub(ThreadingHTTPServer):
    """The server; `files[kind/name]` maps file names to bytes, kind being models or datasets."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, dict[str, bytes]] = {}
        self.cards: dict[str, dict[str, Any]] = {}  # datasets/name -> what its page states
        self.gated: set[str] = set()
        self.cut: dict[str, int] = {}  # file -> bytes after which its next download breaks off
        self.stall: dict[str, int] = {}  # file -> bytes after which its next download hangs
        self.stopping = threading.Event()
        self.corrupt: set[str] = set()  # files that are sent with a changed last byte
        self.requests: list[tuple[str, str, dict[str, str]]] = []

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point a process at this hub, without a token."""
        return {
            "HF_ENDPOINT": f"http://127.0.0.1:{self.server_port}",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_OFFLINE": "0",
            "NO_PROXY": "127.0.0.1",
        }


@contextmanager
def serve_hub() -> Iterator[LocalHub]:
    """Serve a hub until the block ends."""
    hub = LocalHub()
    thread = threading.Thread(target=hub.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield hub
    finally:
        hub.stopping.set()
        hub.shutdown()
        thread.join()
        hub.server_close()


def _entry(name: str, content: bytes) -> dict[str, Any]:
    """Return what the hub says about a file; weights are kept as LFS objects there."""
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    entry: dict[str, Any] = {"size": len(content), "oid": blob, "blobId": blob}
    entry |= {"type": "file", "path": name, "rfilename": name}
    if name.endswith(".safetensors"):
        digest = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": digest, "sha256": digest, "size": len(content), "pointerSize": 1}
    return entry


class _Handler(BaseHTTPRequestHandler):
    server: LocalHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        self._answer(body.get("paths", []))

    def _answer(self, paths: list[str] | None = None) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.server.requests.append((self.command, path, headers))
        is_api = path.startswith("api/")
        path = path.removeprefix("api/")
        if not path.startswith(("models/", "datasets/")):
            path = f"models/{path}"
        kind, owner, name, *rest = [*path.split("/"), ""]
        repository = f"{kind}/{owner}/{name}"
        files = self.server.files.get(repository)
        if files is None:
            return self._error(401, "RepoNotFound")
        revision = rest[1] if len(rest) > 2 else COMMIT
        if revision not in (COMMIT, "main"):
            return self._error(404, "RevisionNotFound")
        allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        # Like the hub's: what a gated repository is may be read, what it holds may not.
        public = is_api and rest[0] in ("", "revision")
        if repository in self.server.gated and not allowed and not public:
            return self._error(403, "GatedRepo")
        if not is_api:
            return self._send_file(files, "/".join(rest[2:]).rstrip("/"))
        if rest[0] == "auth-check":
            return self._send(b"{}")
        entries = [_entry(file, content) for file, content in files.items()]
        if rest[0] == "tree":
            return self._send(json.dumps(entries).encode())
        if rest[0] == "paths-info":
            found = [entry for entry in entries if entry["path"] in (paths or [])]
            return self._send(json.dumps(found).encode())
        if rest[0] in ("", "revision"):
            gated = "manual" if repository in self.server.gated else False
            info = {"id": f"{owner}/{name}", "sha": COMMIT, "gated": gated, "private": False}
            if repository in self.server.cards:
                info["cardData"] = self.server.cards[repository]
            return self._send(json.dumps(info | {"siblings": entries, "tags": []}).encode())
        return self._error(404, "EntryNotFound")

    def _send_file(self, files: dict[str, bytes], file: str) -> None:
        if file not in files:
            return self._error(404, "EntryNotFound")
        content, start = files[file], 0
        if self.headers.get("Range"):
            start = int(self.headers["Range"].removeprefix("bytes=").partition("-")[0])
        entry = _entry(file, content)
        self.send_response(206 if start else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{entry.get("lfs", entry)["oid"]}"')
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if self.command == "HEAD":
            return
        if file in self.server.corrupt:
            content = content[:-1] + bytes([content[-1] ^ 1])
        stalls = file in self.server.stall
        stop = self.server.stall.pop(file, self.server.cut.pop(file, len(content)))
        self.wfile.write(content[start:stop])
        if stalls:
            self.server.stopping.wait(60)
        if stop < len(content):
            self.close_connection = True
            self.connection.close()

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _error(self, status: int, code: str) -> None:
        body = json.dumps({"error": code}).encode()
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
