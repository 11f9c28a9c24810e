"""An experiment as the driver sees it: its jobs, their keys, and the state of every result."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflow.scripts.common.experiment import Run, list_runs, load_experiment
from workflow.scripts.common.jobs import Job, list_jobs, list_keys
from workflow.scripts.common.staleness import read_states
from workflow.scripts.data.resolve_pins import pin, read_lock


@dataclass(frozen=True)
class ExperimentState:
    """One experiment, read once.

    Attributes:
        name: The experiment's name.
        root: The clone, whose code counts.
        folder: `results/<name>`.
        experiment: The checked and pinned experiment.
        runs: Its model runs by name.
        jobs: Its jobs by result, the generated data files among them.
        keys: The jobs' keys.
        states: The state of every result, see `common/staleness.py`.
        pinned_rows: Rows of hub data sets, from the lock.
    """

    name: str
    root: Path
    folder: Path
    experiment: dict[str, Any]
    runs: dict[str, Run]
    jobs: dict[str, Job]
    keys: dict[str, str]
    states: dict[str, str]
    pinned_rows: dict[str, dict[str, int]] = field(default_factory=dict)


def read_experiment(name: str, root: Path, folder: Path | None = None) -> ExperimentState:
    """Read `experiments/<name>.yaml` and the results in `folder`, by default `results/<name>`."""
    lock = read_lock(root / "experiments" / f"{name}.lock.json")
    experiment = pin(load_experiment(name, root), lock)
    jobs = list_jobs(experiment)
    keys = list_keys(jobs, root)
    folder = folder or root / "results" / name
    states = read_states(jobs, keys, folder)
    runs = list_runs(experiment)
    rows = lock.get("rows", {})
    return ExperimentState(name, root, folder, experiment, runs, jobs, keys, states, rows)


def subject(path: str, runs: dict[str, Run]) -> tuple[Run | None, str | None, str | None]:
    """Return (run, benchmark, scorer) that a result is about, None where it has none.

    >>> subject("score/lrm/tiny/seed1/harmful/ngram/score.json", runs)
    (Run("lrm/tiny/seed1", …), "harmful", "ngram")
    """
    stage, _, rest = path.partition("/")
    parts = rest.split("/")[:-1]
    benchmark = scorer = None
    if stage == "score" and parts[0] != "judges":
        scorer = parts.pop()
    if stage == "generate" or scorer:
        benchmark = parts.pop()
    return runs.get("/".join(parts)) if stage != "data" else None, benchmark, scorer


def tail_of(path: str) -> str:
    """Return what a result's log and benchmark file are called: `models/base/tiny/seed1`."""
    if path.startswith("report/"):
        return path.removesuffix("tradeoff.json") + "report"
    for name in ("/manifest.json", "/score.json", "/judge.json", "/fetched.json"):
        path = path.removesuffix(name)
    return path.removesuffix(".json")
