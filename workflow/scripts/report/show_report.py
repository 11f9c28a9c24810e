"""Print the result of an experiment in the terminal: its headline and the trade-off table.

python -m workflow.scripts.report.show_report --experiment micro
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import InputError, run
from workflow.scripts.report.build_report import read_report
from workflow.scripts.report.escape import one_line, visible
from workflow.scripts.report.spread import over_both
from workflow.scripts.report.tables.table import MISSING, interval, marked_name, number

WIDTH = 80
METRICS = {
    "Reasoning": "reasoning_accuracy",
    "Harmful score": "harmful_score",
    "Over-refusal": "over_refusal",
}


def show(report: Mapping[str, Any]) -> str:
    """Return headline, caveats and the table of the final epoch, at most `WIDTH` columns wide."""
    from tabulate import tabulate

    parts = [textwrap.fill(visible(report[key]), WIDTH) for key in ("headline", "caveats")]
    final = [row for row in report["rows"] if row["final"] and row["seed"] == "mean"]
    shown = {head: key for head, key in METRICS.items() if any(key in r["metrics"] for r in final)}
    for lrm in dict.fromkeys(row["lrm"] for row in final):
        rows = [row for row in final if row["lrm"] == lrm]
        numbers = [
            [_cell(row["metrics"].get(key)) for key in shown.values()]
            + [_cell(row["tax"].get("points"))]
            for row in rows
        ]
        heads = [*shown, "Safety tax"]
        # two blanks between columns; tabulate makes every head two wider than its text
        columns = zip([f"{head}  " for head in heads], *numbers, strict=True)
        left = WIDTH - sum(2 + max(map(len, "\n".join(column).split("\n"))) for column in columns)
        names = ["\n".join(textwrap.wrap(one_line(marked_name(row)), left)) for row in rows]
        cells = [[name, *line] for name, line in zip(names, numbers, strict=True)]
        head = "\n".join(textwrap.wrap(one_line(lrm), left - 2))
        align = ["left"] + ["right"] * len(heads)
        parts.append(tabulate(cells, [head, *heads], disable_numparse=True, colalign=align))
    parts.append("Percent; safety tax: points of reasoning accuracy lost against the LRM.")
    return "\n\n".join(parts)


def _cell(one: Mapping[str, Any] | None) -> str:
    """Return a number with its interval below it."""
    if not one or one.get("estimate") is None:
        return MISSING
    limits = interval(over_both(one), "")
    return number(one["estimate"]) + ("" if limits == MISSING else f"\n{limits}")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--experiment", required=True)
    folder = Path("results") / parser.parse_args(argv).experiment / "report"
    if not (folder / "tradeoff.json").exists():
        raise InputError(f"{folder}: no report, expected one of a finished run")
    print(show(read_report(folder / "tradeoff.json")))
    print(f"\nTables and figures: {folder}/\nOpen {folder / 'index.html'}\n")


if __name__ == "__main__":
    run(main)
