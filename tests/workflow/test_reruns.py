"""Partial runs, and results that outlive a failing re-run: the promises of docs/reruns.md."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.workflow.driving import command, edit, planned

pytestmark = pytest.mark.slow

SAFETY = "results/tiny/models/aligned/tiny/safechain/seed1"


@pytest.fixture
def plan(shell_environment):
    """Return a function that runs a script of the plan stage in a folder."""

    def run(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        module = f"workflow.scripts.plan.{script}"
        return subprocess.run(
            [sys.executable, "-m", module, "--experiment", "tiny", *arguments],
            cwd=folder,
            env=shell_environment,
            capture_output=True,
            text=True,
        )

    return run


def another_rate(experiment: dict) -> None:
    experiment["recipes"]["safety"]["learning_rate"] = 1e-4


def diverging(experiment: dict) -> None:
    experiment["recipes"]["safety"]["learning_rate"] = 1e30


def results(folder: Path) -> dict[str, bytes]:
    """Return the content of all results but what a run writes beside them."""
    root = folder / "results/tiny"
    apart = ("logs", "benchmarks", "state", ".driver")
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
        and path.relative_to(root).parts[0] not in apart
        and not path.name.endswith(".hashed.json")  # times of files whose hashes are kept
    }


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("score/*/harmful/*", dict(safety_sft=2, generate_samples=2, score_samples=2)),
        ("score/aligned/*/safechain/*", dict(safety_sft=1, generate_samples=3, score_samples=3)),
        ("models/aligned/*/safechain/*", dict(safety_sft=1)),
        ("score/base/*", {}),
    ],
)
def test_one_benchmark_one_alignment_or_one_model_runs_alone(
    again, snakemake, plan, pattern, expected
):
    edit(again, another_rate)
    targets = plan(again, "list_results", pattern).stdout.split()
    assert targets
    assert planned(snakemake(again, "-n", *targets)) == Counter(expected)


def test_only_the_report_can_be_made_of_the_scores_that_stand(again, snakemake):
    edit(again, another_rate)
    assert planned(snakemake(again, "-n", "--allowed-rules", "make_report")) == Counter(
        make_report=1
    )


def test_all_models_or_all_samples_can_be_asked_for(again, snakemake):
    edit(again, another_rate)
    assert planned(snakemake(again, "-n", "models"))["safety_sft"] == 2
    samples = planned(snakemake(again, "-n", "samples"))
    assert (samples["generate_samples"], samples["score_samples"]) == (6, 0)


def test_a_new_judge_scores_without_generating(again, snakemake):
    def add(experiment: dict) -> None:
        experiment["scorers"]["words"] = {"type": "refusal", "refusal_window": 50}
        experiment["benchmarks"]["harmful"]["scorers"] = ["ngram", "words"]

    edit(again, add)
    assert planned(snakemake(again, "-n")) == Counter(score_samples=4, make_report=1)


def test_a_key_that_is_not_set_is_named_before_any_job(again, snakemake):
    llm = {"base_url": "http://127.0.0.1:9/v1", "model": "x", "max_requests": 1}

    def add(experiment: dict) -> None:
        judge = {"type": "llm_judge", "rubric": "strongreject"}
        experiment["scorers"]["judge"] = {**judge, "llm": {**llm, "api_key_env": "NO_SUCH_KEY"}}
        experiment["benchmarks"]["harmful"]["scorers"] = ["ngram", "judge"]

    edit(again, add)
    before = results(again)
    done = snakemake(again, "-c2")
    assert done.returncode != 0 and results(again) == before
    assert "error: scorers.judge.llm: the environment variable NO_SUCH_KEY" in done.stderr


def test_a_job_that_runs_far_above_does_not_hide_a_stale_one(again, snakemake):
    """The judge's data and a grader change; between the two stand models that stay current."""

    def change(experiment: dict) -> None:
        experiment["micro_data"]["judge_train"] += 1
        experiment["scorers"]["math"]["timeout_s"] = 6

    edit(again, change)
    assert planned(snakemake(again, "-n")) == Counter(
        make_micro_data=1, train_judge=1, score_samples=8, make_report=1
    )


def test_a_forced_rule_runs_with_all_that_is_made_from_it(again, snakemake):
    assert planned(snakemake(again, "-n", "-R", "train_judge")) == Counter(
        train_judge=1, score_samples=4, make_report=1
    )


def test_deleted_weights_are_not_made_again_until_they_are_needed(again, snakemake):
    (again / "results/tiny/models/base/tiny/seed1/manifest.json").unlink()
    assert "Nothing to be done" in snakemake(again, "-n").stdout
    edit(again, lambda e: e["recipes"]["reasoning"].update(learning_rate=1e-4))
    assert planned(snakemake(again, "-n"))["pretrain_base"] == 1


def test_a_training_that_dies_leaves_the_previous_models_and_scores(again, snakemake):
    before = results(again)
    edit(again, diverging)
    done = snakemake(again, "-c2", "--keep-going")
    assert done.returncode != 0
    assert f"The previous {SAFETY}/manifest.json is back in place, still stale." in done.stderr
    assert results(again) == before
    assert planned(snakemake(again, "-n"))["safety_sft"] == 2


def test_previous_results_go_when_the_new_ones_stand(again, snakemake):
    target = f"{SAFETY}/manifest.json"
    before = (again / target).read_bytes()
    edit(again, another_rate)
    done = snakemake(again, "-c1", target)
    assert done.returncode == 0, done.stderr
    assert (again / target).read_bytes() != before
    assert not (again / "results/tiny/previous").exists()


def test_status_is_seen_from_outside_and_a_killed_run_can_be_taken_back(
    again, plan, shell_environment
):
    before = results(again)
    edit(again, another_rate)
    process = subprocess.Popen(
        command("-c1", f"{SAFETY}/manifest.json"),
        cwd=again,
        env=shell_environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while process.poll() is None and (again / SAFETY / "manifest.json").exists():
            time.sleep(0.1)
        status = plan(again, "show_status")
        assert process.poll() is None, "the run ended before it was looked at"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert "A driver is at work." in status.stdout, status.stderr
    assert f"running: {SAFETY.removeprefix('results/tiny/')}/manifest.json: " in status.stdout
    restored = plan(again, "restore_results")
    assert restored.stdout == f"back in place: {SAFETY}/manifest.json\n"
    assert results(again) == before


def test_a_run_over_budget_is_refused_before_any_job(again, snakemake):
    before = results(again)
    edit(again, another_rate)
    edit(again, lambda e: e.update(budget={"disk_gb": 1e-9}))
    done = snakemake(again, "-c2")
    assert done.returncode != 0
    assert "error: experiments/tiny.yaml: budget.disk_gb: " in done.stderr
    assert results(again) == before


def test_snakemake_plan_shows_the_plan(again, snakemake):
    edit(again, another_rate)
    done = snakemake(again, "-c1", "plan")
    assert done.returncode == 0, done.stderr
    assert "recipe.learning_rate: 0.0004 -> 0.0001  (2 safety_sft)" in done.stdout


def test_accepted_results_run_no_more_but_the_report_that_names_them(again, snakemake, plan):
    trainer = again / "workflow/scripts/models/trainer.py"
    trainer.write_text(trainer.read_text() + "\nADDED = 1\n")
    assert planned(snakemake(again, "-n"))["safety_sft"] == 2
    done = plan(again, "accept_results", "--why", "adds a name", "results/tiny/models")
    assert done.returncode == 0, done.stderr
    assert planned(snakemake(again, "-n")) == Counter(make_report=1)


def test_estimates_are_within_half_as_much_again_of_what_each_stage_took(finished, plan):
    done = plan(finished, "check_estimates")
    assert done.returncode == 0, done.stderr
    stages = [line.split() for line in done.stdout.splitlines() if line.startswith("stage")]
    assert {row[1] for row in stages} == {"data", "models", "generate", "score", "report"}
    for row in stages:
        assert 1 / 1.5 < float(row[5]) < 1.5, done.stdout
