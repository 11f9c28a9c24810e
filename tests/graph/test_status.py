"""Status: from the store and the logs of jobs, whoever runs the experiment."""

from __future__ import annotations

import json
import os

import pytest

from workflow.scripts.cluster.driver import Work, claim_experiment, declare_work
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


def claim_experiment_again(project):
    """Return the driver's file, opened once more: the fixture holds its lock."""
    return open(project.root / "results/tiny/.driver", "a+")


def begun_at(project) -> float:
    """Return a time between the old log and the new ones."""
    return (project.root / project.read().job_of[MODEL].log).stat().st_mtime - 10


def test_running_queued_and_failed_jobs_are_told_apart(running):
    status = make_status(running.read())
    assert status.driver
    # the other model's log is of a run before, and all that it is made from is there
    assert status.rules["safety_sft"] == {
        "done": 0,
        "running": 1,
        "queued": 1,
        "waiting for retry": 0,
        "failed": 0,
        "to do": 0,
    }
    assert status.rules["pretrain_base"]["done"] == 1
    assert status.rules["train_judge"]["failed"] == 1
    # three of the LRM's, one of them complete; the base's are next, those of others have to wait
    samples = status.rules["generate_samples"]
    assert {key: count for key, count in samples.items() if count} == {
        "done": 1,
        "running": 2,
        "queued": 3,
        "to do": 6,
    }
    (failed,) = status.failed
    assert (failed.name, failed.said) == (JUDGE, "error: no rows")


def test_progress_counts_finished_samples_and_steps(running):
    jobs = {job.name: job for job in make_status(running.read()).running}
    samples = jobs["generate_samples lrm/tiny/seed1/hf"]
    # 14 of the complete benchmark and 4 of the next, of 8 + 14 + 8
    assert (samples.done, samples.total, samples.unit) == (18, 30, "samples")
    assert samples.tokens_per_s > 0
    assert (jobs[MODEL].done, jobs[MODEL].total, jobs[MODEL].unit) == (40, 80, "steps")


@pytest.mark.parametrize(
    ("name", "line", "expected"),
    [
        (MODEL, "epoch 1.5: step 30 of 80, loss 0.5000, 1234 tokens/s", (30, 80, "steps", 1234)),
        (MODEL, "step 50, loss 5.1, 900 tokens/s", (50, 0, "steps", 900)),
        (JUDGE, "batches of answers: 12/40, 3 min left", (12, 40, "batches", 0)),
        (JUDGE, "loading", (0, 0, "batches", 0)),
    ],
)
def test_the_last_line_of_progress_in_a_log_counts(running, name, line, expected):
    write_log(running, name, f"epoch 1: step 1 of 80\n{line}\n")
    found = {job.name: job for job in make_status(running.read()).running}[name]
    assert (found.done, found.total, found.unit, found.tokens_per_s) == expected


def test_jobs_are_counted_by_stage(running):
    status = make_status(running.read())
    # generated files (a job), overlap; base, LRM, two aligned; a run's samples are a job, and so
    # are its scores by rules; the judge and the scores by it are one each
    assert list(status.stages) == ["data", "models", "generate", "score", "report"]
    totals = {stage: sum(counts.values()) for stage, counts in status.stages.items()}
    assert totals == {"data": 2, "models": 4, "generate": 4, "score": 5, "report": 1}
    assert status.stages["data"]["done"] == 2
    jobs = {key: count for key, count in status.jobs.items() if count}
    assert jobs == {"done": 4, "running": 2, "queued": 2, "failed": 1, "to do": 7}


def test_a_run_of_some_results_counts_these_and_what_is_done(running):
    graph = running.read()
    own = Work(makes=(graph.folder(MODEL), graph.folder(OTHER)))
    with claim_experiment_again(running) as driver:
        declare_work(driver, running.root, own)
        os.utime(running.root / "results/tiny/.driver", (0, begun_at(running)))
        status = make_status(graph)
    assert status.stages["models"] == {
        "done": 2,
        "running": 1,
        "queued": 1,
        "waiting for retry": 0,
        "failed": 0,
        "to do": 0,
    }
    assert "report" not in status.stages and not status.changed


def test_a_run_of_other_code_is_said_to_be(running):
    with claim_experiment_again(running) as driver:
        declare_work(driver, running.root, Work(makes=("results/store/models/x-0",)))
        status = make_status(running.read())
    assert status.changed


def test_the_time_left_is_that_of_the_jobs_that_can_still_be_made(running):
    def seconds(cores):
        with claim_experiment_again(running) as driver:
            declare_work(driver, running.root, Work(at_once=cores))
            os.utime(running.root / "results/tiny/.driver", (0, begun_at(running)))
            status = make_status(running.read())
        estimates = {job.name: job.left_s for job in status.running}
        return status.left_s, estimates

    one, running_jobs = seconds(1)
    many, _ = seconds(99)
    # one after the other, with the two that run now among them; all at once is no longer than that
    assert one > many >= max(running_jobs.values()) > 0
    # the judge has failed, and all that it scores waits for it: what is left does without
    write_log(running, JUDGE, "goes on\n")
    assert seconds(1)[0] > one


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
    counts = make_status(running.read()).rules["safety_sft"]
    assert (counts["failed"], counts["running"]) == ((1, 0) if failed else (0, 1))


@pytest.mark.parametrize(
    ("retries", "ages", "state"),
    [
        (2, [1], "waiting for retry"),
        (2, [3, 2], "waiting for retry"),
        (2, [3, 2, 1], "failed"),
        (1, [1000, 1], "waiting for retry"),  # the older log is of a run before
        (0, [1], "failed"),
        (2, [], "failed"),  # a job that ran beside the driver
    ],
)
def test_a_failed_attempt_on_slurm_waits_for_its_retry(running, retries, ages, state):
    graph = running.read()
    job = graph.job_of[JUDGE]
    slurm, wildcards = running.root / "results/tiny/logs/slurm", (job.name, job.key)
    folder = slurm / f"rule_{job.rule}" / "_".join(wildcards).replace("/", "_")
    for number, age in enumerate(ages):
        write_text(folder / f"{number}.log", "error: no rows\n")
        written = (folder / f"{number}.log").stat().st_mtime - age
        os.utime(folder / f"{number}.log", (written, written))
    (running.root / job.log).touch()  # the last attempt's error
    with claim_experiment_again(running) as driver:
        declare_work(driver, running.root, Work(retries=retries))
        os.utime(running.root / "results/tiny/.driver", (0, begun_at(running)))
        status = make_status(graph)
        write_text(folder / "next.log", "")  # the next one has begun, and has written nothing yet
        assert make_status(graph).rules["train_judge"]["running"] == 1
    assert status.rules["train_judge"][state] == 1
    (job,) = status.retried if state == "waiting for retry" else status.failed
    assert (job.name, job.said) == (JUDGE, "error: no rows")


def test_without_a_driver_nothing_runs_and_what_began_has_failed(begun, capsys):
    os.utime(begun.root / "results/tiny/.driver", (0, begun_at(begun)))
    main(["--experiment", "tiny", "--json", "status.json"])
    status = json.loads((begun.root / "status.json").read_text())
    assert not status["running"]
    assert [job["name"] for job in status["failed"] if job["rule"] == "train_judge"] == [JUDGE]
    assert status["rules"]["safety_sft"]["failed"] == 1
    said = capsys.readouterr().out
    assert "No run is going on" in said
    assert f"failed: {JUDGE}: error: no rows" in said


def test_a_result_that_another_experiment_is_making_is_running(begun):
    os.utime(begun.root / "results/tiny/.driver", (0, begun_at(begun)))
    before = make_status(begun.read()).rules["safety_sft"]
    assert before["failed"] == 1
    driver = claim_experiment("other", begun.root)
    os.utime(begun.root / "results/other/.driver", (0, begun_at(begun)))
    counts = make_status(begun.read()).rules["safety_sft"]
    driver.close()
    assert (counts["running"], counts["failed"]) == (1, 0)


def test_what_nobody_has_run_is_to_do_even_where_another_experiment_failed(project):
    write_log(project, MODEL, "error: of another experiment\n")
    assert make_status(project.read()).rules["safety_sft"]["to do"] == 2


def test_the_status_of_a_finished_experiment_is_all_done(project):
    project.finish(seconds=2)
    rules = make_status(project.read()).rules
    assert {key for counts in rules.values() for key, n in counts.items() if n} == {"done"}
