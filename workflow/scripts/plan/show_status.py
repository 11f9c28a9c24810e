"""Show how far a run of an experiment is: from any shell, while it runs or after.

Everything is read from files that the jobs and Snakemake write; no lock is taken. A job that
Snakemake has started leaves a mark in `.snakemake/incomplete/`; its log appears when it begins to
work, so a mark without a log is a job that waits in the cluster's queue.

    python -m workflow.scripts.plan.show_status --experiment micro
"""

from __future__ import annotations

import argparse
import fcntl
import json
import re
import subprocess
import time
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import run
from workflow.scripts.common.io import write_json
from workflow.scripts.common.staleness import STALE, TO_RUN
from workflow.scripts.plan.estimate import Estimator, read_seconds
from workflow.scripts.plan.experiment_state import ExperimentState, read_experiment, tail_of

COLUMNS = ("done", "running", "queued", "failed", "to do")
STEPS = re.compile(r"epoch (\d+): step (\d+) of (\d+)")


@dataclass(frozen=True)
class Progress:
    """How far a running job is.

    Attributes:
        done: Steps or samples that are finished.
        total: Of how many; 0 when unknown.
        unit: `steps` or `samples`.
        tokens_per_s: For generation; 0 when unknown.
        elapsed: Seconds since it began.
    """

    done: int
    total: int
    unit: str
    tokens_per_s: float
    elapsed: float

    def seconds_left(self, estimate: float) -> float:
        """Return the seconds left, by its own speed, else by the estimate of its whole time."""
        if self.done and self.total:
            return self.elapsed * (self.total - self.done) / self.done
        return max(0.0, estimate - self.elapsed)


def job_states(state: ExperimentState, marked: Collection[str]) -> dict[str, str]:
    """Return for each result one of `COLUMNS`.

    Args:
        state: The experiment and what stands of it.
        marked: Results of the jobs that a living driver has started.
    """
    since = started_at(state.folder)
    found = {}
    for path, status in state.states.items():
        log = state.folder / "logs" / f"{tail_of(path)}.log"
        if path in marked:
            found[path] = "running" if log.exists() else "queued"
        elif status not in TO_RUN:
            found[path] = "done"
        elif log.exists() and log.stat().st_mtime >= since and _failed(state, path):
            found[path] = "failed"
        else:
            found[path] = "to do"
    return found


def _failed(state: ExperimentState, path: str) -> bool:
    """Tell whether a job of the last run left no result; a stale result may have been put back."""
    log = state.folder / "logs" / f"{tail_of(path)}.log"
    result = state.folder / path
    return state.states[path] != STALE or log.stat().st_mtime > result.stat().st_mtime


def driver_lives(folder: Path) -> bool:
    """Tell whether a driver holds the experiment."""
    try:
        with open(folder / ".driver") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def started_at(folder: Path) -> float:
    """Return when the last driver began, in seconds since 1970; 0 when there was none."""
    try:
        return (folder / ".driver").stat().st_mtime
    except FileNotFoundError:
        return 0.0


def marked_results(root: Path, state: ExperimentState) -> dict[str, float]:
    """Return the results of the jobs that a living driver has started, and when."""
    if not driver_lives(state.folder):
        return {}
    marks = root / ".snakemake" / "incomplete"
    prefix = f"results/{state.name}/"
    found = {}
    for mark in marks.rglob("*"):
        if mark.is_file():
            # a long name is cut into folders, each but the last with an @
            parts = mark.relative_to(marks).parts
            name = "".join(part.removeprefix("@") for part in parts)
            try:
                path = urlsafe_b64decode(name).decode().removeprefix(prefix)
                if path in state.states:
                    found[path] = mark.stat().st_mtime
            except (ValueError, FileNotFoundError):  # another file, or a job that has just ended
                continue
    return found


def read_progress(
    state: ExperimentState, path: str, marked: float, now: float, samples: int
) -> Progress:
    """Return how far a running job is, from its log and its state folder.

    Args:
        state: The experiment.
        path: The job's result.
        marked: When Snakemake handed the job over, in seconds since 1970.
        now: The present, likewise.
        samples: How many samples a generating job makes.
    """
    log = state.folder / "logs" / f"{tail_of(path)}.log"
    began = _began(log, marked)
    if path.startswith("models/"):
        steps = STEPS.findall(_tail(log))
        # a training behind a gate may take several rounds: the last one counts
        done, total = map(int, steps[-1][1:]) if steps else (0, 0)
        return Progress(done, total, "steps", 0.0, now - began)
    if path.startswith("generate/"):
        rows = list(_partial_rows(state.folder / "state" / path.removesuffix("/manifest.json")))
        tokens = sum(row["thinking_tokens"] + row["answer_tokens"] for row in rows)
        return Progress(len(rows), samples, "samples", tokens / max(now - began, 1), now - began)
    return Progress(0, 0, "steps", 0.0, now - began)


def _began(log: Path, marked: float) -> float:
    """Return when a job began to work: when its log was made, else when it was handed over."""
    told = subprocess.run(["stat", "--format=%W", str(log)], capture_output=True, text=True)
    birth = float(told.stdout) if told.stdout.strip().isdigit() else 0.0
    return max(birth, marked)  # a file system that keeps no birth says 0


def _partial_rows(folder: Path) -> list[dict[str, Any]]:
    rows = []
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_bytes().split(b"\n")[:-1]:
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
    return rows


def _tail(path: Path, size: int = 20_000) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - size))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def last_line(log: str | Path) -> str:
    """Return the last line of a log that is not empty; "" where there is none."""
    lines = _tail(Path(log), 2000).strip().splitlines()
    return lines[-1].strip() if lines else ""


def make_status(name: str, root: Path) -> dict[str, Any]:
    """Return counts per rule, running jobs with their progress, failures and GPU-hours."""
    state = read_experiment(name, root)
    estimator = Estimator(state)
    marked, now = marked_results(root, state), time.time()
    states = job_states(state, marked)
    rules: dict[str, Counter[str]] = {}
    running, failed = [], []
    spent = planned = 0.0
    for path, status in states.items():
        rules.setdefault(state.jobs[path].rule, Counter())[status] += 1
        cost = estimator.cost(path)
        if status == "done":
            taken = read_seconds(state.folder / "benchmarks" / f"{tail_of(path)}.tsv")
            spent += cost.gpu * (taken or 0.0) / 3600
        else:
            planned += cost.gpu_hours
        if status == "running":
            progress = read_progress(state, path, marked[path], now, estimator.samples(path))
            spent += cost.gpu * progress.elapsed / 3600
            left = progress.seconds_left(cost.seconds)
            running.append(
                {
                    "path": path,
                    "done": progress.done,
                    "total": progress.total,
                    "unit": progress.unit,
                    "tokens_per_s": round(progress.tokens_per_s, 1),
                    "elapsed_s": round(progress.elapsed, 1),
                    "left_s": round(left, 1),
                }
            )
        if status == "failed":
            log = state.folder / "logs" / f"{tail_of(path)}.log"
            failed.append({"path": path, "log": str(log), "said": last_line(log)})
    return {
        "experiment": name,
        "driver": driver_lives(state.folder),
        "rules": {rule: {key: counts[key] for key in COLUMNS} for rule, counts in rules.items()},
        "running": running,
        "failed": failed,
        "gpu_hours": {"spent": spent, "planned": spent + planned},
    }


def print_status(status: dict[str, Any]) -> None:
    from tabulate import tabulate

    rows = [[rule, *counts.values()] for rule, counts in status["rules"].items()]
    rows.append(["total", *(sum(row[i] for row in rows) for i in range(1, len(COLUMNS) + 1))])
    print(tabulate(rows, ["rule", *COLUMNS]))
    alive = "A driver is at work." if status["driver"] else "No driver is at work."
    hours = status["gpu_hours"]
    print(f"\n{alive} GPU-hours: {hours['spent']:.3g} spent of {hours['planned']:.3g}.")
    for job in status["running"]:
        total = f" of {job['total']}" if job["total"] else ""
        done = f"{job['done']}{total} {job['unit']}, " if job["done"] or job["total"] else ""
        speed = f"{job['tokens_per_s']:.0f} tokens/s, " if job["tokens_per_s"] else ""
        times = f"{job['elapsed_s']:.0f} s gone, about {job['left_s']:.0f} s left"
        print(f"running: {job['path']}: {done}{speed}{times}")
    for job in status["failed"]:
        print(f"failed: {job['path']}: {job['said']}\n    {job['log']}")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--json", type=Path, help="write the status to this file as well")
    arguments = parser.parse_args(argv)
    status = make_status(arguments.experiment, Path.cwd())
    if arguments.json:
        write_json(arguments.json, status)
    print_status(status)


if __name__ == "__main__":
    run(main)
