"""How the status of a run looks: in a terminal, by the driver and by `make status`; in a log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from workflow.scripts.common.terminal import duration
from workflow.scripts.graph.jobs import DONE
from workflow.scripts.report.escape import one_line, visible

if TYPE_CHECKING:
    from rich.console import RenderableType

    from workflow.scripts.graph.status import RunningJob, Status

SHOWN = ("running", "queued", "waiting for retry", "failed")
MOST = 8  # running and failed jobs with a line of their own


def draw(status: Status) -> RenderableType:
    """Return the status for a terminal of any width: stages, what runs, what has failed."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [
        Text(jobs(status), "bold"),
        Text(f"{times(status)}{_gpu_hours(status)}"),
        _stages(status.stages),
    ]
    if status.changed:
        parts.append(Text(CHANGED, "yellow"))
    if status.running:
        parts += [Text(), _running(status.running)]
    for job in status.retried[:MOST]:
        line = f"waiting for retry: {one_line(job.name)}: {one_line(job.said)}"
        parts.append(Text(line, "yellow"))
    for job in status.failed[:MOST]:
        parts.append(Text(f"failed: {one_line(job.name)}: {one_line(job.said)}", "red"))
        parts.append(Text(f"    {visible(job.log)}", overflow="fold"))
    if more := len(status.failed) - MOST:
        parts += [Text(f"and {more} more have failed", "red")] * (more > 0)
    return Group(*parts)


CHANGED = (
    "The code or the experiment has changed since this run began: what it makes now is not what "
    "they ask for."
)


def summary(status: Status) -> str:
    """Return how far the run is, in a line of a log."""
    return f"{jobs(status)} {times(status)}"


def jobs(status: Status) -> str:
    """Return how many jobs are done, run, wait and have failed."""
    counts = status.jobs
    parts = [f"{status.experiment}: {counts[DONE]} of {sum(counts.values())} jobs done"]
    parts += [f"{counts[one]} {one}" for one in SHOWN if counts[one]]
    return ", ".join(parts) + "."


def times(status: Status) -> str:
    """Return how long the run goes on, and how long it will."""
    if not status.driver:
        return "No run is going on."
    gone = f"{duration(status.elapsed_s)} gone"
    return f"{gone}, {left(status)}." if status.left_s >= 1 else f"{gone}."


def left(status: Status) -> str:
    """Return the time left; how long jobs wait for a cluster's nodes is not known."""
    about = "at least" if status.waits else "about"
    return f"{about} {duration(status.left_s)} left"


def progress(job: RunningJob) -> str:
    """Return how far a running job is, with its speed."""
    parts = []
    if job.total:
        parts.append(f"{job.done} of {job.total} {job.unit}")
    elif job.done:
        parts.append(f"{job.done} {job.unit}")
    if job.tokens_per_s:
        parts.append(f"{job.tokens_per_s:.0f} tokens/s")
    return ", ".join(parts)


def _stages(stages: dict[str, dict[str, int]]) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True)
    for stage, counts in stages.items():
        total = sum(counts.values())
        others = ", ".join(f"{counts[one]} {one}" for one in SHOWN if counts[one])
        table.add_row(
            stage,
            ProgressBar(total, counts[DONE], complete_style="cyan", finished_style="green"),
            f"{counts[DONE]} of {total}",
            others,
        )
    return table


def _running(running: Sequence[RunningJob]) -> RenderableType:
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(ratio=1, overflow="fold")
    table.add_column(justify="right")
    table.add_column(no_wrap=True, justify="right")
    for job in running[:MOST]:
        spent = duration(job.elapsed_s)
        if job.left_s >= 1:  # not of one that takes longer than was thought
            spent += f", {duration(job.left_s)} left"
        table.add_row(one_line(job.name), progress(job), spent)
    if len(running) > MOST:
        table.add_row(f"and {len(running) - MOST} more", "", "")
    return table


def _gpu_hours(status: Status) -> str:
    hours = status.gpu_hours
    if not hours.planned:
        return ""
    return f" GPU-hours: {hours.spent:.3g} spent of {hours.planned:.3g}."
