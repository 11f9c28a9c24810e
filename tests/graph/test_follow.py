"""What the driver shows of its run in place of Snakemake's messages."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from snakemake.settings.enums import Quietness
from snakemake.settings.types import OutputSettings
from snakemake_interface_logger_plugins.common import LogEvent

from workflow.scripts.cluster.driver import claim_experiment
from workflow.scripts.common.io import write_text
from workflow.scripts.graph import follow
from workflow.scripts.graph.follow import (
    Failures,
    Follower,
    ShowLogs,
    end_with_error,
    say_failures,
    takes_over,
)
from workflow.scripts.graph.status import Status

DATE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "
JUDGE = "score/judges/ngram"


class Run:
    """A driver of `tiny` whose messages go into `said`, and Snakemake's into `snakemake`."""

    def __init__(self, project: Any) -> None:
        self.project, self.graph = project, project.read()
        self.said, self.snakemake = io.StringIO(), io.StringIO()
        self.logger = logging.Logger("snakemake", logging.INFO)
        self.driver = claim_experiment("tiny", project.root)
        self.follower = Follower(self.graph, self.logger, self.said)

    def log(self, level: int, text: str, event: LogEvent | None = None, **extra: Any) -> None:
        self.logger.log(level, text, extra={**extra, **({"event": event} if event else {})})

    def lines(self) -> list[str]:
        return self.said.getvalue().splitlines()


@pytest.fixture
def run(project, monkeypatch) -> Iterator[Run]:
    monkeypatch.setattr(follow, "EVERY_LINE_S", 0.05)
    monkeypatch.setattr(follow, "SHARE", 0)
    run = Run(project)
    run.logger.addHandler(logging.StreamHandler(run.snakemake))
    yield run
    run.follower.stop()
    run.driver.close()


def wait_for(run: Run, pattern: str) -> None:
    import time

    end = time.monotonic() + 60
    while not re.search(pattern, run.said.getvalue()):
        assert time.monotonic() < end, run.said.getvalue()
        time.sleep(0.05)


def test_a_log_gets_a_dated_line_for_what_is_new_and_nothing_of_snakemake(run):
    run.follower.start()
    wait_for(run, "0 of 16 jobs done")
    run.log(logging.INFO, "Select jobs to execute...")
    run.project.finish(JUDGE)
    wait_for(run, JUDGE)
    run.log(logging.WARNING, "The disk is\nnearly full")
    run.log(logging.ERROR, "Exiting because a job execution failed. Look above")
    run.follower.stop()
    first, judge, warning = run.lines()
    assert re.fullmatch(DATE + r"tiny: 0 of 16 jobs done.* \d+ s gone, about .* left\.", first)
    assert re.fullmatch(DATE + rf"tiny: 1 of 16 jobs done.* Done: {JUDGE}", judge)
    assert re.fullmatch(DATE + "The disk is nearly full", warning)
    assert run.snakemake.getvalue() == ""


def test_what_ends_between_two_looks_is_still_told(run):
    run.follower.start()
    wait_for(run, "0 of 16 jobs done")
    run.follower.ended.set()  # no further look but that of the end
    run.follower.thread.join()
    run.follower.ended.clear()
    run.project.finish()
    run.follower.stop()
    assert "tiny: 16 of 16 jobs done." in run.lines()[-1] and "report/tiny" in run.lines()[-1]


def test_a_quiet_run_gives_a_sign_of_life(run, monkeypatch):
    monkeypatch.setattr(follow, "SIGN_OF_LIFE_S", 0.2)
    run.follower.start()
    job = run.graph.job_of["models/base/tiny/seed1"]
    write_text(run.project.root / job.log, "step 50 of 80, loss 1.0, 100 tokens/s\n")
    wait_for(run, "running: models/base/tiny/seed1: 50 of 80 steps, 100 tokens/s")


def test_a_job_that_was_killed_has_failed_for_everybody(run):
    job = run.graph.job_of["models/base/tiny/seed1"]
    log = run.project.root / job.log
    write_text(log, "step 50, loss 1.0\n")
    run.follower.start()
    run.log(logging.ERROR, "Error in rule", LogEvent.JOB_ERROR, log=[job.log])
    wait_for(run, "failed: models/base/tiny/seed1: error: ended without an error of its own")
    assert log.read_text().endswith("its last line: step 50, loss 1.0\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("line\nerror: no rows\n", "line\nerror: no rows\n"),
        ("line\nValueError: x\n", "line\nValueError: x\n"),
        ("", "\nerror: ended without an error of its own; it wrote nothing\n"),
    ],
)
def test_a_log_ends_with_one_error(tmp_path: Path, before: str, after: str):
    log = tmp_path / "log.txt"
    log.write_text(before)
    end_with_error(log)
    assert log.read_text() == after


def test_a_look_that_fails_does_not_end_the_run(run):
    def fail(graph: Any) -> Status:
        raise FileNotFoundError("gone")

    run.follower.look = fail
    run.follower.start()
    run.log(logging.WARNING, "a warning")
    run.follower.stop()
    assert run.lines()[-1].endswith("a warning")


def test_an_end_says_why_where_and_how_to_go_on(project, monkeypatch, capsys):
    project.finish(JUDGE)
    monkeypatch.setattr(sys, "argv", ["x/snakemake", "-c2", "--config", "only=a b"])
    say_failures([("train_judge ngram", "no\nrows", "results/log.txt")], project.read())
    assert capsys.readouterr().err.splitlines() == [
        "error: train_judge ngram: no rows",
        "    log: results/log.txt",
        "1 of 16 jobs are done and stay. When that is mended, the same command goes on from there:",
        "    snakemake -c2 --config 'only=a b'",
        "A report of the scores that are there: make report EXPERIMENT=tiny",
    ]
    monkeypatch.setenv("STARTED_AS", "make EXPERIMENT=tiny")
    say_failures([], project.read())
    told = capsys.readouterr().err.splitlines()
    assert told[0].endswith("stay. The same command goes on from there:")
    assert told[1] == "    make EXPERIMENT=tiny"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, True),
        ({"quiet": {Quietness.RULES, Quietness.PROGRESS}}, True),
        ({"quiet": {Quietness.ALL}}, False),
        ({"verbose": True}, False),
        ({"printshellcmds": True}, False),
        ({"show_failed_logs": True}, False),
    ],
)
def test_who_asks_snakemake_for_more_gets_its_own_messages(settings, expected):
    assert takes_over(OutputSettings(**settings), chosen=False) is expected
    assert takes_over(OutputSettings(**settings), chosen=True) is False


def test_a_job_has_failed_when_it_failed_once_more_than_it_is_tried_again():
    logger, failures = logging.Logger("snakemake"), Failures({"a.log": "a", "b.log": "b"}, 2)
    logger.addHandler(failures)
    failed = {"event": LogEvent.JOB_ERROR}
    for log in ("a.log", "b.log", "a.log"):
        logger.error("Error in rule", extra={**failed, "log": [log, "slurm/1.log"]})
    assert failures.final() == []
    logger.error("Error in rule", extra={**failed, "log": ["a.log"]})
    logger.error("Error in rule", extra={**failed, "log": ["of/a/rule/without/a/job.log"]})
    logger.error("something else", extra={"log": ["b.log"]})
    assert failures.final() == ["a"]


def test_the_log_of_a_failed_job_is_printed_and_an_absent_one_is_not(tmp_path, capsys):
    logger = logging.Logger("snakemake")
    logger.addHandler(ShowLogs())
    (tmp_path / "log.txt").write_text("loading\nerror: no such judge\n")
    logs = [str(tmp_path / "log.txt"), str(tmp_path / "absent.log")]
    logger.error("Error in rule", extra={"event": LogEvent.JOB_ERROR, "log": logs})
    logger.error("something else", extra={"log": logs})
    assert capsys.readouterr().err == f"{logs[0]}:\nloading\nerror: no such judge\n\n"
