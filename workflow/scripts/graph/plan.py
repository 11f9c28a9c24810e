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
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import canonical_json, write_json
from workflow.scripts.common.terminal import duration
from workflow.scripts.config.planning import Budget
from workflow.scripts.graph.estimate import Cost, Estimator
from workflow.scripts.graph.jobs import DISPENSABLE, DONE, MISSING, STALE, TO_RUN, Graph, read_graph
from workflow.scripts.graph.results import Result
from workflow.scripts.graph.schedule import Waits, critical_path, wall_time
from workflow.scripts.graph.store import earlier_results
from workflow.scripts.report.power import detectable_before_run

SUMS = ("gpu_hours", "node_hours", "job_hours", "disk_gb", "usd")
CORES_PER_NODE = 64


def make_plan(
    graph: Graph, nodes: int | None = None, asked: Collection[str] | None = None
) -> dict[str, Any]:
    """Return the plan of an experiment.

    Args:
        graph: The experiment.
        nodes: Nodes to run on; default: `hardware.nodes` of the experiment.
        asked: Results that the user wants; default: those of the graph.

    Returns:
        `results` (each with rule, state and, of a stale one, the reasons), `jobs` (those that have
        to run, with the results that they make and their cost), `rules` (sums), `total`, `spent`
        (what the finished results took), `starts` (of engines and of judges), `parts` (GPU-hours of
        each rule by part of its jobs), `critical_path`, `wall_hours` on `nodes` nodes, `detectable`
        (the smallest losses that each benchmark could show, see report/power.py), `at_most`
        (the benchmarks that may have fewer items than that).
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
    results = [_entry(graph, name, state) for name, state in states.items()]
    jobs = [_job_entry(graph, key, work[key], cost, per_node) for key, cost in costs.items()]
    measured = (
        one for one in graph.results.values() if one.stage == "generate" and not one.for_data
    )
    benchmarks = {one.benchmark: None for one in measured if one.benchmark}
    done = [graph.results[name] for name, state in states.items() if state == DONE]
    return {
        "experiment": graph.name,
        "results": results,
        "jobs": jobs,
        "rules": _rules(results, jobs),
        "total": _total(jobs),
        "spent": _add(_sums(estimator.spent(result), per_node) for result in done),
        "starts": count_starts(work.values()),
        "parts": _parts(jobs),
        "critical_path": {"jobs": [graph.jobs[key].name for key in chain], "hours": length / 3600},
        "nodes": nodes,
        "cores": cores,
        "wall_hours": wall_time(waits, costs, nodes * per_node, cores) / 3600,
        "at_most": [name for name in benchmarks if estimator.is_bound(name)],
        "detectable": detectable_before_run({name: estimator.items(name) for name in benchmarks}),
    }


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


def count_starts(work: Iterable[Sequence[Result]]) -> dict[str, int]:
    """Return how many starts of an engine (`engines`) and of a judge (`judges`) jobs take.

    An engine keeps the type of its weights, so each of them is a start.
    """
    engines = judges = 0
    for made in work:
        if made[0].rule == "generate_samples":
            engines += len({one.sections["benchmark"]["decoding"].get("dtype") for one in made})
        judges += any(one.shared and one.rule == "score_samples" for one in made)
    return {"engines": engines, "judges": judges}


def check_budget(plan: dict[str, Any], budget: Budget) -> None:
    """Raise `InputError` when the plan and what was spent already are beyond the budget."""
    for key, limit in budget.without_defaults().items():
        spent, planned = plan["spent"][key], plan["total"][key]
        if spent + planned > limit:
            unit = {"gpu_hours": "GPU-hours", "disk_gb": "GB on disk", "usd": "dollars"}[key]
            raise InputError(
                f"experiments/{plan['experiment']}.yaml: budget.{key}: {planned:.4g} {unit} "
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


def _entry(graph: Graph, name: str, state: str) -> dict[str, Any]:
    entry = {"name": name, "rule": graph.results[name].rule, "state": state}
    return {**entry, "reasons": explain(graph, name)} if state == STALE else entry


def _job_entry(
    graph: Graph, key: str, made: Sequence[Result], cost: Cost, per_node: int
) -> dict[str, Any]:
    return {
        "rule": graph.jobs[key].rule,
        "name": graph.jobs[key].name,
        "results": [result.name for result in made],
        **_sums(cost, per_node),
        "seconds": round(cost.seconds, 1),
        "parts": cost.parts,
        "gpu": cost.gpu,
        "sources": dict(cost.sources),
    }


def _sums(cost: Cost, gpus_per_node: int) -> dict[str, float]:
    return {
        "gpu_hours": cost.gpu_hours,
        "node_hours": cost.gpu_hours / gpus_per_node,
        "job_hours": cost.seconds / 3600,
        "disk_gb": cost.disk_gb,
        "usd": cost.usd,
    }


def _add(sums: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total = dict.fromkeys(SUMS, 0.0)
    for one in sums:
        total = {key: total[key] + one[key] for key in SUMS}
    return total


def _total(jobs: list[dict[str, Any]]) -> dict[str, float]:
    return {"jobs": len(jobs), "results": sum(len(job["results"]) for job in jobs), **_add(jobs)}


def _parts(jobs: list[dict[str, Any]]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for job in jobs:
        for part, seconds in job["parts"].items():
            found[job["rule"]][part] += job["gpu"] * seconds / 3600
    return dict(found)


def _rules(results: list[dict[str, Any]], jobs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    running: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        counts[result["rule"]][result["state"]] += 1
    for job in jobs:
        running[job["rule"]].append(job)
    return {
        rule: {
            **{state: count[state] for state in (DONE, STALE, MISSING, DISPENSABLE)},
            **_total(running[rule]),
            "sources": dict(sum((Counter(job["sources"]) for job in running[rule]), Counter())),
        }
        for rule, count in counts.items()
    }


def print_plan(plan: dict[str, Any]) -> None:
    """Print the plan's table, the reasons, and how long it takes."""
    from tabulate import tabulate

    rows = []
    columns = (DONE, STALE, MISSING, "jobs", *SUMS)
    for name, rule in plan["rules"].items():
        sources = ", ".join(f"{n} {source}" for source, n in rule["sources"].items())
        rows.append([name, *(rule[key] for key in columns), sources])
    rows.append(["total", *(sum(row[i + 1] for row in rows) for i in range(len(columns))), ""])
    head = "rule done stale missing jobs GPU-h node-h job-h GB USD".split()
    print(tabulate(rows, [*head, "estimated from"], floatfmt=".3g"))
    if not_needed := sum(rule[DISPENSABLE] for rule in plan["rules"].values()):
        print(f"\nMissing, but needed by nothing that has to run: {not_needed}")
    if not plan["total"]["jobs"]:
        print("\nNothing has to run.")
        return
    _print_reasons(plan)
    _print_times(plan)
    _print_detectable(plan)


def _print_reasons(plan: dict[str, Any]) -> None:
    own: Counter[tuple[str, str]] = Counter()
    follow: Counter[str] = Counter()
    for result in plan["results"]:
        reasons = result.get("reasons", [])
        direct = [why for why in reasons if not why.startswith("its input")]
        own.update((result["rule"], why) for why in direct)
        if reasons and not direct:
            follow[result["rule"]] += 1
    if own or follow:
        print("\nStale because of")
    for (rule, why), count in own.items():
        print(f"  {why}  ({count} {rule})")
    if follow:
        counted = ", ".join(f"{count} {rule}" for rule, count in follow.items())
        print(f"  inputs that have changed  ({counted})")


def _print_times(plan: dict[str, Any]) -> None:
    starts, path = plan["starts"], plan["critical_path"]
    least, wall = duration(path["hours"] * 3600), duration(plan["wall_hours"] * 3600)
    print(
        f"\nAt least {least} (critical path of {len(path['jobs'])} jobs); "
        f"{wall} on {plan['nodes']} node{'s' * (plan['nodes'] > 1)}, "
        f"{plan['cores']} cores\nStarts: {starts['engines']} of an engine, {starts['judges']} of a "
        "judge"
    )


def _print_detectable(plan: dict[str, Any]) -> None:
    if plan["detectable"]:
        print("\nSmallest loss that a benchmark shows with 80 % power, in points, for one model:")
    for name, found in plan["detectable"].items():
        unpaired, paired = found["unpaired"], found["paired_20_percent_differ"]
        bound = "at most " if name in plan["at_most"] else ""
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
        write_json(arguments.json, plan)
    print_plan(plan)
    if arguments.stale:
        for result in plan["results"]:
            if reasons := result.get("reasons"):
                print(f"{result['name']}\n    " + "\n    ".join(reasons))
    check_budget(plan, graph.experiment.budget)


if __name__ == "__main__":
    run(main)
