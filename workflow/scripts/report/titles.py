"""Plain names: what tables, figures and the page call an entry of the experiment.

`tradeoff.json`, `tradeoff.csv` and links keep the names of the experiment's file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workflow.scripts.report.experiment import BenchmarkEntry, Experiment, ModelEntry
from workflow.scripts.report.schema import Report, TradeoffRow

Titles = Mapping[str, Mapping[str, str]]
# Whose name a value under a key of the report is.
NAMED = {"lrm": "lrms", "alignment": "alignments", "benchmark": "benchmarks"}


def read_titles(experiment: Experiment) -> dict[str, dict[str, str]]:
    """Return {section: {name: title}} of the entries that have a title."""
    sections: dict[str, Mapping[str, ModelEntry | BenchmarkEntry]] = {
        "lrms": experiment["lrms"],
        "alignments": experiment["alignments"],
        "benchmarks": experiment["benchmarks"],
    }
    return {
        section: {name: entry["title"] for name, entry in entries.items() if entry.get("title")}
        for section, entries in sections.items()
    }


def with_titles(report: Report) -> Report:
    """Return a report in which each name is the entry's title, for tables, figures and the page."""
    titles: Titles = report.get("titles", {})
    if not any(titles.values()):
        return report.copy()
    found: Report = _titled(
        {key: value for key, value in report.items() if key != "titles"}, titles
    )
    benchmarks = titles.get("benchmarks", {})
    found["benchmarks"] = {
        benchmarks.get(name, name): one for name, one in report.get("benchmarks", {}).items()
    }
    provenance: Any = found.get("provenance", {})
    for key in ("decoding", "engines", "tasks"):
        if isinstance(provenance.get(key), Mapping):
            provenance[key] = {benchmarks.get(n, n): one for n, one in provenance[key].items()}
    alignments = titles.get("alignments", {})
    for one in found.get("alignments", []):
        one["first"] = alignments.get(one["first"] or "", one["first"])
        one["second"] = alignments.get(one["second"] or "", one["second"])
    for value in found.get("published", []):
        value["model"] = _model(value["model"], titles)
        value["metric"] = _key(value["metric"], benchmarks)
    return found


def with_titles_of_rows(rows: list[TradeoffRow], titles: Titles) -> list[TradeoffRow]:
    """Return the rows of a report with titles for names."""
    found: list[TradeoffRow] = _titled(rows, titles) if any(titles.values()) else rows
    return found


def _titled(value: Any, titles: Titles) -> Any:
    """Return a copy with titles: values under the keys of `NAMED`, and keys metric/benchmark."""
    if isinstance(value, list):
        return [_titled(one, titles) for one in value]
    if not isinstance(value, Mapping):
        return value
    found: dict[str, Any] = {}
    for key, one in value.items():
        section = titles.get(NAMED.get(key, ""), {})
        if isinstance(one, str):
            found[key] = section.get(one, one)
        elif key == "metrics":
            benchmarks = titles.get("benchmarks", {})
            found[key] = {_key(name, benchmarks): number for name, number in one.items()}
        elif key == "states":
            found[key] = {_state(name, titles): count for name, count in one.items()}
        else:
            found[key] = _titled(one, titles)
    return found


def _key(key: str, benchmarks: Mapping[str, str]) -> str:
    """Return `metric/benchmark@scorer` with the benchmark's title."""
    metric, slash, rest = key.partition("/")
    name, at, scorer = rest.partition("@")
    return f"{metric}{slash}{benchmarks.get(name, name)}{at}{scorer}"


def _state(key: str, titles: Titles) -> str:
    """Return `benchmark/scorer` with the benchmark's title."""
    name, slash, scorer = key.partition("/")
    return f"{titles.get('benchmarks', {}).get(name, name)}{slash}{scorer}"


def _model(model: str, titles: Titles) -> str:
    """Return `role/LRM/ALIGNMENT` with titles."""
    role, *names = model.split("/")
    sections = ("lrms", "alignments") if role != "base" else ("bases",)
    shown = [titles.get(s, {}).get(n, n) for s, n in zip(sections, names, strict=False)]
    return "/".join((role, *shown))
