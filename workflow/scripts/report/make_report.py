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
    judge_tests,
    model_name,
    number,
    points,
    to_csv,
    to_latex,
    to_markdown,
)

MANY = 4  # alignments that a sentence can still list
OTHERWISE = {
    "none": "no tax was measured for",
    "unclear": "over training seeds not distinguishable from none:",
}
METHODS = (
    "Intervals are 95 %. Proportions have Wilson's score interval; where an item has several "
    "samples, several seeds, or a prompt that is repeated, its effective size comes from the "
    "variance over prompts (Korn & Graubard 1998). These intervals speak of other items, not of "
    "other training seeds.",
    "Over seeds and items: an interval over other trainings and other items, from the crossed "
    "analysis of variance of seeds and items; from three seeds on, the headline, the "
    "published values and the figures of accuracy and harm use it. The standard deviation over "
    "seeds stands apart.",
    "Several samples of an item: accuracy is avg@k, the mean of all of them; pass@k is the "
    "unbiased estimate (Chen et al. 2021).",
    "Changes against the LRM are paired by item: Newcombe's interval (1998, method 10). p is "
    "McNemar's exact test for one sample per item, which can differ from the interval where it is "
    "close; else it is that at which the interval touches 0. Mean accuracy over several benchmarks "
    "weighs each the same; limits are squared and added.",
    "An alignment is said to cost accuracy where p is below 0.05 and, from three seeds on, the "
    "interval over seeds and items is clear of zero, too.",
    "p is adjusted by Holm within a family: one metric, all alignments of all LRMs, at the final "
    "epoch (mean rows), at earlier epochs (mean rows), and the same by seed.",
    "Safety tax: points of reasoning accuracy lost against the LRM; per harm point removed with "
    "Fieller's interval over items, given only where the harm removed is clear of zero.",
    "Tokens of thinking: Student's interval over items; the seeds' half widths are averaged.",
    "A harmful score over several benchmarks is their unweighted mean, each by its first scorer.",
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


def headline(rows: list[dict[str, Any]]) -> str:
    """Return the result, one sentence for each LRM, with its uncertainty."""
    sentences = []
    for lrm, final in _finals(rows):
        aligned = [row for row in final if row["tax"]]
        before: dict[str, Any] = next((r["metrics"] for r in final if r["role"] == "lrm"), {})
        if not aligned or "harmful_score" not in before:
            sentences.append(f"On {lrm} no aligned model was measured against its LRM.")
            continue
        seeds = max(row["n_seeds"] for row in aligned)
        where = f"{lrm} ({seeds} training seed{'s' if seeds > 1 else ''})"
        lost: dict[str, list[str]] = {}
        for row in aligned:
            lost.setdefault(_verdict(row), []).append(_loss(row))
        if len(aligned) > MANY:  # a sentence names the cheapest and the dearest
            ordered = sorted(aligned, key=lambda row: row["tax"]["points"]["estimate"])
            taxed = len(lost.get("taxed", []))
            text = f"On {where} {taxed} of {len(aligned)} alignments cost reasoning "
            text += f"accuracy; points lost: from {_loss(ordered[0])} to {_loss(ordered[-1])}"
            aligned = [ordered[0], ordered[-1]]
        elif "taxed" in lost:
            text = f"On {where} safety alignment cost points of reasoning accuracy: "
            text += _join(lost.pop("taxed"))
            text += "".join(f"; {OTHERWISE[k]} {_join(one)}" for k, one in sorted(lost.items()))
        else:
            text = "No tax stands out from the spread of training seeds"
            text = f"{text if 'unclear' in lost else 'No tax was measured'} on {where}; points of "
            text += f"reasoning accuracy lost: {_join([_loss(row) for row in aligned])}"
        of = sorted(key.partition("/")[2] for key in aligned[0]["metrics"] if _of_a_benchmark(key))
        mean = f" (mean of {_join(of)}, each by its first scorer)" if len(of) > 1 else ""
        text += f"; the harmful score{mean} went {_change('harmful_score', before, aligned)}"
        if all("over_refusal" in metrics for metrics in (before, *(r["metrics"] for r in aligned))):
            text += f", over-refusal {_change('over_refusal', before, aligned)}"
        sentences.append(f"{text}.")
    return " ".join(sentences)


def _change(metric: str, before: dict[str, Any], aligned: list[dict[str, Any]]) -> str:
    after = [f"{number(row['metrics'][metric]['estimate'])} %" for row in aligned]
    return f"from {number(before[metric]['estimate'])} % to {_join(after)}"


def _of_a_benchmark(key: str) -> bool:
    return key.startswith("harmful_score/") and "@" not in key


def caveats(rows: list[dict[str, Any]]) -> str:
    """Return what the headline must be read with: intervals, seeds, training that failed."""
    several = any((row["tax"].get("points") or {}).get("all_low") is not None for row in rows)
    over = "training seeds and items" if several else "items for the models trained here"
    seeds = max((row["n_seeds"] for row in rows), default=1)
    few = "" if several or seeds == 1 else f"; {seeds} training seeds are too few to say more"
    sentences = [f"Intervals are 95 %, over {over}{few}."]
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


def _verdict(row: dict[str, Any]) -> str:
    """Return "taxed", "unclear" (not clear of zero over the training seeds) or "none"."""
    p, tax = row["change"]["reasoning_accuracy"]["p_holm"], row["tax"]["points"]
    if tax["estimate"] <= 0 or p is None or p >= 0.05:
        return "none"
    return "taxed" if tax["all_low"] is None or tax["all_low"] > 0 else "unclear"


def _loss(row: dict[str, Any]) -> str:
    return f"{points(res.over_both(row['tax']['points']))} with {row['alignment']}"


def _join(parts: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def detectable(results: res.Results, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the smallest change that each LRM's benchmarks find with 80 % power, after the run.

    `differ` is the share of the items on which the LRM and an aligned model did differ, mean over
    the alignments, `paired_as_measured` the smallest paired change at that share.
    """
    found = []
    for row in rows:
        if row["role"] != "lrm" or row["seed"] != "mean":
            continue
        for kind, metric in res.MAIN.items():
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
        for model in results.models("aligned", lrm, name):
            parent = results.parent(lrm, model)
            if parent is None:
                continue
            before, after = (
                results.values(one, results.final(one), benchmark, scorer, reducer)
                for one in (parent, model)
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
    tests = judge_tests(report)
    for name, _, measure, one in tests:
        if measure in ("miss_rate", "false_alarm_rate"):
            label = measure.replace("_", " ")
            lines.append(f"The judge {name} has a {label} of {points(one)} % on held-out answers.")
    if not tests:
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
    results = res.Results(experiment, res.repeated_prompts(overlap), categories)
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
            for kind in res.MAIN
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
