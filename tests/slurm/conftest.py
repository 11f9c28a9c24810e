"""The pretended cluster, and copies of the project that runs may change."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.slurm.cluster import Cluster, Unavailable

SITE = {
    "default-resources": {
        "slurm_partition": "gpu,gpu-large",
        "slurm_extra": "'--open-mode=append'",
    },
    "slurm-status-command": "squeue",
    "slurm-init-seconds-before-status-checks": 1,
    "seconds-between-status-checks": 1,
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
    """What a user's shell has: the environment's programs, and one thread for tiny models.

    And what a user's has not: `clock/`.
    """
    path = f"{root / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    own = {key: value for key, value in os.environ.items() if key != "HF_HOME"}
    clock = str(root / "tests" / "slurm" / "clock")
    return {**own, "PATH": path, "OMP_NUM_THREADS": "1", "PYTHONPATH": clock}


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
        edit_profile(folder, SITE)
        return folder

    return copy


@pytest.fixture(scope="session")
def copy_with_base(
    workflow_copy: Callable[[str], Path], environment: dict[str, str]
) -> Callable[[str], Path]:
    """Return a function that copies the project with data and base model of `tiny`.

    They are made once, without Slurm, where each job of a chain is noticed seconds late.
    """
    made = workflow_copy("base")
    local = ["snakemake", "--cores", "2", "--config", "experiment=tiny", "--until", "pretrain_base"]
    subprocess.run(local, cwd=made, env=environment, check=True, capture_output=True, timeout=300)

    def copy(name: str) -> Path:
        folder = workflow_copy(name)
        shutil.copytree(made / "results", folder / "results", symlinks=True)
        return folder

    return copy


def edit_profile(folder: Path, settings: dict[str, object]) -> None:
    """Replace settings of a copy's profile; None takes one out."""
    profile = folder / "slurm" / "config.yaml"
    edited = {**yaml.safe_load(profile.read_text()), **settings}
    kept = {key: value for key, value in edited.items() if value is not None}
    profile.write_text(yaml.safe_dump(kept))
