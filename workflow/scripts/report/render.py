"""The report's tables as Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from workflow.scripts.common.io import write_text
from workflow.scripts.report.escape import csv_cell, escape_latex, escape_markdown
from workflow.scripts.report.metrics import is_length
from workflow.scripts.report.schema import Interval, Report, TradeoffRow
from workflow.scripts.report.tables.table import Table, model_name
from workflow.scripts.report.titles import with_titles

TABLES = "tables"  # folder of the tables, each in files of its own
NUMBER_AND_INTERVAL = r"(\S+) \((.+ to .+)\)"
# What of a metric or change is a fraction.
PERCENT = frozenset(
    "estimate low high seed_sd seed_low seed_high all_low all_high seed_share".split()
)


def write_tables(tables: Sequence[Table], out: Path) -> None:
    """Write each table as `tables/<key>.csv` and `.tex`."""
    for table in tables:
        write_text(out / TABLES / f"{table.key}.csv", table_to_csv(table))
        write_text(out / TABLES / f"{table.key}.tex", table_to_latex(table) + "\n")


def to_csv(rows: Sequence[TradeoffRow]) -> str:
    """Return every row and number: proportions and differences in percent, full precision."""
    flat = [_flat(row) for row in rows]
    return rows_to_csv(flat, sorted({key: 0 for row in flat for key in row}, key=_column_order))


def rows_to_csv(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> str:
    """Return rows as CSV, texts safe in a spreadsheet; what is None or missing stays empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows({key: csv_cell(value) for key, value in row.items()} for row in rows)
    return stream.getvalue()


def _flat(row: TradeoffRow) -> dict[str, object]:
    flat: dict[str, object] = {
        "lrm": row["lrm"],
        "role": row["role"],
        "name": row["name"],
        "alignment": row["alignment"],
        "epoch": row["epoch"],
        "checkpoint": row["checkpoint"],
        "final": row["final"],
        "seed": row["seed"],
        "n_seeds": row["n_seeds"],
        "status": row["status"],
        "status_reason": row["status_reason"],
    }
    sections: tuple[tuple[str, Mapping[str, Interval]], ...] = (
        ("", row["metrics"]),
        ("change.", row["change"]),
        ("tax.", cast(Mapping[str, Interval], row["tax"])),
    )
    for prefix, numbers in sections:
        for name, one in numbers.items():
            ratio = is_length(name) or name == "per_harm_point"
            for key, value in one.items():
                if key in PERCENT and isinstance(value, int | float) and not ratio:
                    value = value * 100
                flat[f"{prefix}{name}.{key}"] = value
    return flat | {f"cost.{name}": value for name, value in row["cost"].items()}


def _column_order(key: str) -> int:
    """Who it is, then averages, tax, cost and changes, and last what is by benchmark."""
    return ("." in key) + key.startswith(("tax.", "cost.", "change.")) + 2 * ("/" in key)


def to_markdown(report: Report, tables: Sequence[Table]) -> str:
    lines = [f"**{escape_markdown(report['headline'])}**", ""]
    lines += [escape_markdown(report["caveats"]), ""]
    if report["description"]:
        lines += [escape_markdown(report["description"]), ""]
    for table in tables:
        lines += [table_to_markdown(table)]
    failures = _failures(with_titles(report))
    if failures:
        lines += ["## Training that failed", "", *(f"- {escape_markdown(f)}" for f in failures), ""]
    for title, texts in (("Methods", report["methods"]), ("Limits", report["limits"])):
        lines += [f"## {title}", "", *(f"- {escape_markdown(t)}" for t in texts), ""]
    lines.pop()
    return "\n".join(lines) + "\n"


def table_to_markdown(table: Table) -> str:
    marks = ["---"] * table.left + ["---:"] * (len(table.header) - table.left)
    lines = [f"## {escape_markdown(table.title)}", "", escape_markdown(table.caption), ""]
    lines += [_markdown_row(table.header), f"|{'|'.join(marks)}|", *map(_markdown_row, table.rows)]
    return "\n".join(lines) + "\n"


def table_to_csv(table: Table) -> str:
    """Return a table's strings as CSV, texts safe in a spreadsheet."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([csv_cell(cell) for cell in row] for row in (table.header, *table.rows))
    return stream.getvalue()


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(escape_markdown, cells))} |"


def _failures(report: Report) -> list[str]:
    found = {}
    for row in report["rows"]:
        if row["status"] != "ok" and not row["seed"].startswith("mean"):
            epoch = "" if row["role"] != "aligned" else f" {row['checkpoint']}"
            name = f"{row['lrm']}: {model_name(row)}{epoch}, seed {row['seed']}"
            found[name] = f"{name}: {row['status_reason']}"
    return list(found.values())


def to_latex(report: Report, tables: Sequence[Table]) -> str:
    r"""Return the tables for `\usepackage{booktabs}` and `\usepackage{graphicx}`."""
    blocks = [f"% {escape_latex(report['headline'])}"]
    blocks += map(table_to_latex, tables)
    return "\n\n".join(blocks) + "\n"


def table_to_latex(table: Table) -> str:
    columns = "l" * table.left + "r" * (len(table.header) - table.left)
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escape_latex(table.title)}. {escape_latex(table.caption)}}}",
            rf"\label{{tab:safety-tax-{table.key}}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            _latex_row(table.header),
            r"\midrule",
            *(_latex_row(row) for row in table.rows),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
        ]
    )


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(_latex_cell, cells)) + r" \\"


def _latex_cell(text: str) -> str:
    """Return a cell, an interval below its number: that halves the width of a table."""
    if split := re.fullmatch(NUMBER_AND_INTERVAL, text):
        number, interval = map(escape_latex, split.groups())
        return rf"\shortstack[r]{{{number}\\{{\scriptsize {interval}}}}}"
    return escape_latex(text)
