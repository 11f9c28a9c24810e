"""Draw the figures of a report.

Writes for each figure `<name>.svg`, `<name>.png` and `<name>.csv` (the numbers drawn, in percent or
tokens). The same report gives the same bytes.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from workflow.scripts.common.io import write_bytes, write_text
from workflow.scripts.report.figures.points import Points
from workflow.scripts.report.figures.registry import FIGURES
from workflow.scripts.report.figures.style import STYLE, Row
from workflow.scripts.report.render import rows_to_csv
from workflow.scripts.report.titles import with_titles


def draw_figures(report: Row, out: Path) -> None:
    """Draw every figure of a report into a folder, with titles for names."""
    import matplotlib

    report = with_titles(report)
    with matplotlib.rc_context(STYLE):
        for name, module in FIGURES.items():
            figure, points = module.draw(report)
            save(figure, points, out / name)


def save(figure: Any, points: Points, stem: Path) -> None:
    """Write a figure as SVG and PNG, without dates, and its numbers as CSV."""
    for kind, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
        stream = io.BytesIO()
        figure.savefig(stream, format=kind, dpi=200, metadata=metadata)
        write_bytes(stem.with_suffix(f".{kind}"), stream.getvalue())
    header = list(dict.fromkeys(key for point in points for key in point)) or ["lrm"]
    write_text(stem.with_suffix(".csv"), rows_to_csv(points, header))
