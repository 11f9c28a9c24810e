"""Show what a run of an experiment would make, why, and what it costs; nothing is run.

Prints a table and, with `--json`, writes the whole plan. No GPU, hub, Slurm or lock is needed. Ends
with an error when the plan is beyond the experiment's `budget`.

    python -m workflow.scripts.graph.plan --experiment micro --json plan.json
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from workflow.scripts.common.cost_model import Parts
from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import canonical_json, write_json
from workflow.scripts.common.terminal import duration
from workflow.scripts.config.planning import Budget
from workflow.scripts.graph.estimate import Cost, Estimator
from workflow.scripts.graph.jobs import (
    DISPENSABLE,
    DONE,
    MISSING,
    STALE,
    TO_RUN,
    Graph,
    Job,
    read_graph,
)
from workflow.scripts.graph.results import Result
from workflow.scripts.graph.schedule import Waits, critical_path, wall_time
from workflow.scripts.graph.store import earlier_results
from workflow.scripts.report.power import detectable_before_run
from workflow.scripts.report.schema import SmallestLoss

CORES_PER_NODE = 64


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What jobs take in all.

    Attributes:
        gpu_hours: Hours of one GPU.
        node_hours: GPU-hours over the GPUs of a node.
        job_hours: Hours of all jobs, one after the other.
        disk_gb: What their results take.
        usd: For an API.
    """

    gpu_hours: float = 0.0
    node_hours: float = 0.0
    job_hours: float = 0.0
    disk_gb: float = 0.0
    usd: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            gpu_hours=self.gpu_hours + other.gpu_hours,
            node_hours=self.node_hours + other.node_hours,
            job_hours=self.job_hours + other.job_hours,
            disk_gb=self.disk_gb + other.disk_gb,
            usd=self.usd + other.usd,
        )


@dataclass(frozen=True, kw_only=True)
class Total(Usage):
    """How many jobs have to run, how many results they make, and what they take."""

    jobs: int
    results: int


@dataclass(frozen=True, kw_only=True)
class PlannedRule(Total):
    """A rule: its results by state, and the jobs of it that have to run.

    Attributes:
        sources: How many results are estimated from what, see `Cost`.
    """

    done: int
    stale: int
    missing: int
    dispensable: int
    sources: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class PlannedJob(Usage):
    """A job that has to run.

    Attributes:
        rule: Its rule.
        name: As `Job` has it.
        results: The names of those of its results that it makes.
        seconds: From its start to its end.
        parts: These by part of the job.
        gpu: GPUs that it holds.
        sources: How many results are estimated from what, see `Cost`.
    """

    rule: str
    name: str
    results: list[str]
    seconds: float
    parts: Parts
    gpu: int
    sources: dict[str, int]


@dataclass(frozen=True)
class PlannedResult:
    """A result of the experiment, its state, and why it is stale (else no reasons)."""

    name: str
    rule: str
    state: str
    reasons: list[str]


@dataclass(frozen=True)
class CriticalPath:
    """The chain of jobs, by name, that takes longest, and how long."""

    jobs: list[str]
    hours: float


@dataclass(frozen=True)
class Starts:
    """How often an engine and a judge start."""

    engines: int
    judges: int


@dataclass(frozen=True)
class Plan:
    """What a run of an experiment would make, why, and what it takes.

    Attributes:
        experiment: The experiment's name.
        results: All of its results, inputs before what is made from them.
        jobs: Those that have to run.
        rules: The results and jobs of each rule, counted and summed.
        total: All jobs.
        spent: What the finished results took.
        starts: Of engines and of judges.
        parts: GPU-hours of each rule by part of its jobs.
        critical_path: The longest chain of jobs.
        nodes: Nodes that it is for.
        cores: Their cores; those of this machine, where no job holds a GPU.
        wall_hours: Until the last job ends there.
        at_most: The benchmarks that may have fewer items than `detectable` says.
        detectable: The smallest losses that each benchmark could show, see `report/power.py`.
    """

    experiment: str
    results: list[PlannedResult]
    jobs: list[PlannedJob]
    rules: dict[str, PlannedRule]
    total: Total
    spent: Usage
    starts: Starts
    parts: dict[str, dict[str, float]]
    critical_path: CriticalPath
    nodes: int
    cores: int
    wall_hours: float
    at_most: list[str]
    detectable: dict[str, SmallestLoss]

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values; only stale results have the key `reasons`."""
        plan = asdict(self)
        for result in plan["results"]:
            if result["state"] != STALE:
                del result["reasons"]
        return plan


def make_plan(graph: Graph, nodes: int | None = None, asked: Collection[str] | None = None) -> Plan:
    """Return the plan of an experiment.

    Args:
        graph: The experiment.
        nodes: Nodes to run on; default: `hardware.nodes` of the experiment.
        asked: Results that the user wants; default: those of the graph.
    """
    estimator = Estimator(graph)
    nodes = nodes or int(estimator.hardware["nodes"])
    per_node = int(estimator.hardware["gpus_per_node"])
    states = graph.states(asked)
    work = list_work(graph, states)
    costs = {key: estimator.cost(graph.jobs[key], made) for key, made in work.items()}
    waits = list_waits(graph, work)
    gpus = any(cost.gpu for cost in costs.values())
    cores = nodes * CORES_PER_NODE if gpus else os.cpu_count() or 1
    chain, length = critical_path(waits, costs)
    results = [_result(graph, name, state) for name, state in states.items()]
    jobs = [_job(graph.jobs[key], work[key], cost, per_node) for key, cost in costs.items()]
    measured = (
        one for one in graph.results.values() if one.stage == "generate" and not one.for_data
    )
    benchmarks = {one.benchmark: None for one in measured if one.benchmark}
    done = [graph.results[name] for name, state in states.items() if state == DONE]
    return Plan(
        experiment=graph.name,
        results=results,
        jobs=jobs,
        rules=_rules(results, jobs),
        total=_total(jobs),
        spent=sum((_usage(estimator.spent(result), per_node) for result in done), Usage()),
        starts=count_starts(work.values()),
        parts=_parts(jobs),
        critical_path=CriticalPath([graph.jobs[key].name for key in chain], length / 3600),
        nodes=nodes,
        cores=cores,
        wall_hours=wall_time(waits, costs, nodes * per_node, cores) / 3600,
        at_most=[name for name in benchmarks if estimator.is_bound(name)],
        detectable=detectable_before_run({name: estimator.items(name) for name in benchmarks}),
    )


def list_work(graph: Graph, states: Mapping[str, str]) -> dict[str, list[Result]]:
    """Return the jobs that have to run, by key, with those of their results that they make."""
    work: dict[str, list[Result]] = {}
    for name, state in states.items():
        if state in TO_RUN:
            work.setdefault(graph.job_of[name].key, []).append(graph.results[name])
    return work


def list_waits(graph: Graph, work: Mapping[str, Sequence[Result]]) -> Waits:
    """Return the jobs that each job waits for, inputs before what is made from them."""
    made_by = {result.name: key for key, made in work.items() for result in made}
    waits = {
        key: list(
            dict.fromkeys(
                made_by[name] for result in made for name in result.made_from if name in made_by
            )
        )
        for key, made in work.items()
    }
    return {key: waits[key] for key in TopologicalSorter(waits).static_order()}


def count_starts(work: Iterable[Sequence[Result]]) -> Starts:
    """Return how many starts of an engine and of a judge jobs take.

    An engine keeps the type of its weights, so each of them is a start.
    """
    engines = judges = 0
    for made in work:
        if made[0].rule == "generate_samples":
            engines += len({one.sections["benchmark"]["decoding"].get("dtype") for one in made})
        judges += any(one.shared and one.rule == "score_samples" for one in made)
    return Starts(engines, judges)


def check_budget(plan: Plan, budget: Budget) -> None:
    """Raise `InputError` when the plan and what was spent already are beyond the budget."""
    for key, limit in budget.without_defaults().items():
        spent, planned = getattr(plan.spent, key), getattr(plan.total, key)
        if spent + planned > limit:
            unit = {"gpu_hours": "GPU-hours", "disk_gb": "GB on disk", "usd": "dollars"}[key]
            raise InputError(
                f"experiments/{plan.experiment}.yaml: budget.{key}: {planned:.4g} {unit} "
                f"planned and {spent:.4g} spent, expected at most {limit:g} in all"
            )


def explain(graph: Graph, name: str) -> list[str]:
    """Return why a result is stale: what changed in its own spec, else which of its inputs did."""
    _, found = earlier_results(name, graph.root)[0]
    now = json.loads(canonical_json(graph.record(graph.results[name])))
    changes = [_say(*change) for change in differences(found.get("spec", {}), now["spec"])]
    before = found.get("inputs", {})
    changed = [one for one, key in now["inputs"].items() if before.get(one) != key]
    return changes or [f"its input {one} has changed" for one in changed] or ["its inputs changed"]


def differences(before: Any, after: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted key, value before, value after) of each difference; None for what is absent."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted({*before, *after}):
            inner = f"{key}.{name}" if key else name
            yield from differences(before.get(name), after.get(name), inner)
    elif before != after:
        yield key, before, after


def _say(key: str, before: Any, after: Any) -> str:
    if key.startswith("code."):
        code = key.removeprefix("code.")
        return f"code that {code} reaches: {before or 'absent'} -> {after or 'absent'}"
    if key == "shell":
        return f"the rule's shell command: {before} -> {after}"
    return f"{key}: {_short(before)} -> {_short(after)}"


def _short(value: Any) -> str:
    if value is None:
        return "absent"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _result(graph: Graph, name: str, state: str) -> PlannedResult:
    reasons = explain(graph, name) if state == STALE else []
    return PlannedResult(name, graph.results[name].rule, state, reasons)


def _job(job: Job, made: Sequence[Result], cost: Cost, gpus_per_node: int) -> PlannedJob:
    return PlannedJob(
        rule=job.rule,
        name=job.name,
        results=[result.name for result in made],
        seconds=round(cost.seconds, 1),
        parts=cost.parts,
        gpu=cost.gpu,
        sources=dict(cost.sources),
        **vars(_usage(cost, gpus_per_node)),
    )


def _usage(cost: Cost, gpus_per_node: int) -> Usage:
    return Usage(
        gpu_hours=cost.gpu_hours,
        node_hours=cost.gpu_hours / gpus_per_node,
        job_hours=cost.seconds / 3600,
        disk_gb=cost.disk_gb,
        usd=cost.usd,
    )


def _total(jobs: Sequence[PlannedJob]) -> Total:
    made = sum(len(job.results) for job in jobs)
    return Total(jobs=len(jobs), results=made, **vars(sum(jobs, Usage())))


def _parts(jobs: Sequence[PlannedJob]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for job in jobs:
        for part, seconds in job.parts.items():
            found[job.rule][part] += job.gpu * seconds / 3600
    return {rule: dict(parts) for rule, parts in found.items()}


def _rules(results: Sequence[PlannedResult], jobs: Sequence[PlannedJob]) -> dict[str, PlannedRule]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    running: dict[str, list[PlannedJob]] = defaultdict(list)
    for result in results:
        counts[result.rule][result.state] += 1
    for job in jobs:
        running[job.rule].append(job)
    return {
        rule: PlannedRule(
            done=count[DONE],
            stale=count[STALE],
            missing=count[MISSING],
            dispensable=count[DISPENSABLE],
            sources=dict(sum((Counter(job.sources) for job in running[rule]), Counter())),
            **vars(_total(running[rule])),
        )
        for rule, count in counts.items()
    }


def print_plan(plan: Plan) -> None:
    """Print the plan's table, the reasons, and how long it takes."""
    from tabulate import tabulate

    head = "rule done stale missing jobs GPU-h node-h job-h GB USD".split()
    rows: list[list[Any]] = []
    for name, rule in plan.rules.items():
        counts = (rule.done, rule.stale, rule.missing, rule.jobs)
        usage = (rule.gpu_hours, rule.node_hours, rule.job_hours, rule.disk_gb, rule.usd)
        sources = ", ".join(f"{n} {source}" for source, n in rule.sources.items())
        rows.append([name, *counts, *usage, sources])
    rows.append(["total", *(sum(row[i] for row in rows) for i in range(1, len(head))), ""])
    print(tabulate(rows, [*head, "estimated from"], floatfmt=".3g"))
    if not_needed := sum(rule.dispensable for rule in plan.rules.values()):
        print(f"\nMissing, but needed by nothing that has to run: {not_needed}")
    if not plan.total.jobs:
        print("\nNothing has to run.")
        return
    _print_reasons(plan)
    _print_times(plan)
    _print_detectable(plan)


def _print_reasons(plan: Plan) -> None:
    own: Counter[tuple[str, str]] = Counter()
    follow: Counter[str] = Counter()
    for result in plan.results:
        direct = [why for why in result.reasons if not why.startswith("its input")]
        own.update((result.rule, why) for why in direct)
        if result.reasons and not direct:
            follow[result.rule] += 1
    if own or follow:
        print("\nStale because of")
    for (rule, why), count in own.items():
        print(f"  {why}  ({count} {rule})")
    if follow:
        counted = ", ".join(f"{count} {rule}" for rule, count in follow.items())
        print(f"  inputs that have changed  ({counted})")


def _print_times(plan: Plan) -> None:
    starts, path = plan.starts, plan.critical_path
    least, wall = duration(path.hours * 3600), duration(plan.wall_hours * 3600)
    print(
        f"\nAt least {least} (critical path of {len(path.jobs)} jobs); "
        f"{wall} on {plan.nodes} node{'s' * (plan.nodes > 1)}, "
        f"{plan.cores} cores\nStarts: {starts.engines} of an engine, {starts.judges} of a judge"
    )


def _print_detectable(plan: Plan) -> None:
    if plan.detectable:
        print("\nSmallest loss that a benchmark shows with 80 % power, in points, for one model:")
    for name, found in plan.detectable.items():
        unpaired, paired = found["unpaired"], found["paired_20_percent_differ"]
        bound = "at most " if name in plan.at_most else ""
        print(
            f"  {name} ({bound}{found['items']} items): {_points(unpaired)} unpaired, "
            f"{_points(paired)} paired where 20 % of the items differ"
        )


def _points(share: float | int | None) -> str:
    return "none" if share is None else f"{100 * share:.1f}"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--only", help="patterns of results' names, as in `--config only=`")
    parser.add_argument("--json", type=Path, help="write the whole plan to this file")
    parser.add_argument("--nodes", type=int, help="nodes to run on (default: hardware.nodes)")
    parser.add_argument("--stale", action="store_true", help="list every stale result and why")
    arguments = parser.parse_args(argv)
    graph = read_graph(arguments.experiment, Path.cwd(), arguments.only)
    plan = make_plan(graph, arguments.nodes)
    if arguments.json:
        write_json(arguments.json, plan.to_json())
    print_plan(plan)
    if arguments.stale:
        for result in plan.results:
            if result.reasons:
                print(f"{result.name}\n    " + "\n    ".join(result.reasons))
    check_budget(plan, graph.experiment.budget)


if __name__ == "__main__":
    run(main)
