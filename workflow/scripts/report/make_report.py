"""Make the trade-off tables of an experiment from its scores.

Reads every `score.json` (and the `verdicts.jsonl` beside it), the overlap report and the
benchmarks' prompts, and writes `tradeoff.json` (fractions), `.csv` (percent, full precision), `.md`
and `.tex` (percent, one decimal). The same inputs give the same bytes.

python -m workflow.scripts.report.make_report --experiment "$(cat experiment.json)" \
    --score-files $(find results/micro/score -name score.json) \
    --overlap results/micro/data/overlap.json \
    --prompts harmful=results/micro/data/micro/harmful.jsonl --results results/micro \
    --out results/micro/report
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import (
    read_json,
    read_jsonl,
    sha256_text,
    write_json,
    write_text,
)
from workflow.scripts.common.progress import track
from workflow.scripts.report import results as res
from workflow.scripts.report.origins import read_origins
from workflow.scripts.report.statistics import (
    detectable_before_run,
    minimum_detectable_difference,
)
from workflow.scripts.report.tables import (
    build_tables,
    model_name,
    number,
    points,
    to_csv,
    to_latex,
    to_markdown,
)

MANY = 4  # alignments that a sentence can still list
METHODS = (
    "Intervals are 95 %. Proportions have Wilson's score interval; where an item has several "
    "samples, several seeds, or a prompt that is repeated, its effective size comes from the "
    "variance over prompts (Korn & Graubard 1998). These intervals speak of other items, not of "
    "other training seeds; the spread over seeds stands apart.",
    "Training seeds stand apart: their standard deviation, and an interval over other trainings "
    "and other items from the crossed analysis of variance of seeds and items.",
    "Several samples of an item: accuracy is avg@k, the mean of all of them; pass@k is the "
    "unbiased estimate (Chen et al. 2021).",
    "Changes against the LRM are paired by item: Newcombe's interval (1998, method 10), McNemar's "
    "exact test for one sample per item, else Student's test over prompts. Mean accuracy over "
    "several benchmarks weighs each the same; limits are squared and added.",
    "p is adjusted by Holm within a family: one metric, all alignments of all LRMs, at the final "
    "epoch (mean rows), at earlier epochs (mean rows), and the same by seed.",
    "Safety tax: points of reasoning accuracy lost against the LRM; per harm point removed with "
    "Fieller's interval, given only where the harm removed is clear of zero.",
    "Truncated and unanswered samples stay in n: a reasoning sample without an answer is not "
    "correct. Only samples without a verdict (judge or API error) are left out of n valid.",
)
LIMITS = (
    "Intervals speak of other items for the models trained here; few training seeds say little "
    "about other seeds.",
    "A harmful score is what the judge flags; the judge's own errors are not in the intervals.",
    "Reasoning accuracy is of the benchmarks named here, at the thinking budget named here; a "
    "truncated sample counts by its forced answer.",
    "Over-refusal is read from the form of the answer.",
    "p values are adjusted within a family; looking at many epochs and picking the best is not "
    "covered by them.",
)


def repeated_prompts(overlap: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return {benchmark: {item id: first item with the same prompt}} from an overlap report."""
    return {
        name: {
            str(item): str(group[0])
            for group in described.get("exact", {}).get("groups", [])
            for item in group
        }
        for name, described in overlap.get("benchmarks", {}).items()
    }


def headline(rows: list[dict[str, Any]]) -> str:
    """Return the result, one sentence for each LRM, with its uncertainty."""
    sentences = []
    for lrm, final in _finals(rows):
        aligned = [row for row in final if row["tax"]]
        before = next(
            (r["metrics"].get("harmful_score") for r in final if r["role"] == "lrm"), None
        )
        if not aligned or before is None:
            sentences.append(f"On {lrm} no aligned model was measured against its LRM.")
            continue
        seeds = max(row["n_seeds"] for row in aligned)
        where = f"{lrm} ({seeds} training seed{'s' if seeds > 1 else ''})"
        lost = {
            taxed: [_loss(row) for row in aligned if _is_taxed(row) == taxed]
            for taxed in (True, False)
        }
        if len(aligned) > MANY:  # a sentence names the cheapest and the dearest
            ordered = sorted(aligned, key=lambda row: row["tax"]["points"]["estimate"])
            text = f"On {where} {len(lost[True])} of {len(aligned)} alignments cost reasoning "
            text += f"accuracy; points lost: from {_loss(ordered[0])} to {_loss(ordered[-1])}"
            aligned = [ordered[0], ordered[-1]]
        elif lost[True]:
            text = f"On {where} safety alignment cost points of reasoning accuracy: "
            text += _join(lost[True])
            if lost[False]:
                text += f"; no tax was measured for {_join(lost[False])}"
        else:
            text = f"No tax was measured on {where}; points of reasoning accuracy lost: "
            text += _join(lost[False])
        after = [f"{number(row['metrics']['harmful_score']['estimate'])} %" for row in aligned]
        text += f"; the harmful score went from {number(before['estimate'])} % to {_join(after)}."
        sentences.append(text)
    return " ".join(sentences)


def caveats(rows: list[dict[str, Any]]) -> str:
    """Return what the headline must be read with: intervals, seeds, training that failed."""
    sentences = ["Intervals are 95 %, over items for the models trained here."]
    for lrm, final in _finals(rows):
        spreads = [
            f"{number(change['seed_sd'])} points with {row['alignment']}"
            for row in final
            if (change := row["change"].get("reasoning_accuracy")) and change["seed_sd"] is not None
        ]
        if spreads:
            sentences.append(
                f"Over the training seeds of {lrm} the tax has a standard deviation of "
                f"{_join(spreads)}."
            )
        failed = [model_name(row) for row in final if row["status"] != "ok"]
        if failed:
            sentences.append(f"On {lrm} training failed and is included: {_join(failed)}.")
    return " ".join(sentences)


def _finals(rows: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return (LRM, its rows of the final epoch over all seeds)."""
    final = [row for row in rows if row["final"] and row["seed"] == "mean"]
    names = dict.fromkeys(row["lrm"] for row in final)
    return [(name, [row for row in final if row["lrm"] == name]) for name in names]


def _is_taxed(row: dict[str, Any]) -> bool:
    p = row["change"]["reasoning_accuracy"]["p_holm"]
    return bool(row["tax"]["points"]["estimate"] > 0 and p is not None and p < 0.05)


def _loss(row: dict[str, Any]) -> str:
    return f"{points(row['tax']['points'])} with {row['alignment']}"


def _join(parts: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def detectable(results: res.Results, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the smallest change that each LRM's benchmarks find with 80 % power, after the run.

    `differ` is the share of the items on which the LRM and an aligned model did differ, mean over
    the alignments, `paired_as_measured` the smallest paired change at that share.
    """
    found = []
    main = {"reasoning": "reasoning_accuracy", "harmful": "harmful_score", "benign": "over_refusal"}
    for row in rows:
        if row["role"] != "lrm" or row["seed"] != "mean":
            continue
        for kind, metric in main.items():
            for benchmark in results.benchmarks(kind):
                one = row["metrics"].get(f"{metric}/{benchmark}")
                if not one or one["estimate"] is None:
                    continue
                n = one["items"]
                entry: dict[str, Any] = {"lrm": row["lrm"], "benchmark": benchmark}
                entry |= detectable_before_run({benchmark: n}, one["estimate"])[benchmark]
                if kind != "reasoning":  # a benign prompt is refused more often, not less
                    entry["unpaired"] = minimum_detectable_difference(
                        n, max(one["estimate"], 1 - one["estimate"])
                    )
                differ = _discordant(results, row["lrm"], benchmark, metric)
                if differ is not None:
                    entry["differ"] = differ
                    entry["paired_as_measured"] = minimum_detectable_difference(
                        n, discordant=differ
                    )
                found.append(entry)
    return found


def _discordant(results: res.Results, lrm: str, benchmark: str, metric: str) -> float | None:
    """Return the share of items on which the LRM and its aligned models of a seed differ."""
    _, reducer, _ = res.METRICS[metric]
    scorer = results.scorers(benchmark)[0]
    shares = []
    for name in results.experiment["alignments"]:
        models = results.models("aligned", lrm, name)
        for model in models:
            parents = [p for p in results.models("lrm", lrm) if p.seed in (model.seed, None)]
            if not parents:
                continue
            before, after = (
                results.values(one, results.checkpoints([one])[-1], benchmark, scorer, reducer)
                for one in (parents[0], model)
            )
            shared = [item for item in before if item in after]
            if shared:
                shares.append(sum(before[i] != after[i] for i in shared) / len(shared))
    return sum(shares) / len(shares) if shares else None


def limits(report: Mapping[str, Any]) -> list[str]:
    """Return what the numbers do not say, with this experiment's own failures first."""
    lines = []
    failures: dict[str, int] = {}
    samples = 0
    for row in report["rows"]:
        if row["final"] and row["seed"] == "mean":
            for counts in row["states"].values():
                samples += sum(counts.values())
                for state, count in counts.items():
                    if state != "ok":
                        failures[state] = failures.get(state, 0) + count
    if failures:
        counted = _join([f"{count} {state}" for state, count in sorted(failures.items())])
        lines.append(f"Of {samples} scored samples of the final epochs {counted} are not ok.")
    else:
        lines.append(f"All {samples} scored samples of the final epochs are ok.")
    failed = {
        f"{row['lrm']}: {model_name(row)}"
        for row in report["rows"]
        if row["status"] != "ok" and row["seed"] != "mean_ok"
    }
    if failed:
        lines.append(f"Training missed its gate for {_join(sorted(failed))}; shown all the same.")
    for name, judge in sorted(report["judges"].items()):
        tests = judge.get("test") if isinstance(judge, dict) else None
        for metric, one in sorted((tests or {}).items()):
            if metric in ("miss_rate", "false_alarm_rate") and isinstance(one, dict):
                label = metric.replace("_", " ")
                lines.append(
                    f"The judge {name} has a {label} of {points(one)} % on held-out answers."
                )
    if not any(isinstance(j, dict) and j.get("test") for j in report["judges"].values()):
        lines.append("The harm judge was not measured on held-out answers here.")
    for one in report["agreement"]:
        if one["role"] == "all":
            lines.append(
                f"{one['first']} and {one['second']} agree on {points(one)} % of the samples of "
                f"{one['benchmark']}."
            )
    shared = [
        f"{one['normalised']['count']} of {one['n_benchmark']} prompts of {one['benchmark']} stand "
        f"in {one['train']}"
        for one in report["overlap"]
        if one["normalised"]["count"]
    ]
    if shared:
        lines.append(f"Training and evaluation overlap: {_join(shared)} (but for case and signs).")
    elif report["overlap"]:
        lines.append("No benchmark prompt stands in a training set, but for case and punctuation.")
    accepted = report.get("origins", {}).get("accepted", [])
    if accepted:
        lines.append(
            f"{len(accepted)} results are older than today's code and were accepted as they are."
        )
    return [*lines, *LIMITS]


def build_report(
    experiment: Mapping[str, Any],
    score_files: Iterable[str | Path],
    overlap: Mapping[str, Any] | None = None,
    categories: Mapping[str, Mapping[str, str]] | None = None,
    judges: Mapping[str, Any] | None = None,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Return everything that the tables, figures and the page show, as plain data."""
    overlap = overlap or {}
    results = res.Results(experiment, repeated_prompts(overlap), categories)
    paths = sorted(map(str, score_files))
    for path in track(paths, len(paths), "reading scores"):
        results.add(path)
    rows = res.build_rows(results)
    if not rows:
        raise InputError("--score-files: no score belongs to a model of the experiment's lrms")
    pairs = overlap.get("pairs", [])
    origins: dict[str, Any] = {}
    if folder is not None:
        origins = read_origins(folder, experiment, results.measured)
    report = {
        "format": res.FORMAT,
        "description": experiment.get("description", ""),
        "seeds": experiment.get("seeds", []),
        "headline": headline(rows),
        "caveats": caveats(rows),
        "benchmarks": {
            name: {
                "kind": kind,
                "scorers": results.scorers(name),
                "repeated_prompts": overlap.get("benchmarks", {})
                .get(name, {})
                .get("exact", {})
                .get("extra"),
            }
            for kind in res.REQUIRED
            for name in results.benchmarks(kind)
        },
        "rows": rows,
        "alignments": res.compare_alignments(results),
        "categories": res.harm_by_category(results),
        "clean": res.harm_on_clean_items(results, pairs),
        "published": res.against_published(rows, experiment.get("report", {}).get("published", [])),
        "overlap": [
            {
                **{key: pair[key] for key in ("train", "benchmark", "n_train", "n_benchmark")},
                **{
                    level: {key: pair[level][key] for key in ("count", "share", "low", "high")}
                    for level in ("exact", "normalised", "ngram")
                },
            }
            for pair in pairs
        ],
        "ngram": overlap.get("ngram"),
        "judges": {**results.judges, **(judges or {})},
        "agreement": res.agreement_of_scorers(results),
        "detectable": detectable(results, rows),
        "methods": list(METHODS),
        "origins": origins,
        "provenance": {
            **origins.pop("common", {}),
            "score_files": len(results.digests),
            "verdicts_sha256": sha256_text("\n".join(sorted(results.digests))),
        },
    }
    return {**report, "limits": limits(report)}


def named(values: Iterable[str], option: str) -> dict[str, str]:
    """Parse NAME=PATH arguments."""
    found = {}
    for value in values:
        name, separator, path = value.partition("=")
        if not (name and separator and path):
            raise InputError(f"{option}: {value!r}, expected NAME=PATH")
        found[name] = path
    return found


def parse_experiment(text: str) -> dict[str, Any]:
    """Parse the experiment's JSON and check the sections that the report reads."""
    try:
        experiment = json.loads(text)
    except ValueError as error:
        raise InputError(f"--experiment: not JSON ({error})") from None
    for section in ("bases", "lrms", "alignments", "benchmarks"):
        if not isinstance(experiment, dict) or not isinstance(experiment.get(section), dict):
            raise InputError(f"--experiment: no section {section}, expected a JSON object in it")
    return experiment


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--experiment", required=True, help="the experiment's sections as JSON")
    parser.add_argument("--score-files", nargs="+", required=True, metavar="score.json")
    parser.add_argument("--overlap", help="overlap.json of the data stage")
    parser.add_argument(
        "--prompts", nargs="*", default=[], metavar="BENCHMARK=PATH", help="for harm by category"
    )
    parser.add_argument("--judge", nargs="*", default=[], metavar="NAME=judge.json")
    parser.add_argument(
        "--results", type=Path, help="the experiment's results, for models, data and versions"
    )
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    report = build_report(
        parse_experiment(args.experiment),
        args.score_files,
        read_json(args.overlap) if args.overlap else None,
        {
            name: {str(row["item_id"]): row.get("category") or "" for row in read_jsonl(path)}
            for name, path in named(args.prompts, "--prompts").items()
        },
        {name: read_json(path) for name, path in named(args.judge, "--judge").items()},
        args.results,
    )
    tables = build_tables(report)
    write_text(args.out / "tradeoff.csv", to_csv(report["rows"]))
    write_text(args.out / "tradeoff.md", to_markdown(report, tables))
    write_text(args.out / "tradeoff.tex", to_latex(report, tables))
    write_json(args.out / "tradeoff.json", report)


if __name__ == "__main__":
    run(main)
