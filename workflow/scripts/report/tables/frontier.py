"""The frontier: which methods are on it, which dominate which, and how much it covers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from workflow.scripts.report.metrics import COSTS, FRONTIER, metric_title, read_measure, written_as
from workflow.scripts.report.schema import DominanceTest, FrontierMethod, Report
from workflow.scripts.report.spread import over_both
from workflow.scripts.report.tables.table import (
    MISSING,
    MODEL,
    Table,
    join,
    make_table,
    number,
    p_value,
    points,
)


def methods(report: Report) -> Table:
    """Return each method of each LRM: whether it is on the frontier, and how surely."""
    frontiers = report["frontier"]
    rows = [method for one in frontiers for method in one["methods"]]
    names = frontiers[0]["measures"] if frontiers else list(FRONTIER)
    sampled = "items and seeds" if any(one["over_seeds"] for one in frontiers) else "items"
    measures = {metric_title(name): _cell(name) for name in names}
    return make_table(
        "frontier",
        "The frontier",
        f"Final epoch, mean over the seeds that all methods have: over {_listed(names)} no other "
        "method is at least as good on every measure and better on one. Share: percent of the "
        f"resamples in which that holds, {sampled} being the same for all methods. Intervals are "
        f"over {sampled}{_about_costs(names)}.",
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


def dominance(report: Report) -> Table:
    """Return the pairs of which the first may dominate the second."""
    frontiers = report["frontier"]
    tests = [(one["lrm"], test) for one in frontiers for test in one["tests"] if test["p"] != 1]
    names = frontiers[0]["measures"] if frontiers else list(FRONTIER)
    margin = number(frontiers[0]["margin"]) if frontiers else MISSING

    def change(name: str) -> Callable[[tuple[str, DominanceTest]], str]:
        return lambda cell: points(cell[1]["change"][name], *written_as(name))

    changes = {f"{metric_title(name)}, {_better_by(name)}": change(name) for name in names}
    return make_table(
        "dominance",
        "Who dominates whom",
        f"Claimed where p is small: the first is worse by less than {margin} points on every "
        f"measure, and better on one at least{_claimed_of_costs(names, margin)}. By how much the "
        "first is better, paired by item and seed, with 95 % intervals; p of the "
        "intersection-union test after Holm over all ordered pairs of the LRM. Pairs with p 1 "
        "before Holm are not listed.",
        {
            "LRM": lambda cell: cell[0],
            "First": lambda cell: cell[1]["first"],
            "Second": lambda cell: cell[1]["second"],
            **changes,
            "p": lambda cell: p_value(cell[1]["p_holm"]),
            "Tests": lambda cell: str(cell[1]["family"]),
        },
        tests,
        3,
    )


def volume(report: Report) -> Table:
    """Return the hypervolume of each LRM's frontier."""
    return make_table(
        "hypervolume",
        "Hypervolume of the frontier",
        "Percent of all possible values that some method is at least as good as, with the 95 % "
        "interval of the resamples. The reference point is the worst that each measure can be, "
        "and of a cost that of the dearest method.",
        {
            "LRM": lambda row: row["lrm"],
            "Reference point": lambda row: join(
                f"{metric_title(name)} {_reference(name, value)}"
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


def _cell(name: str) -> Callable[[FrontierMethod], str]:
    return lambda row: points(over_both(row["metrics"][name]), *written_as(name))


def _reference(name: str, value: float) -> str:
    scale, digits = written_as(name)
    return number(value, scale, digits) if name in COSTS else f"{number(value, digits=0)} %"


def _better_by(name: str) -> str:
    return "cheaper by" if name in COSTS else "better by"


def _about_costs(names: Iterable[str]) -> str:
    if not set(names) & set(COSTS):
        return ""
    return "; what a method took as a whole, beside the LRM, varies over seeds alone"


def _claimed_of_costs(names: Iterable[str], margin: str) -> str:
    if not set(names) & set(COSTS):
        return ""
    return f" (of a cost: dearer by at most {margin} %, and cheaper by more than that)"


def _listed(names: list[str]) -> str:
    better = {name: "higher" if read_measure(name).higher_is_better else "lower" for name in names}
    titles = {name: metric_title(name) for name in names}
    return join(f"{t[0].lower()}{t[1:]} ({better[name]} is better)" for name, t in titles.items())
