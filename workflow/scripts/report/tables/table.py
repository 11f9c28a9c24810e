"""What all tables share: ready strings, and how a number is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from workflow.scripts.report.metrics import MAIN
from workflow.scripts.report.schema import (
    Interval,
    MarkedModel,
    ModelName,
    ShownModel,
    TradeoffRow,
)
from workflow.scripts.report.spread import over_both
from workflow.scripts.report.status import in_brackets

MISSING = "–"

AnyRow = TypeVar("AnyRow")
# {head: function from a row to its cell}
Columns = Mapping[str, Callable[[AnyRow], str]]


@dataclass(frozen=True)
class Table:
    """A table of ready strings.

    Attributes:
        key: Label in LaTeX.
        title: Heading in Markdown, first words of the caption in LaTeX.
        caption: What the columns are.
        header: Column heads; the columns from `left` on are numbers.
        rows: Cells.
        left: How many leading columns are text.
        origin: Tells where results come from; is shown with the page's provenance.
        beside: {(line, column): what the page shows below a cell}, such as a published value.
    """

    key: str
    title: str
    caption: str
    header: list[str]
    rows: list[list[str]]
    left: int = 1
    origin: bool = False
    beside: Mapping[tuple[int, int], str] = field(default_factory=dict)


def make_table(
    key: str,
    title: str,
    caption: str,
    columns: Columns[AnyRow],
    rows: Iterable[AnyRow],
    left: int = 1,
    origin: bool = False,
) -> Table:
    """Return a table from its columns and rows."""
    cells = [[cell(row) for cell in columns.values()] for row in rows]
    return Table(key, title, caption, list(columns), cells, left, origin)


def number(value: float | None, scale: float = 100, digits: int = 1) -> str:
    """Return a fraction in percent with one decimal (never "-0.0"), or a dash for None."""
    if value is None:
        return MISSING
    text = f"{value * scale:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def points(one: Interval | None, scale: float = 100, digits: int = 1) -> str:
    """Return "estimate (low to high)"."""
    if not one or one.get("estimate") is None:
        return MISSING
    text, limits = number(one["estimate"], scale, digits), interval(one, scale, digits)
    return text if limits == MISSING else f"{text} ({limits})"


def interval(one: Interval, scale: float = 100, digits: int = 1) -> str:
    """Return "low to high"."""
    low, high = one.get("low"), one.get("high")
    if low is None or high is None:
        return MISSING
    return f"{number(low, scale, digits)} to {number(high, scale, digits)}"


def interval_over_both(one: Interval | None) -> str:
    """Return the interval over seeds and items, a dash where there is none."""
    return interval(over_both(one)) if one and one.get("all_low") is not None else MISSING


def p_value(p: float | None) -> str:
    """Return a p value with three decimals."""
    if p is None:
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def model_name(row: ModelName) -> str:
    """Return what tables and figures call a row's model."""
    return {"base": "base", "lrm": "LRM"}.get(row["role"]) or str(row["alignment"])


def marked_name(row: MarkedModel) -> str:
    """Return the model's name, and what went wrong (for one of its seeds at least)."""
    return model_name(row) + in_brackets(row["status"])


# The columns that every table by model begins with.
MODEL: Columns[ShownModel] = {"LRM": lambda row: row["lrm"], "Model": marked_name}


def seed_name(row: TradeoffRow) -> str:
    """Return a row's seed, or over how many seeds it is the mean."""
    seed = str(row["seed"])
    names = {"mean": f"mean of {row['n_seeds']}", "mean_ok": f"mean of the {row['n_seeds']} ok"}
    if row["n_seeds"] == 1 and seed == "mean":
        return "1"
    return names.get(seed, seed)


def valid_of_n(row: TradeoffRow) -> str:
    """Return "valid/n" of the reasoning, harmful and benign samples."""
    cells = []
    for metric in MAIN.values():
        one = row["metrics"].get(metric.name)
        cells.append(f"{one['n_valid']}/{one['n']}" if one else MISSING)
    return ", ".join(cells)


def metric_cell(name: str, scale: float = 100) -> Callable[[TradeoffRow], str]:
    """Return a column's function: a metric's number with its interval."""
    return lambda row: points(row["metrics"].get(name), scale)


def join(parts: Iterable[str]) -> str:
    """Return "a, b and c"."""
    listed = list(parts)
    return " and ".join(filter(None, (", ".join(listed[:-1]), listed[-1])))
