"""A project whose results are stamped, without being made: what planning reads is all there is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow.scripts.common.codehash import forget_files
from workflow.scripts.common.io import read_json, write_json, write_text
from workflow.scripts.common.jobs import input_keys
from workflow.scripts.plan.experiment_state import ExperimentState, read_experiment, tail_of


class Project:
    """A copy of the code with the experiment `tiny`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "results" / "tiny"

    def read(self) -> ExperimentState:
        forget_files()
        return read_experiment("tiny", self.root)

    def edit(self, change: Callable[[dict[str, Any]], Any]) -> None:
        path = self.root / "experiments/tiny.yaml"
        experiment = yaml.safe_load(path.read_text())
        change(experiment)
        path.write_text(yaml.safe_dump(experiment, sort_keys=False))

    def finish(self, *paths: str, seconds: float | None = None) -> None:
        """Stamp results (all of them by default) with the keys of today."""
        state = self.read()
        for path in paths or state.states:
            job = state.jobs[path]
            old = read_json(self.folder / path) if (self.folder / path).exists() else {}
            provenance = {
                "key": state.keys[path],
                "spec": job.spec(self.root),
                "inputs": input_keys(job, state.keys),
                "files": {},
            }
            write_json(self.folder / path, {**old, "provenance": provenance})
            if seconds is not None:
                tsv = self.folder / "benchmarks" / f"{tail_of(path)}.tsv"
                write_text(tsv, f"s\th:m:s\tmax_rss\n{seconds}\t0:00:10\t100\n")

    def add_code(self, module: str) -> None:
        path = self.root / "workflow/scripts" / f"{module.replace('.', '/')}.py"
        path.write_text(path.read_text() + "\nADDED = 1\n")


@pytest.fixture
def project(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(root / "workflow", tmp_path / "workflow", ignore=ignored)
    (tmp_path / "experiments").mkdir()
    shutil.copy(root / "tests/experiments/tiny.yaml", tmp_path / "experiments")
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)
