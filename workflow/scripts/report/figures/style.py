"""How a figure looks: colours, markers and names that are the same in every figure and the page."""

from __future__ import annotations

from typing import Any

from workflow.scripts.report.schema import Report
from workflow.scripts.report.status import WORDS
from workflow.scripts.report.tables.table import model_name

# Okabe & Ito's first colours, then others that are as far from them and from each other for every
# kind of colour blindness (Machado et al. 2009), all at 3:1 or more against white. Markers and
# strokes tell the same in grey.
BASE, LRM = ("#888888", "X"), ("#000000", "*")
COLORS = "#0072B2 #D55E00 #009E73 #CC79A7 #73266E #1F92FF #5E2700 #B3594A".split()
MARKERS = "os^DvP<>"
STROKES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (1.5, 1.2)))
INK, FAINT, LINE, GRID = "#000000", "#555555", "#777777", "#e6e6e6"
# The same on a dark page: of the same hue, as far from each other, at 3.7:1 or more.
DARK_PAGE = "#14171a"
DARK = dict(
    zip(
        COLORS,
        "#2A75D3 #D55E00 #08A67A #CC79A7 #9061A8 #15ADFE #DC834B #B95157".split(),
        strict=True,
    )
) | {
    BASE[0]: "#9a9a9a",
    INK: "#f2f2f2",
    FAINT: "#b8bec4",
    LINE: "#a0a6ac",
    GRID: "#33393f",
    "#ffffff": DARK_PAGE,
}
SHARES = (-4.0, 104.0)  # limits of an axis of percentages
STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7.5,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "lines.solid_capstyle": "round",
    # Text stays text: it can be searched, read aloud and edited.
    "svg.hashsalt": "safety-tax",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "figure.dpi": 100,
    "text.parse_math": False,  # a name may hold dollar signs
}


def series_style(index: int) -> tuple[str, str]:
    """Return (colour, marker) of a series; past eight a colour has another marker."""
    k = len(COLORS)
    return COLORS[index % k], MARKERS[(index + index // k) % k]


def neutral_style(index: int) -> tuple[str, str]:
    """Return (colour, marker) of a series that is no model: colours are the models' alone."""
    return FAINT, MARKERS[index % len(MARKERS)]


def stroke_of(index: int) -> Any:
    """Return the dashes of a series' line."""
    return STROKES[index % len(STROKES)]


def style_of(report: Report) -> dict[str, tuple[str, str]]:
    """Return {model name: (colour, marker)}, the same for an alignment in every figure."""
    aligned = [model_name(row) for row in report["rows"] if row["role"] == "aligned"]
    styles = {name: series_style(i) for i, name in enumerate(dict.fromkeys(aligned))}
    return {"base": BASE, "LRM": LRM, **styles}


def lrms(report: Report) -> list[str]:
    """Return the LRMs of a report in the order of its rows."""
    return list(dict.fromkeys(row["lrm"] for row in report["rows"]))


def shown_names(report: Report) -> dict[str, str]:
    """Return {model: its name}, marked where the training of a seed failed (on which LRM)."""
    names = {}
    for model in style_of(report):
        means = [r for r in report["rows"] if r["seed"] == "mean" and model_name(r) == model]
        bad = {row["lrm"]: WORDS[row["status"]] for row in means if row["status"] != "ok"}
        what = ", ".join(dict.fromkeys(bad.values()))
        where = ": " + ", ".join(bad) if len(lrms(report)) > 1 else ""
        names[model] = f"{model} ({what}{where})" if bad else model
    return names


def on_a_dark_page() -> str:
    """Return the style sheet that shows an SVG of ours in the colours for a dark page."""
    rules = [f"svg{{fill:{DARK[INK]}}}"]  # black is what has no colour of its own
    for light, dark in DARK.items():
        for key in ("fill", "stroke"):
            rules.append(f'[style*="{key}: {light.lower()}"]{{{key}:{dark}!important}}')
    return f"@media (prefers-color-scheme:dark){{{''.join(rules)}}}"
