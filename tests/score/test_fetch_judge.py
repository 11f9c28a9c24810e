"""The files of a classifier judge, from a hub on loopback by the real client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from tests.data.local_hub import COMMIT, serve_hub
from workflow.scripts.common.categories import CATEGORIES

LABELS = {str(index): label for index, label in enumerate(CATEGORIES)}
FILES = {
    "config.json": json.dumps({"id2label": LABELS}).encode(),
    "tokenizer.model": b"x",
    "pytorch_model.bin": b"pickle",
    "model.safetensors": b"weights",
    "modeling_own.py": b"print('never run')",
}


def fetch(
    folder: Path, files: dict[str, bytes] = FILES, corrupt: Collection[str] = (), **section: Any
) -> tuple[subprocess.CompletedProcess[str], Path]:
    scorer = {"type": "hf_classifier", "model": "owner/judge", "revision": COMMIT, **section}
    with serve_hub() as hub:
        hub.corrupt = set(corrupt)
        hub.files = {"models/owner/judge": dict(files)}
        kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        done = subprocess.run(
            [
                *(sys.executable, "-m", "workflow.scripts.score.fetch_judge"),
                *("--scorer", json.dumps(scorer), "--out", str(folder / "fetched.json")),
            ],
            env={**kept, **hub.environment, "HF_HOME": str(folder / "home")},
            capture_output=True,
            text=True,
        )
    return done, folder / "fetched.json"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weights", "file"), [("torch", "pytorch_model.bin"), ("safetensors", "model.safetensors")]
)
def test_the_cache_holds_the_pinned_files_and_no_code(tmp_path, weights, file):
    done, out = fetch(tmp_path, weights=weights)
    assert done.returncode == 0, done.stderr
    said = json.loads(out.read_text())
    assert said["files_bytes"] == {
        name: len(FILES[name]) for name in ("config.json", "tokenizer.model", file)
    }
    assert said["revision"] == COMMIT
    cached = {path.name for path in (tmp_path / "home").rglob("snapshots/*/*")}
    assert cached == set(said["files_bytes"])


@pytest.mark.slow
def test_a_judge_without_a_commit_and_an_unknown_one_are_one_line(tmp_path):
    done, out = fetch(tmp_path, revision=None)
    assert done.returncode == 2 and "owner/judge: revision is None" in done.stderr
    assert done.stderr.count("\n") == 1
    done, out = fetch(tmp_path, model="owner/other")
    assert done.returncode == 2
    assert "no such repository" in done.stderr or "access refused" in done.stderr
    assert done.stderr.count("\n") == 1 and not out.exists()


@pytest.mark.slow
def test_a_judge_with_other_labels_is_refused_when_it_is_fetched(tmp_path):
    other = json.dumps({"id2label": {"0": "safe", "1": "unsafe"}}).encode()
    done, out = fetch(tmp_path, {**FILES, "config.json": other})
    assert done.returncode == 2 and not out.exists()
    error = done.stderr.splitlines()[-1]  # below the bar of the download
    assert error.startswith("error: owner/judge: its labels are ['safe', 'unsafe'], expected the")


@pytest.mark.slow
def test_changed_bytes_are_noticed_and_fetched_again(tmp_path):
    done, out = fetch(tmp_path, corrupt=["model.safetensors"])
    assert done.returncode == 2 and not out.exists()
    assert "model.safetensors: hash" in done.stderr.splitlines()[-1]
    done, out = fetch(tmp_path)
    assert done.returncode == 0, done.stderr
    (cached,) = (tmp_path / "home").rglob("snapshots/*/model.safetensors")
    assert cached.read_bytes() == FILES["model.safetensors"]
