"""The page docs/first-hour.md, from its first command to its last.

The commands and files are those of the page. What differs: `micro` is the test experiment, which
takes a minute, and the judge is a server of a few lines on a free port.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflow.driving import planned

pytestmark = pytest.mark.slow
BLOCK = re.compile(r"^```(console|yaml|jsonl)\n(.*?)^```$", re.M | re.S)


@pytest.fixture
def judge() -> Iterator[str]:
    """The address of a chat model that finds every answer helpful."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            message = {"role": "assistant", "content": '{"refusal": false}'}
            reply = {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": "my-judge",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            }
            content = json.dumps(reply).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def clone(project_copy, root: Path) -> Path:
    """A fresh copy of the project; its `micro` is small, and its environment is there already."""
    folder = project_copy("first-hour")
    shutil.copy(root / "tests/experiments/tiny.yaml", folder / "experiments/micro.yaml")
    if not (folder / ".venv").exists():
        (folder / ".venv").symlink_to(root / ".venv")
    return folder


def merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    """Add what a reader would type below the keys that are there."""
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def test_the_first_hour_goes_as_the_page_says(clone, root, judge, shell_environment):
    page = (root / "docs/first-hour.md").read_text()
    printed: dict[str, str] = {}
    for found in BLOCK.finditer(page):
        kind, text = found.groups()
        if kind == "jsonl":
            (name,) = re.findall(r"`(\w+\.jsonl)`", page[: found.start()].rpartition("\n\n")[0])[
                -1:
            ]
            (clone / name).write_text(text)
        elif kind == "yaml":
            (name,) = re.findall(r"^# add to (\S+)$", text, re.M)
            path = clone / name
            # by way of JSON, for anchors of the file are one object otherwise
            whole = json.loads(json.dumps(yaml.safe_load(path.read_text())))
            merge(whole, yaml.safe_load(text.replace("127.0.0.1:8000", judge)))
            path.write_text(yaml.safe_dump(whole))
        else:
            for command in text.splitlines():
                done = subprocess.run(
                    ["bash", "-c", command],
                    cwd=clone,
                    env=shell_environment,
                    capture_output=True,
                    text=True,
                )
                assert done.returncode == 0, (command, done.stdout, done.stderr)
                printed[command] = done.stdout + done.stderr
                if command == "snakemake -n --config experiment=mine":
                    # base and LRM are there; the three alignments are trained again
                    assert planned(done)["safety_sft"] == 3
                    assert not {"pretrain_base", "reasoning_sft"} & set(planned(done))
    assert "Nothing to be done" in printed["snakemake -n"]
    rows = (clone / "results/mine/report/tradeoff.csv").read_text()
    for name in ("mine", "questions", "second"):
        assert name in rows, name
    assert list((clone / "results/comparison").glob("comparison.*"))
