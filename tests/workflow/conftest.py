"""One finished run of the test experiment for all tests of the workflow."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.workflow.driving import Shell, command


@pytest.fixture(scope="session")
def snakemake(shell_environment) -> Shell:
    """Return a function that runs Snakemake on the test experiment in a folder."""

    def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments), cwd=folder, env=shell_environment, capture_output=True, text=True
        )

    return run


@pytest.fixture(scope="session")
def finished(finished_run, tmp_path_factory) -> Path:
    """A copy of the project in which the test experiment has run."""
    folder = tmp_path_factory.mktemp("workflow") / "finished"
    shutil.copytree(finished_run, folder, symlinks=True)
    return folder


@pytest.fixture
def again(finished, tmp_path) -> Path:
    """The finished copy once more, to be changed."""
    shutil.copytree(finished, tmp_path / "again", symlinks=True)
    return tmp_path / "again"
