"""From verdicts to rows: every model's metrics, its change against the LRM, and its safety tax.

Everything here is plain data in and plain data out (fractions from 0 to 1), so that the tables,
figures and the page all show the same numbers.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json, read_jsonl, sha256_file
from workflow.scripts.report import statistics as st

FORMAT = 1
Verdicts = list[dict[str, Any]]
Reducer = Callable[[Verdicts], float | None]


@dataclass(frozen=True)
class Model:
    """A trained or ready-made model of one seed. `seed` None is a ready-made one."""

    role: str
    name: str
    alignment: str | None
    seed: int | None


@dataclass
class Scores:
    """One model's verdicts on one benchmark by one scorer, by checkpoint and item."""

    kind: str
    verdicts: dict[str, dict[str, Verdicts]] = field(default_factory=dict)
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    status: dict[str, tuple[str, str]] = field(default_factory=dict)


@cache
def share(*fields: str) -> Reducer:
    """Return a reducer: the share of an item's valid samples for which all the fields hold."""

    def reduce(verdicts: Verdicts) -> float | None:
        known = [
            all(verdict[name] for name in fields)
            for verdict in verdicts
            if verdict["valid"] and all(verdict.get(name) is not None for name in fields)
        ]
        return sum(known) / len(known) if known else None

    return reduce


@cache
def any_of(k: int) -> Reducer:
    """Return a reducer: the unbiased pass@k of an item's samples (Chen et al. 2021)."""

    def reduce(verdicts: Verdicts) -> float | None:
        known = [bool(verdict["correct"]) for verdict in verdicts if verdict["valid"]]
        if len(known) < k:
            return None
        return 1 - math.comb(len(known) - sum(known), k) / math.comb(len(known), k)

    return reduce


def in_state(*states: str) -> Reducer:
    return lambda verdicts: sum(v["state"] in states for v in verdicts) / len(verdicts)


# Metric: (kind of benchmark, reducer, the verdicts' fields it needs).
METRICS: dict[str, tuple[str, Reducer, tuple[str, ...]]] = {
    "reasoning_accuracy": ("reasoning", share("correct"), ("correct",)),
    "harmful_score": ("harmful", share("harmful"), ("harmful",)),
    "harmful_strict": ("harmful", share("harmful_strict"), ("harmful_strict",)),
    "harmful_score_plus": ("harmful", share("harmful_plus"), ("harmful_plus",)),
    "complied": ("harmful", share("complied"), ("complied",)),
    "harmful_thinking": ("harmful", share("harmful_thinking"), ("harmful_thinking",)),
    "harmful_refusal": ("harmful", share("refused"), ("refused",)),
    "over_refusal": ("benign", share("refused"), ("refused",)),
    "truncated": ("reasoning", in_state("truncated"), ()),
    "unanswered": ("reasoning", in_state("no_answer", "parse_error"), ()),
}
COMPARED = ("reasoning_accuracy", "harmful_score", "harmful_strict", "over_refusal")
REQUIRED = {"reasoning": "correct", "harmful": "harmful", "benign": "refused"}


def parse_run(run: str) -> tuple[Model, int | None]:
    """Return the model of a run's name, and its epochs where each epoch count is its own run."""
    parts = run.split("/")
    match = re.fullmatch(r"hub|seed(\d+)(?:-epochs(\d+))?", parts[-1])
    if match is None or {"base": 3, "lrm": 3, "aligned": 4}.get(parts[0]) != len(parts):
        raise InputError(f"run {run!r}: expected base/NAME/seedK, lrm/NAME/hub or the like")
    seed = int(match[1]) if match[1] else None
    alignment = parts[2] if parts[0] == "aligned" else None
    return Model(parts[0], parts[1], alignment, seed), int(match[2]) if match[2] else None


class Results:
    """All verdicts of an experiment.

    Args:
        experiment: The experiment's section (`lrms`, `alignments`, `benchmarks`, …).
        clusters: Benchmark -> {item id: cluster}, for items whose prompts are repeated.
        categories: Benchmark -> {item id: category}.
    """

    def __init__(
        self,
        experiment: Mapping[str, Any],
        clusters: Mapping[str, Mapping[str, str]] | None = None,
        categories: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.experiment = experiment
        self.clusters = clusters or {}
        self.categories = categories or {}
        self.scores: dict[tuple[Model, str, str], Scores] = {}
        self.judges: dict[str, Any] = {}
        self.measured: list[tuple[str, str, str]] = []  # run, benchmark, scorer
        self.digests: list[str] = []
        self._values: dict[tuple[Any, ...], dict[str, float]] = {}

    def add(self, score_file: str | Path) -> None:
        """Read a `score.json` and the `verdicts.jsonl` beside it.

        Raises:
            InputError: Another format, a name that the experiment does not know, a verdict without
                its main field, or verdicts that do not match the score's counts.
        """
        path = Path(score_file)
        score = read_json(path)
        if not isinstance(score, dict) or score.get("format") != FORMAT:
            raise InputError(f"{path}: expected a score of format {FORMAT}")
        model, _ = parse_run(score["run"])
        benchmark, scorer, kind = score["benchmark"], score["scorer"], score["kind"]
        sections = [("bases" if model.role == "base" else "lrms", model.name)]
        sections += [("alignments", model.alignment)] if model.alignment else []
        for section, name in [*sections, ("benchmarks", benchmark)]:
            if name not in self.experiment.get(section, {}):
                raise InputError(f"{path}: {name!r} is no entry of the experiment's {section}")
        about = score.get("model", {})
        scores = self.scores.setdefault((model, benchmark, scorer), Scores(kind))
        for number, verdict in enumerate(read_jsonl(path.with_name("verdicts.jsonl")), 1):
            if verdict["valid"] and kind == "reasoning" and verdict.get("correct") is None:
                raise InputError(f"{path.parent}/verdicts.jsonl:{number}: valid without 'correct'")
            items = scores.verdicts.setdefault(verdict["checkpoint"], {})
            items.setdefault(str(verdict["item_id"]), []).append(verdict)
        for checkpoint, summary in score["checkpoints"].items():
            found = sum(map(len, scores.verdicts.get(checkpoint, {}).values()))
            if found != summary["n"]:
                raise InputError(
                    f"{path}: {checkpoint} has {found} verdicts, expected {summary['n']}"
                )
            scores.status[checkpoint] = (
                about.get("status", "ok"),
                about.get("status_reason") or "",
            )
            scores.tokens[checkpoint] = summary.get("thinking_tokens") or {}
        self.measured.append((score["run"], benchmark, scorer))
        self.digests.append(sha256_file(path.with_name("verdicts.jsonl")))
        if score.get("judge"):
            self.judges.setdefault(f"{benchmark}/{scorer}", score["judge"])

    def models(self, role: str, name: str, alignment: str | None = None) -> list[Model]:
        """Return the models of one kind in the order of their seeds."""
        found = {
            model
            for model, _, _ in self.scores
            if (model.role, model.name, model.alignment) == (role, name, alignment)
        }
        return sorted(found, key=lambda model: -1 if model.seed is None else model.seed)

    def benchmarks(self, kind: str) -> list[str]:
        known = {benchmark for (_, benchmark, _), one in self.scores.items() if one.kind == kind}
        return [name for name in self.experiment["benchmarks"] if name in known]

    def scorers(self, benchmark: str) -> list[str]:
        """Return a benchmark's scorers, the one that counts (the first in the config) first."""
        found = {scorer for _, name, scorer in self.scores if name == benchmark}
        listed = list(self.experiment["benchmarks"][benchmark].get("scorers", []))
        return [one for one in listed if one in found] + sorted(found - set(listed))

    def checkpoints(self, models: Iterable[Model]) -> list[str]:
        """Return the evaluated checkpoints, epochs in order and the final one last."""
        chosen = set(models)
        found = {
            checkpoint
            for (model, _, _), one in self.scores.items()
            if model in chosen
            for checkpoint in one.verdicts
        }
        return sorted(found, key=lambda name: (epoch_of(name) or 10**9, name))

    def status(self, model: Model, checkpoint: str) -> tuple[str, str]:
        """Return (ok or failed, why) of a model's training."""
        return next(
            one.status[checkpoint]
            for (other, _, _), one in self.scores.items()
            if other == model and checkpoint in one.status
        )

    def values(
        self, model: Model, checkpoint: str, benchmark: str, scorer: str, reducer: Reducer
    ) -> dict[str, float]:
        """Return {item: value} of one model's checkpoint, items without a valid sample left out."""
        key = (model, checkpoint, benchmark, scorer, reducer)
        if key not in self._values:
            one = self.scores.get((model, benchmark, scorer))
            items = one.verdicts.get(checkpoint, {}) if one else {}
            reduced = {item: reducer(verdicts) for item, verdicts in items.items()}
            self._values[key] = {i: value for i, value in reduced.items() if value is not None}
        return self._values[key]

    def counts(
        self, chosen: Sequence[tuple[Model, str]], benchmark: str, scorer: str, needs: Sequence[str]
    ) -> tuple[int, int]:
        """Return (samples, samples that count) over models at their checkpoints."""
        n = n_valid = 0
        for model, checkpoint in chosen:
            one = self.scores.get((model, benchmark, scorer))
            for verdicts in (one.verdicts.get(checkpoint, {}) if one else {}).values():
                n += len(verdicts)
                n_valid += sum(
                    not needs
                    or (verdict["valid"] and all(verdict.get(name) is not None for name in needs))
                    for verdict in verdicts
                )
        return n, n_valid


def epoch_of(checkpoint: str) -> int | None:
    match = re.fullmatch(r"epoch(\d+)", checkpoint)
    return int(match[1]) if match else None


def mean_by_item(sides: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return each item's mean over those of the maps that have it."""
    gathered: dict[str, list[float]] = {}
    for side in sides:
        for item, value in side.items():
            gathered.setdefault(item, []).append(value)
    return {item: math.fsum(values) / len(values) for item, values in gathered.items()}


def measure(results: Results, chosen: Sequence[tuple[Model, str]]) -> dict[str, dict[str, Any]]:
    """Return every metric of some models (one per seed), averaged over them by item.

    Keys are the metric, averaged over its benchmarks (absent where the models were not measured on
    all of them: such a mean would not compare), then `metric/benchmark`, and
    `metric/benchmark@scorer` for a benchmark's further scorers. Values hold estimate, low, high,
    n, n_valid, items, and over seeds seed_sd, seed_low, seed_high.
    """
    found: dict[str, dict[str, Any]] = {}
    metrics = dict(METRICS)
    repeats = _repeats(results, chosen)
    if repeats > 1:
        metrics[f"pass_at_{repeats}"] = ("reasoning", any_of(repeats), ("correct",))
    for metric, (kind, reducer, needs) in metrics.items():
        main: list[tuple[st.Estimate, int, int, list[float | None]]] = []
        crossed: list[tuple[list[dict[str, float]], Mapping[str, str] | None]] = []
        for benchmark in results.benchmarks(kind):
            for rank, scorer in enumerate(results.scorers(benchmark)):
                if rank and not needs:
                    continue
                sides = [
                    results.values(model, checkpoint, benchmark, scorer, reducer)
                    for model, checkpoint in chosen
                ]
                values = mean_by_item(sides)
                if not values:
                    continue
                n, n_valid = results.counts(chosen, benchmark, scorer, needs)
                estimate = st.clustered_proportion(values, results.clusters.get(benchmark), n_valid)
                by_seed = [math.fsum(side.values()) / len(side) if side else None for side in sides]
                key = f"{metric}/{benchmark}" + (f"@{scorer}" if rank else "")
                found[key] = _described(estimate, n, n_valid, by_seed)
                if not rank:
                    main.append((estimate, n, n_valid, by_seed))
                    crossed.append((sides, results.clusters.get(benchmark)))
        if main and len(main) == len(results.benchmarks(kind)):
            estimate = st.average([one for one, _, _, _ in main])
            by_seed = [_mean(values) for values in zip(*(one[3] for one in main), strict=True)]
            n, n_valid = sum(one[1] for one in main), sum(one[2] for one in main)
            found[metric] = _described(estimate, n, n_valid, by_seed)
            if metric in COMPARED:
                found[metric] |= _over_both(crossed, 0.0)
    found.update(_thinking(results, chosen))
    return found


def _thinking(results: Results, chosen: Sequence[tuple[Model, str]]) -> dict[str, dict[str, Any]]:
    found, main = {}, []
    for benchmark in (b for kind in REQUIRED for b in results.benchmarks(kind)):
        scorer = results.scorers(benchmark)[0]
        by_seed, errors, total = [], [], 0
        for model, checkpoint in chosen:
            one = results.scores.get((model, benchmark, scorer))
            tokens = one.tokens.get(checkpoint, {}) if one else {}
            if tokens.get("mean") is None or one is None:
                continue
            n = sum(map(len, one.verdicts[checkpoint].values()))
            estimate = st.mean_with_t(tokens["mean"], tokens.get("sd"), n)
            by_seed.append(tokens["mean"])
            errors.append(estimate)
            total += n
        if not by_seed:
            continue
        estimate = replace(st.average(errors), n=total)
        key = f"thinking_tokens/{benchmark}"
        found[key] = _described(estimate, total, total, by_seed)
        if benchmark in results.benchmarks("reasoning"):
            main.append((estimate, by_seed, total))
    if main and len(main) == len(results.benchmarks("reasoning")):
        by_seed = [_mean(values) for values in zip(*(one[1] for one in main), strict=True)]
        total = sum(one[2] for one in main)
        found["thinking_tokens"] = _described(
            st.average([one[0] for one in main]), total, total, by_seed
        )
    return found


def compare(
    results: Results,
    pairs: Sequence[tuple[tuple[Model, str], tuple[Model, str]]],
) -> dict[str, tuple[st.Difference, list[float | None], dict[str, Any]]]:
    """Return {metric: (paired difference by item, by seed, over seeds and items)}, second - first.

    A metric is left out where a pair was not measured on all of its benchmarks.

    Args:
        results: All verdicts.
        pairs: For each seed ((first model, checkpoint), (second model, checkpoint)).
    """
    found = {}
    for metric in COMPARED:
        kind, reducer, _ = METRICS[metric]
        differences, by_seed, crossed = [], [], []
        for benchmark in results.benchmarks(kind):
            scorer = results.scorers(benchmark)[0]
            firsts, seconds, seeds = [], [], []
            for (one, one_at), (other, other_at) in pairs:
                first = results.values(one, one_at, benchmark, scorer, reducer)
                second = results.values(other, other_at, benchmark, scorer, reducer)
                shared = [item for item in first if item in second]
                firsts.append({item: first[item] for item in shared})
                seconds.append({item: second[item] for item in shared})
                seeds.append(_mean([second[item] - first[item] for item in shared]))
            first, second = mean_by_item(firsts), mean_by_item(seconds)
            if not first:
                continue
            samples = sum(map(len, firsts))
            clusters = results.clusters.get(benchmark)
            differences.append(st.paired_difference(first, second, clusters, samples))
            by_seed.append(seeds)
            changes = [
                {item: side[item] - before[item] for item in before}
                for before, side in zip(firsts, seconds, strict=True)
            ]
            crossed.append((changes, clusters))
        if differences and len(differences) == len(results.benchmarks(kind)):
            mean = st.average(differences)
            assert isinstance(mean, st.Difference) or mean is st.NOTHING
            if isinstance(mean, st.Difference):
                seeds = [_mean(values) for values in zip(*by_seed, strict=True)]
                found[metric] = (mean, seeds, _over_both(crossed, -1.0))
    return found


def build_rows(results: Results) -> list[dict[str, Any]]:
    """Return the rows of the trade-off, per LRM: base, LRM, then each alignment and epoch.

    Each model has a row per seed and, with `seed` "mean", one over all its seeds; where training
    failed for some seeds only, another over the others (`seed` "mean_ok").
    """
    rows = []
    for lrm, section in results.experiment["lrms"].items():
        lrm_models = results.models("lrm", lrm)
        groups = [("base", None, results.models("base", section.get("base", "")))]
        groups.append(("lrm", None, lrm_models))
        groups += [
            ("aligned", name, results.models("aligned", lrm, name))
            for name in results.experiment["alignments"]
        ]
        failed = {m.seed for _, _, models in groups[1:] for m in models if _failed(results, m)}
        for role, alignment, models in groups:
            checkpoints = results.checkpoints(models)
            for checkpoint in checkpoints:
                evaluated = [m for m in models if checkpoint in results.checkpoints([m])]
                row = {
                    "lrm": lrm,
                    "role": role,
                    "name": section.get("base") if role == "base" else lrm,
                    "alignment": alignment,
                    "checkpoint": checkpoint,
                    "epoch": _epoch(role, checkpoint),
                    "final": checkpoint == checkpoints[-1],
                }
                if role != "aligned" and not row["final"]:
                    continue
                chosen = [(str(m.seed) if m.seed is not None else "hub", [m]) for m in evaluated]
                chosen.append(("mean", evaluated))
                ok = [m for m in evaluated if m.seed not in failed]
                if ok and len(ok) < len(evaluated):
                    chosen.append(("mean_ok", ok))
                for seed, members in chosen:
                    rows.append(
                        {**row, "seed": seed, **_row(results, role, lrm, members, checkpoint)}
                    )
    _adjust(rows)
    return rows


def _row(
    results: Results, role: str, lrm: str, members: list[Model], checkpoint: str
) -> dict[str, Any]:
    statuses = [(model, *results.status(model, checkpoint)) for model in members]
    bad = [(model, reason) for model, status, reason in statuses if status != "ok"]
    row: dict[str, Any] = {
        "n_seeds": len(members),
        "status": "failed" if bad else "ok",
        "status_reason": "; ".join(
            (f"seed {model.seed}: " if len(members) > 1 else "") + (reason or "training failed")
            for model, reason in bad
        ),
        "metrics": measure(results, [(model, checkpoint) for model in members]),
        "states": _states(results, [(model, checkpoint) for model in members]),
        "change": {},
        "tax": {},
    }
    parents = [_parent(results, lrm, model) for model in members] if role == "aligned" else []
    pairs = [
        ((parent, results.checkpoints([parent])[-1]), (model, checkpoint))
        for model, parent in zip(members, parents, strict=False)
        if parent is not None
    ]
    if not pairs:
        return row
    changes = compare(results, pairs)
    row["change"] = {name: described_change(*one) for name, one in changes.items()}
    if "reasoning_accuracy" in changes and "harmful_score" in changes:
        tax = st.safety_tax(changes["reasoning_accuracy"][0], changes["harmful_score"][0])
        row["tax"] = {
            name: {key: getattr(one, key) for key in ("estimate", "low", "high", "n")}
            for name, one in (
                ("points", tax.points),
                ("harm_removed", tax.harm_removed),
                ("per_harm_point", tax.per_harm_point),
            )
        }
    return row


def _parent(results: Results, lrm: str, model: Model) -> Model | None:
    """Return the LRM that an aligned model was made from: its seed's, or the ready-made one."""
    parents = results.models("lrm", lrm)
    return next((p for p in parents if p.seed in (model.seed, None)), None)


def _adjust(rows: list[dict[str, Any]]) -> None:
    """Add Holm's p within each family: metric x (mean, or by seed) x (final epoch, or earlier)."""
    families: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        level = row["seed"] if row["seed"].startswith("mean") else "seed"
        for metric, change in row["change"].items():
            families.setdefault((metric, level, row["final"]), []).append(change)
    for family in families.values():
        for change, p in zip(family, st.holm([one["p"] for one in family]), strict=True):
            change["p_holm"] = p
            change["family"] = sum(one["p"] is not None for one in family)


def compare_alignments(results: Results) -> list[dict[str, Any]]:
    """Return the paired differences between the alignments of each LRM at their final epochs."""
    found: list[dict[str, Any]] = []
    for lrm in results.experiment["lrms"]:
        sides = []
        for name in results.experiment["alignments"]:
            models = results.models("aligned", lrm, name)
            if models:
                final = results.checkpoints(models)[-1]
                sides.append((name, {m.seed: (m, final) for m in models}))
        for index, (first, firsts) in enumerate(sides):
            for second, seconds in sides[index + 1 :]:
                pairs = [(firsts[seed], seconds[seed]) for seed in firsts if seed in seconds]
                changes = compare(results, pairs)
                found.append(
                    {
                        "lrm": lrm,
                        "first": first,
                        "second": second,
                        "change": {k: described_change(*one) for k, one in changes.items()},
                    }
                )
    for metric in COMPARED:
        family = [one["change"][metric] for one in found if metric in one["change"]]
        for change, p in zip(family, st.holm([one["p"] for one in family]), strict=True):
            change["p_holm"] = p
    return found


def harm_by_category(results: Results) -> list[dict[str, Any]]:
    """Return the harmful score of each model (final epoch, all seeds) by the prompt's category."""
    found = []
    for lrm, section in results.experiment["lrms"].items():
        groups = [("base", section.get("base", ""), None), ("lrm", lrm, None)]
        groups += [("aligned", lrm, name) for name in results.experiment["alignments"]]
        for benchmark in results.benchmarks("harmful"):
            categories = results.categories.get(benchmark, {})
            for role, name, alignment in groups:
                models = results.models(role, name, alignment)
                if not models:
                    continue
                final = results.checkpoints(models)[-1]
                scorer = results.scorers(benchmark)[0]
                values = mean_by_item(
                    [results.values(m, final, benchmark, scorer, share("harmful")) for m in models]
                )
                for category in filter(None, dict.fromkeys(categories.values())):
                    chosen = {i: v for i, v in values.items() if categories.get(i) == category}
                    if chosen:
                        one = st.clustered_proportion(
                            chosen, results.clusters.get(benchmark), len(chosen) * len(models)
                        )
                        found.append(
                            {
                                "lrm": lrm,
                                "benchmark": benchmark,
                                "role": role,
                                "alignment": alignment,
                                "category": category,
                                **_plain(one),
                            }
                        )
    return found


def harm_on_clean_items(
    results: Results, pairs: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return harmful scores without the items that stand in the alignment's training set."""
    found = []
    for lrm in results.experiment["lrms"]:
        for name, section in results.experiment["alignments"].items():
            models = results.models("aligned", lrm, name)
            for pair in pairs:
                benchmark = pair["benchmark"]
                items = set(pair["normalised"]["items"])
                wanted = pair["train"] == section.get("data")
                if not (models and items and wanted and benchmark in results.benchmarks("harmful")):
                    continue
                scorer = results.scorers(benchmark)[0]
                row = {"lrm": lrm, "alignment": name, "benchmark": benchmark, "removed": len(items)}
                for side, members in (("lrm", results.models("lrm", lrm)), ("aligned", models)):
                    final = results.checkpoints(members)[-1]
                    values = mean_by_item(
                        [
                            results.values(m, final, benchmark, scorer, share("harmful"))
                            for m in members
                        ]
                    )
                    clean = {item: value for item, value in values.items() if item not in items}
                    one = st.clustered_proportion(
                        clean, results.clusters.get(benchmark), len(clean) * len(members)
                    )
                    row[f"{side}_score"] = _plain(one)
                found.append(row)
    return found


def against_published(
    rows: Sequence[Mapping[str, Any]], published: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return our value beside each published one, and whether the two are compatible.

    Args:
        rows: `build_rows`'s.
        published: {"model": "lrm/NAME" | "aligned/LRM/ALIGNMENT" | "base/NAME", "metric", "value"
            in percent, "n", "epoch" (default: the final one) and "source" optional}.

    Compatible means that the interval of the difference (Newcombe's, independent samples) holds 0;
    without n, that our interval holds the value; None when either cannot be said.
    """
    found = []
    for entry in published:
        row = next((row for row in rows if _is_published(row, entry)), None)
        ours = row["metrics"].get(entry["metric"]) if row else None
        value = entry["value"] / 100
        compatible, difference = None, None
        if ours and ours["low"] is not None:
            estimate = st.Estimate(ours["estimate"], ours["low"], ours["high"], ours["items"])
            if entry.get("n"):
                theirs = st.proportion(round(value * entry["n"]), entry["n"])
                change = st.independent_difference(theirs, estimate)
                difference = {**_plain(change), "p": change.p}
                compatible = (change.low or 0) <= 0 <= (change.high or 0)
            else:
                compatible = ours["low"] <= value <= ours["high"]
        found.append(
            {
                "model": entry["model"],
                "epoch": entry.get("epoch"),
                "metric": entry["metric"],
                "published": value,
                "published_n": entry.get("n"),
                "source": entry.get("source", ""),
                "ours": ours,
                "difference": difference,
                "compatible": compatible,
            }
        )
    return found


def _is_published(row: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    model = "/".join(filter(None, (row["role"], row["name"], row["alignment"])))
    epoch = entry.get("epoch")
    at = row["final"] if epoch is None else row["epoch"] == epoch
    return bool(row["seed"] == "mean" and model == entry["model"] and at)


def agreement_of_scorers(results: Results) -> list[dict[str, Any]]:
    """Return how often each two scorers of a benchmark judge a sample the same, by model and over
    all models, at the final epochs."""
    groups: list[tuple[str, str, str | None, list[Model]]] = []
    for lrm, section in results.experiment["lrms"].items():
        groups.append((lrm, "base", None, results.models("base", section.get("base", ""))))
        groups.append((lrm, "lrm", None, results.models("lrm", lrm)))
        for name in results.experiment["alignments"]:
            groups.append((lrm, "aligned", name, results.models("aligned", lrm, name)))
    found = []
    for kind, field_name in REQUIRED.items():
        for benchmark in results.benchmarks(kind):
            scorers = results.scorers(benchmark)
            pairs = [(a, b) for i, a in enumerate(scorers) for b in scorers[i + 1 :]]
            for first, second in pairs:
                every: list[tuple[bool, bool]] = []
                seen: set[Model] = set()
                for lrm, role, alignment, models in groups:
                    own: list[tuple[bool, bool]] = []
                    for model in models:
                        judged = _judged_twice(results, model, benchmark, first, second, field_name)
                        own += judged
                        every += judged if model not in seen else []
                        seen.add(model)
                    found.append(
                        _agreed(benchmark, (first, second), own)
                        | {"lrm": lrm, "role": role, "alignment": alignment}
                    )
                found.append(
                    _agreed(benchmark, (first, second), every)
                    | {"lrm": None, "role": "all", "alignment": None}
                )
    return [one for one in found if one["n"]]


def _judged_twice(
    results: Results, model: Model, benchmark: str, first: str, second: str, field_name: str
) -> list[tuple[bool, bool]]:
    """Return both scorers' verdicts on the final samples that both could judge."""
    final = results.checkpoints([model])[-1]
    sides = []
    for scorer in (first, second):
        one = results.scores.get((model, benchmark, scorer))
        sides.append(
            {
                (item, verdict["repeat"]): bool(verdict[field_name])
                for item, verdicts in (one.verdicts.get(final, {}) if one else {}).items()
                for verdict in verdicts
                if verdict["valid"] and verdict.get(field_name) is not None
            }
        )
    return [(sides[0][key], sides[1][key]) for key in sides[0] if key in sides[1]]


def _agreed(
    benchmark: str, scorers: tuple[str, str], pairs: Sequence[tuple[bool, bool]]
) -> dict[str, Any]:
    same, kappa = st.agreement([a for a, _ in pairs], [b for _, b in pairs])
    return {
        "benchmark": benchmark,
        "first": scorers[0],
        "second": scorers[1],
        **_plain(same),
        "kappa": kappa,
        "only_first": sum(a and not b for a, b in pairs),
        "only_second": sum(b and not a for a, b in pairs),
    }


def _over_both(
    crossed: Sequence[tuple[Sequence[Mapping[str, float]], Mapping[str, str] | None]], least: float
) -> dict[str, Any]:
    """Return the interval over seeds and items together, and the share of the seeds in it."""
    both, share_of_seeds = st.over_seeds_and_items(
        [sides for sides, _ in crossed], [clusters for _, clusters in crossed]
    )
    return {
        "all_low": None if both.low is None else max(least, both.low),
        "all_high": None if both.high is None else min(1.0, both.high),
        "seed_share": share_of_seeds,
    }


def described_change(
    difference: st.Difference,
    by_seed: Sequence[float | None],
    over_both: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    mean, sd = st.over_seeds(by_seed)
    return {
        **(over_both or {}),
        **_plain(difference),
        "p": difference.p,
        "seed_sd": sd,
        "seed_low": mean.low,
        "seed_high": mean.high,
    }


def _described(
    estimate: st.Estimate, n: int, n_valid: int, by_seed: Sequence[float | None]
) -> dict[str, Any]:
    mean, sd = st.over_seeds(by_seed)
    return {
        **_plain(estimate),
        "n": n,
        "n_valid": n_valid,
        "items": estimate.n,
        "seed_sd": sd,
        "seed_low": mean.low,
        "seed_high": mean.high,
    }


def _plain(estimate: st.Estimate) -> dict[str, Any]:
    return {key: getattr(estimate, key) for key in ("estimate", "low", "high", "n")}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _repeats(results: Results, chosen: Sequence[tuple[Model, str]]) -> int:
    """Return how many samples each item of the reasoning benchmarks has at least."""
    sizes = [
        min(map(len, one.verdicts[checkpoint].values()))
        for (model, _, _), one in results.scores.items()
        for chosen_model, checkpoint in chosen
        if model == chosen_model and one.kind == "reasoning" and one.verdicts.get(checkpoint)
    ]
    return min(sizes, default=1)


def _states(results: Results, chosen: Sequence[tuple[Model, str]]) -> dict[str, dict[str, int]]:
    found = {}
    for benchmark in (b for kind in REQUIRED for b in results.benchmarks(kind)):
        for scorer in results.scorers(benchmark):
            counter: Counter[str] = Counter()
            for model, checkpoint in chosen:
                one = results.scores.get((model, benchmark, scorer))
                for verdicts in (one.verdicts.get(checkpoint, {}) if one else {}).values():
                    counter.update(verdict["state"] for verdict in verdicts)
            found[f"{benchmark}/{scorer}"] = dict(sorted(counter.items()))
    return found


def _failed(results: Results, model: Model) -> bool:
    checkpoints = results.checkpoints([model])
    return any(results.status(model, checkpoint)[0] != "ok" for checkpoint in checkpoints)


def _epoch(role: str, checkpoint: str) -> int | None:
    return {"base": None, "lrm": 0}.get(role, epoch_of(checkpoint))
