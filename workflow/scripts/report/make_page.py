"""Make the page of an experiment: one HTML file that needs nothing from the network.

Reads `tradeoff.json`, and the figures where they stand in the page's folder, and writes
`index.html`: headline, interactive trade-off plane, sortable tables, figures, methods, provenance
and limits. What the models wrote is left out, unless
`--with-transcripts` asks for it; then `transcripts/*.js` hold the final epoch's samples, and the
page shows a harmful one after a click only.

python -m workflow.scripts.report.make_page --report results/micro/report/tradeoff.json \
    --with-transcripts --score-files $(find results/micro/score -name score.json) \
    --sample-files $(find results/micro/generate -name samples.jsonl) \
    --out results/micro/report/page
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import html
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import read_json, read_jsonl, write_text
from workflow.scripts.common.progress import track
from workflow.scripts.report.draw_figures import FIGURES, percent, style_of
from workflow.scripts.report.escape import one_line, visible
from workflow.scripts.report.results import REQUIRED, Model, parse_run, read_report
from workflow.scripts.report.tables import Table, build_tables, model_name

PARTS = Path(__file__).parent / "page"
CAPTIONS = Path(__file__).parents[2] / "report"
SHARD_CHARACTERS = 2_000_000
LONG_TABLE = 30  # rows; a longer table opens on demand


def to_json(value: Any) -> str:
    """Return JSON that can stand inside a script element: no `<`, no line separators."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    for character in "<>\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


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
    """Return the figures that stand in a folder, inside the page, each with its caption."""
    parts = []
    for name in FIGURES:
        path = folder / f"{name}.svg" if folder else None
        if path is None or not path.exists():
            continue
        caption = _escaped((CAPTIONS / f"{name}.rst").read_text().strip())
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
    return points


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
    if transcripts is None:
        browser = "<p>This page was built without what the models wrote (--with-transcripts).</p>"
    else:
        browser = (
            '<form class="controls" id="browser-controls" aria-label="Which items"></form>\n'
            '<p class="caption" id="found" role="status"></p>\n'
            '<div class="browser"><div id="items" role="group" aria-label="Items, arrow keys move">'
            '</div><div id="sample" role="region" aria-label="The chosen item"></div></div>'
        )
    tables = build_tables(report)
    return Template((PARTS / "page.html").read_text()).substitute(
        policy=html.escape(policy),
        title=_escaped(report["description"] or "the trade-off"),
        headline=_escaped(report["headline"]),
        caveats=_escaped(report["caveats"]),
        tables="\n".join(to_html(table) for table in tables if not table.origin),
        figures=figures_html(figures),
        transcripts=browser,
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


def read_verdicts(score_files: Iterable[str]) -> dict[tuple[str, str], dict[str, dict[Any, Any]]]:
    """Return {(run, benchmark): {scorer: {(checkpoint, item, repeat): verdict}}}."""
    found: dict[tuple[str, str], dict[str, dict[Any, Any]]] = {}
    for path in sorted(score_files):
        score = read_json(path)
        found.setdefault((score["run"], score["benchmark"]), {})[score["scorer"]] = {
            (v["checkpoint"], v["item_id"], v["repeat"]): v
            for v in read_jsonl(Path(path).with_name("verdicts.jsonl"))
        }
    return found


def write_transcripts(
    report: Mapping[str, Any], sample_files: Iterable[str], score_files: Iterable[str], out: Path
) -> dict[str, Any]:
    """Write the samples of the final epochs as script files, and return what the page must know.

    Returns:
        {"benchmarks": [{"name", "kind", "categories", "shards": [file relative to the page]}],
        "models": [{"role", "label", "seed", "lrms": LRMs that it is shown with}]}
    """
    verdicts = read_verdicts(score_files)
    final = _final_checkpoints(report)
    models = _models(report)
    items: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in report["benchmarks"]}
    # Samples that were deleted to save space are not shown.
    paths = sorted(filter(os.path.exists, sample_files))
    for path in track(paths, len(paths), "reading transcripts"):
        manifest = read_json(Path(path).with_name("manifest.json"))
        name, run_name = manifest["benchmark"], manifest["run"]
        model, _ = parse_run(run_name)
        if name not in items or model not in models:
            continue
        checkpoints = final[(model.role, model.name, model.alignment)]
        scorer = report["benchmarks"][name]["scorers"][0]
        judged = verdicts.get((run_name, name), {}).get(scorer, {})
        for sample in read_jsonl(path):
            if sample["checkpoint"] not in checkpoints:
                continue
            item = items[name].setdefault(
                sample["item_id"],
                {
                    "id": sample["item_id"],
                    "prompt": sample["prompt"],
                    "target": sample["target"],
                    "category": sample["category"],
                    "samples": [],
                },
            )
            key = (sample["checkpoint"], sample["item_id"], sample["repeat"])
            verdict = judged.get(key, {})
            shown = {
                "m": models.index(model),
                "r": sample["repeat"],
                "thinking": sample["thinking"],
                "answer": sample["answer"],
                "tokens": [sample["thinking_tokens"], sample["answer_tokens"]],
                "state": verdict.get("state", sample["state"]),
                "v": verdict.get(REQUIRED[report["benchmarks"][name]["kind"]]),
            }
            if isinstance(verdict.get("refused"), bool):
                shown["f"] = verdict["refused"]
            if "extracted" in verdict:
                shown["extracted"] = verdict["extracted"]
            item["samples"].append(shown)
    folder = out / "transcripts"
    if folder.exists():
        shutil.rmtree(folder)
    return {
        "benchmarks": [
            {
                "name": name,
                "kind": report["benchmarks"][name]["kind"],
                "categories": sorted({i["category"] for i in items[name].values()} - {""}),
                "shards": _write_shards(folder, index, list(items[name].values())),
            }
            for index, name in enumerate(items)
        ],
        "models": [
            {
                "role": model.role,
                "label": model_name({"role": model.role, "alignment": model.alignment}),
                "seed": "hub" if model.seed is None else str(model.seed),
                "lrms": sorted(
                    {
                        lrm
                        for found in final[(model.role, model.name, model.alignment)].values()
                        for lrm in found
                    }
                ),
            }
            for model in models
        ],
    }


def _models(report: Mapping[str, Any]) -> list[Model]:
    """Return the report's models in the order of its rows."""
    found = [
        Model(
            row["role"],
            row["name"],
            row["alignment"],
            None if row["seed"] == "hub" else int(row["seed"]),
        )
        for row in report["rows"]
        if row["final"] and not row["seed"].startswith("mean")
    ]
    return list(dict.fromkeys(found))


def _final_checkpoints(
    report: Mapping[str, Any],
) -> dict[tuple[str, str, str | None], dict[str, list[str]]]:
    """Return {(role, name, alignment): {final checkpoint: LRMs that the model is shown with}}."""
    found: dict[tuple[str, str, str | None], dict[str, list[str]]] = {}
    for row in report["rows"]:
        if row["final"]:
            key = (row["role"], row["name"], row["alignment"])
            found.setdefault(key, {}).setdefault(row["checkpoint"], []).append(row["lrm"])
    return found


def _write_shards(folder: Path, benchmark: int, items: list[dict[str, Any]]) -> list[str]:
    # The position stands for the benchmark's name in file names, which may hold any character.
    files: list[str] = []
    chunk: list[str] = []

    def flush() -> None:
        name = f"{benchmark}-{len(files)}.js"
        write_text(folder / name, f"addTranscripts({benchmark}, [{','.join(chunk)}]);\n")
        files.append(f"transcripts/{name}")
        chunk.clear()

    for item in items:
        chunk.append(to_json(item))
        if sum(map(len, chunk)) > SHARD_CHARACTERS:
            flush()
    if chunk:
        flush()
    return files


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


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--report", required=True, help="tradeoff.json")
    parser.add_argument(
        "--with-transcripts", action="store_true", help="put what the models wrote beside the page"
    )
    parser.add_argument("--sample-files", nargs="*", default=[], metavar="samples.jsonl")
    parser.add_argument("--score-files", nargs="*", default=[], metavar="score.json")
    parser.add_argument("--out", type=Path, required=True, help="the page's folder")
    args = parser.parse_args(argv)
    report = read_report(args.report)
    transcripts = None
    if args.with_transcripts:
        if not (args.sample_files and args.score_files):
            raise InputError("--with-transcripts: expected --sample-files and --score-files too")
        transcripts = write_transcripts(report, args.sample_files, args.score_files, args.out)
    elif (args.out / "transcripts").exists():
        shutil.rmtree(args.out / "transcripts")
    write_text(args.out / "index.html", render(report, transcripts, args.out))


if __name__ == "__main__":
    run(main)
