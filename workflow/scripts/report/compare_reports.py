"""Put two experiments, or two revisions of one, side by side, paired by item.

Reads what two reports were made from (`inputs.json`), prints a Markdown table, and with `--out`
writes `comparison.md`, `.csv`, `.tex` and `.json`. Runs, benchmarks and scorers of the same name
belong together; `--pair` names those that are called differently.

python -m workflow.scripts.report.compare_reports results/micro results/micro-2 \
    --pair aligned/tiny/directrefusal=aligned/tiny/safechain --out results/comparison
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypedDict

from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.intervals import clustered_mean, clustered_proportion
from workflow.scripts.common.io import read_json, write_json, write_text
from workflow.scripts.common.result import read_result
from workflow.scripts.config.generation import PROMPT
from workflow.scripts.report.comparisons import holm_within
from workflow.scripts.report.differences import paired_difference, paired_grades
from workflow.scripts.report.escape import visible
from workflow.scripts.report.inputs import FILE, Score, read_inputs
from workflow.scripts.report.metrics import MAIN
from workflow.scripts.report.render import table_to_csv, table_to_latex, table_to_markdown
from workflow.scripts.report.runs import by_epoch, epoch_of
from workflow.scripts.report.schema import DifferenceValue, FamilyTest, SizedInterval
from workflow.scripts.report.spread import as_difference, as_interval, mean_by_item
from workflow.scripts.report.tables.table import MISSING, Table, make_table, p_value, points

Key = tuple[str, str, str]  # model without its seed, benchmark, scorer


@dataclass
class Side:
    """What one experiment measured of one model, benchmark and scorer.

    Attributes:
        kind: The benchmark's kind.
        main: Whether the scorer is the one that counts for its benchmark.
        clusters: {item: the first item with the same prompt}, for prompts that are repeated.
        values: {checkpoint: {seed: {item: share of its samples that count}}}.
        keys: The keys of the scores, by run: the same key is the same result.
        prompts: {digest of the benchmark's prompts}, where the samples' manifests are there.
        graded: Whether a sample's value is a number from 0 to 1, not true or false.
    """

    kind: str
    main: bool
    clusters: dict[str, str]
    values: dict[str, dict[str, Mapping[str, float]]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    prompts: set[str] = field(default_factory=set)
    graded: bool = False


class ComparedSides(FamilyTest):
    """A checkpoint of two experiments, paired by item over the seeds that both have."""

    seeds: list[str]
    """Those that both have; all of each side where it is empty"""
    items: int
    """Those that both have"""
    items_first: int
    items_second: int
    first: SizedInterval
    second: SizedInterval
    change: DifferenceValue
    """second - first"""
    rose: int
    """Items whose value is higher in the second"""
    fell: int


class ComparedRow(ComparedSides):
    """A model on a benchmark by a scorer in two experiments, at a checkpoint."""

    model: str
    other_model: str
    benchmark: str
    scorer: str
    metric: str
    checkpoint: str
    other_checkpoint: str
    final: bool
    main: bool
    """Whether the scorer is the one that counts for its benchmark"""
    same_result: bool
    same_prompts: bool | None


class Comparison(TypedDict):
    """What `comparison.json` holds, beside the names of both sides."""

    rows: list[ComparedRow]
    only_first: list[str]
    """Models on benchmarks by scorers that the second has not"""
    only_second: list[str]


def read_side(folder: Path) -> dict[Key, Side]:
    """Return everything that a report shows.

    Args:
        folder: A report's folder, or that of an experiment with `report/` in it.

    Raises:
        InputError: There is no report, or a score that it was made from is gone.
    """
    from workflow.scripts.report.results import Results
    from workflow.scripts.report.verdicts import read_verdicts

    places = [folder / FILE, folder / "report" / FILE]
    path = next((place for place in places if place.exists()), None)
    if path is None:
        raise InputError(f"{folder}: no report ({FILE}), expected a finished experiment's folder")
    inputs = read_inputs(path)
    results = Results(inputs.sections, read_verdicts(inputs))
    scores = {(one.run, one.benchmark, one.scorer): one for one in inputs.scores}
    found: dict[Key, Side] = {}
    for one in results.verdicts.evaluations:
        parts = (one.model.role, one.model.name, one.model.alignment, one.model.attack)
        key = ("/".join(filter(None, parts)), one.benchmark, one.scorer)
        main = one.scorer == results.scorers(one.benchmark)[0]
        side = found.setdefault(key, Side(one.kind, main, results.clusters(one.benchmark)))
        at = (one.model, one.checkpoint, one.benchmark, one.scorer)
        values = results.items(*at, MAIN[one.kind]).values
        side.values.setdefault(one.checkpoint, {})[one.model.seed_label] = values
        score = scores[one.run, one.benchmark, one.scorer]
        side.keys[one.run.rpartition("/")[2]] = _identity(score.folder)
        side.prompts |= _prompts(score)
        side.graded |= one.graded
    return found


def _identity(folder: Path) -> str:
    """Return what two scores share if they are the same result: the key, or the folder."""
    record = read_result(folder)
    return (record.get("key") if record else None) or str(folder.resolve())


def _prompts(score: Score) -> set[str]:
    """Return the digest of a score's prompts, where the manifest of its samples is there."""
    path = score.samples / "manifest.json" if score.samples else None
    if path is None or not path.exists():
        return set()
    found = read_json(path)
    digest = (found.get("data") or {}).get("sha256")
    return {f"{digest} {found.get('template', PROMPT)}"} if digest else set()


def compare(
    first: Mapping[Key, Side], second: Mapping[Key, Side], pairs: Mapping[str, str] | None = None
) -> Comparison:
    """Return the paired differences second - first of all that both measured.

    Args:
        first: `read_side`'s.
        second: `read_side`'s.
        pairs: Model of the first -> model of the second, where the names differ.

    Returns:
        A row's p is adjusted by Holm over the final checkpoints of its metric, and apart from that
        over the earlier ones; the same result twice, and a benchmark's further scorers, are no
        tests of their own.
    """
    pairs = dict(pairs or {})
    rows: list[ComparedRow] = []
    matched: set[Key] = set()
    for (model, benchmark, scorer), one in first.items():
        key = (pairs.get(model, model), benchmark, scorer)
        other = second.get(key)
        if other is None or other.kind != one.kind:
            continue
        matched.add(key)
        for checkpoint in _both(one, other):
            at_first, at_second = checkpoint
            clusters = {**other.clusters, **one.clusters}
            graded = one.graded or other.graded
            row = _row(one.values[at_first], other.values[at_second], clusters, graded)
            same = one.keys == other.keys
            rows.append(
                {
                    "model": model,
                    "other_model": key[0],
                    "benchmark": benchmark,
                    "scorer": scorer,
                    "metric": MAIN[one.kind].name,
                    "checkpoint": at_first,
                    "other_checkpoint": at_second,
                    "final": at_first == _final(one),
                    "main": one.main,
                    "same_result": same,
                    "same_prompts": one.prompts == other.prompts if one.prompts else None,
                    **row,
                }
            )
    for metric in MAIN.values():
        for final in (True, False):
            tests = [r for r in rows if r["main"] and not r["same_result"]]
            holm_within([r for r in tests if (r["metric"], r["final"]) == (metric.name, final)])
    used = {key for key in first if (pairs.get(key[0], key[0]), *key[1:]) in matched}
    return {
        "rows": rows,
        "only_first": [" ".join(key) for key in first if key not in used],
        "only_second": [" ".join(key) for key in second if key not in matched],
    }


def _both(one: Side, other: Side) -> list[tuple[str, str]]:
    """Return the checkpoints of both sides; the final ones belong together by whatever name."""
    finals = (_final(one), _final(other))
    shared = [(name, name) for name in one.values if name in other.values and name not in finals]
    return [*sorted(shared, key=lambda pair: epoch_of(pair[0]) or 0), finals]


def _final(side: Side) -> str:
    return max(side.values, key=by_epoch)


def _row(
    first: Mapping[str, Mapping[str, float]],
    second: Mapping[str, Mapping[str, float]],
    clusters: Mapping[str, str],
    graded: bool,
) -> ComparedSides:
    """Compare a checkpoint by item, over the seeds that both have, or all where none is shared."""
    shared = [seed for seed in first if seed in second]
    chosen = [[side[seed] for seed in shared or side] for side in (first, second)]
    before, after = map(mean_by_item, chosen)
    items = [item for item in before if item in after]
    sides = [{item: side[item] for item in items} for side in (before, after)]
    if graded:
        change = paired_grades(before, after, clusters)
        estimates = [clustered_mean(side, clusters) for side in sides]
    else:
        samples = min(sum(item in side for side in of for item in items) for of in chosen)
        change = paired_difference(before, after, clusters, samples)
        estimates = [clustered_proportion(side, clusters, samples) for side in sides]
    return {
        "seeds": shared,
        "items": len(items),
        "items_first": len(before),
        "items_second": len(after),
        "first": as_interval(estimates[0]),
        "second": as_interval(estimates[1]),
        "change": as_difference(change),
        "p": change.p,
        "rose": sum(after[item] > before[item] for item in items),
        "fell": sum(after[item] < before[item] for item in items),
    }


def to_table(comparison: Comparison, names: Sequence[str], every: bool) -> Table:
    """Return the table of final checkpoints, or of all."""

    def model(row: ComparedRow) -> str:
        names = dict.fromkeys((row["model"], row["other_model"]))
        return " / ".join(names)

    def note(row: ComparedRow) -> str:
        notes = {
            "same result": row["same_result"],
            "prompts differ": row["same_prompts"] is False,
            "no seed in common": not row["seeds"],
            "further scorer": not row["main"],
        }
        return ", ".join(name for name, holds in notes.items() if holds) or MISSING

    table = make_table(
        "comparison",
        f"{names[1]} against {names[0]}",
        "Percent with 95 % intervals, paired by item over the seeds and items that both have; p "
        "after Holm by metric, not for the same result or a further scorer. Rose, fell: items "
        "whose value is higher or lower in the second.",
        {
            "Model": model,
            "Benchmark/scorer": lambda row: f"{row['benchmark']}/{row['scorer']}",
            "Checkpoint": lambda row: row["checkpoint"],
            "first": lambda row: points(row["first"]),
            "second": lambda row: points(row["second"]),
            "Difference": lambda row: points(row["change"]),
            "p": lambda row: p_value(row.get("p_holm")),
            "Rose": lambda row: str(row["rose"]),
            "Fell": lambda row: str(row["fell"]),
            "Items": lambda row: str(row["items"]),
            "Seeds": lambda row: str(len(row["seeds"])),
            "Note": note,
        },
        [row for row in comparison["rows"] if every or row["final"]],
        3,
    )
    heads = dict(zip(("first", "second"), names, strict=True))
    return replace(table, header=[heads.get(head, head) for head in table.header])


def to_text(comparison: Comparison, table: Table, names: Sequence[str]) -> str:
    """Return the Markdown page of a comparison."""
    text = table_to_markdown(table)
    only = comparison["only_first"], comparison["only_second"]
    for name, lacking in zip(names, only, strict=True):
        if lacking:
            text += f"\nOnly in {visible(name)}: {visible(', '.join(lacking))}\n"
    return text


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("first", type=Path, help="folder of an experiment or report")
    parser.add_argument("second", type=Path, help="folder of another, or a revision of it")
    parser.add_argument(
        "--pair", action="append", default=[], metavar="FIRST=SECOND", help="models, without seeds"
    )
    parser.add_argument("--every", action="store_true", help="earlier checkpoints too")
    parser.add_argument("--out", type=Path, help="folder for comparison.md, .csv, .tex, .json")
    args = parser.parse_args(argv)
    sides = [read_side(args.first), read_side(args.second)]
    pairs = {}
    for value in args.pair:
        left, separator, right = value.partition("=")
        for name, side in zip((left, right), sides, strict=True):
            known = sorted({key[0] for key in side})
            if not separator or name not in known:
                raise InputError(f"--pair {value!r}: expected FIRST=SECOND, of {', '.join(known)}")
        pairs[left] = right
    comparison = compare(sides[0], sides[1], pairs)
    if not comparison["rows"]:
        raise InputError(f"{args.first} and {args.second} share no model, benchmark and scorer")
    names = [args.first.name, args.second.name]
    if names[0] == names[1]:
        names = [str(args.first), str(args.second)]
    table = to_table(comparison, names, args.every)
    text = to_text(comparison, table, names)
    if args.out:
        write_text(args.out / "comparison.md", text)
        write_text(args.out / "comparison.csv", table_to_csv(table))
        write_text(args.out / "comparison.tex", table_to_latex(table) + "\n")
        write_json(
            args.out / "comparison.json", {"first": names[0], "second": names[1], **comparison}
        )
    print(text, end="")


if __name__ == "__main__":
    run(main)
