"""What the driver shows of its run: one live view in a terminal, dated lines in a log.

It takes the place of Snakemake's own messages, which go on into `.snakemake/log/`. The numbers are
those of `make status`: read from the store and the logs of jobs, whoever runs them, so that Slurm's
jobs are seen too. It listens to Snakemake's logger as a plugin would; but plugins are looked for on
Python's path, where a clone is not, and a profile that names one that is not found stops every run.
"""

from __future__ import annotations

import atexit
import logging
import os
import shlex
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import OutputSettingsLoggerInterface

from workflow.scripts.common.result import is_complete
from workflow.scripts.common.terminal import console_on
from workflow.scripts.graph.draw_status import draw, progress, summary
from workflow.scripts.graph.jobs import Graph
from workflow.scripts.graph.status import ERROR, Status, last_line, make_status, title
from workflow.scripts.report.escape import one_line

if TYPE_CHECKING:
    from rich.live import Live

EVERY_S = 1.0  # between two looks, in a terminal
EVERY_LINE_S = 5.0  # the same where each change is a line
SIGN_OF_LIFE_S = 600.0
SHARE = 20  # one part in this many of the time may go into looks
STARTED_AS = "STARTED_AS"  # environment: the command that the user typed, where it was another
# Messages about a failed job: the view and the end of the run say more in less.
FAILURES = (LogEvent.JOB_ERROR, LogEvent.GROUP_ERROR)
TOLD = (
    "CalledProcessError in file",
    "Exiting because a job execution failed",
    "At least one job did not complete",
)
# What Snakemake says to a user who stops it.
ANSWERS = ("Terminating processes on user request", "Will exit after finishing")


def takes_over(settings: OutputSettingsLoggerInterface, chosen: bool) -> bool:
    """Tell whether a run is shown by this module.

    Args:
        settings: Snakemake's, of its output.
        chosen: Whether the user has chosen a logger plugin.
    """
    wants_more = settings.verbose or settings.printshellcmds or settings.debug_dag
    silent = "all" in {getattr(one, "name", str(one)).lower() for one in settings.quiet or ()}
    return not (wants_more or silent or settings.show_failed_logs or chosen)


class Follower(logging.Handler):
    """Shows a run in place of Snakemake's messages, from `start` to `stop`.

    Args:
        graph: The experiment.
        logger: Snakemake's.
        stream: Where to show it; default, stderr.
        look: Gives the status.
    """

    def __init__(
        self,
        graph: Graph,
        logger: logging.Logger,
        stream: TextIO | None = None,
        look: Callable[[Graph], Status] = make_status,
    ) -> None:
        super().__init__(logging.INFO)
        self.graph, self.logger, self.look = graph, logger, look
        self.stream = stream or sys.stderr
        self.console = console_on(self.stream)
        self.live: Live | None = None
        self.logs = {job.log for job in graph.jobs.values()}
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, name="follow", daemon=True)
        self.done: set[str] = set()  # what was said to be done
        self.complete: set[str] = set()  # what is
        self.ends: set[str] = set()  # what was said of jobs that failed
        self.said = 0.0

    def start(self) -> None:
        """Take the place of Snakemake's messages, to the end of the process."""
        for handler in self.logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(lambda record: False)
        self.logger.addHandler(self)
        self.done = complete_jobs(self.graph)
        if self.console.is_terminal and not self.console.is_dumb_terminal:
            from rich.live import Live

            self.live = Live(console=self.console, auto_refresh=False)
            self.live.start()
        self.thread.start()
        atexit.register(self.stop)  # the terminal's cursor comes back, whatever ends the run

    def stop(self) -> None:
        """Show how far the run has come; failures are left to `say_failures`."""
        if self.ended.is_set():
            return
        self.ended.set()
        self.thread.join()
        with suppress(Exception):
            self._show(replace(self._look(), running=(), failed=(), retried=(), left_s=0.0))
        if self.live:
            self.live.stop()
            self.console.print()

    def emit(self, record: logging.LogRecord) -> None:
        """Show a warning or an error; let the log of a job that failed end with an error."""
        if getattr(record, "event", None) in FAILURES:
            for log in self.logs.intersection(_logs_of_failure(record)):
                end_with_error(self.graph.root / log)
            return
        text = record.getMessage()
        wanted = record.levelno >= logging.WARNING or text.startswith(ANSWERS)
        if wanted and not any(told in text for told in TOLD):
            self._say(text)

    def _watch(self) -> None:
        pause = 0.0
        while not self.ended.wait(pause):
            begin = time.monotonic()
            # A look at files that others write may fail; the run must not.
            with suppress(Exception):
                self._show(self._look())
            every = EVERY_S if self.live else EVERY_LINE_S
            pause = max(every, SHARE * (time.monotonic() - begin))

    def _look(self) -> Status:
        self.complete = complete_jobs(self.graph)  # first, so that the status counts them, too
        return self.look(replace(self.graph))  # what is complete is read again

    def _show(self, status: Status) -> None:
        if self.live:
            self.live.update(draw(status), refresh=True)
            return
        for line in self._lines(status):
            self._say(line)
            self.said = time.monotonic()

    def _lines(self, status: Status) -> list[str]:
        """Return what a log is told: what is new, and now and then that the run lives."""
        done, jobs = self.complete, self.graph.jobs
        new = [title(job) for key, job in jobs.items() if key in done - self.done]
        lines = [f"{summary(status)} Done: {', '.join(new)}"] if new else []
        ended = {
            f"{state}: {job.name}: {job.said}"
            for state, those in (("failed", status.failed), ("waiting for retry", status.retried))
            for job in those
        }
        lines += sorted(ended - self.ends)
        self.done, self.ends = done, ended
        if not self.said:
            return [summary(status), *lines]
        if not lines and time.monotonic() - self.said >= SIGN_OF_LIFE_S:
            return [f"running: {job.name}: {progress(job)}" for job in status.running]
        return lines

    def _say(self, text: str) -> None:
        if self.live:
            self.live.console.print(text)
        else:
            now = time.strftime("%Y-%m-%d %H:%M:%S")
            print(now, one_line(text, most=2000), file=self.stream, flush=True)


class Failures(logging.Handler):
    """Counts how often each job of a run has failed: Snakemake tells its logger of every attempt.

    Args:
        jobs: Each job's log, and the job.
        retries: How often a job is tried again.
    """

    def __init__(self, jobs: Mapping[str, Any], retries: int) -> None:
        super().__init__(logging.ERROR)
        self.jobs, self.retries = jobs, retries
        self.attempts: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        self.attempts.update(set(_logs_of_failure(record)).intersection(self.jobs))

    def final(self) -> list[Any]:
        """Return the jobs that are not tried again."""
        return [self.jobs[log] for log, times in self.attempts.items() if times > self.retries]


class ShowLogs(logging.Handler):
    """Prints the logs of a job that has failed to stderr, which Slurm keeps for each attempt."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)

    def emit(self, record: logging.LogRecord) -> None:
        for log in _logs_of_failure(record):
            with suppress(OSError):
                text = Path(log).read_text(errors="replace")
                print(f"{log}:\n{text}", file=sys.stderr, flush=True)


def _logs_of_failure(record: logging.LogRecord) -> list[str]:
    """Return the logs of the job that a message says has failed; none for other messages."""
    failed = getattr(record, "event", None) in FAILURES
    return [str(log) for log in getattr(record, "log", None) or ()] if failed else []


def end_with_error(log: Path) -> None:
    """Let the log of a job that has failed end with an error, as a killed job's does not."""
    last = last_line(log)
    if ERROR.match(last):
        return
    said = f"its last line: {last}" if last else "it wrote nothing"
    with suppress(OSError), open(log, "a") as file:
        file.write(f"\nerror: ended without an error of its own; {said}\n")


def say_failures(failures: Iterable[tuple[str, str, str]], graph: Graph) -> None:
    """Say on stderr what has failed, why, where its log is, and how the run goes on.

    Args:
        failures: Job, reason and log of each failed job.
        graph: The experiment.
    """
    listed = list(failures)
    for name, reason, log in listed:
        print(f"error: {name}: {one_line(reason)}", file=sys.stderr)
        print(f"    log: {log}", file=sys.stderr)
    done = len(complete_jobs(graph))
    started = os.environ.get(STARTED_AS) or shlex.join(["snakemake", *sys.argv[1:]])
    again = "When that is mended, the" if listed else "The"
    report = f"make report EXPERIMENT={graph.name}"
    print(
        f"{done} of {len(graph.jobs)} jobs are done and stay. {again} same command goes on from "
        f"there:\n    {started}\nA report of the scores that are there: {report}",
        file=sys.stderr,
    )


def say_where(graph: Graph) -> None:
    """Say on stderr where the result is, unless another command started the run and shows it."""
    reports = [name for name in graph.asked if name.startswith("report/")]
    if reports and STARTED_AS not in os.environ:
        page = f"{graph.link(reports[0])}/index.html"
        print(f"The result: make show EXPERIMENT={graph.name}, or {page}", file=sys.stderr)


def complete_jobs(graph: Graph) -> set[str]:
    """Return the keys of the jobs whose results are all there by now."""
    return {
        key
        for key, job in graph.jobs.items()
        if all(is_complete(graph.root / graph.folder(made.name)) for made in job.results)
    }
