"""Print the result of an experiment in the terminal: its headline and the trade-off table.

python -m workflow.scripts.report.show_report --experiment micro
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.terminal import console_on
from workflow.scripts.report.build_report import read_report
from workflow.scripts.report.escape import one_line, visible
from workflow.scripts.report.headline import is_taxed
from workflow.scripts.report.schema import Interval, Report, TradeoffRow
from workflow.scripts.report.spread import over_both
from workflow.scripts.report.tables.table import MISSING, interval, marked_name, number

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

WIDEST = 110  # columns; a wider terminal's lines would be hard to follow
NARROWEST = 72  # columns; a narrower terminal has no room for intervals
METRICS = {
    "Reasoning": "reasoning_accuracy",
    "Harmful score": "harmful_score",
    "Over-refusal": "over_refusal",
}
CAPTION = "Percent with 95 % intervals; safety tax: points of reasoning accuracy lost."


def show(report: Report, width: int) -> RenderableType:
    """Return headline, caveats and a table of each LRM's final epoch, for so many columns."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [Text(visible(report["headline"]), "bold"), Text()]
    parts += [Text(visible(report["caveats"])), Text()]
    final = [row for row in report["rows"] if row["final"] and row["seed"] == "mean"]
    for lrm in dict.fromkeys(row["lrm"] for row in final):
        rows = [row for row in final if row["lrm"] == lrm]
        parts += [_table(lrm, rows, intervals=width >= NARROWEST), Text()]
    parts.append(Text(CAPTION, "dim"))
    missing = report.get("missing", [])  # a report of an older version has none
    parts += [Text("\nMissing:", "bold yellow")] * bool(missing)
    parts += [Text(f"- {one_line(line)}") for line in missing]
    return Group(*parts)


def _table(lrm: str, rows: Sequence[TradeoffRow], intervals: bool) -> RenderableType:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    shown = {head: key for head, key in METRICS.items() if any(key in r["metrics"] for r in rows)}
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(Text(one_line(lrm)), overflow="fold", min_width=8)
    for head in (*shown, "Safety tax"):
        table.add_column(head, justify="right", no_wrap=intervals)
    for row in rows:
        name = Text(one_line(marked_name(row)), "" if row["status"] == "ok" else "yellow")
        cells = [_cell(row["metrics"].get(key), intervals) for key in shown.values()]
        table.add_row(name, *cells, _cell(row["tax"].get("points"), intervals, _colour(row)))
    return table


def _colour(row: TradeoffRow) -> str:
    """Return the colour of a tax: it is there, or was not shown to be."""
    return ("bold red" if is_taxed(row) else "green") if row["tax"] else ""


def _cell(one: Interval | None, intervals: bool, style: str = "") -> Text:
    """Return a number, and its interval below it where there is room for it."""
    from rich.text import Text

    if not one or one.get("estimate") is None:
        return Text(MISSING, "dim")
    limits = interval(over_both(one)) if intervals else MISSING
    text = Text(number(one["estimate"]), style or "bold")
    return text if limits == MISSING else text.append(f"\n{limits}", "not bold dim")


def print_report(folder: Path) -> None:
    """Print a report's result, and where to look further."""
    console = console_on()
    console.width = min(console.width, WIDEST)
    console.print(show(read_report(folder / "tradeoff.json"), console.width))
    further = f"\nTables and figures: {folder}/\nOpen {folder / 'index.html'}\n"
    console.print(further, soft_wrap=True)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--experiment", required=True)
    folder = Path("results") / parser.parse_args(argv).experiment / "report"
    if not (folder / "tradeoff.json").exists():
        raise InputError(
            f"{folder}: no report, expected one of a finished run; `make report` makes one of the "
            "scores that are there"
        )
    print_report(folder)


if __name__ == "__main__":
    run(main)
