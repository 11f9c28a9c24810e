"""The page of a report: one HTML file that needs nothing from the network.

Headline, interactive trade-off plane, sortable tables, figures, methods, provenance and limits.
What the models wrote is left out, unless the experiment asks for it; then `transcripts/*.js` hold
the final epoch's samples, and the page shows a harmful one after a click only.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from workflow.scripts.common.io import write_text
from workflow.scripts.report.dominance import non_dominated
from workflow.scripts.report.escape import one_line, visible
from workflow.scripts.report.figures.points import percent
from workflow.scripts.report.figures.registry import FIGURES
from workflow.scripts.report.figures.style import style_of
from workflow.scripts.report.inputs import Inputs
from workflow.scripts.report.tables.registry import build_tables
from workflow.scripts.report.tables.table import Table, model_name
from workflow.scripts.report.transcripts import remove_transcripts, to_json, write_transcripts

PARTS = Path(__file__).parent / "page"
LONG_TABLE = 30  # rows; a longer table opens on demand
WITHOUT = "<p>This page was built without what the models wrote (report.transcripts).</p>"
BROWSER = (
    '<form class="controls" id="browser-controls" aria-label="Which items"></form>\n'
    '<p class="caption" id="found" role="status"></p>\n'
    '<div class="browser"><div id="items" role="group" aria-label="Items, arrow keys move">'
    '</div><div id="sample" role="region" aria-label="The chosen item"></div></div>'
)


def write_page(report: Mapping[str, Any], inputs: Inputs | None, out: Path) -> None:
    """Write `index.html` beside the figures, and the transcripts where the inputs ask for them."""
    transcripts = None
    if inputs is not None and inputs.transcripts:
        transcripts = write_transcripts(report, inputs, out)
    else:
        remove_transcripts(out)
    write_text(out / "index.html", render(report, transcripts, out))


def to_html(table: Table) -> str:
    """Return a table whose cells are all escaped, an interval below its number."""

    def cell(tag: str, text: str, column: int) -> str:
        number = column >= table.left
        inner = _escaped(one_line(text))
        if number and tag == "td" and (split := re.fullmatch(r"(\S+) \((.+ to .+)\)", inner)):
            inner = f"{split[1]} <small>{split[2]}</small>"
        attributes = (' class="number"' if number else "") + (' scope="col"' if tag == "th" else "")
        return f"<{tag}{attributes}>{inner}</{tag}>"

    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(cell(tag, text, column) for column, text in enumerate(row))

    body = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in table.rows)
    title = _escaped(table.title)
    whole = (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{title}">'
        f'<table class="sortable">\n<thead><tr>{cells("th", table.header)}</tr>'
        f"</thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )
    if len(table.rows) > LONG_TABLE:
        whole = f"<details><summary>Show {len(table.rows)} rows</summary>{whole}</details>"
    return f'<h3>{title}</h3>\n<p class="caption">{_escaped(table.caption)}</p>\n{whole}'


def figures_html(folder: Path | None) -> str:
    """Return the figures of a folder, inside the page, each with its caption."""
    parts = []
    for name, module in FIGURES.items():
        path = folder / f"{name}.svg" if folder else None
        if path is None or not path.exists():
            continue
        caption = _escaped(module.CAPTION)
        drawing = path.read_bytes()
        # With its size known at once nothing moves when the picture is there.
        size = re.search(rb'<svg[^>]* width="([\d.]+)pt" height="([\d.]+)pt"', drawing)
        width, height = (round(float(one) * 4 / 3) for one in size.groups()) if size else (336, 252)
        image = base64.b64encode(drawing).decode()
        parts.append(
            f'<figure><img alt="{caption}" width="{width}" height="{height}" '
            f'src="data:image/svg+xml;base64,{image}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    return "\n".join(parts) or "<p>The figures were not drawn when this page was made.</p>"


def plane_points(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return every model, seed and epoch that has both axes, in percent (estimate, low, high)."""
    points = []
    for row in report["rows"]:
        harm, accuracy = percent(row, "harmful_score"), percent(row, "reasoning_accuracy")
        if harm and accuracy:
            points.append(
                {
                    "lrm": row["lrm"],
                    "role": row["role"],
                    "model": model_name(row),
                    "seed": row["seed"],
                    "epoch": row["epoch"],
                    "final": row["final"],
                    "status": row["status"],
                    "reason": row["status_reason"],
                    "harm": harm,
                    "accuracy": accuracy,
                }
            )
    for lrm in dict.fromkeys(point["lrm"] for point in points):
        _mark_frontiers([point for point in points if point["lrm"] == lrm])
    return points


def _mark_frontiers(points: Sequence[dict[str, Any]]) -> None:
    """Add to each of an LRM's points the seeds of whose frontier it is a part."""
    for point in points:
        point["on_frontier"] = []
    for seed in dict.fromkeys(point["seed"] for point in points):
        mine: dict[str, dict[str, Any]] = {}
        for point in points:
            ready = point["seed"] == "hub" and point["role"] == "lrm" and seed != "mean"
            if point["role"] != "base" and (point["seed"] == seed or ready):
                if not mine.get(point["model"], {}).get("final"):
                    mine[point["model"]] = point
        places = [(-one["harm"][0], one["accuracy"][0]) for one in mine.values()]
        for point, on_it in zip(mine.values(), non_dominated(places), strict=True):
            point["on_frontier"] += [seed] * on_it


def render(
    report: Mapping[str, Any], transcripts: Mapping[str, Any] | None, figures: Path | None = None
) -> str:
    """Return the page; `transcripts` is `write_transcripts`'s index, or None without any."""
    style, script = ((PARTS / name).read_text() for name in ("page.css", "page.js"))
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; "
        f"script-src {_digest(script)} 'self' file:; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    data = {
        "lrms": list(dict.fromkeys(row["lrm"] for row in report["rows"])),
        "points": plane_points(report),
        "styles": style_of(report),
        "transcripts": transcripts,
    }
    tables = build_tables(report)
    return Template((PARTS / "page.html").read_text()).substitute(
        policy=html.escape(policy),
        title=_escaped(report["description"] or "the trade-off"),
        headline=_escaped(report["headline"]),
        caveats=_escaped(report["caveats"]),
        tables="\n".join(to_html(table) for table in tables if not table.origin),
        figures=figures_html(figures),
        transcripts=WITHOUT if transcripts is None else BROWSER,
        methods=_list(report["methods"]),
        provenance="".join(
            f"<dt>{_escaped(key.replace('_', ' '))}</dt><dd>{_escaped(_plain(value))}</dd>"
            for key, value in sorted(report["provenance"].items())
        ),
        origins="\n".join(to_html(table) for table in tables if table.origin),
        limits=_list(report["limits"]),
        data=to_json(data),
        style=style,
        script=script,
    )


def _digest(text: str) -> str:
    """Return a content security policy's source for an inline element with this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _escaped(text: object) -> str:
    return html.escape(visible(text))


def _list(lines: Iterable[str]) -> str:
    return "".join(f"<li>{_escaped(line)}</li>\n" for line in lines)


def _plain(value: Any) -> str:
    """Return a value of the provenance in words: "a: 1, b: 2", entries of entries in brackets."""
    if isinstance(value, Mapping):
        return ", ".join(
            f"{key} ({_plain(one)})" if isinstance(one, Mapping) else f"{key}: {_plain(one)}"
            for key, one in sorted(value.items())
        )
    if isinstance(value, list):
        return " and ".join(map(_plain, value)) or "none recorded"
    return value if isinstance(value, str) else json.dumps(value)
