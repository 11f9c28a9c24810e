"""Show what a run of an experiment would make, why, and what it costs; nothing is run.

Prints a table and, with `--json`, writes the whole plan. No GPU, hub, Slurm or lock is needed. Ends
with an error when the plan is beyond the experiment's `budget`.

    python -m workflow.scripts.plan.make_plan --experiment micro --json results/micro/plan.json
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import canonical_json, write_json
from workflow.scripts.common.jobs import input_keys, result_of
from workflow.scripts.common.provenance import read_provenance
from workflow.scripts.common.staleness import ACCEPTED, CURRENT, DISPENSABLE, STALE, TO_RUN
from workflow.scripts.plan.estimate import Cost, Estimator
from workflow.scripts.plan.experiment_state import ExperimentState, read_experiment
from workflow.scripts.plan.schedule import critical_path, wall_time
from workflow.scripts.report.power import detectable_before_run

SUMS = ("gpu_hours", "node_hours", "job_hours", "disk_gb", "usd")
STANDING = (CURRENT, ACCEPTED, DISPENSABLE)


def make_plan(state: ExperimentState, nodes: int | None = None) -> dict[str, Any]:
    """Return the plan of an experiment.

    Args:
        state: The experiment and what stands of it.
        nodes: Nodes to run on; default: `hardware.nodes` of the experiment.

    Returns:
        `jobs` (each result with state, reasons and cost), `rules` (sums), `total`, `standing` (what
        the finished results took), `critical_path`, `wall_hours` on `nodes` nodes, `accepted`,
        `detectable` (the smallest losses that each benchmark could show, see report/power.py),
        `at_most` (the benchmarks that may have fewer items than that).
    """
    estimator = Estimator(state)
    nodes = nodes or int(estimator.hardware["nodes"])
    per_node = int(estimator.hardware["gpus_per_node"])
    jobs, seconds, costs = [], {}, {}
    standing = dict.fromkeys(SUMS, 0.0)
    for path, status in state.states.items():
        entry: dict[str, Any] = {"path": path, "rule": state.jobs[path].rule, "state": status}
        cost = estimator.cost(path)
        if status in TO_RUN:
            costs[path], seconds[path] = cost, cost.seconds
            entry |= _sums(cost, per_node) | {"seconds": round(cost.seconds, 1)}
            entry |= {"gpu": cost.gpu, "source": cost.source, "parts": cost.parts}
            entry["reasons"] = explain(state, path) if status == STALE else ["not made yet"]
        elif status != DISPENSABLE:
            spent = {**_sums(cost, per_node), "disk_gb": estimator.disk_standing(path)}
            standing = {key: standing[key] + spent[key] for key in SUMS}
        jobs.append(entry)
    cores = nodes * 64 if any(cost.gpu for cost in costs.values()) else os.cpu_count() or 1
    chain, length = critical_path(state.jobs, seconds)
    return {
        "experiment": state.name,
        "jobs": jobs,
        "rules": _rules(jobs),
        "total": _total([job for job in jobs if job["state"] in TO_RUN]),
        "standing": standing,
        "critical_path": {"jobs": chain, "hours": length / 3600},
        "nodes": nodes,
        "cores": cores,
        "wall_hours": wall_time(state.jobs, costs, nodes * per_node, cores) / 3600,
        "accepted": _accepted(state),
        "at_most": [name for name in state.experiment["benchmarks"] if estimator.is_bound(name)],
        "detectable": detectable_before_run(
            {name: estimator.items(name) for name in state.experiment["benchmarks"]}
        ),
    }


def check_budget(plan: dict[str, Any], budget: dict[str, float]) -> None:
    """Raise `InputError` when the plan and what stands already are beyond the budget."""
    for key, limit in budget.items():
        spent, planned = plan["standing"][key], plan["total"][key]
        if spent + planned > limit:
            unit = {"gpu_hours": "GPU-hours", "disk_gb": "GB on disk", "usd": "dollars"}[key]
            raise InputError(
                f"experiments/{plan['experiment']}.yaml: budget.{key}: {planned:.4g} {unit} "
                f"planned and {spent:.4g} spent, expected at most {limit:g} in all"
            )


def explain(state: ExperimentState, path: str) -> list[str]:
    """Return why a result is stale: what changed in its own spec, else which of its inputs did."""
    job, found = state.jobs[path], read_provenance(state.folder / path)
    if found is None:
        return ["carries no provenance"]
    if missing := [n for n in found.get("files", {}) if not _beside(state, path, n).exists()]:
        return [f"its file {name} is missing" for name in missing]
    before = json.loads(canonical_json(found.get("spec", {})))
    after = json.loads(canonical_json(job.spec(state.root)))
    if changes := [_say(*change) for change in differences(before, after)]:
        return changes
    recorded = found.get("inputs", {})
    changed = [
        result_of(name)
        for name, key in input_keys(job, state.keys).items()
        if recorded.get(name) != key
    ]
    if not changed:
        changed = [name for name in map(result_of, job.inputs) if state.states[name] in TO_RUN]
    names = [name for name in dict.fromkeys(changed) if name != path]
    return [
        f"its input {name} {'will be' if state.states[name] in TO_RUN else 'was'} made anew"
        for name in names
    ] or ["its inputs were made anew"]


def differences(before: Any, after: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted key, value before, value after) of each difference; None stands for absent."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted({*before, *after}):
            inner = f"{key}.{name}" if key else name
            yield from differences(before.get(name), after.get(name), inner)
    elif before != after:
        yield key, before, after


def _say(key: str, before: Any, after: Any) -> str:
    if key.startswith("code."):
        return f"code that {key.removeprefix('code.')} reaches: {before} -> {after}"
    if key == "shell":
        return f"the rule's shell command: {before} -> {after}"
    return f"{key}: {_short(before)} -> {_short(after)}"


def _short(value: Any) -> str:
    if value is None:
        return "absent"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _beside(state: ExperimentState, path: str, name: str) -> Path:
    return (state.folder / path).parent / name


def _sums(cost: Cost, gpus_per_node: int) -> dict[str, float]:
    return {
        "gpu_hours": cost.gpu_hours,
        "node_hours": cost.gpu_hours / gpus_per_node,
        "job_hours": cost.seconds / 3600,
        "disk_gb": cost.disk_gb,
        "usd": cost.usd,
    }


def _total(jobs: list[dict[str, Any]]) -> dict[str, float]:
    return {"jobs": len(jobs), **{key: sum(job[key] for job in jobs) for key in SUMS}}


def _rules(jobs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    rules: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(job["rule"] for job in jobs):
        own = [job for job in jobs if job["rule"] == name]
        counts = Counter(job["state"] for job in own)
        running = [job for job in own if job["state"] in TO_RUN]
        sources = Counter(job["source"] for job in running)
        rules[name] = {
            "done": sum(counts[status] for status in STANDING),
            "stale": counts[STALE],
            "missing": counts["missing"],
            **_total(running),
            "sources": dict(sources),
        }
    return rules


def _accepted(state: ExperimentState) -> list[dict[str, Any]]:
    accepted = []
    for path, status in state.states.items():
        if status == ACCEPTED:
            found = (read_provenance(state.folder / path) or {})["accepted"]
            accepted.append({"path": path, **{key: found[key] for key in ("why", "by", "at")}})
    return accepted


def print_plan(plan: dict[str, Any]) -> None:
    """Print the plan's table, the reasons, and how long it takes."""
    from tabulate import tabulate

    rows = []
    for name, rule in plan["rules"].items():
        numbers = [rule[key] for key in SUMS]
        sources = ", ".join(f"{n} {source}" for source, n in rule["sources"].items())
        rows.append([name, rule["done"], rule["stale"], rule["missing"], *numbers, sources])
    total = [sum(row[i] for row in rows) for i in range(1, 4)]
    rows.append(["total", *total, *(plan["total"][key] for key in SUMS), ""])
    head = "rule done stale missing GPU-h node-h job-h GB USD".split()
    print(tabulate(rows, [*head, "estimated from"], floatfmt=".3g"))
    if not plan["total"]["jobs"]:
        print("\nNothing has to run.")
        _print_accepted(plan)
        return
    own: Counter[tuple[str, str]] = Counter()
    follow: Counter[str] = Counter()
    for job in plan["jobs"]:
        if job["state"] == STALE:
            direct = [why for why in job["reasons"] if not why.startswith("its input")]
            own.update((job["rule"], why) for why in direct)
            if not direct:
                follow[job["rule"]] += 1
    if own or follow:
        print("\nStale because of")
    for (rule, why), count in own.items():
        print(f"  {why}  ({count} {rule})")
    if follow:
        counted = ", ".join(f"{count} {rule}" for rule, count in follow.items())
        print(f"  inputs that are made anew  ({counted})")
    print(
        f"\nAt least {_time(plan['critical_path']['hours'])} (critical path of "
        f"{len(plan['critical_path']['jobs'])} jobs); {_time(plan['wall_hours'])} on "
        f"{plan['nodes']} node{'s' * (plan['nodes'] > 1)}, {plan['cores']} cores"
    )
    print("\nSmallest loss that a benchmark shows with 80 % power, in points, for one model:")
    for name, found in plan["detectable"].items():
        unpaired, paired = found["unpaired"], found["paired_20_percent_differ"]
        bound = "at most " if name in plan["at_most"] else ""
        print(
            f"  {name} ({bound}{found['items']} items): {_points(unpaired)} unpaired, "
            f"{_points(paired)} paired where 20 % of the items differ"
        )
    _print_accepted(plan)


def _print_accepted(plan: dict[str, Any]) -> None:
    for entry in plan["accepted"]:
        print(f"accepted: {entry['path']} by {entry['by']} on {entry['at'][:10]}: {entry['why']}")


def _points(share: float | int | None) -> str:
    return "none" if share is None else f"{100 * share:.1f}"


def _time(hours: float) -> str:
    seconds = hours * 3600
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{hours:.1f} h"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--json", type=Path, help="write the whole plan to this file")
    parser.add_argument("--nodes", type=int, help="nodes to run on (default: hardware.nodes)")
    parser.add_argument("--stale", action="store_true", help="list every stale result and why")
    arguments = parser.parse_args(argv)
    state = read_experiment(arguments.experiment, Path.cwd())
    plan = make_plan(state, arguments.nodes)
    if arguments.json:
        write_json(arguments.json, plan)
    print_plan(plan)
    if arguments.stale:
        for job in plan["jobs"]:
            if job["state"] == STALE:
                print(f"{job['path']}\n    " + "\n    ".join(job["reasons"]))
    check_budget(plan, state.experiment.get("budget", {}))


if __name__ == "__main__":
    run(main)
