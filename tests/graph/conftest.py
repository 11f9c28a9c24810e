"""A project whose results are made up: the folders of the store that jobs would make."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow.scripts.common.codehash import forget_files
from workflow.scripts.common.result import RESULT, link
from workflow.scripts.graph.jobs import Graph, read_graph
from workflow.scripts.graph.store import forget_listings


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


class Project:
    """A copy of the code with the experiment `tiny`, and whatever others a test adds."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.added: list[tuple[Path, str]] = []

    def read(self, name: str = "tiny") -> Graph:
        forget_listings()
        return read_graph(name, self.root)

    def edit(self, change: Callable[[dict[str, Any]], Any], name: str = "tiny") -> None:
        """Change an experiment; one that is not there begins as `tiny`."""
        path = self.root / "experiments" / f"{name}.yaml"
        source = path if path.exists() else self.root / "experiments/tiny.yaml"
        experiment = yaml.safe_load(source.read_text())
        change(experiment)
        path.write_text(yaml.safe_dump(experiment, sort_keys=False))

    def folder(self, name: str) -> Path:
        """Return the folder of a result under its key of today."""
        return self.root / self.read().folder(name)

    def finish(self, *names: str, seconds: float = 1.0, **details: Any) -> None:
        """Let results (all of them by default) be complete, without their main files.

        Args:
            names: The results.
            seconds: What each has taken.
            details: What their `manifest.json` says.
        """
        graph = self.read()
        for name in names or graph.results:
            record = {**graph.record(graph.results[name]), "seconds": seconds, "files": {}}
            folder = self.root / graph.folder(name)
            if details:
                write(folder / "manifest.json", json.dumps(details))
            write(folder / RESULT, json.dumps(record))

    def make_up(self, *names: str, experiment: str = "tiny", finished: str = "2026-01-01") -> Graph:
        """Make up results with all their files (all that are missing by default).

        Returns:
            The graph as it is then.
        """
        graph = self.read(experiment)
        for name in names or graph.results:
            folder = self.root / graph.folder(name)
            if name in graph.complete:
                continue
            record = graph.record(graph.results[name])
            write(folder / graph.results[name].file, f"content of {name}\n")
            write(self.root / record["log"], "a line\n")
            made = {**record, "finished": finished, "seconds": 10}
            write(folder / RESULT, json.dumps(made))
            link(self.root / record["link"], folder)
        for job in graph.jobs.values():
            if len(job.results) > 1 and not names:
                write(self.root / job.output, "")
        return self.read(experiment)

    def add_code(self, module: str) -> None:
        """Add a statement to a module; it is taken out again after the test."""
        path = self.root / "workflow/scripts" / f"{module.replace('.', '/')}.py"
        self.added.append((path, path.read_text()))
        path.write_text(path.read_text() + "\nADDED = 1\n")
        forget_files()

    def restore_code(self) -> None:
        for path, text in reversed(self.added):
            path.write_text(text)
        self.added.clear()
        forget_files()

    def files(self) -> set[str]:
        """Return every file and link below `results/`, relative to the clone."""
        return {
            str(path.relative_to(self.root))
            for path in (self.root / "results").rglob("*")
            if path.is_symlink() or path.is_file()
        }


@pytest.fixture(scope="session")
def code(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code, read once: its syntax trees take a second or two."""
    folder = tmp_path_factory.mktemp("code")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("workflow", "rules"):
        shutil.copytree(root / name, folder / name, ignore=ignored)
    return folder


@pytest.fixture
def project(root: Path, code: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    (code / "experiments").mkdir()
    shutil.copy(root / "tests/experiments/tiny.yaml", code / "experiments")
    shutil.copy(root / "config.yaml", code)
    monkeypatch.chdir(code)
    project = Project(code)
    yield project
    project.restore_code()
    shutil.rmtree(code / "experiments")
    shutil.rmtree(code / "results", ignore_errors=True)
    forget_listings()
