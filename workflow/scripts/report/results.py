"""From verdicts to rows: every model's metrics, its change against the LRM, and its safety tax.

Everything here is plain data in and plain data out (fractions from 0 to 1), so that the tables,
figures and the page all show the same numbers.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.intervals import (
    Estimate,
    clustered_proportion,
    mean_with_t,
    over_seeds,
    over_seeds_and_items,
    proportion,
)
from workflow.scripts.common.io import read_json, read_jsonl, sha256_file
from workflow.scripts.report import statistics as st

FORMAT = 1
SEEDS_FOR_AN_INTERVAL = 3
Verdicts = list[dict[str, Any]]
Reducer = Callable[[Verdicts], float | None]


@dataclass(frozen=True)
class Model:
    """A trained or ready-made model of one seed. `seed` None is a ready-made one."""

    role: str
    name: str
    alignment: str | None
    seed: int | None


@dataclass(frozen=True)
class Group:
    """The models of one kind, one per seed, as they stand beside an LRM."""

    lrm: str
    role: str
    name: str
    alignment: str | None
    models: list[Model]


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
# The metric that a kind of benchmark is there for.
MAIN = {"reasoning": "reasoning_accuracy", "harmful": "harmful_score", "benign": "over_refusal"}
PLAIN = ("estimate", "low", "high", "n", "p")  # of a difference
COMPARED = ("reasoning_accuracy", "harmful_score", "harmful_strict", "over_refusal")
REQUIRED = {"reasoning": "correct", "harmful": "harmful", "benign": "refused"}


def read_report(path: str | Path) -> dict[str, Any]:
    """Read a `tradeoff.json`.

    Raises:
        InputError: It is of another format.
    """
    report = read_json(path)
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        raise InputError(f"{path}: expected a report of format {FORMAT}")
    return report


def parse_run(run: str) -> tuple[Model, int | None]:
    """Return the model of a run's name, and its epochs where each epoch count is its own run."""
    parts = run.split("/")
    match = re.fullmatch(r"hub|seed(\d+)(?:-epochs(\d+))?", parts[-1])
    if match is None or {"base": 3, "lrm": 3, "aligned": 4}.get(parts[0]) != len(parts):
        raise InputError(f"run {run!r}: expected base/NAME/seedK, lrm/NAME/hub or the like")
    seed = int(match[1]) if match[1] else None
    alignment = parts[2] if parts[0] == "aligned" else None
    return Model(parts[0], parts[1], alignment, seed), int(match[2]) if match[2] else None


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

    def groups(self, lrm: str) -> list[Group]:
        """Return the base, the LRM and each alignment of it that was measured."""
        base = self.experiment["lrms"][lrm].get("base", "")
        names = [("base", base, None), ("lrm", lrm, None)]
        names += [("aligned", lrm, name) for name in self.experiment["alignments"]]
        found = [Group(lrm, *name, self.models(*name)) for name in names]
        return [group for group in found if group.models]

    def about(self, group: Group) -> dict[str, Any]:
        """Return what names a group in the tables, and whether the training of one failed."""
        status = "failed" if any(map(self.failed, group.models)) else "ok"
        return {
            "lrm": group.lrm,
            "role": group.role,
            "alignment": group.alignment,
            "status": status,
        }

    def parent(self, lrm: str, model: Model) -> Model | None:
        """Return the LRM that an aligned model was made from: its seed's, or the ready-made one."""
        return next((p for p in self.models("lrm", lrm) if p.seed in (model.seed, None)), None)

    def benchmarks(self, *kinds: str) -> list[str]:
        """Return the benchmarks of some kinds, or all by kind."""
        known = {(benchmark, one.kind) for (_, benchmark, _), one in self.scores.items()}
        listed = self.experiment["benchmarks"]
        return [name for kind in kinds or REQUIRED for name in listed if (name, kind) in known]

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

    def final(self, model: Model) -> str:
        return self.checkpoints([model])[-1]

    def finals(self, models: Sequence[Model]) -> list[tuple[Model, str]]:
        """Return (model, final checkpoint): of aligned models those that have the last epoch.

        The others may end at an epoch of their own, where they are trained up to a gate.
        """
        last = self.checkpoints(models)[-1:]
        own = [(model, self.final(model)) for model in models]
        return [(model, at) for model, at in own if model.role != "aligned" or [at] == last]

    def failed(self, model: Model) -> bool:
        """Return whether a model's training failed."""
        return any(self.status(model, at)[0] != "ok" for at in self.checkpoints([model]))

    def status(self, model: Model, checkpoint: str) -> tuple[str, str]:
        """Return (ok or failed, why) of a model's training."""
        return next(
            one.status[checkpoint]
            for (other, _, _), one in self.scores.items()
            if other == model and checkpoint in one.status
        )

    def verdicts(
        self, model: Model, checkpoint: str, benchmark: str, scorer: str
    ) -> dict[str, Verdicts]:
        """Return {item: verdicts}, empty where the model was not measured."""
        one = self.scores.get((model, benchmark, scorer))
        return one.verdicts.get(checkpoint, {}) if one else {}

    def values(
        self, model: Model, checkpoint: str, benchmark: str, scorer: str, reducer: Reducer
    ) -> dict[str, float]:
        """Return {item: value} of one model's checkpoint, items without a valid sample left out."""
        key = (model, checkpoint, benchmark, scorer, reducer)
        if key not in self._values:
            items = self.verdicts(model, checkpoint, benchmark, scorer)
            reduced = {item: reducer(verdicts) for item, verdicts in items.items()}
            self._values[key] = {i: value for i, value in reduced.items() if value is not None}
        return self._values[key]

    def counts(
        self,
        chosen: Sequence[tuple[Model, str]],
        benchmark: str,
        scorer: str,
        needs: Sequence[str],
        items: Container[str] | None = None,
    ) -> tuple[int, int]:
        """Return (samples, samples that count) over models at their checkpoints, of some items."""
        n = n_valid = 0
        for model, checkpoint in chosen:
            for item, verdicts in self.verdicts(model, checkpoint, benchmark, scorer).items():
                if items is not None and item not in items:
                    continue
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
    samples = {f"pass_at_{k}": any_of(k) for k in _repeats(results, chosen)}
    metrics = METRICS | {name: ("reasoning", one, ("correct",)) for name, one in samples.items()}
    for metric, (kind, reducer, needs) in metrics.items():
        main: list[tuple[Any, ...]] = []
        for benchmark in results.benchmarks(kind):
            clusters = results.clusters.get(benchmark)
            for rank, scorer in enumerate(results.scorers(benchmark)):
                if rank and not needs:
                    continue
                sides = [results.values(*model, benchmark, scorer, reducer) for model in chosen]
                values = mean_by_item(sides)
                if not values:
                    continue
                n, n_valid = results.counts(chosen, benchmark, scorer, needs)
                estimate = clustered_proportion(values, clusters, n_valid)
                by_seed = [_mean(side.values()) for side in sides]
                key = f"{metric}/{benchmark}" + (f"@{scorer}" if rank else "")
                found[key] = _metric(estimate, n, n_valid, by_seed)
                if not rank:
                    main.append((estimate, n, n_valid, by_seed, sides, clusters))
        if main and len(main) == len(results.benchmarks(kind)):
            estimates, ns, valid, seeds, sides_of, clusters_of = zip(*main, strict=True)
            by_seed = list(map(_mean, zip(*seeds, strict=True)))
            estimate = st.average(estimates)
            found[metric] = _metric(estimate, sum(ns), sum(valid), by_seed)
            if metric in COMPARED:
                found[metric] |= _over_both(estimate, sides_of, clusters_of, 0.0)
    return found | _thinking(results, chosen)


def _repeats(results: Results, chosen: Sequence[tuple[Model, str]]) -> list[int]:
    """Return each k > 1 for which all items of a reasoning benchmark have k samples."""
    sizes: dict[str, int] = {}
    for benchmark in results.benchmarks("reasoning"):
        for model, checkpoint in chosen:
            for scorer in results.scorers(benchmark):
                for verdicts in results.verdicts(model, checkpoint, benchmark, scorer).values():
                    sizes[benchmark] = min(sizes.get(benchmark, len(verdicts)), len(verdicts))
    return sorted(set(sizes.values()) - {1})


def _thinking(results: Results, chosen: Sequence[tuple[Model, str]]) -> dict[str, dict[str, Any]]:
    """Return tokens of thinking: by item, since the seeds and samples of an item are alike."""
    found, main = {}, []
    for benchmark in results.benchmarks():
        scorer, clusters = results.scorers(benchmark)[0], results.clusters.get(benchmark, {})
        by_seed: list[float | None] = []
        estimates, total = [], 0
        for model, checkpoint in chosen:
            one = results.scores.get((model, benchmark, scorer))
            tokens = one.tokens.get(checkpoint, {}) if one else {}
            by_seed.append(tokens.get("mean"))
            if by_seed[-1] is not None:
                items = results.verdicts(model, checkpoint, benchmark, scorer)
                total += sum(map(len, items.values()))
                prompts = {clusters.get(item, item) for item in items}
                estimates.append(mean_with_t(by_seed[-1], tokens.get("sd"), len(prompts)))
        if estimates:
            estimate = st.average_on_same_items(estimates)
            found[f"thinking_tokens/{benchmark}"] = _metric(estimate, total, total, by_seed)
            if benchmark in results.benchmarks("reasoning"):
                main.append((estimate, total, by_seed))
    if main and len(main) == len(results.benchmarks("reasoning")):
        each, ns, seeds = zip(*main, strict=True)
        by_seed = list(map(_mean, zip(*seeds, strict=True)))
        found["thinking_tokens"] = _metric(st.average(each), sum(ns), sum(ns), by_seed)
    return found


def compare(
    results: Results,
    pairs: Sequence[tuple[tuple[Model, str], tuple[Model, str]]],
) -> dict[str, dict[str, Any]]:
    """Return {metric: paired difference by item, by seed, over seeds and items}, second - first.

    A metric is left out where a pair was not measured on all of its benchmarks.

    Args:
        results: All verdicts.
        pairs: For each seed ((first model, checkpoint), (second model, checkpoint)).
    """
    found = {}
    for metric in COMPARED:
        kind, reducer, needs = METRICS[metric]
        main: list[tuple[Any, ...]] = []
        for benchmark in results.benchmarks(kind):
            scorer, clusters = results.scorers(benchmark)[0], results.clusters.get(benchmark)
            firsts, seconds, changes, samples = [], [], [], [0, 0]
            for one, other in pairs:
                first = results.values(*one, benchmark, scorer, reducer)
                second = results.values(*other, benchmark, scorer, reducer)
                shared = {item: None for item in first if item in second}
                for side, model in enumerate((one, other)):
                    samples[side] += results.counts([model], benchmark, scorer, needs, shared)[1]
                firsts.append({item: first[item] for item in shared})
                seconds.append({item: second[item] for item in shared})
                changes.append({item: second[item] - first[item] for item in shared})
            if not any(firsts):
                continue
            difference = st.paired_difference(
                mean_by_item(firsts), mean_by_item(seconds), clusters, min(samples)
            )
            by_seed = [_mean(change.values()) for change in changes]
            main.append((difference, by_seed, changes, clusters))
        if main and len(main) == len(results.benchmarks(kind)):
            differences, seeds, changes_of, clusters_of = zip(*main, strict=True)
            mean = st.average(differences)
            found[metric] = {
                **_described(mean, map(_mean, zip(*seeds, strict=True))),
                **_over_both(mean, changes_of, clusters_of, -1.0),
            }
    return found


def build_rows(results: Results) -> list[dict[str, Any]]:
    """Return the rows of the trade-off, per LRM: base, LRM, then each alignment and epoch.

    Each model has a row per seed and, with `seed` "mean", one over all its seeds. Where training
    failed for some seeds only, every model of the LRM has another over the others (`seed`
    "mean_ok"), the ready-made ones too.
    """
    rows = []
    for lrm in results.experiment["lrms"]:
        groups = results.groups(lrm)
        trained = {m for g in groups if g.role != "base" for m in g.models}
        failed = {model.seed for model in trained if results.failed(model)}
        some = failed and any(model.seed not in (*failed, None) for model in trained)
        for group in groups:
            stops = [results.finals(group.models)]
            if group.role == "aligned":
                stops = [
                    [(m, at) for m in group.models if at in results.checkpoints([m])]
                    for at in results.checkpoints(group.models)
                ]
            for evaluated in stops:
                row = {
                    "lrm": lrm,
                    "role": group.role,
                    "name": group.name,
                    "alignment": group.alignment,
                    "epoch": {"base": None, "lrm": 0}.get(group.role, epoch_of(evaluated[0][1])),
                    "final": evaluated is stops[-1],
                }
                chosen = [
                    ("hub" if m.seed is None else str(m.seed), [(m, at)]) for m, at in evaluated
                ]
                chosen.append(("mean", evaluated))
                ok = [(m, at) for m, at in evaluated if m.seed not in failed]
                if some and ok:
                    chosen.append(("mean_ok", ok))
                for seed, members in chosen:
                    rows.append({**row, "seed": seed, **_row(results, group, members)})
    families: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        level = row["seed"] if row["seed"].startswith("mean") else "seed"
        for metric, change in row["change"].items():
            families.setdefault((metric, level, row["final"]), []).append(change)
    for family in families.values():
        holm_within(family)
    return rows


def _row(results: Results, group: Group, members: list[tuple[Model, str]]) -> dict[str, Any]:
    statuses = [(model, *results.status(model, at)) for model, at in members]
    bad = [(model, reason) for model, status, reason in statuses if status != "ok"]
    row: dict[str, Any] = {
        "checkpoint": ", ".join(dict.fromkeys(at for _, at in members)),
        "n_seeds": len(members),
        "status": "failed" if bad else "ok",
        "status_reason": "; ".join(
            (f"seed {model.seed}: " if len(members) > 1 else "") + (reason or "training failed")
            for model, reason in bad
        ),
        "metrics": measure(results, members),
        "states": _states(results, members),
        "change": {},
        "tax": {},
    }
    if group.role != "aligned":
        return row
    pairs = [
        ((parent, results.final(parent)), (model, at))
        for model, at in members
        if (parent := results.parent(group.lrm, model)) is not None
    ]
    row["change"] = compare(results, pairs)
    accuracy, harm = (row["change"].get(name) for name in ("reasoning_accuracy", "harmful_score"))
    if accuracy and harm:
        both = (st.Difference(**{key: one[key] for key in PLAIN}) for one in (accuracy, harm))
        row["tax"] = asdict(st.safety_tax(*both))
        low, high = accuracy["all_low"], accuracy["all_high"]
        row["tax"]["points"] |= {
            "all_low": None if high is None else 0.0 - high,
            "all_high": None if low is None else 0.0 - low,
        }
    return row


def holm_within(family: Sequence[dict[str, Any]]) -> None:
    """Add to each of a family of tests `p_holm`, Holm's adjusted p, and how many they are."""
    for one, p in zip(family, st.holm([one["p"] for one in family]), strict=True):
        one["p_holm"] = p
        one["family"] = sum(other["p"] is not None for other in family)


def compare_alignments(results: Results) -> list[dict[str, Any]]:
    """Return the paired differences between the alignments of each LRM at their final epochs."""
    found: list[dict[str, Any]] = []
    for lrm in results.experiment["lrms"]:
        aligned = [group for group in results.groups(lrm) if group.role == "aligned"]
        for first, second in combinations(aligned, 2):
            sides = [
                {one[0].seed: one for one in results.finals(group.models)}
                for group in (first, second)
            ]
            pairs = [(one, sides[1][seed]) for seed, one in sides[0].items() if seed in sides[1]]
            found.append(
                {
                    "lrm": lrm,
                    "first": first.alignment,
                    "second": second.alignment,
                    "status": [results.about(group)["status"] for group in (first, second)],
                    "change": compare(results, pairs),
                }
            )
    for metric in COMPARED:
        holm_within([one["change"][metric] for one in found if metric in one["change"]])
    return found


def harm_by_category(results: Results) -> list[dict[str, Any]]:
    """Return the harmful score of each model (final epoch, all seeds) by the prompt's category."""
    found = []
    for lrm in results.experiment["lrms"]:
        for benchmark in results.benchmarks("harmful"):
            categories = results.categories.get(benchmark, {})
            for group in results.groups(lrm):
                for category in filter(None, dict.fromkeys(categories.values())):
                    items = {item for item, one in categories.items() if one == category}
                    one = _pooled_harm(results, group.models, benchmark, items, True)
                    if one.estimate is not None:
                        about = {"benchmark": benchmark, "category": category}
                        found.append({**results.about(group), **about, **asdict(one)})
    return found


def harm_on_clean_items(
    results: Results, pairs: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return harmful scores without the items that stand in the alignment's training set."""
    found = []
    for lrm in results.experiment["lrms"]:
        for group in results.groups(lrm):
            trained_on = results.experiment["alignments"].get(group.alignment, {}).get("data")
            for pair in pairs:
                benchmark, items = pair["benchmark"], set(pair["normalised"]["items"])
                known = benchmark in results.benchmarks("harmful")
                if not (known and items and group.alignment and pair["train"] == trained_on):
                    continue
                models = {"lrm": results.models("lrm", lrm), "aligned": group.models}
                scores = {
                    f"{side}_score": asdict(_pooled_harm(results, some, benchmark, items, False))
                    for side, some in models.items()
                }
                about = {"benchmark": benchmark, "removed": len(items)}
                found.append({**results.about(group), **about, **scores})
    return found


def _pooled_harm(
    results: Results, models: Sequence[Model], benchmark: str, items: set[str], inside: bool
) -> Estimate:
    """Return the harmful score of all seeds at their final epoch inside or outside some items."""
    scorer, finals = results.scorers(benchmark)[0], results.finals(models)
    reducer = METRICS["harmful_score"][1]
    values = mean_by_item([results.values(*one, benchmark, scorer, reducer) for one in finals])
    kept = {item: value for item, value in values.items() if (item in items) == inside}
    clusters = results.clusters.get(benchmark)
    return clustered_proportion(kept, clusters, len(kept) * len(finals))


def against_published(
    rows: Sequence[Mapping[str, Any]], published: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return our value beside each published one, and whether the two are compatible.

    Args:
        rows: `build_rows`'s.
        published: {"model": "lrm/NAME" | "aligned/LRM/ALIGNMENT" | "base/NAME", "metric", "value"
            in percent, "n", "epoch" (default: the final one) and "source" optional}.

    Our interval is that over seeds and items where there is one. Compatible means that the interval
    of the difference (Newcombe's, independent samples) holds 0; without n, that our interval holds
    the value; None when either cannot be said.
    """
    found = []
    for entry in published:
        row = next((row for row in rows if _is_published(row, entry)), None)
        ours = row["metrics"].get(entry["metric"]) if row else None
        value = entry["value"] / 100
        compatible, difference = None, None
        ours = over_both(ours) if ours else None
        if ours and ours["low"] is not None:
            estimate = Estimate(ours["estimate"], ours["low"], ours["high"], ours["items"])
            if entry.get("n"):
                theirs = proportion(round(value * entry["n"]), entry["n"])
                change = st.independent_difference(theirs, estimate)
                difference = asdict(change)
                compatible = (change.low or 0) <= 0 <= (change.high or 0)
            else:
                compatible = ours["low"] <= value <= ours["high"]
        found.append(
            {
                "model": entry["model"],
                "epoch": entry.get("epoch"),
                "metric": entry["metric"],
                "status": row["status"] if row else "ok",
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
    all models, at the final epochs: by item, n being samples."""
    groups = [group for lrm in results.experiment["lrms"] for group in results.groups(lrm)]
    every = sorted({model for group in groups for model in group.models}, key=str)
    shown = [(results.about(group), group.models) for group in groups]
    shown.append(({"lrm": None, "role": "all", "alignment": None, "status": "ok"}, every))
    found = []
    for benchmark in results.benchmarks():
        for first, second in combinations(results.scorers(benchmark), 2):
            for about, models in shown:
                judged: dict[str, list[tuple[bool, bool]]] = {}
                for model in models:
                    one, other = (_judged(results, model, benchmark, s) for s in (first, second))
                    for key in filter(other.__contains__, one):
                        judged.setdefault(key[0], []).append((one[key], other[key]))
                if not judged:
                    continue
                same, kappa = st.agreement(judged, results.clusters.get(benchmark))
                pairs = [pair for samples in judged.values() for pair in samples]
                found.append(
                    {
                        **about,
                        "benchmark": benchmark,
                        "first": first,
                        "second": second,
                        **asdict(same),
                        "n": len(pairs),
                        "items": same.n,
                        "kappa": kappa,
                        "only_first": sum(a and not b for a, b in pairs),
                        "only_second": sum(b and not a for a, b in pairs),
                    }
                )
    return found


def _judged(
    results: Results, model: Model, benchmark: str, scorer: str
) -> dict[tuple[str, int], bool]:
    """Return {(item, repeat): verdict} of a model's final samples that a scorer could judge."""
    verdicts = results.verdicts(model, results.final(model), benchmark, scorer)
    name = REQUIRED[results.scores[model, benchmark, scorer].kind] if verdicts else ""
    return {
        (item, verdict["repeat"]): bool(verdict[name])
        for item, samples in verdicts.items()
        for verdict in samples
        if verdict["valid"] and verdict.get(name) is not None
    }


def over_both(one: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a number with the interval over seeds and items, where it has one."""
    if one.get("all_low") is None:
        return one
    return {**one, "low": one["all_low"], "high": one["all_high"]}


def _over_both(
    estimate: Estimate,
    crossed: Sequence[Sequence[Mapping[str, float]]],
    clusters: Sequence[Mapping[str, str] | None],
    least: float,
) -> dict[str, Any]:
    """Return the interval over seeds and items together, and the share of the seeds in it.

    It reaches at least as far as that over items. Fewer than `SEEDS_FOR_AN_INTERVAL` have none:
    Student's quantile for two is 12.7, and what it gives spans everything.
    """
    both, share_of_seeds = over_seeds_and_items(crossed, clusters)
    if max(sum(map(bool, sides)) for sides in crossed) < SEEDS_FOR_AN_INTERVAL:
        return {"all_low": None, "all_high": None, "seed_share": share_of_seeds}
    low, high = both.low, both.high
    if low is not None and high is not None:
        low = max(least, min(x for x in (low, estimate.low) if x is not None))
        high = min(1.0, max(x for x in (high, estimate.high) if x is not None))
    return {"all_low": low, "all_high": high, "seed_share": share_of_seeds}


def _described(estimate: Estimate, by_seed: Iterable[float | None]) -> dict[str, Any]:
    mean, sd = over_seeds(list(by_seed))
    spread = {"seed_sd": sd, "seed_low": mean.low, "seed_high": mean.high}
    return {**asdict(estimate), **spread}


def _metric(
    estimate: Estimate, n: int, n_valid: int, by_seed: Sequence[float | None]
) -> dict[str, Any]:
    about = {"n": n, "n_valid": n_valid, "items": estimate.n}
    return {**_described(estimate, by_seed), **about}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _states(results: Results, chosen: Sequence[tuple[Model, str]]) -> dict[str, dict[str, int]]:
    found = {}
    for benchmark in results.benchmarks():
        for scorer in results.scorers(benchmark):
            counter = Counter(
                verdict["state"]
                for model, checkpoint in chosen
                for verdicts in results.verdicts(model, checkpoint, benchmark, scorer).values()
                for verdict in verdicts
            )
            found[f"{benchmark}/{scorer}"] = dict(sorted(counter.items()))
    return found
