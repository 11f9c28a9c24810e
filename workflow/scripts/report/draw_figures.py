"""Draw the figures of a report.

Writes for each figure `<name>.svg`, `<name>.pdf`, `<name>.png` and `<name>.csv` (the numbers drawn,
in percent or tokens), and `figures.tex` with the captions. The same report gives the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow.scripts.common.io import write_bytes, write_text
from workflow.scripts.report.escape import escape_latex
from workflow.scripts.report.figures.layout import draw_title
from workflow.scripts.report.figures.registry import FIGURES, title_of
from workflow.scripts.report.figures.style import STYLE
from workflow.scripts.report.render import rows_to_csv
from workflow.scripts.report.schema import Report
from workflow.scripts.report.titles import with_titles

DPI = 200  # of the PNGs


def draw_figures(report: Report, out: Path) -> None:
    """Draw every figure of a report into a folder, with titles for names."""
    import matplotlib

    report = with_titles(report)
    with matplotlib.rc_context(STYLE):
        for name, module in FIGURES.items():
            figure, points = module.draw(report)
            save(figure, points, out / name, title_of(name))
    write_text(out / "figures.tex", to_latex())


def save(figure: Any, points: Sequence[Mapping[str, object]], stem: Path, title: str) -> None:
    """Write a figure, without dates, and its numbers as CSV.

    The vector files are for papers, where a caption tells what they show; the PNG has its title.
    """
    write_bytes(stem.with_suffix(".svg"), _image(figure, "svg", Date=None, Creator=None))
    nobody = dict.fromkeys(("Creator", "Producer", "CreationDate"))
    write_bytes(stem.with_suffix(".pdf"), _image(figure, "pdf", **nobody))
    write_bytes(stem.with_suffix(".png"), _titled_png(figure, title))
    header = list(dict.fromkeys(key for point in points for key in point)) or ["lrm"]
    write_text(stem.with_suffix(".csv"), rows_to_csv(points, header))


def _image(figure: Any, kind: str, **metadata: None) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, dpi=DPI, metadata=metadata)
    return stream.getvalue()


def _titled_png(figure: Any, title: str) -> bytes:
    """Return a figure below its title; constrained layout has no room for one above a legend."""
    from matplotlib import image

    parts = [draw_title(title, figure.get_figwidth()), figure]
    pixels = [image.imread(io.BytesIO(_image(part, "png"))) for part in parts]
    whole = [row for part in pixels for row in part]
    stream = io.BytesIO()
    no_version: dict[str, Any] = {"Software": None}
    image.imsave(stream, whole, format="png", dpi=DPI, metadata=no_version)
    return stream.getvalue()


def to_latex() -> str:
    r"""Return a figure environment for each PDF, for `\usepackage{graphicx}`."""
    return "\n".join(
        rf"""\begin{{figure}}
\centering
\includegraphics[width=\linewidth]{{{name}.pdf}}
\caption{{{escape_latex(title_of(name))}. {escape_latex(module.CAPTION)}}}
\label{{fig:safety-tax-{name.replace("_", "-")}}}
\end{{figure}}
"""
        for name, module in FIGURES.items()
    )
