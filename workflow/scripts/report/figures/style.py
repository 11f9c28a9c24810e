"""How a figure looks: colours, markers and names that are the same in every figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workflow.scripts.report.tables.table import model_name

# Okabe & Ito's palette, told apart by the colour-blind; markers tell the same in grey.
BASE, LRM = ("#888888", "X"), ("#000000", "*")
COLORS = "#0072B2 #D55E00 #009E73 #CC79A7 #E69F00 #56B4E9 #5D3A9B #117733".split()
MARKERS = "os^DvP<>"
SHARES = (-4.0, 104.0)  # limits of an axis of percentages
STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "svg.hashsalt": "safety-tax",
    "svg.fonttype": "path",
    "figure.dpi": 100,
    "text.parse_math": False,  # a name may hold dollar signs
}
Row = Mapping[str, Any]


def series_style(index: int) -> tuple[str, str]:
    """Return (colour, marker) of a series; past eight a colour has another marker."""
    k = len(COLORS)
    return COLORS[index % k], MARKERS[(index + index // k) % k]


def style_of(report: Row) -> dict[str, tuple[str, str]]:
    """Return {model name: (colour, marker)}, the same for an alignment in every figure."""
    aligned = [row["alignment"] for row in report["rows"] if row["role"] == "aligned"]
    styles = {name: series_style(i) for i, name in enumerate(dict.fromkeys(aligned))}
    return {"base": BASE, "LRM": LRM, **styles}


def lrms(report: Row) -> list[str]:
    """Return the LRMs of a report in the order of its rows."""
    return list(dict.fromkeys(row["lrm"] for row in report["rows"]))


def shown_names(report: Row) -> dict[str, str]:
    """Return {model: its name}, marked where the training of a seed failed (on which LRM)."""
    names = {}
    for model in style_of(report):
        means = [r for r in report["rows"] if r["seed"] == "mean" and model_name(r) == model]
        failed = dict.fromkeys(row["lrm"] for row in means if row["status"] != "ok")
        where = ": " + ", ".join(failed) if len(lrms(report)) > 1 else ""
        names[model] = f"{model} (training failed{where})" if failed else model
    return names
