"""Status: from marks, logs and state files, whoever holds the experiment."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode

import pytest

from workflow.scripts.common.driver import claim_experiment
from workflow.scripts.common.io import write_text
from workflow.scripts.plan.show_status import Progress, main, make_status

SAMPLES = "generate/lrm/tiny/seed1/benign/manifest.json"
MODEL = "models/aligned/tiny/safechain/seed1/manifest.json"
OTHER = "models/aligned/tiny/directrefusal/seed1/manifest.json"


def mark(project, path: str, length: int = 254) -> None:
    """Do as Snakemake does when it starts a job: a file called after the output, in base64."""
    name = urlsafe_b64encode(f"results/tiny/{path}".encode()).decode()
    parts = [name[i : i + length] for i in range(0, len(name), length)]
    parts = [f"@{part}" for part in parts[:-1]] + parts[-1:]
    write_text(project.root.joinpath(".snakemake/incomplete", *parts), "{}")


@pytest.fixture
def running(project):
    project.finish("data/micro/manifest.json", "models/base/tiny/seed1/manifest.json")
    driver = claim_experiment("tiny", project.root)
    mark(project, SAMPLES)
    mark(project, MODEL, length=20)
    mark(project, OTHER)
    write_text(project.folder / "logs/generate/lrm/tiny/seed1/benign.log", "")
    log = "epoch 1: step 20 of 80, loss 0.5\nepoch 2: step 40 of 80, loss 0.4\n"
    write_text(project.folder / "logs/models/aligned/tiny/safechain/seed1.log", log)
    write_text(project.folder / "logs/score/judges/ngram.log", "line\nerror: no rows\n")
    rows = [{"index": i, "thinking_tokens": 10, "answer_tokens": 5} for i in range(4)]
    lines = "".join(json.dumps(row) + "\n" for row in rows) + '{"index": 4, "thin'
    write_text(project.folder / "state/generate/lrm/tiny/seed1/benign/abc.0.jsonl", lines)
    yield project
    driver.close()


def test_running_queued_and_failed_jobs_are_told_apart(running):
    status = make_status("tiny", running.root)
    assert status["driver"]
    assert status["rules"]["safety_sft"] == {
        "done": 0,
        "running": 1,
        "queued": 1,
        "failed": 0,
        "to do": 0,
    }
    assert status["rules"]["pretrain_base"]["done"] == 1
    assert status["rules"]["train_judge"]["failed"] == 1
    assert status["rules"]["generate_samples"]["running"] == 1
    (failed,) = status["failed"]
    assert failed["said"] == "error: no rows"


def test_progress_counts_finished_samples_and_steps(running):
    jobs = {job["path"]: job for job in make_status("tiny", running.root)["running"]}
    assert (jobs[SAMPLES]["done"], jobs[SAMPLES]["total"]) == (4, 8)
    assert jobs[SAMPLES]["tokens_per_s"] > 0
    assert (jobs[MODEL]["done"], jobs[MODEL]["total"], jobs[MODEL]["unit"]) == (40, 80, "steps")


def test_time_left_is_by_the_jobs_own_speed_else_by_its_estimate():
    assert Progress(40, 80, "steps", 0, elapsed=30).seconds_left(estimate=1000) == 30
    assert Progress(0, 80, "steps", 0, elapsed=30).seconds_left(estimate=100) == 70
    assert Progress(0, 0, "steps", 0, elapsed=300).seconds_left(estimate=100) == 0


def test_without_a_driver_nothing_runs_and_what_began_has_failed(running, capsys):
    import workflow.scripts.plan.show_status as module

    running_file = module.driver_lives
    try:
        module.driver_lives = lambda folder: False
        main(["--experiment", "tiny", "--json", "status.json"])
    finally:
        module.driver_lives = running_file
    status = json.loads((running.root / "status.json").read_text())
    assert not status["running"]
    assert status["rules"]["safety_sft"]["failed"] == 1
    assert "No driver is at work" in capsys.readouterr().out


def test_the_status_of_a_finished_experiment_is_all_done(project):
    project.finish(seconds=2)
    rules = make_status("tiny", project.root)["rules"]
    assert {key for counts in rules.values() for key, n in counts.items() if n} == {"done"}
