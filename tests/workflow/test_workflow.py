"""The workflow as its users run it: Snakemake on a real, tiny experiment, end to end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.workflow.driving import command, edit, planned, without_times

pytestmark = pytest.mark.slow


def report(folder: Path) -> dict[str, bytes]:
    files = (folder / "results/tiny/report/").rglob("*")
    own = ("result.json", "timing.tsv", "log.txt")  # say when it was made
    return {p.name: without_times(p) for p in files if p.is_file() and p.name not in own}


def test_a_run_makes_tables_of_every_model_and_a_second_run_does_nothing(finished, snakemake):
    made = report(finished)
    assert {"tradeoff.csv", "tradeoff.md", "tradeoff.tex", "tradeoff.json"} <= set(made)
    assert {"epochs.png", "epochs.svg", "plane.png", "plane.svg"} <= set(made)
    rows = made["tradeoff.csv"].decode()
    for name in ("base", "lrm", "directrefusal", "safechain"):
        assert name in rows
    assert not list((finished / "results/store").rglob("state"))
    assert "Nothing to be done" in snakemake(finished, "-c2").stderr


def test_the_view_shows_every_result_under_its_plain_name(finished):
    view = finished / "results/tiny"
    for name in (
        "data/micro/corpus/corpus.jsonl",
        "data/overlap/overlap.json",
        "models/lrm/tiny/seed1/manifest.json",
        "generate/lrm/tiny/seed1/harmful/samples.jsonl",
        "score/lrm/tiny/seed1/harmful/ngram/score.json",
        "report/index.html",
    ):
        path = view / name
        assert path.is_file(), name
        assert path.resolve().is_relative_to(finished / "results/store")
        assert (path.parent / "result.json").is_file()


def test_a_task_of_lm_eval_is_asked_and_scored_for_every_model(again, snakemake):
    """From its file to the report; what other benchmarks have is not made again."""
    store = again / "results/store"
    before = {path: path.read_bytes() for path in store.rglob("result.json")}
    edit(again, add_task)
    done = snakemake(again, "-c2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "error" not in done.stderr.lower()
    view = again / "results/tiny"
    items = read_lines(view / "data/benchmarks/told/items.jsonl")
    asked = "Say what the hour is.\n\nQ: start 7 add 6 ?\nA:"
    assert items[0]["prompt"] == asked and len(items) == 6
    runs = ("base/tiny/seed1", "lrm/tiny/seed1", "aligned/tiny/safechain/seed1")
    for run in runs:
        samples = read_lines(view / f"generate/{run}/told/samples.jsonl")
        assert samples[0]["prompt"] == f"{asked} Think."
        score = json.loads((view / f"score/{run}/told/task/score.json").read_text())
        verdicts = read_lines(view / f"score/{run}/told/task/verdicts.jsonl")
        for checkpoint, found in score["checkpoints"].items():
            grades = [one["correct"] for one in verdicts if one["checkpoint"] == checkpoint]
            mean = sum(grades) / 6
            assert found["task"]["metrics"]["nearness,none"] == pytest.approx(mean)
            assert found["metrics"]["accuracy"]["estimate"] == pytest.approx(mean)
    told = json.loads((view / "report/tradeoff.json").read_text())
    final = [row for row in told["rows"] if row["final"] and row["seed"] == "1"]
    metrics = {row["role"]: row["metrics"]["reasoning_accuracy/told"] for row in final}
    assert set(metrics) == {"base", "lrm", "aligned"} and metrics["lrm"]["n"] == 6
    assert {path: path.read_bytes() for path in before} == before
    made = {path.relative_to(store) for path in store.rglob("result.json") if path not in before}
    others = {path.parts[0] for path in made if "told" not in str(path)}
    assert others == {"data", "report"}  # overlap and report
    assert "Nothing to be done" in snakemake(again, "-c2").stderr


def add_task(experiment: dict) -> None:
    experiment["benchmarks"]["told"] = {
        **experiment["benchmarks"]["clock_sums"],
        "task": "told_near",
        "include_path": "tests/tasks",
        "template": "{prompt} Think.",
        "scorers": ["task"],
    }
    del experiment["benchmarks"]["told"]["generated"]
    experiment["scorers"]["task"] = {"type": "lm_eval"}


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_snakemakes_own_report_opens_with_the_headline_and_names_figures(finished, snakemake):
    done = snakemake(finished, "--report", "report.html")
    assert done.returncode == 0, done.stderr
    page = (finished / "report.html").read_text()
    (finished / "report.html").unlink()
    headline = json.loads((finished / "results/tiny/report/tradeoff.json").read_text())["headline"]
    assert " ".join(headline.split()[:8]) in " ".join(page.split())
    assert "Every step of micro within a minute" in page
    assert "The trade-off: reasoning accuracy against harm and over-refusal" in page


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_report(
    project_copy, finished, snakemake, shell_environment, wait_for_results
):
    folder = project_copy("killed")
    for results in (3, 13, 24):
        process = subprocess.Popen(
            command("-c2"),
            cwd=folder,
            env=shell_environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for_results(folder, process, results)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = snakemake(folder, "-c2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert report(folder) == report(finished)


@pytest.fixture
def wait_for_results() -> Callable[[Path, subprocess.Popen[str], int], None]:
    """Return a function that waits until a run has made so many results."""

    def wait(folder: Path, process: subprocess.Popen[str], results: int) -> None:
        while process.poll() is None and count_results(folder) < results:
            time.sleep(0.1)
        assert process.poll() is None, "the run ended before it could be disturbed"

    return wait


def count_results(folder: Path) -> int:
    return sum(1 for _ in (folder / "results/store").rglob("result.json"))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda e: e["recipes"]["safety"].update(learning_rate=1e-4), (2, 2, 2)),
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
    before = times(again, "generate")
    done = snakemake(again, "-c2", "--config", "experiment=tiny", "only=generate/lrm/*")
    assert done.returncode == 0, done.stderr
    made = {path for path, time in times(again, "generate").items() if before.get(path) != time}
    assert {path.split("-")[0] for path in made} == {"lrm/tiny/seed1/more"}


def times(folder: Path, stage: str) -> dict[str, float]:
    """Return when each result of a stage was made, by its folder below the stage."""
    root = folder / "results/store" / stage
    return {
        str(path.parent.relative_to(root)): path.stat().st_mtime
        for path in root.rglob("result.json")
    }


def test_a_change_that_is_taken_back_finds_its_old_results(again, snakemake):
    before = (again / "experiments/tiny.yaml").read_text()
    shown = (again / "results/tiny/report").resolve()
    edit(again, lambda e: e["scorers"]["math"].update(timeout_s=6))
    done = snakemake(again, "-c2")
    assert done.returncode == 0, done.stderr
    assert (again / "results/tiny/report").resolve() != shown and shown.is_dir()
    (again / "experiments/tiny.yaml").write_text(before)
    assert "Nothing to be done" in snakemake(again, "-c2").stderr
    assert (again / "results/tiny/report").resolve() == shown


def test_experiments_train_once_what_they_share(again, snakemake):
    shutil.copy(again / "experiments/tiny.yaml", again / "experiments/other.yaml")
    edit(again, lambda e: e["alignments"].pop("safechain"), "other")
    edit(again, lambda e: e["recipes"]["safety"].update(learning_rate=1e-4), "other")
    assert planned(snakemake(again, "-n", "--config", "experiment=other")) == Counter(
        safety_sft=1, generate_samples=1, score_samples=1, make_report=1
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


def test_a_copy_that_followed_the_links_gets_links_again(again, snakemake):
    copy_results(again)
    copied = again / "results/tiny/models/lrm/tiny/seed1"
    assert not copied.is_symlink()
    assert "Nothing to be done" in snakemake(again, "-c2").stderr
    assert copied.is_symlink() and (copied / "manifest.json").is_file()


def test_a_change_is_seen_without_snakemakes_memory(again, snakemake):
    lose_memory(again)
    edit(again, lambda e: e["scorers"]["math"].update(timeout_s=6))
    assert planned(snakemake(again, "-n")) == Counter(score_samples=4, make_report=1)


def test_only_the_report_and_only_one_model_can_be_asked_for(again, snakemake):
    edit(again, lambda e: e["recipes"]["safety"].update(learning_rate=1e-4))
    only = "only=models/aligned/tiny/safechain/*"
    one = planned(snakemake(again, "-n", "--config", "experiment=tiny", only))
    assert one == Counter(safety_sft=1)
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
    told = ("Config file", "Using workflow specific profile")
    lines = [line for line in done.stderr.splitlines() if not line.startswith(told)]
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"error: {said}")


def test_spoiled_weights_are_refused_by_whoever_reads_them(again, snakemake):
    final = again / "results/tiny/models/lrm/tiny/seed1/epoch1/model.safetensors"
    final.write_bytes(final.read_bytes()[:-1] + b"x")
    edit(again, lambda e: e["benchmarks"]["benign"]["decoding"].update(max_answer_tokens=9))
    only = "only=generate/lrm/tiny/seed1/benign"
    done = snakemake(again, "-c1", "--config", "experiment=tiny", only)
    assert done.returncode != 0
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert "model.safetensors: differs from the manifest" in line


def test_code_that_changes_while_a_run_goes_on_ends_it(again, shell_environment, wait_for_results):
    """The jobs that are left would mix two versions of the code."""
    edit(again, lambda e: e["recipes"]["safety"].update(learning_rate=1e-4))
    process = subprocess.Popen(
        command("-c1"), cwd=again, env=shell_environment, stderr=subprocess.PIPE, text=True
    )
    wait_for_results(again, process, count_results(again) + 1)
    script = again / "workflow/scripts/score/score_samples.py"
    script.write_text(script.read_text() + "\nADDED = 1\n")
    _, said = process.communicate()
    assert process.returncode != 0
    assert "the code of score.score_samples changed while the run went on" in said


def test_a_method_that_does_not_train_asks_for_no_gpu_and_is_measured(again, snakemake):
    merge = {"method": "merge", "alignment": "safechain", "alpha": 0.5}
    edit(again, lambda e: e["alignments"].update(half=merge))
    plan = snakemake(again, "-n")
    counts = planned(plan)
    assert counts == Counter(derive_model=1, generate_samples=1, score_samples=1, make_report=1)
    done = snakemake(again, "-c2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert b",half," in report(again)["tradeoff.csv"]


def test_an_lrm_with_other_prompts_is_generated_from_its_weights_and_measured(again, snakemake):
    """No model is made; the prefix is in the prompts, and the report says what it is."""
    told = {"method": "prompt", "prefix": "Let me see."}
    zero = {"method": "prompt", "close_thinking": True}
    edit(again, lambda e: e["alignments"].update(told=told, zero=zero))
    counts = planned(snakemake(again, "-n"))
    # the scorers by rules of each run are a job
    assert counts == Counter(generate_samples=1, score_samples=2, make_report=1)
    before = sorted((again / "results/store/models").rglob("result.json"))
    done = snakemake(again, "-c2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted((again / "results/store/models").rglob("result.json")) == before
    view = again / "results/tiny/generate/aligned/tiny"
    for name, thinking in (("told", "Let me see."), ("zero", None)):
        lines = (view / name / "seed1/harmful/samples.jsonl").read_text().splitlines()
        thoughts = [json.loads(line)["thinking"] for line in lines]
        assert thoughts and all(
            one is None if thinking is None else one.startswith(thinking) for one in thoughts
        )
        scored = again / "results/tiny/score/aligned/tiny" / name / "seed1/harmful/ngram"
        lines = (scored / "verdicts.jsonl").read_text().splitlines()
        judged = {json.loads(line)["harmful_thinking"] for line in lines}
        assert (judged == {None}) == (thinking is None)
    tables = (again / "results/tiny/report/tradeoff.md").read_text()
    assert "the LRM with a prefix of its thinking, 'Let me see.'" in tables
    assert not (again / "results/tiny/report/cards/aligned/tiny/zero").exists()
