"""The workflow as its users run it: Snakemake on a real, tiny experiment, end to end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.workflow.driving import command, edit, planned

pytestmark = pytest.mark.slow


def report(folder: Path) -> dict[str, bytes]:
    files = (folder / "results/tiny/report").rglob("*")
    return {path.name: path.read_bytes() for path in files if path.is_file()}


def test_a_run_makes_tables_of_every_model_and_a_second_run_does_nothing(finished, snakemake):
    made = report(finished)
    assert {"tradeoff.csv", "tradeoff.md", "tradeoff.tex", "tradeoff.json"} <= set(made)
    assert {"epochs.png", "epochs.svg", "plane.png", "plane.svg"} <= set(made)
    rows = made["tradeoff.csv"].decode()
    for name in ("base", "lrm", "directrefusal", "safechain"):
        assert name in rows
    state = finished / "results/tiny/state"
    assert not [path for path in state.rglob("*") if path.is_file()]
    assert "Nothing to be done" in snakemake(finished, "-c2").stderr


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_report(
    project_copy, finished, snakemake, shell_environment
):
    folder = project_copy("killed")
    for results in (3, 9, 16):
        process = subprocess.Popen(
            command("-c2"),
            cwd=folder,
            env=shell_environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while process.poll() is None and count_results(folder) < results:
            time.sleep(0.2)
        assert process.poll() is None, "the run ended before it could be killed"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = snakemake(folder, "-c2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert report(folder) == report(finished)


def count_results(folder: Path) -> int:
    return sum(1 for _ in (folder / "results").rglob("*.json") if "final" not in str(_))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda e: e["recipes"]["safety"].update(learning_rate=1e-4), (2, 6, 6)),
        (lambda e: e["benchmarks"]["benign"]["decoding"].update(max_answer_tokens=9), (0, 4, 4)),
        (lambda e: e["scorers"]["math"].update(timeout_s=6), (0, 0, 4)),
        (lambda e: e.update(description="Another one"), (0, 0, 0)),
    ],
)
def test_a_changed_key_runs_what_it_reaches_and_nothing_else(again, snakemake, change, expected):
    edit(again, change)
    trainings, generations, scorings = expected
    assert planned(snakemake(again, "-n")) == +Counter(
        safety_sft=trainings,
        generate_samples=generations,
        score_samples=scorings,
        make_report=1,
    )


def test_a_new_benchmark_generates_just_its_samples(again, snakemake):
    edit(
        again,
        lambda e: e["benchmarks"].update(more={**e["benchmarks"]["clock_sums"], "n": 4}),
    )
    assert planned(snakemake(again, "-n")) == Counter(
        generate_samples=4, score_samples=4, measure_overlap=1, make_report=1
    )


def touch(folder: Path) -> None:
    for number, path in enumerate(sorted(folder.rglob("*"))):
        if not path.is_symlink():
            os.utime(path, (2e9 - number, 2e9 - number))


def lose_memory(folder: Path) -> None:
    shutil.rmtree(folder / ".snakemake")


def copy_results(folder: Path) -> None:
    shutil.move(folder / "results", folder / "old")
    shutil.copytree(folder / "old", folder / "results", copy_function=shutil.copyfile)
    lose_memory(folder)


def comment(folder: Path) -> None:
    for path in (folder / "workflow/scripts").rglob("*.py"):
        path.write_text(path.read_text() + "\n# a remark\n")


def reorder(folder: Path) -> None:
    edit(
        folder, lambda e: e["recipes"].update(safety=dict(reversed(e["recipes"]["safety"].items())))
    )


def free_knobs(folder: Path) -> None:
    edit(folder, lambda e: e.update(resources={"safety_sft": {"runtime": 99}}))


@pytest.mark.parametrize("change", [touch, lose_memory, copy_results, comment, reorder, free_knobs])
def test_what_changes_no_result_runs_nothing(again, snakemake, change):
    change(again)
    done = snakemake(again, "-n")
    assert "Nothing to be done" in done.stderr + done.stdout, done.stdout + done.stderr


def test_a_change_is_seen_without_snakemakes_memory(again, snakemake):
    lose_memory(again)
    edit(again, lambda e: e["scorers"]["math"].update(timeout_s=6))
    assert planned(snakemake(again, "-n")) == Counter(score_samples=4, make_report=1)


def test_only_the_report_and_only_one_model_can_be_asked_for(again, snakemake):
    edit(again, lambda e: e["recipes"]["safety"].update(learning_rate=1e-4))
    target = "results/tiny/models/aligned/tiny/safechain/seed1/manifest.json"
    assert planned(snakemake(again, "-n", target)) == Counter(safety_sft=1)
    until = planned(snakemake(again, "-n", "--until", "safety_sft"))
    assert until == Counter(safety_sft=2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda e: e.update(seeds=[-1]), "experiments/tiny.yaml: seeds.0 is -1, expected"),
        (lambda e: e.update(speed=1), "experiments/tiny.yaml: speed is unknown; did you mean"),
        (
            lambda e: e["lrms"]["tiny"].update(base="huge"),
            "experiments/tiny.yaml: lrms.tiny.base: 'huge' is no entry of bases, expected tiny",
        ),
    ],
)
def test_a_wrong_experiment_is_one_line_before_any_job(again, snakemake, change, said):
    edit(again, change)
    check_refused(snakemake(again, "-c2"), said)


def test_an_unknown_experiment_and_a_wrong_config_are_one_line(finished, snakemake):
    done = snakemake(finished, "-n", "--config", "experiment=nope")
    check_refused(done, "experiment 'nope': no experiments/nope.yaml, expected one of ")
    done = snakemake(finished, "-n", "--config", "experiment=tiny", "speed=1")
    check_refused(done, "config.yaml: speed is unknown; expected some of experiment")


def check_refused(done: subprocess.CompletedProcess[str], said: str) -> None:
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Config file")]
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"error: {said}")


def test_spoiled_weights_are_refused_by_whoever_reads_them(again, snakemake):
    final = again / "results/tiny/models/lrm/tiny/seed1/epoch1/model.safetensors"
    final.write_bytes(final.read_bytes()[:-1] + b"x")
    edit(again, lambda e: e["benchmarks"]["benign"]["decoding"].update(max_answer_tokens=9))
    target = "results/tiny/generate/lrm/tiny/seed1/benign/manifest.json"
    assert snakemake(again, "-c1", target).returncode != 0
    log = (again / "results/tiny/logs/generate/lrm/tiny/seed1/benign.log").read_text()
    assert "model.safetensors: differs from the manifest" in log.splitlines()[-1]
