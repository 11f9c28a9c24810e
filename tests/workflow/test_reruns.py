"""Partial runs, and results that outlive a failing re-run: the promises of docs/reruns.md."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.workflow.driving import command, edit, planned

pytestmark = pytest.mark.slow


@pytest.fixture
def script(shell_environment):
    """Return a function that runs a script of the graph in a folder."""

    def run(folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        module = f"workflow.scripts.graph.{name}"
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


def results(folder: Path) -> dict[str, float]:
    """Return every complete result of the store, and when it was made."""
    store = folder / "results/store"
    return {
        str(path.parent.relative_to(store)): path.stat().st_mtime
        for path in store.rglob("result.json")
    }


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ("score/*/harmful/*", dict(safety_sft=2, generate_samples=2, score_samples=2)),
        ("score/aligned/*/safechain/*", dict(safety_sft=1, generate_samples=1, score_samples=1)),
        ("models/aligned/*/safechain/*", dict(safety_sft=1)),
        ("score/base/*", {}),
        ("score/base/* models/aligned/*/safechain/*", dict(safety_sft=1)),
    ],
)
def test_one_benchmark_one_alignment_or_one_model_runs_alone(again, snakemake, only, expected):
    edit(again, another_rate)
    chosen = snakemake(again, "-n", "--config", "experiment=tiny", f"only={only}")
    assert planned(chosen) == Counter(expected)


def test_one_benchmark_alone_generates_no_other(again, snakemake):
    edit(again, lambda e: e["recipes"]["safety"].update(epochs=1))
    edit(again, lambda e: [a.update(epochs=[1]) for a in e["alignments"].values()])
    before = results(again)
    only = "only=score/aligned/*/safechain/*/harmful/*"
    done = snakemake(again, "-c2", "--config", "experiment=tiny", only)
    assert done.returncode == 0, done.stderr
    made = {path.rpartition("-")[0] for path in set(results(again)) - set(before)}
    run = "aligned/tiny/safechain/seed1"
    assert made == {f"models/{run}", f"generate/{run}/harmful", f"score/{run}/harmful/ngram"}


def test_a_pattern_that_no_result_matches_is_one_line(again, snakemake):
    done = snakemake(again, "-n", "--config", "experiment=tiny", "only=score/*/harmfull/*")
    assert done.returncode != 0
    assert "error: only: no result of tiny matches 'score/*/harmfull/*'" in done.stderr


def test_only_the_report_can_be_made_of_the_scores_that_are_there(again, snakemake):
    edit(again, lambda e: e.update(report={"transcripts": True}))
    assert planned(snakemake(again, "-n", "--allowed-rules", "make_report", "all")) == Counter(
        make_report=1
    )


def test_all_models_or_all_samples_can_be_asked_for(again, snakemake):
    edit(again, another_rate)
    assert planned(snakemake(again, "-n", "models"))["safety_sft"] == 2
    samples = planned(snakemake(again, "-n", "samples"))
    assert (samples["generate_samples"], samples["score_samples"]) == (2, 0)


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
    """The judge's data and a grader change; the models between the two stay."""

    def change(experiment: dict) -> None:
        experiment["micro_data"]["judge_train"] += 1
        experiment["scorers"]["math"]["timeout_s"] = 6

    edit(again, change)
    assert planned(snakemake(again, "-n")) == Counter(
        make_micro_data=1, train_judge=1, score_samples=4, make_report=1
    )


def test_a_result_whose_folder_is_deleted_is_made_again_when_it_is_needed(again, snakemake):
    shutil.rmtree((again / "results/tiny/models/base/tiny/seed1").resolve())
    assert "Nothing to be done" in snakemake(again, "-n").stdout
    edit(again, lambda e: e["recipes"]["reasoning"].update(learning_rate=1e-4))
    assert planned(snakemake(again, "-n"))["pretrain_base"] == 1


def test_samples_that_are_deleted_are_made_again_alone(again, snakemake):
    shutil.rmtree((again / "results/tiny/generate/lrm/tiny/seed1/harmful").resolve())
    shutil.rmtree((again / "results/tiny/score/lrm/tiny/seed1/harmful/ngram").resolve())
    shutil.rmtree((again / "results/tiny/report").resolve())
    before = results(again)
    done = snakemake(again, "-c2")
    assert done.returncode == 0, done.stderr
    made = {path.rpartition("-")[0] for path, time in results(again).items() if path not in before}
    assert made == {
        "generate/lrm/tiny/seed1/harmful",
        "score/lrm/tiny/seed1/harmful/ngram",
        "report/tiny",
    }
    assert all(results(again)[path] == time for path, time in before.items())


def test_a_training_that_dies_leaves_the_earlier_models_scores_and_report(again, snakemake):
    before = results(again)
    edit(again, diverging)
    done = snakemake(again, "-c2", "--keep-going")
    assert done.returncode != 0
    assert results(again) == before
    assert (again / "results/tiny/report/index.html").is_file()
    assert planned(snakemake(again, "-n"))["safety_sft"] == 2


def test_status_is_seen_from_outside(again, script, shell_environment):
    edit(again, another_rate)
    process = subprocess.Popen(
        command("-c1", "models"),
        cwd=again,
        env=shell_environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    running = ""
    try:
        while process.poll() is None and "aligned/tiny/" not in running:
            running = script(again, "status").stdout
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert "1 running" in running and " gone" in running  # a run goes on
    assert re.search(r"^\S*aligned/tiny/(directrefusal|safechain)/seed1", running, re.M)


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


def test_adopted_results_run_no_more_but_the_report_that_names_them(again, snakemake, script):
    trainer = again / "workflow/scripts/models/trainer.py"
    trainer.write_text(trainer.read_text() + "\nADDED = 1\n")
    assert planned(snakemake(again, "-n"))["safety_sft"] == 2
    done = script(again, "adopt", "--reason", "adds a name", "models/*")
    assert done.returncode == 0, done.stderr
    assert planned(snakemake(again, "-n")) == Counter(make_report=1)
