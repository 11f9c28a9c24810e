"""The page of a report: one HTML file that needs nothing from the network.

Headline, interactive trade-off planes, tables that can be sorted and filtered, figures, methods,
provenance and limits. Which tables and figures there are is said by their registries alone.
What the models wrote is left out, unless the experiment asks for it; then `transcripts/*.js` hold
the final epoch's samples, and the page shows a harmful one after a click only. `single.html` is the
same page with some of them inside.
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
from typing import Any, TypedDict

from workflow.scripts.common.io import write_text
from workflow.scripts.report.escape import one_line, visible
from workflow.scripts.report.figures.points import percent
from workflow.scripts.report.figures.registry import FIGURES, title_of
from workflow.scripts.report.figures.style import BASE, COLORS, DARK, LRM, on_a_dark_page, style_of
from workflow.scripts.report.headline import caveats, headline
from workflow.scripts.report.inputs import Inputs
from workflow.scripts.report.render import NUMBER_AND_INTERVAL, TABLES
from workflow.scripts.report.schema import Report, TradeoffRow
from workflow.scripts.report.spread import over_both
from workflow.scripts.report.tables.registry import build_tables
from workflow.scripts.report.tables.table import Table, interval, model_name, number
from workflow.scripts.report.titles import with_titles
from workflow.scripts.report.transcripts import (
    Transcripts,
    embed_transcripts,
    remove_transcripts,
    to_json,
    write_transcripts,
)

PARTS = Path(__file__).parent / "page"
SCRIPTS = ("page.js", "plane.js", "transcripts.js")
SINGLE = "single.html"
LONG_TABLE = 8  # rows; a longer table opens on demand, unless it is the first
MANY_COLUMNS = 4  # a table of more has no room on a telephone
WIDE = 400  # pixels; a wider figure has a line of its own
GUIDE = (
    "Each arrow leads from the reasoning model (LRM) to what a safety alignment made of it: "
    "{sides}. An alignment without a tax would {move}; bars are 95 % intervals."
)
WITHOUT = "<p>This page was built without what the models wrote (report.transcripts).</p>"
BROWSER = (
    '<form class="controls" id="browser-controls" aria-label="Which items"></form>\n'
    '<p class="caption" id="found" role="status"></p>\n'
    '<div class="browser"><div id="items" role="group" aria-label="Items, arrow keys move">'
    '</div><div id="sample" role="region" aria-label="The chosen item"></div></div>'
)


class PagePoint(TypedDict):
    """A model, seed and epoch in the page's trade-off planes.

    A measure is estimate, low and high in percent, then number and interval as the tables write
    them; None where it was not measured.
    """

    lrm: str
    """Its name, for links"""
    role: str
    model: str
    """What people read"""
    seed: str
    seeds: int
    """Over how many it is the mean"""
    epoch: int | None
    final: bool
    status: str
    reason: str
    """Why the training failed"""
    harm: list[float | str | None] | None
    accuracy: list[float | str | None]
    refusal: list[float | str | None] | None


def write_page(report: Report, inputs: Inputs | None, out: Path) -> None:
    """Write `index.html` beside the figures, and the transcripts where the inputs ask for them."""
    transcripts = None
    (out / SINGLE).unlink(missing_ok=True)
    if inputs is not None and inputs.transcripts:
        transcripts = write_transcripts(report, inputs, out)
        most = inputs.sections.get("report", {}).get("single_file")
        if most:
            inside = embed_transcripts(report, inputs, most)
            write_text(out / SINGLE, render(report, inside, out, alone=True))
    else:
        remove_transcripts(out)
    write_text(out / "index.html", render(report, transcripts, out))


def to_html(table: Table, opened: bool = False) -> str:
    """Return a table whose cells are all escaped, an interval below its number."""

    def cell(tag: str, text: str, column: int, beside: str = "") -> str:
        number = column >= table.left
        inner = _escaped(one_line(text))
        if number and tag == "td" and (split := re.fullmatch(NUMBER_AND_INTERVAL, inner)):
            inner = f"{split[1]} <small>{split[2]}</small>"
        if beside:
            inner += f' <small class="published">{_escaped(one_line(beside))}</small>'
        attributes = (' class="number"' if number else "") + (' scope="col"' if tag == "th" else "")
        return f"<{tag}{attributes}>{inner}</{tag}>"

    def cells(tag: str, row: Sequence[str], line: int = -1) -> str:
        return "".join(
            cell(tag, text, column, table.beside.get((line, column), ""))
            for column, text in enumerate(row)
        )

    body = "\n".join(f"<tr>{cells('td', row, line)}</tr>" for line, row in enumerate(table.rows))
    title, key = _escaped(table.title), _escaped(table.key)
    many = " many" if len(table.header) > MANY_COLUMNS else ""
    whole = (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{title}">'
        f'<table class="sortable{many}">\n<thead><tr>{cells("th", table.header)}</tr>'
        f"</thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )
    if len(table.rows) > LONG_TABLE and not opened:
        whole = f"<details><summary>Show {len(table.rows)} rows</summary>{whole}</details>"
    files = "".join(
        f'<a class="beside" href="{TABLES}/{key}.{kind}" download>{label}</a>'
        for kind, label in (("csv", "CSV"), ("tex", "LaTeX"))
    )
    return (
        f'<section class="table" id="table-{key}" aria-label="{title}"><h3>{title} '
        f'<a href="#table-{key}" aria-label="Link to this table">#</a></h3>\n'
        f'<p class="caption">{_escaped(table.caption)}</p>\n'
        f'<div class="tools"><span class="files">{files}</span></div>\n{whole}</section>'
    )


def list_figures(folder: Path | None) -> dict[str, Path]:
    """Return the SVG files of the figures that were drawn into a folder and show a number."""
    drawn = {name: folder / f"{name}.svg" for name in FIGURES} if folder else {}
    return {
        name: path
        for name, path in drawn.items()
        if path.exists() and len(path.with_suffix(".csv").read_text().splitlines()) > 1
    }


def figures_html(folder: Path | None) -> str:
    """Return the figures of a folder, inside the page, each with its title, caption and files."""
    parts = []
    for name, path in list_figures(folder).items():
        title, caption = _escaped(title_of(name)), _escaped(FIGURES[name].CAPTION)
        drawing = path.read_text()
        # With its size known at once nothing moves when the picture is there.
        size = re.search(r'<svg[^>]* width="([\d.]+)pt" height="([\d.]+)pt"', drawing)
        width, height = (round(float(one) * 4 / 3) for one in size.groups()) if size else (336, 252)
        image = base64.b64encode(_embedded(drawing).encode()).decode()
        files = "".join(
            f'<a class="beside" href="{name}.{kind}" download>{label}</a>'
            for kind, label in (("png", "PNG"), ("svg", "SVG"), ("pdf", "PDF"), ("csv", "Data"))
        )
        wide = ' class="wide"' if width > WIDE else ""
        parts.append(
            f'<figure id="figure-{name}"{wide}>'
            f'<h3>{title} <a href="#figure-{name}" aria-label="Link to this figure">#</a></h3>'
            f'<img alt="{title}" width="{width}" height="{height}" '
            f'src="data:image/svg+xml;base64,{image}">'
            f'<figcaption>{caption} <span class="files">{files}</span></figcaption></figure>'
        )
    return "\n".join(parts) or "<p>The figures were not drawn when this page was made.</p>"


def _embedded(svg: str) -> str:
    """Return a drawing for the page: without what no eye sees, and with colours for the dark."""
    svg = re.sub(r">\s+<", "><", svg[svg.index("<svg") :])
    svg = re.sub(r"<metadata>.*?</metadata>|<path d=\"M [\d.]+ [\d.]+ \"[^>]*/>", "", svg)
    svg = re.sub(
        r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d\d)\d+", r"\1", tag[0].replace("\n", " ")), svg
    )
    return svg.replace("</svg>", f"<style>{on_a_dark_page()}</style></svg>")


def plane_points(report: Report) -> list[PagePoint]:
    """Return what has an accuracy and a harmful score or over-refusal: models, seeds, epochs."""

    def measure(row: TradeoffRow, metric: str) -> list[float | str | None] | None:
        values = percent(row["metrics"], metric)
        if values is None:
            return None
        shown = over_both(row["metrics"][metric])
        return [*values, number(shown["estimate"]), interval(shown)]

    points: list[PagePoint] = []
    for row, titled in zip(report["rows"], with_titles(report)["rows"], strict=True):
        harm, refusal = measure(row, "harmful_score"), measure(row, "over_refusal")
        accuracy = measure(row, "reasoning_accuracy")
        if accuracy and (harm or refusal):
            points.append(
                {
                    "lrm": row["lrm"],
                    "role": row["role"],
                    "model": model_name(titled),
                    "seed": row["seed"],
                    "seeds": row["n_seeds"],
                    "epoch": row["epoch"],
                    "final": row["final"],
                    "status": row["status"],
                    "reason": row["status_reason"],
                    "harm": harm,
                    "accuracy": accuracy,
                    "refusal": refusal,
                }
            )
    return points


def guide_to(points: Sequence[PagePoint]) -> str:
    """Return how the planes are read: that of harm, that of over-refusal, or both."""
    harm, refusal = any(p["harm"] for p in points), any(p["refusal"] for p in points)
    if refusal and not harm:
        sides = "right is harmless prompts refused, down is reasoning lost"
        return GUIDE.format(sides=sides, move="stay in place")
    sides, move = "left is safer, down is reasoning lost", "move straight to the left"
    if refusal:
        sides += ", and right in the second plane is harmless prompts refused"
        move += " in the first plane and stay in place in the second"
    return GUIDE.format(sides=sides, move=move)


def render(
    report: Report,
    transcripts: Transcripts | None,
    figures: Path | None = None,
    alone: bool = False,
) -> str:
    """Return the page.

    Args:
        report: The report.
        transcripts: What `write_transcripts` or `embed_transcripts` gives; None without any.
        figures: The folder of the figures.
        alone: Whether it is sent without the files beside it.
    """
    titled = with_titles(report)
    style = (PARTS / "page.css").read_text() + _colors()
    script = "".join((PARTS / name).read_text() for name in SCRIPTS)
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; "
        f"script-src {_digest(script)} 'self' file:; "
        "img-src data: 'self' file:; base-uri 'none'; form-action 'none'"
    )
    points, drawn = plane_points(report), _drawn(figures)
    data = {
        "lrms": list(
            {
                row["lrm"]: [row["lrm"], shown["lrm"]]
                for row, shown in zip(report["rows"], titled["rows"], strict=True)
            }.values()
        ),
        "points": points,
        "styles": {
            model: [_class_of(color), marker] for model, (color, marker) in style_of(titled).items()
        },
        "transcripts": transcripts,
        # A file that is beside the page, unless it was sent alone.
        "probe": None if alone else drawn,
    }
    tables = build_tables(report)
    title = report["description"] or "the trade-off"
    heading = title if "safety tax" in title.lower() else f"Safety tax: {title}"
    cards = figures is not None and (figures / "cards").is_dir()
    single = figures is not None and (figures / SINGLE).is_file() and not alone
    return Template((PARTS / "page.html").read_text()).substitute(
        policy=html.escape(policy),
        title=_escaped(heading),
        heading=_escaped(heading),
        headlines=_headlines(report),
        guide=guide_to(points),
        cards='<li><a href="cards/">Model cards</a></li>' if cards else "",
        single=f'<li><a href="{SINGLE}" download>This page in one file</a></li>' if single else "",
        table_list=_contents("table", [(t.key, t.title) for t in tables if not t.origin]),
        tables="\n".join(
            to_html(table, table is tables[0]) for table in tables if not table.origin
        ),
        figure_list=_contents("figure", [(name, title_of(name)) for name in list_figures(figures)]),
        figures=figures_html(figures),
        transcripts=WITHOUT if transcripts is None else BROWSER,
        methods=_list(report["methods"]),
        provenance="".join(
            f"<dt>{_escaped(key.replace('_', ' '))}</dt><dd>{_escaped(_plain(value))}</dd>"
            for key, value in sorted(titled["provenance"].items())
        ),
        origins="\n".join(to_html(table) for table in tables if table.origin),
        limits=_list(report["limits"]),
        data=to_json(data),
        style=style,
        script=script,
    )


def _contents(kind: str, entries: Iterable[tuple[str, str]]) -> str:
    links = (f'<a href="#{kind}-{_escaped(key)}">{_escaped(text)}</a>' for key, text in entries)
    return f'<nav class="contents" aria-label="All {kind}s">{" ".join(links)}</nav>'


def _headlines(report: Report) -> str:
    """Return the headline; of several LRMs each has its own, and the page shows the chosen one."""
    by_lrm: dict[str, list[TradeoffRow]] = {}
    for row, titled in zip(report["rows"], with_titles(report)["rows"], strict=True):
        by_lrm.setdefault(row["lrm"], []).append(titled)
    several = {name: (headline(rows), caveats(rows)) for name, rows in by_lrm.items()}
    if len(by_lrm) < 2:
        several = {name: (report["headline"], report["caveats"]) for name in by_lrm}
    return "\n".join(
        f'<div data-lrm="{_escaped(name)}"><p class="headline">{_escaped(text)}</p>'
        f'<p class="caveats">{_escaped(more)}</p></div>'
        for name, (text, more) in several.items()
    )


def _drawn(folder: Path | None) -> str | None:
    """Return a picture that was drawn into a folder."""
    names = [f"{name}.png" for name in FIGURES if folder and (folder / f"{name}.png").exists()]
    return names[0] if names else None


def _colors() -> str:
    """Return the style sheet's classes of the figures' colours, in the light and in the dark."""
    colors = (*COLORS, BASE[0], LRM[0])
    light = "".join(f".{_class_of(color)}{{--k:{color}}}" for color in colors)
    dark = "".join(f".{_class_of(color)}{{--k:{DARK[color]}}}" for color in colors)
    return f"{light}\n@media (prefers-color-scheme:dark){{{dark}}}\n"


def _class_of(color: str) -> str:
    return f"k{color.lstrip('#')}"


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
