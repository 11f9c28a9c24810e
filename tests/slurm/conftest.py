"""The pretended cluster, and copies of the project that runs may change."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.slurm.cluster import Cluster, Unavailable

SITE = {
    "slurm-status-command": "squeue",
    "slurm-init-seconds-before-status-checks": 2,
    "seconds-between-status-checks": 2,
    "latency-wait": 5,
}
NOT_COPIED = shutil.ignore_patterns("results", ".venv*", ".snakemake", ".git", ".*cache", "tests")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running cluster; one that was up before stays up."""
    found = Cluster()
    was_up = found.alive()
    try:
        found.up()
    except Unavailable as reason:
        pytest.skip(str(reason))
    yield found
    if not was_up:
        found.down()


@pytest.fixture(scope="session")
def environment(root: Path) -> dict[str, str]:
    """What a user's shell has: the environment's programs, and one thread for tiny models."""
    path = f"{root / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def workflow_copy(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that copies the project, with the test experiment `tiny`, to a new folder.

    The copy's profile is told what a user tells it on a first run: the site.
    """

    def copy(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        shutil.copytree(root, folder, ignore=NOT_COPIED, dirs_exist_ok=True)
        (folder / ".venv").symlink_to(root / ".venv")
        shutil.copy2(root / "tests" / "experiments" / "tiny.yaml", folder / "experiments")
        profile = folder / "slurm" / "config.yaml"
        settings = yaml.safe_load(profile.read_text())
        settings["default-resources"]["slurm_partition"] = "gpu"
        profile.write_text(yaml.safe_dump({**settings, **SITE}))
        return folder

    return copy
