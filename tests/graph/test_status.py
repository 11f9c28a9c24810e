"""Status: from the store and the logs of jobs, whoever runs the experiment."""

from __future__ import annotations

import json
import os

import pytest

from workflow.scripts.cluster.driver import claim_experiment
from workflow.scripts.common.io import write_text
from workflow.scripts.graph.status import Progress, main, make_status

SAMPLES = "generate/lrm/tiny/seed1/benign"
MODEL = "models/aligned/tiny/safechain/seed1"
OTHER = "models/aligned/tiny/directrefusal/seed1"
JUDGE = "score/judges/ngram"


def write_log(project, name: str, text: str, age: float = 0.0) -> None:
    """Write the log of the job that makes a result, so many seconds ago."""
    log = project.root / project.read().job_of[name].log
    write_text(log, text)
    written = log.stat().st_mtime - age
    os.utime(log, (written, written))


@pytest.fixture
def begun(project):
    """What a driver leaves that has begun several jobs; it is gone."""
    project.finish(*(name for name in project.read().results if name.startswith("data/")))
    project.finish(
        "models/base/tiny/seed1", "models/lrm/tiny/seed1", "generate/lrm/tiny/seed1/harmful"
    )
    claim_experiment("tiny", project.root).close()
    write_log(project, OTHER, "error: of a run before\n", age=1000)
    write_log(project, SAMPLES, "")
    write_log(
        project, MODEL, "epoch 1: step 20 of 80, loss 0.5\nepoch 2: step 40 of 80, loss 0.4\n"
    )
    write_log(project, JUDGE, "line\nerror: no rows\n")
    rows = [{"index": i, "thinking_tokens": 10, "answer_tokens": 5} for i in range(4)]
    lines = "".join(json.dumps(row) + "\n" for row in rows) + '{"index": 4, "thin'
    write_text(project.folder(SAMPLES) / "state/abc.0.jsonl", lines)
    return project


@pytest.fixture
def running(begun):
    driver = claim_experiment("tiny", begun.root)
    os.utime(begun.root / "results/tiny/.driver", (0, begun_at(begun)))
    yield begun
    driver.close()


def begun_at(project) -> float:
    """Return a time between the old log and the new ones."""
    return (project.root / project.read().job_of[MODEL].log).stat().st_mtime - 10


def test_running_queued_and_failed_jobs_are_told_apart(running):
    status = make_status(running.read())
    assert status["driver"]
    # the other model's log is of a run before, and all that it is made from is there
    assert status["rules"]["safety_sft"] == {
        "done": 0,
        "running": 1,
        "queued": 1,
        "failed": 0,
        "to do": 0,
    }
    assert status["rules"]["pretrain_base"]["done"] == 1
    assert status["rules"]["train_judge"]["failed"] == 1
    # three of the LRM's, one of them complete; the base's are next, those of others have to wait
    samples = status["rules"]["generate_samples"]
    assert samples == {"done": 1, "running": 2, "queued": 3, "failed": 0, "to do": 6}
    (failed,) = status["failed"]
    assert (failed["name"], failed["said"]) == (JUDGE, "error: no rows")


def test_progress_counts_finished_samples_and_steps(running):
    jobs = {job["name"]: job for job in make_status(running.read())["running"]}
    samples = jobs["generate_samples lrm/tiny/seed1/hf"]
    # 14 of the complete benchmark and 4 of the next, of 8 + 14 + 8
    assert (samples["done"], samples["total"], samples["unit"]) == (18, 30, "samples")
    assert samples["tokens_per_s"] > 0
    assert (jobs[MODEL]["done"], jobs[MODEL]["total"], jobs[MODEL]["unit"]) == (40, 80, "steps")


def test_time_left_is_by_the_jobs_own_speed_else_by_its_estimate():
    assert Progress(40, 80, "steps", 0, elapsed=30).seconds_left(estimate=1000) == 30
    assert Progress(0, 80, "steps", 0, elapsed=30).seconds_left(estimate=100) == 70
    assert Progress(0, 0, "steps", 0, elapsed=300).seconds_left(estimate=100) == 0


@pytest.mark.parametrize(
    ("line", "failed"),
    [
        ("error: results/x: no rows", True),
        ("ValueError: x", True),
        ("torch.OutOfMemoryError: CUDA out of memory", True),
        ("KeyboardInterrupt", True),
        ("step 3 of 4, no error", False),
    ],
)
def test_a_job_has_failed_when_its_log_ends_with_an_error(running, line, failed):
    write_log(running, MODEL, f"begins\n{line}\n")
    counts = make_status(running.read())["rules"]["safety_sft"]
    assert (counts["failed"], counts["running"]) == ((1, 0) if failed else (0, 1))


def test_without_a_driver_nothing_runs_and_what_began_has_failed(begun, capsys):
    os.utime(begun.root / "results/tiny/.driver", (0, begun_at(begun)))
    main(["--experiment", "tiny", "--json", "status.json"])
    status = json.loads((begun.root / "status.json").read_text())
    assert not status["running"]
    assert status["rules"]["safety_sft"]["failed"] == 1
    said = capsys.readouterr().out
    assert "No run is going on" in said
    assert f"failed: {JUDGE}: error: no rows" in said


def test_a_result_that_another_experiment_is_making_is_running(begun):
    os.utime(begun.root / "results/tiny/.driver", (0, begun_at(begun)))
    before = make_status(begun.read())["rules"]["safety_sft"]
    assert before["failed"] == 1
    driver = claim_experiment("other", begun.root)
    os.utime(begun.root / "results/other/.driver", (0, begun_at(begun)))
    counts = make_status(begun.read())["rules"]["safety_sft"]
    driver.close()
    assert (counts["running"], counts["failed"]) == (1, 0)


def test_what_nobody_has_run_is_to_do_even_where_another_experiment_failed(project):
    write_log(project, MODEL, "error: of another experiment\n")
    assert make_status(project.read())["rules"]["safety_sft"]["to do"] == 2


def test_the_status_of_a_finished_experiment_is_all_done(project):
    project.finish(seconds=2)
    rules = make_status(project.read())["rules"]
    assert {key for counts in rules.values() for key, n in counts.items() if n} == {"done"}
