"""The graph of one experiment: its results, the jobs that make them, and what is complete.

Rules, plan, status and report ask this graph. Most jobs make one result. Three kinds make several:
the generated data files; the samples of the same weights on all benchmarks, with other prompts and
adapters too, so that their engine starts once; and scores, those of a run by rules and those of an
LRM's family by the same judge, which is loaded once, apart from those that training sets or
selections are made from. What such a job has made stays when it is killed, and a job makes only
what is missing.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from workflow.scripts.common.codehash import keep_digests
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import canonical_json, sha256_text
from workflow.scripts.common.result import MadeFrom, is_complete
from workflow.scripts.config.load import load_experiment
from workflow.scripts.data.resolve_pins import pin, read_lock
from workflow.scripts.graph.gym import check_gym_tasks
from workflow.scripts.graph.mixtures import check_mixtures
from workflow.scripts.graph.results import Result, list_keys, list_results
from workflow.scripts.graph.runs import Run, list_runs
from workflow.scripts.graph.store import earlier_results, folder_of, marker_of, receipt_of

if TYPE_CHECKING:
    from workflow.scripts.config.experiment import Experiment

DONE = "done"
STALE = "stale"  # missing, but an earlier result of this name was made from something else
MISSING = "missing"
# Missing, and nothing that has to run is made from it: a model that was deleted to save space.
DISPENSABLE = "dispensable"
TO_RUN = (STALE, MISSING)


@dataclass(frozen=True)
class Job:
    """A node of the graph: what Snakemake runs as one job.

    Attributes:
        rule: Its rule.
        name: Plain name, a path.
        key: The key of its result; of several, a hash of their keys.
        results: What it makes.
        output: Its output for Snakemake: the marker of its result, or a receipt.
        log: Its log.
    """

    rule: str
    name: str
    key: str
    results: tuple[Result, ...]
    output: str
    log: str


@dataclass(frozen=True)
class Graph:
    """One experiment, read once.

    Attributes:
        name: The experiment's name.
        root: The clone, whose code and store count.
        experiment: The checked and pinned experiment.
        runs: Its model runs by name.
        results: Its results by name, inputs before what is made from them.
        keys: The results' keys.
        rows: Rows of hub data sets, from the experiment's lock.
        asked: The results that the user wants: the report, or those of `only`.
    """

    name: str
    root: Path
    experiment: Experiment
    runs: dict[str, Run]
    results: dict[str, Result]
    keys: dict[str, str]
    rows: dict[str, dict[str, int]]
    asked: tuple[str, ...]

    @cached_property
    def jobs(self) -> dict[str, Job]:
        """The jobs by key, in the order of their results."""
        groups: dict[tuple[str, str], list[Result]] = {}
        for result in self.results.values():
            groups.setdefault((result.rule, _group_of(result)), []).append(result)
        jobs = [self._job(rule, name, tuple(made)) for (rule, name), made in groups.items()]
        return {job.key: job for job in jobs}

    @cached_property
    def job_of(self) -> dict[str, Job]:
        """The job that makes each result, by the result's name."""
        return {result.name: job for job in self.jobs.values() for result in job.results}

    @cached_property
    def complete(self) -> frozenset[str]:
        """The names of the results that are in the store."""
        return frozenset(
            name for name in self.results if is_complete(self.root / self.folder(name))
        )

    def folder(self, name: str) -> str:
        """Return a result's folder, relative to the clone."""
        return folder_of(name, self.keys[name])

    def path(self, name: str) -> str:
        """Return a result's main file, relative to the clone."""
        return f"{self.folder(name)}/{self.results[name].file}"

    def link(self, name: str) -> str:
        """Return where the view of the experiment shows a result."""
        plain = "report" if name.startswith("report/") else name
        return f"results/{self.name}/{plain}"

    def needs(self, job: Job, role: str) -> list[str]:
        """Return the files that Snakemake waits for before a job, for an input by its name."""
        names = dict.fromkeys(one for made in job.results for one in made.inputs.get(role, ()))
        return list(dict.fromkeys(self.awaited(name) for name in names))

    def awaited(self, name: str) -> str:
        """Return the file that tells Snakemake that a result is complete."""
        if name in self.complete:
            return marker_of(name, self.keys[name])
        return self.job_of[name].output

    def record(self, result: Result) -> MadeFrom:
        """Return what a result is made from, as its `result.json` keeps it."""
        report = result.stage == "report"  # made from thousands
        return {
            "name": result.name,
            "rule": result.rule,
            "key": self.keys[result.name],
            "spec": result.spec(self.root),
            "inputs": {} if report else {name: self.keys[name] for name in result.made_from},
            "log": self.job_of[result.name].log,
            "link": self.link(result.name),
        }

    def states(self, asked: Collection[str] | None = None) -> dict[str, str]:
        """Return the state of each result, inputs before what is made from them.

        Args:
            asked: Results that the user wants; default: those of the graph.
        """
        states: dict[str, str] = {}
        wanted = set(self.asked if asked is None else asked)
        for name in reversed(self.results):
            if name in self.complete:
                states[name] = DONE
            elif name not in wanted:
                states[name] = DISPENSABLE
            else:
                states[name] = STALE if earlier_results(name, self.root) else MISSING
                wanted.update(self.results[name].made_from)
        return {name: states[name] for name in self.results}

    def _job(self, rule: str, name: str, made: tuple[Result, ...]) -> Job:
        keys = [self.keys[result.name] for result in made]
        if _group_of(made[0]) == made[0].name:
            log = f"{folder_of(name, keys[0])}/log.txt"
            return Job(rule, name, keys[0], made, marker_of(name, keys[0]), log)
        key = sha256_text(canonical_json(keys))[:16]
        receipt = receipt_of(rule, name, key)
        return Job(rule, name, key, made, receipt, receipt.removesuffix(".json") + ".log")


def read_graph(name: str, root: Path, only: str | None = None) -> Graph:
    """Read `experiments/<name>.yaml` and what it asks for.

    Args:
        name: The experiment's name.
        root: The clone.
        only: Patterns of results' names, with `*` for anything, separated by blanks: the graph
            holds these results and what they are made from. Default: all.

    Raises:
        InputError: One line on what is wrong in the experiment, or a pattern without a result.
    """
    lock = read_lock(root / "experiments" / f"{name}.lock.json")
    experiment = pin(load_experiment(name, root), lock)
    check_mixtures(experiment, lock.get("rows"))
    check_gym_tasks(experiment)
    results = list_results(experiment, name)
    asked = [found for found in results if found.startswith("report/")]
    if only:
        asked = _match(results, only.split(), name)
        results = _with_inputs(results, asked)
    keys = list_keys(results, root)
    keep_digests(root)
    runs, rows = list_runs(experiment), lock.get("rows", {})
    return Graph(name, root, experiment, runs, results, keys, rows, tuple(asked))


def _match(results: Collection[str], patterns: list[str], experiment: str) -> list[str]:
    for pattern in patterns:
        if not fnmatch.filter(results, pattern):
            raise InputError(f"only: no result of {experiment} matches {pattern!r}")
    return [name for name in results if any(fnmatch.fnmatchcase(name, one) for one in patterns)]


def _with_inputs(results: dict[str, Result], asked: Iterable[str]) -> dict[str, Result]:
    """Return the results that are asked for and all that they are made from."""
    wanted = set(asked)
    for name in reversed(results):
        if name in wanted:
            wanted.update(results[name].made_from)
    return {name: result for name, result in results.items() if name in wanted}


def _group_of(result: Result) -> str:
    """Return the name of the job that makes a result, among the jobs of its rule."""
    if result.rule == "make_micro_data":
        return "micro"
    run = result.run
    if run is None or result.benchmark is None:
        return result.name
    if result.scorer is None:
        weights = f"{run.parent}/adapters" if run.keeps_adapters else run.weights
        return f"{weights}/{result.sections['engine']}"
    group = f"{result.scorer}/{run.id.model}" if result.shared else run.name
    # what a training set is made from does not wait for models that are trained on it
    if result.for_data:
        return f"{group}/sampled"
    if not (result.development and result.shared):
        return group
    # models that are chosen by the scores of a development benchmark are judged later, and so are
    # those that are promoted, rung by rung
    rung = f"/epochs{run.training.epochs}" if run.method == "promote" else ""
    return f"{group}/development{rung}"
