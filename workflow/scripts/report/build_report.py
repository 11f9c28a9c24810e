"""From the verdicts to everything that the tables, figures and the page show, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json, sha256_text
from workflow.scripts.report.agreement import agreement_of_scorers
from workflow.scripts.report.comparisons import compare_alignments
from workflow.scripts.report.cost import Costs
from workflow.scripts.report.detectable import detectable
from workflow.scripts.report.durability import build_durability
from workflow.scripts.report.frontier import build_frontiers
from workflow.scripts.report.harm import harm_by_category, harm_on_clean_items
from workflow.scripts.report.headline import caveats, headline
from workflow.scripts.report.inputs import Inputs
from workflow.scripts.report.methods import METHODS, limits
from workflow.scripts.report.metrics import MAIN
from workflow.scripts.report.missing import describe_missing, say_partial
from workflow.scripts.report.origins import read_origins
from workflow.scripts.report.power import WANTED_WIDTH
from workflow.scripts.report.published import against_published
from workflow.scripts.report.results import Results
from workflow.scripts.report.rows import build_rows
from workflow.scripts.report.schema import (
    DescribedJudge,
    MeasuredBenchmark,
    Overlap,
    Report,
    SharedPrompts,
)
from workflow.scripts.report.stability import stability
from workflow.scripts.report.titles import read_titles, with_titles, with_titles_of_rows
from workflow.scripts.report.verdicts import FORMAT, read_verdicts

if TYPE_CHECKING:
    from workflow.scripts.data.measure_overlap import LevelOverlap, OverlapReport, Pair


def build_report(inputs: Inputs) -> Report:
    """Return the report: fractions from 0 to 1, texts as they are.

    Raises:
        InputError: A file is absent or wrong, or no score belongs to a model of the experiment.
    """
    experiment = inputs.sections
    wanted = experiment.get("report", {})
    verdicts = read_verdicts(inputs)
    results = Results(experiment, verdicts)
    costs = Costs(inputs)
    rows = build_rows(results, costs)
    if not rows:
        raise InputError("scores: none belongs to a model of the experiment's lrms")
    overlap = cast("OverlapReport", read_json(inputs.overlap) if inputs.overlap else {})
    pairs = overlap.get("pairs", [])
    origins, in_common = read_origins(inputs)
    titles = read_titles(experiment)
    titled_rows = with_titles_of_rows(rows, titles)
    report: Report = {
        "format": FORMAT,
        "description": experiment.get("description", ""),
        "seeds": experiment.get("seeds", []),
        "titles": {section: found for section, found in titles.items() if found},
        "headline": headline(titled_rows),
        "caveats": say_partial(inputs) + caveats(titled_rows),
        "missing": describe_missing(inputs),
        "benchmarks": _benchmarks(results, overlap),
        "rows": rows,
        "alignments": compare_alignments(results),
        "frontier": build_frontiers(results, costs),
        "durability": build_durability(results),
        "categories": harm_by_category(results),
        "clean": harm_on_clean_items(results, pairs),
        "published": against_published(rows, wanted.get("published", [])),
        "overlap": [_overlap(pair) for pair in pairs],
        "ngram": overlap.get("ngram"),
        "judges": _judges(verdicts.judges, inputs),
        "agreement": agreement_of_scorers(results),
        "detectable": detectable(results, rows),
        "stability": stability(results, wanted.get("interval_width", WANTED_WIDTH) / 100),
        "methods": list(METHODS),
        "provenance": {
            **in_common,
            "score_files": len(verdicts.digests),
            "verdicts_sha256": sha256_text("\n".join(sorted(verdicts.digests))),
        },
        "origins": origins,
        "limits": [],
    }
    report["limits"] = limits(with_titles(report))
    return report


def read_report(path: str | Path) -> Report:
    """Read a `tradeoff.json`.

    Raises:
        InputError: It is of another format.
    """
    found = read_json(path)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError(f"{path}: expected a report of format {FORMAT}")
    return cast(Report, found)


def _benchmarks(results: Results, overlap: OverlapReport) -> dict[str, MeasuredBenchmark]:
    described = overlap.get("benchmarks", {})
    return {
        name: {
            "kind": kind,
            "scorers": results.scorers(name),
            "repeated_prompts": (
                one.get("exact", {}).get("extra") if (one := described.get(name)) else None
            ),
        }
        for kind in MAIN
        for name in results.benchmarks(kind)
    }


def _overlap(pair: Pair) -> Overlap:
    """Return how much a training set and a benchmark share, without the items."""

    def shared(one: LevelOverlap) -> SharedPrompts:
        return {
            "count": one["count"],
            "share": one["share"],
            "low": one["low"],
            "high": one["high"],
        }

    return {
        "train": pair["train"],
        "benchmark": pair["benchmark"],
        "n_train": pair["n_train"],
        "n_benchmark": pair["n_benchmark"],
        "exact": shared(pair["exact"]),
        "normalised": shared(pair["normalised"]),
        "ngram": shared(pair["ngram"]),
    }


def _judges(judges: Mapping[str, DescribedJudge], inputs: Inputs) -> dict[str, DescribedJudge]:
    """Return the judges that the scores describe, and those that no score has used."""
    used = [one.get("weights_sha256") for one in judges.values() if isinstance(one, Mapping)]
    found: dict[str, DescribedJudge] = {
        name: read_json(folder / "judge.json") for name, folder in inputs.judges.items()
    }
    others = {
        name: one
        for name, one in found.items()
        if one.get("weights_sha256") is None or one["weights_sha256"] not in used
    }
    return {**judges, **others}
