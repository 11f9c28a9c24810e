"""Hub data sets: read at their pin by the real client libraries from a hub on loopback.

The hub itself cannot be reached from here; `local_hub` serves its endpoints and error codes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.data.local_hub import COMMIT, LocalHub, serve_hub
from workflow.scripts.common.records import read_records

pytestmark = pytest.mark.slow  # each test starts the data set library anew

ROWS = [{"question": f"What is {n}?", "attempt": f"{n}\u2028."} for n in range(5)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    with serve_hub() as hub:
        hub.files = {"datasets/owner/data": {"train.jsonl": LINES, "README.md": b"# data\n"}}
        yield hub


def prepare(
    folder: Path, environment: dict[str, str], source: dict[str, Any]
) -> subprocess.CompletedProcess[str]:
    fields = {"prompt": "question", "answer": "attempt"}
    section = {"source": {"hub": "owner/data", "revision": COMMIT} | source, "fields": fields}
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    return subprocess.run(
        [
            *(sys.executable, "-m", "workflow.scripts.data.prepare_records"),
            *("--dataset", json.dumps(section), "--name", "data"),
            *("--out", str(folder)),
        ],
        capture_output=True,
        text=True,
        env=kept | {"HF_HOME": str(folder / "home")} | environment,
        timeout=120,
    )


@pytest.mark.parametrize("source", [{"split": "train"}, {"file": "train.jsonl"}])
def test_rows_are_those_of_the_pinned_commit(tmp_path: Path, hub: LocalHub, source: dict) -> None:
    result = prepare(tmp_path, hub.environment, source)
    assert result.returncode == 0, result.stderr
    records = read_records(tmp_path / "records.jsonl")
    assert [(r.prompt, r.answer) for r in records] == [(r["question"], r["attempt"]) for r in ROWS]
    assert records[4].source == f"owner/data@{COMMIT[:12]} row 4"
    served = {path for _, path, _ in hub.requests if "/resolve/" in path}
    assert served and all(f"/resolve/{COMMIT}/" in path for path in served)


@pytest.mark.parametrize("source", [{"split": "train"}, {"file": "train.jsonl"}])
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("gated", "gated and HF_TOKEN is not set"),
        ("revision", "no such revision"),
        ("repository", "no such repository"),
        ("offline", "HF_HUB_OFFLINE forbids the network"),
        ("network", "gave no answer to use"),
    ],
)
def test_each_fault_is_one_line(
    tmp_path: Path, hub: LocalHub, source: dict, fault: str, words: str
) -> None:
    environment = hub.environment
    if fault == "gated":
        hub.gated = {"datasets/owner/data"}
    elif fault == "revision":
        source = source | {"revision": "e" * 40}
    elif fault == "repository":
        source = source | {"hub": "owner/none"}
    elif fault == "offline":
        environment |= {"HF_HUB_OFFLINE": "1"}
    else:
        environment |= {"HF_ENDPOINT": "http://127.0.0.1:9"}
    result = prepare(tmp_path, environment, source)
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.returncode == 2 and "Traceback" not in result.stderr, result.stderr
    assert len(lines) == 1 and words in lines[0], lines


def test_an_unknown_split_lists_the_known_ones(tmp_path: Path, hub: LocalHub) -> None:
    result = prepare(tmp_path, hub.environment, {"split": "test"})
    assert result.returncode == 2 and "['train']" in result.stderr.replace('"', "'"), result.stderr
