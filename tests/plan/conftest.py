"""A project whose results are stamped, without being made: what planning reads is all there is."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
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
        self.added: list[tuple[Path, str]] = []

    def read(self) -> ExperimentState:
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
        """Add a statement to a module; it is taken out again after the test."""
        path = self.root / "workflow/scripts" / f"{module.replace('.', '/')}.py"
        self.added.append((path, path.read_text()))
        path.write_text(path.read_text() + "\nADDED = 1\n")
        forget_files()

    def clear(self) -> None:
        for path, text in self.added:
            path.write_text(text)
            forget_files()
        shutil.rmtree(self.root / "results", ignore_errors=True)


@pytest.fixture(scope="session")
def code(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code, read once: its syntax trees take a second or two."""
    folder = tmp_path_factory.mktemp("code")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(root / "workflow", folder / "workflow", ignore=ignored)
    (folder / "experiments").mkdir()
    return folder


@pytest.fixture
def project(root: Path, code: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    shutil.copy(root / "tests/experiments/tiny.yaml", code / "experiments")
    monkeypatch.chdir(code)
    project = Project(code)
    yield project
    project.clear()
