"""The plan of `snakemake --profile slurm -n`, on a machine without Slurm."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# {rule: {GPUs per job: jobs}}, worked out by hand from the experiment files.
PLANS = {
    # 10 times the chain of one seed of micro
    "micro-seeds": {
        "make_micro_data": {0: 1},
        "measure_overlap": {0: 1},
        "train_judge": {0: 1},
        "pretrain_base": {0: 10},
        "reasoning_sft": {8: 10},
        "safety_sft": {8: 20},
        "generate_samples": {1: 40},
        "score_samples": {0: 40},
        "make_report": {0: 1},
        "all": {0: 1},
    },
    # 3 seeds; per seed a base, an LRM, 10 trainings, one of them not evaluated, and 3 merges; the
    # LRM with 2 prompts, whose samples are made with the LRM's; 9 and 3 attacks
    "mitigations-micro": {
        "make_micro_data": {0: 1},
        "mix_records": {0: 2},
        "measure_overlap": {0: 1},
        "train_judge": {0: 1},
        "pretrain_base": {0: 3},
        "reasoning_sft": {8: 3},
        "safety_sft": {8: 27, 1: 3},  # the distillations compute on one GPU
        "derive_model": {0: 9},
        "attack_sft": {8: 36},
        "generate_samples": {1: 3 * (2 + 12 + 12)},
        "score_samples": {0: 3 * (2 + 12 + 12 + 2)},
        "make_report": {0: 1},
        "all": {0: 1},
    },
    # 2 seeds; per seed a base, an LRM and 2 aligned models; 3 benchmarks
    "micro": {
        "make_micro_data": {0: 1},
        "measure_overlap": {0: 1},
        "train_judge": {0: 1},
        "pretrain_base": {0: 2},
        "reasoning_sft": {8: 2},
        "safety_sft": {8: 4},
        "generate_samples": {1: 8},
        "score_samples": {0: 8},
        "make_report": {0: 1},
        "all": {0: 1},
    },
    # one base, one LRM, one aligned model; 4 benchmarks; CPU only
    "smollm": {
        "prepare_records": {0: 2},
        "prepare_benchmark": {0: 4},
        "measure_overlap": {0: 1},
        "fetch_model": {0: 1},
        "reasoning_sft": {0: 1},
        "safety_sft": {0: 1},
        "generate_samples": {0: 3},
        "score_samples": {0: 3},
        "make_report": {0: 1},
        "all": {0: 1},
    },
    # one base, one LRM, 4 aligned models; 4 benchmarks; CPU only
    "smollm-tax": {
        "prepare_records": {0: 4},
        "prepare_benchmark": {0: 4},
        "mix_records": {0: 3},
        "measure_overlap": {0: 1},
        "fetch_model": {0: 1},
        "reasoning_sft": {0: 1},
        "safety_sft": {0: 4},
        "generate_samples": {0: 6},
        "score_samples": {0: 6},
        "make_report": {0: 1},
        "all": {0: 1},
    },
    # a base, 3 LRMs and 2 alignments x 3 LRMs x 5 epoch counts: 34 models, each of which meets the
    # 4 benchmarks in one job, on 2 GPUs of 80 GB
    "paper": {
        "prepare_records": {0: 2},
        "prepare_benchmark": {0: 4},
        "measure_overlap": {0: 1},
        "fetch_model": {0: 4},
        "fetch_judge": {0: 1},
        "safety_sft": {8: 30},
        "generate_samples": {2: 34},
        # an extractor behind an API on 3 reasoning benchmarks, a classifier on the fourth: a job
        # each for the base and for the models of each LRM
        "score_samples_api": {0: 12},
        "score_samples": {1: 4},
        "make_report": {0: 1},
        "all": {0: 1},
    },
    # a base, 5 LRMs and 2 alignments x 5 LRMs: 16 models. Rules score each; a classifier judges the
    # base, and the models of each LRM.
    "careful": {
        "prepare_records": {0: 4},
        "prepare_benchmark": {0: 5},
        "measure_overlap": {0: 1},
        "fetch_model": {0: 4},
        "fetch_judge": {0: 1},
        "reasoning_sft": {8: 2},
        "safety_sft": {8: 10},
        "generate_samples": {2: 16},
        "score_samples": {0: 16, 1: 6},
        "make_report": {0: 1},
        "all": {0: 1},
    },
    # 3 seeds of 15 trainings and 3 merges, each attacked once, 6 of them twice. The base and the
    # LRM are ready-made, with one engine each; the LRM's answers what it is told and writes its own
    # sets, too. Rules score each model and each of 3 prompts; a classifier judges the base, all
    # models of the LRM, and the sets.
    "mitigations": {
        "prepare_records": {0: 8},
        "prepare_benchmark": {0: 5},
        "mix_records": {0: 4},
        "measure_overlap": {0: 1},
        "fetch_model": {0: 2},
        "fetch_judge": {0: 1},
        "safety_sft": {8: 45},
        "derive_model": {0: 9},
        "attack_sft": {8: 72},
        "filter_samples": {0: 3},
        "generate_samples": {2: 1 + 1 + 3 * 18 + 72},
        "score_samples": {0: 1 + 1 + 3 + 3 * 18 + 72, 1: 3},
        "make_report": {0: 1},
        "all": {0: 1},
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
    folder = workflow_copy("clone")
    # the data sets of smollm, which its users put there: a plan reads none of them
    (folder / "data").mkdir(exist_ok=True)
    for path in re.findall(
        r"\{path: (data/[^}]+)\}", (folder / "experiments/smollm.yaml").read_text()
    ):
        (folder / path).touch()
    return folder


def plan(folder: Path, environment: dict[str, str], *options: str) -> str:
    command = ["snakemake", "--profile", "slurm", "--dry-run", *options]
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def jobs_by_gpus(text: str) -> dict[str, dict[int, int]]:
    """Return {rule: {GPUs per job: jobs}} of a plan."""
    found: dict[str, Counter[int]] = defaultdict(Counter)
    for block in re.split(r"\n(?=(?:local)?rule \w+:)", text)[1:]:
        rule = re.match(r"(?:local)?rule (\w+):", block)
        gpus = re.search(r"resources: .*\bgpu=(\d+)", block)
        assert rule
        found[rule[1]][int(gpus[1]) if gpus else 0] += 1
    return {rule: dict(gpus) for rule, gpus in found.items()}


def test_the_command_as_typed_shows_the_publications_plan_within_ten_seconds(
    clone: Path, without_slurm: dict[str, str]
) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    text = plan(clone, without_slurm)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # processor time: what else this machine does while tests run is not the user's
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 10
    assert "results/store/report/paper-" in text
    assert not shutil.which("sinfo", path=without_slurm["PATH"])


@pytest.mark.parametrize("experiment", PLANS)
def test_each_experiment_has_the_jobs_and_gpus_that_its_file_says(
    experiment: str, clone: Path, without_slurm: dict[str, str]
) -> None:
    if experiment == "smollm-tax":
        pytest.importorskip("reasoning_gym", reason="needs `make smollm`")
    text = plan(clone, without_slurm, "--config", f"experiment={experiment}")
    assert jobs_by_gpus(text) == PLANS[experiment]
    assert "would end" not in text


def test_a_plan_says_what_would_end_its_run(clone: Path, without_slurm: dict[str, str]) -> None:
    file = clone / "experiments" / "mitigations.yaml"
    before = file.read_text()
    file.write_text(
        before.replace("safety_sft: &knobs {", "safety_sft: &knobs {per_device_batch: 2, ")
    )
    try:
        text = plan(clone, without_slurm, "--config", "experiment=mitigations")
    finally:
        file.write_text(before)
    assert re.search(
        r"^The run would end before its first job: (?:safety|attack)_sft \S+: "
        r"runtime.per_device_batch is 2 with recipe.global_batch 8 on 8 devices, "
        r"expected a divisor of 1$",
        text,
        re.M,
    )


def test_every_experiment_file_is_held(root: Path) -> None:
    assert {path.stem for path in (root / "experiments").glob("*.yaml")} == set(PLANS)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("  slurm_partiton: gpu", "default-resources: unknown key 'slurm_partiton', expected one"),
        ("  gres: gpu:8", "default-resources: gres: 'gpu:8', expected the name of GPUs"),
        ("  max_runtime: 12h", "default-resources: max_runtime: '12h', expected a whole number"),
    ],
)
def test_a_wrong_line_of_the_profile_is_one_clear_line(
    line: str, reason: str, clone: Path, without_slurm: dict[str, str]
) -> None:
    profile = clone / "slurm" / "wrong.yaml"
    text = (clone / "slurm" / "config.yaml").read_text()
    profile.write_text(
        re.sub(
            r"default-resources:\n.*?(?=\nslurm-)", f"default-resources:\n{line}", text, flags=re.S
        )
    )
    command = [
        "snakemake",
        "--profile",
        "slurm/wrong.yaml",
        "--dry-run",
        "--config",
        "experiment=tiny",
    ]
    result = subprocess.run(command, cwd=clone, env=without_slurm, capture_output=True, text=True)
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.returncode != 0 and reason in error and "Traceback" not in result.stderr


def test_a_run_without_slurm_is_one_clear_line_and_no_hang(
    clone: Path, without_slurm: dict[str, str]
) -> None:
    command = ["snakemake", "--profile", "slurm", "--config", "experiment=tiny"]
    result = subprocess.run(
        command, cwd=clone, env=without_slurm, capture_output=True, text=True, timeout=300
    )
    assert result.returncode != 0
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "no Slurm on this machine" in errors[0]
    assert "Traceback" not in result.stderr
