"""The plan of `snakemake --profile slurm -n`, on a machine without Slurm."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

# Jobs and GPUs per job of each rule, worked out by hand from the experiment file.
PLANS = {
    # 2 seeds; per seed a base, an LRM and 2 aligned models; 3 benchmarks
    "micro": {
        "make_micro_data": (1, 0),
        "measure_overlap": (1, 0),
        "train_judge": (1, 0),
        "pretrain_base": (2, 0),
        "reasoning_sft": (2, 8),
        "safety_sft": (4, 8),
        "generate_samples": (24, 1),
        "score_samples": (24, 0),
        "make_report": (1, 0),
    },
}


@pytest.fixture(scope="session")
def without_slurm(
    environment: dict[str, str], root: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """A shell whose PATH has every program but Slurm's."""
    folder = tmp_path_factory.mktemp("bin")
    slurm = re.compile(
        r"s(acct|alloc|attach|bcast|cancel|control|diag|info|prio|queue|run|batch|share).*"
    )
    for place in os.environ["PATH"].split(os.pathsep):
        for program in Path(place).glob("*") if Path(place).is_dir() else []:
            if not slurm.fullmatch(program.name) and not (folder / program.name).exists():
                (folder / program.name).symlink_to(program)
    return {**environment, "PATH": f"{root / '.venv' / 'bin'}{os.pathsep}{folder}"}


@pytest.fixture(scope="session")
def clone(workflow_copy: Callable[[str], Path]) -> Path:
    return workflow_copy("clone")


def plan(folder: Path, environment: dict[str, str], *options: str) -> str:
    command = ["snakemake", "--profile", "slurm", "--dry-run", *options]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def jobs_and_gpus(text: str) -> dict[str, tuple[int, int]]:
    """Return {rule: (jobs, GPUs per job)} of a plan; all jobs of a rule ask for the same here."""
    found: dict[str, list[int]] = defaultdict(list)
    for block in re.split(r"\n(?=(?:local)?rule )", text)[1:]:
        rule = re.match(r"(?:local)?rule (\w+):", block)
        gpus = re.search(r"resources: .*\bgpu=(\d+)", block)
        assert rule
        found[rule[1]].append(int(gpus[1]) if gpus else 0)
    assert all(len(set(gpus)) == 1 for gpus in found.values()), found
    return {rule: (len(gpus), gpus[0]) for rule, gpus in found.items()}


def test_the_command_as_typed_shows_the_publications_plan_within_ten_seconds(
    clone: Path, without_slurm: dict[str, str]
) -> None:
    start = time.monotonic()
    text = plan(clone, without_slurm)
    # processor time of this and its children would not see a wait; the wall is what a user sees
    assert time.monotonic() - start < 10
    assert "experiment=paper" in text
    assert not shutil.which("sinfo", path=without_slurm["PATH"])


@pytest.mark.parametrize("experiment", PLANS)
def test_each_experiment_has_the_jobs_and_gpus_that_its_file_says(
    experiment: str, clone: Path, without_slurm: dict[str, str]
) -> None:
    text = plan(clone, without_slurm, "--config", f"experiment={experiment}")
    assert jobs_and_gpus(text) == PLANS[experiment]


def test_every_experiment_file_is_held(root: Path) -> None:
    assert {path.stem for path in (root / "experiments").glob("*.yaml")} == set(PLANS)


def test_a_run_without_slurm_is_one_clear_line_and_no_hang(
    clone: Path, without_slurm: dict[str, str]
) -> None:
    command = ["snakemake", "--profile", "slurm", "--config", "experiment=tiny"]
    result = subprocess.run(
        command, cwd=clone, env=without_slurm, capture_output=True, text=True, timeout=60
    )
    assert result.returncode != 0
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "no Slurm on this machine" in errors[0]
    assert "Traceback" not in result.stderr
