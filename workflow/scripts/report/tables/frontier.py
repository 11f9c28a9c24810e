"""The frontier: which methods are on it, which dominate which, and how much it covers."""

from __future__ import annotations

from collections.abc import Callable

from workflow.scripts.report.metrics import FRONTIER, metric_title, read_measure
from workflow.scripts.report.spread import over_both
from workflow.scripts.report.tables.table import (
    MISSING,
    MODEL,
    Columns,
    Row,
    Table,
    join,
    make_table,
    number,
    p_value,
    points,
)


def methods(report: Row) -> Table:
    """Return each method of each LRM: whether it is on the frontier, and how surely."""
    frontiers = report["frontier"]
    rows = [{"lrm": one["lrm"], **method} for one in frontiers for method in one["methods"]]
    names = frontiers[0]["measures"] if frontiers else list(FRONTIER)
    sampled = "items and seeds" if any(one["over_seeds"] for one in frontiers) else "items"
    measures: Columns = {metric_title(name): _cell(name) for name in names}
    return make_table(
        "frontier",
        "The frontier",
        f"Final epoch, mean over the seeds that all methods have: over {_listed(names)} no other "
        "method is at least as good on every measure and better on one. Share: percent of the "
        f"resamples in which that holds, {sampled} being the same for all methods. Intervals are "
        f"over {sampled}.",
        {
            **MODEL,
            "On it": lambda row: "yes" if row["non_dominated"] else "no",
            "Dominated by": lambda row: join(row["dominated_by"]) if row["dominated_by"] else "",
            "Share": lambda row: number(row["share"]),
            **measures,
        },
        rows,
        4,
    )


def dominance(report: Row) -> Table:
    """Return the pairs of which the first may dominate the second, by the estimates."""
    frontiers = report["frontier"]
    tests = [
        {"lrm": one["lrm"], **test}
        for one in frontiers
        for test in one["tests"]
        if _is_candidate(test, one["margin"])
    ]
    names = frontiers[0]["measures"] if frontiers else list(FRONTIER)
    margin = number(frontiers[0]["margin"]) if frontiers else MISSING

    def change(name: str) -> Callable[[Row], str]:
        return lambda row: points(row["change"][name])

    changes: Columns = {f"{metric_title(name)}, better by": change(name) for name in names}
    return make_table(
        "dominance",
        "Who dominates whom",
        f"Claimed where p is small: the first is worse by less than {margin} points on every "
        "measure, and better on one at least. Points by which the first is better, paired by item "
        "and seed, with 95 % intervals; p of the intersection-union test after Holm over all "
        "ordered pairs of the LRM. Pairs whose estimates say otherwise are not listed.",
        {
            "LRM": lambda row: row["lrm"],
            "First": lambda row: row["first"],
            "Second": lambda row: row["second"],
            **changes,
            "p": lambda row: p_value(row["p_holm"]),
            "Tests": lambda row: str(row["family"]),
        },
        tests,
        3,
    )


def volume(report: Row) -> Table:
    """Return the hypervolume of each LRM's frontier."""
    return make_table(
        "hypervolume",
        "Hypervolume of the frontier",
        "Percent of all possible values that some method is at least as good as, with the 95 % "
        "interval of the resamples. The reference point is the worst that each measure can be.",
        {
            "LRM": lambda row: row["lrm"],
            "Reference point": lambda row: join(
                f"{metric_title(name)} {number(value, digits=0)} %"
                for name, value in row["hypervolume"]["reference"].items()
            ),
            "Hypervolume": lambda row: points(row["hypervolume"]),
            "Methods": lambda row: str(len(row["methods"])),
            "Seeds": lambda row: str(len(row["seeds"])),
            "Resamples": lambda row: str(row["resamples"]),
        },
        report["frontier"],
        2,
    )


def _cell(name: str) -> Callable[[Row], str]:
    return lambda row: points(over_both(row["metrics"][name]))


def _listed(names: list[str]) -> str:
    better = {
        name: "higher" if read_measure(name).metric.higher_is_better else "lower" for name in names
    }
    return join(f"{metric_title(name).lower()} ({how} is better)" for name, how in better.items())


def _is_candidate(test: Row, margin: float) -> bool:
    changes = [one["estimate"] for one in test["change"].values()]
    return bool(changes) and min(changes) > -margin and max(changes) > 0
