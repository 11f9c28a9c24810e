"""Publishing: the real client against a hub on loopback that keeps what it is sent."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json
from workflow.scripts.common.manifest import write_manifest
from workflow.scripts.models.publish_model import main

TOKEN = "hf_" + "a" * 34
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Keeps repositories (name to private or not) and the files of their commits."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, bool] = {}
        self.files: dict[str, bytes] = {}


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._send(200, {"id": "me/tiny", "sha": COMMIT, "siblings": [], "private": True})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._send(401, {"error": "Unauthorized"})
        if self.path.endswith("/repos/create"):
            asked = json.loads(body)
            name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
            self.server.repositories[name] = asked.get("private", False) or (
                asked.get("visibility") == "private"
            )
            return self._send(200, {"url": f"http://{self.headers['Host']}/{name}", "name": name})
        if "/preupload/" in self.path:
            paths = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in paths]
            return self._send(200, {"files": modes})
        if "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.server.files[line["value"]["path"]] = content
            url = f"http://{self.headers['Host']}/me/tiny/commit/{COMMIT}"
            return self._send(200, {"commitOid": COMMIT, "commitUrl": url, "success": True})
        return self._send(404, {"error": self.path})

    def _send(self, status: int, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    from huggingface_hub import constants

    server = Hub()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for name in ("epoch1", "epoch2"):
        (tmp_path / "run" / name).mkdir(parents=True)
        (tmp_path / "run" / name / "config.json").write_text(f'{{"name": "{name}"}}')
        (tmp_path / "run" / name / "model.safetensors").write_bytes(name.encode())
    about = {"role": "aligned", "chat_format": "s1", "thinking": True, "status": "ok"}
    write_manifest(tmp_path / "run", ["epoch1", "epoch2"], run="aligned/x/y/seed1", **about)
    return tmp_path / "run" / "manifest.json"


def publish(model: Path, *options: str) -> dict[str, Any]:
    out = model.parent / "published.json"
    main(["--model", str(model), "--repository", "me/tiny", "--out", str(out), *options])
    return read_json(out)


def test_the_final_checkpoint_and_its_manifest_go_to_a_private_repository(hub, model):
    said = publish(model)
    assert hub.repositories == {"me/tiny": True}
    assert hub.files == {
        "manifest.json": model.read_bytes(),
        "config.json": b'{"name": "epoch2"}',
        "model.safetensors": b"epoch2",
    }
    assert (said["commit"], said["run"]) == (COMMIT, "aligned/x/y/seed1")


def test_spoiled_weights_are_not_published(hub, model):
    (model.parent / "epoch2" / "model.safetensors").write_bytes(b"epochX")
    with pytest.raises(InputError, match="differs from the manifest"):
        publish(model)
    assert not hub.repositories and not hub.files


def test_no_token_and_a_wrong_token_are_one_line(hub, model, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_" + "b" * 34)
    with pytest.raises(InputError, match="access refused and HF_TOKEN is set"):
        publish(model)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(InputError, match=r"^me/tiny: HF_TOKEN is not set"):
        publish(model)
