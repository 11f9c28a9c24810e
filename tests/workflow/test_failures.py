"""What a user reads when a job fails, and when a target is named."""

from __future__ import annotations

import re
import resource
import subprocess
from pathlib import Path

import pytest

from tests.workflow.driving import command, edit, planned

pytestmark = pytest.mark.slow


def test_a_failure_that_nobody_foresaw_ends_with_its_logs_last_line(
    project_copy, shell_environment
) -> None:
    folder = project_copy("no-space")
    limit = 50_000  # bytes of a file: the operating system refuses more, as a full disk would
    done = subprocess.run(
        command("-c1", "--quiet", "rules", "progress", "--until", "make_micro_data"),
        cwd=folder,
        env=shell_environment,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode != 0
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert line == "error: make_micro_data micro: OSError: [Errno 27] File too large"
    after = done.stderr.partition(f"{line}\n")[2].splitlines()
    assert re.fullmatch(r"    log: results/store/jobs/make_micro_data/micro-\w+\.log", after[0])
    assert after[2].strip().startswith("snakemake -c1 --quiet rules progress --until")


@pytest.fixture(scope="module")
def fresh(project_copy):
    """A copy of the project without any result."""
    return project_copy("fresh")


def test_a_target_that_no_rule_makes_is_one_line_that_says_what_to_type(fresh, snakemake) -> None:
    done = snakemake(fresh, "-n", "results/tiny/models/lrm/tiny/seed1")
    assert done.returncode != 0 and "MissingRule" not in done.stderr
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    pattern = re.search(r"`(--config experiment=tiny only='(.*)')`$", line)
    assert pattern and pattern[2] == "models/lrm/tiny/seed1"
    only = f"only={pattern[2]}"
    again = snakemake(fresh, "-n", "--quiet", "rules", "--config", "experiment=tiny", only)
    assert planned(again)["reasoning_sft"] == 1
    done = snakemake(fresh, "-n", "results/tiny/report", "--config", "experiment=micro")
    assert "add `--config experiment=tiny only='report/tiny'`" in done.stderr


def test_a_target_behind_config_is_one_line_that_says_what_to_type(root, snakemake) -> None:
    for flag in ("--config", "-C"):
        done = snakemake(root, "-n", flag, "experiment=micro", "only=score/*", "scores", "--config")
        lines = [line for line in done.stderr.splitlines() if not line.startswith("Using ")]
        assert done.returncode == 1 and lines == [
            f"error: {flag}: scores: expected KEY=VALUE; a target goes first: "
            f"snakemake scores {flag} …"
        ]


def test_a_dry_run_ends_with_the_reason_of_each_job(fresh, snakemake) -> None:
    done = snakemake(fresh, "-n", "models")
    lines = done.stdout.partition("Why these jobs run:\n")[2].splitlines()
    # generated data, the base, its LRM, two alignments; what the models do not need is not named
    assert len(lines) == 1 + 1 + 1 + 2 + 1
    assert lines[0] == "  make_micro_data micro: not made yet"
    assert "  models/aligned/tiny/safechain/seed1: not made yet" in lines
    assert lines[-1] == "What it takes: make plan EXPERIMENT=tiny"


def test_a_judge_that_does_not_fit_the_machine_is_refused_before_any_job(
    project_copy, snakemake
) -> None:
    folder = project_copy("large-judge")
    (folder / "judge").mkdir()
    with open(folder / "judge/model.safetensors", "wb") as file:
        file.truncate(5 * 10**12)  # takes no room on the disk
    judge = {"type": "hf_classifier", "model": {"path": "judge"}}
    edit(folder, lambda e: e["scorers"].update(large=judge))
    edit(folder, lambda e: e["benchmarks"]["harmful"].update(scorers=["large"]))
    done = snakemake(folder, "-c1")
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    if Path("/proc/driver/nvidia").exists():
        pytest.skip("this machine has a GPU, whose memory is not known beforehand")
    assert line.startswith("error: scorers.large: its judge takes about 5000.0 GB of memory, this")
    assert not (folder / "results/store").exists()


def test_the_commands_of_the_docs_for_partial_runs_are_taken(
    project_copy, shell_environment
) -> None:
    folder = project_copy("partial")
    text = (folder / "docs" / "reruns.md").read_text()
    section = text.partition("## Partial runs")[2].partition("\n## ")[0]
    commands = re.findall(r"`(snakemake -c2 [^`]*only=[^`]*)`", section)
    assert len(commands) == 3
    for one in commands:
        dry = one.replace("snakemake -c2", "snakemake --quiet rules -n")
        done = subprocess.run(
            dry, shell=True, cwd=folder, env=shell_environment, capture_output=True, text=True
        )
        assert done.returncode == 0 and "total" in done.stdout, dry + done.stdout + done.stderr
