"""Show how far a run of an experiment is: from any shell, while it runs or after.

Everything is read from the store and from what jobs write; no lock is taken. A driver is the
Snakemake process that a user started; see `cluster/driver.py`. A job is

- running, when its log was written since a driver that lives began, and it has not failed;
- failed, when its log ends with an error, or when its driver has ended before it;
- queued, when a driver lives and all that it is made from is complete.

    python -m workflow.scripts.graph.status --experiment micro
"""

from __future__ import annotations

import argparse
import fcntl
import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import run
from workflow.scripts.common.io import write_json
from workflow.scripts.common.result import STATE
from workflow.scripts.graph.estimate import Estimator
from workflow.scripts.graph.jobs import DISPENSABLE, DONE, TO_RUN, Graph, Job, read_graph
from workflow.scripts.graph.plan import list_work
from workflow.scripts.graph.results import Result

RUNNING, QUEUED, FAILED, TO_DO = "running", "queued", "failed", "to do"
COLUMNS = (DONE, RUNNING, QUEUED, FAILED, TO_DO)
STEPS = re.compile(r"epoch (\d+): step (\d+) of (\d+)")
# The last line of a log whose job has failed: an error of ours, or of Python.
ERROR = re.compile(r"error: |[\w.]*(Error|Exception|Interrupt)\b")


@dataclass(frozen=True)
class Progress:
    """How far a running job is.

    Attributes:
        done: Steps, samples or results that are finished.
        total: Of how many; 0 when unknown.
        unit: `steps`, `samples` or `results`.
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

    def entry(self, estimate: float) -> dict[str, Any]:
        """Return the progress as the status shows it."""
        return {
            "done": self.done,
            "total": self.total,
            "unit": self.unit,
            "tokens_per_s": round(self.tokens_per_s, 1),
            "elapsed_s": round(self.elapsed, 1),
            "left_s": round(self.seconds_left(estimate), 1),
        }


def find_states(graph: Graph, work: dict[str, list[Result]]) -> dict[str, str]:
    """Return one of `COLUMNS` for each job that is not complete, by its key.

    Args:
        graph: The experiment.
        work: The jobs, see `list_work`.
    """
    began = started_at(graph.root, graph.name)
    lives = driver_lives(graph.root, graph.name)
    # Another experiment may be making a result that both share.
    since = began if lives else _other_drivers(graph)
    found = {}
    for key, made in work.items():
        log = graph.root / graph.jobs[key].log
        written = log.stat().st_mtime if log.exists() else 0.0
        if written >= min(began, since) and ERROR.match(last_line(log)):
            found[key] = FAILED
        elif written >= since:
            found[key] = RUNNING
        elif written >= began:
            found[key] = FAILED
        else:
            inputs = {name for result in made for name in result.made_from}
            found[key] = QUEUED if lives and inputs <= graph.complete else TO_DO
    return found


def driver_lives(root: Path, experiment: str) -> bool:
    """Tell whether a driver runs the experiment."""
    try:
        with open(_driver(root, experiment)) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def started_at(root: Path, experiment: str) -> float:
    """Return when the last driver began, in seconds since 1970; infinity when there was none."""
    try:
        return _driver(root, experiment).stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def _other_drivers(graph: Graph) -> float:
    """Return when the first of the other experiments' living drivers began; else infinity."""
    others = [path.parent.name for path in graph.root.glob("results/*/.driver")]
    living = [name for name in others if name != graph.name and driver_lives(graph.root, name)]
    return min((started_at(graph.root, name) for name in living), default=float("inf"))


def _driver(root: Path, experiment: str) -> Path:
    return root / "results" / experiment / ".driver"


def read_progress(graph: Graph, job: Job, estimator: Estimator, now: float) -> Progress:
    """Return how far a running job is, from its log and the state of its results.

    Args:
        graph: The experiment.
        job: The job.
        estimator: Knows how many samples a generating job makes.
        now: The present, in seconds since 1970.
    """
    log = graph.root / job.log
    elapsed = now - _began(log, started_at(graph.root, graph.name))
    if job.results[0].stage == "models":
        steps = STEPS.findall(_tail(log))
        # a training behind a gate may take several rounds: the last one counts
        done, total = map(int, steps[-1][1:]) if steps else (0, 0)
        return Progress(done, total, "steps", 0.0, elapsed)
    if job.rule == "generate_samples":
        return _generated(graph, job.results, estimator, elapsed)
    if len(job.results) > 1:
        done = sum(result.name in graph.complete for result in job.results)
        return Progress(done, len(job.results), "results", 0.0, elapsed)
    return Progress(0, 0, "steps", 0.0, elapsed)


def _generated(
    graph: Graph, results: Sequence[Result], estimator: Estimator, elapsed: float
) -> Progress:
    """Return how many samples of a run are finished, those of complete results among them."""
    done = tokens = 0
    for result in results:
        if result.name in graph.complete:
            done += estimator.samples(result)
            continue
        for row in _partial_rows(graph.root / graph.folder(result.name) / STATE):
            done += 1
            tokens += row["thinking_tokens"] + row["answer_tokens"]
    total = sum(estimator.samples(result) for result in results)
    return Progress(done, total, "samples", tokens / max(elapsed, 1), elapsed)


def _began(log: Path, driver: float) -> float:
    """Return when a job began: when its log was made, but not before the driver."""
    told = subprocess.run(["stat", "--format=%W", str(log)], capture_output=True, text=True)
    birth = float(told.stdout) if told.stdout.strip().isdigit() else 0.0
    written = log.stat().st_mtime if log.exists() else birth
    return max(birth, min(driver, written))  # a file system that keeps no birth says 0


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
    """Return counts of results per rule, running and failed jobs, and GPU-hours."""
    graph = read_graph(name, root)
    estimator = Estimator(graph)
    states = graph.states()
    work = list_work(graph, states)
    found = find_states(graph, work)
    rules = {result.rule: Counter[str]() for result in graph.results.values()}
    for result in graph.results.values():
        state = states[result.name]
        if state != DISPENSABLE:
            column = found[graph.job_of[result.name].key] if state in TO_RUN else state
            rules[result.rule][column] += 1
    done = [graph.results[one] for one, state in states.items() if state == DONE]
    spent = sum(estimator.spent(result).gpu_hours for result in done)
    planned = spent
    running, failed = [], []
    for key, made in work.items():
        job, cost = graph.jobs[key], estimator.cost(graph.jobs[key], made)
        planned += cost.gpu_hours
        entry = {"rule": job.rule, "name": _title(job)}
        if found[key] == RUNNING:
            progress = read_progress(graph, job, estimator, time.time())
            spent += cost.gpu * progress.elapsed / 3600
            running.append(entry | progress.entry(cost.seconds))
        if found[key] == FAILED:
            log = graph.root / job.log
            failed.append(entry | {"log": str(log), "said": last_line(log)})
    return {
        "experiment": name,
        "driver": driver_lives(root, name),
        "rules": {rule: {key: counts[key] for key in COLUMNS} for rule, counts in rules.items()},
        "running": running,
        "failed": failed,
        "gpu_hours": {"spent": spent, "planned": planned},
    }


def _title(job: Job) -> str:
    """Return what a job is called for people: its result, or its rule and what that is for."""
    return job.results[0].name if len(job.results) == 1 else f"{job.rule} {job.name}"


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
        print(f"running: {job['name']}: {done}{speed}{times}")
    for job in status["failed"]:
        print(f"failed: {job['name']}: {job['said']}\n    {job['log']}")


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
