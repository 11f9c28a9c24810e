"""The rows of the trade-off: every model, epoch and seed with its metrics, change and tax."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from workflow.scripts.report.comparisons import compare, holm_within
from workflow.scripts.report.cost import Costs
from workflow.scripts.report.differences import Difference
from workflow.scripts.report.measure import measure
from workflow.scripts.report.results import At, Results, states
from workflow.scripts.report.runs import Group, epoch_of
from workflow.scripts.report.schema import ChangeValue, Tax, TradeoffRow
from workflow.scripts.report.spread import as_difference, as_interval
from workflow.scripts.report.tax import safety_tax

NOT_MEASURED = Difference(None, None, None, 0)


def build_rows(results: Results, costs: Costs | None = None) -> list[TradeoffRow]:
    """Return the rows of the trade-off, per LRM: base, LRM, then each alignment and epoch.

    Each model has a row per seed and, with `seed` "mean", one over all its seeds. Where training
    failed for some seeds only, every model of the LRM has another over the others (`seed`
    "mean_ok"), the ready-made ones too.

    Args:
        results: All verdicts.
        costs: What the models took; None leaves it out.
    """
    rows = []
    for lrm in results.experiment["lrms"]:
        failed = _failed_seeds(results, lrm)
        for group in results.groups(lrm):
            stops = _stops(results, group)
            for evaluated in stops:
                final = evaluated is stops[-1]
                for seed, members in _by_seed(evaluated, failed):
                    rows.append(_row(results, costs, group, final, seed, members))
    _adjust(rows)
    return rows


def _failed_seeds(results: Results, lrm: str) -> set[int | None]:
    """Return the seeds whose training failed; none where it failed for all."""
    trained = {m for group in results.groups(lrm) if group.role != "base" for m in group.models}
    failed = {model.seed for model in trained if results.failed(model)}
    some = any(model.seed not in (*failed, None) for model in trained)
    return failed if some else set()


def _stops(results: Results, group: Group) -> list[list[At]]:
    """Return the models at each checkpoint that has a row, the final one last."""
    if group.role != "aligned":
        return [results.finals(group.models)]
    return [
        [(model, at) for model in group.models if at in results.checkpoints([model])]
        for at in results.checkpoints(group.models)
    ]


def _by_seed(
    evaluated: Sequence[At], failed: set[int | None]
) -> Iterator[tuple[str, Sequence[At]]]:
    """Yield (seed, models): each seed alone, all, and those that did not fail."""
    for model, at in evaluated:
        yield model.seed_label, [(model, at)]
    yield "mean", evaluated
    ok = [(model, at) for model, at in evaluated if model.seed not in failed]
    if failed and ok:
        yield "mean_ok", ok


def _row(
    results: Results,
    costs: Costs | None,
    group: Group,
    final: bool,
    seed: str,
    members: Sequence[At],
) -> TradeoffRow:
    failures = [(model, results.failure(model, at)) for model, at in members]
    reasons = [
        (f"seed {model.seed}: " if len(members) > 1 else "") + (reason or "training failed")
        for model, reason in failures
        if reason is not None
    ]
    change = _against_lrm(results, group.lrm, members) if group.role == "aligned" else {}
    return {
        "lrm": group.lrm,
        "role": group.role,
        "name": group.name,
        "alignment": group.alignment,
        "epoch": {"base": None, "lrm": 0}.get(group.role, epoch_of(members[0][1])),
        "final": final,
        "checkpoint": ", ".join(dict.fromkeys(at for _, at in members)),
        "seed": seed,
        "n_seeds": len(members),
        "status": results.status(members),
        "status_reason": "; ".join(reasons),
        "metrics": measure(results, members),
        "states": states(results, members),
        "change": change,
        "tax": _tax(change),
        "cost": _cost(results, costs, group, members),
    }


def _cost(
    results: Results, costs: Costs | None, group: Group, members: Sequence[At]
) -> dict[str, float]:
    """Return what alignment took, mean over the seeds; nothing for an LRM, empty for a base."""
    if costs is None or group.role == "base":
        return {}
    return costs.mean([(results.run(*at), at[1]) for at in members])


def _against_lrm(results: Results, lrm: str, members: Sequence[At]) -> dict[str, ChangeValue]:
    pairs = [
        ((parent, results.final(parent)), (model, at))
        for model, at in members
        if (parent := results.parent(lrm, model)) is not None
    ]
    return compare(results, pairs)


def _tax(change: Mapping[str, ChangeValue]) -> Tax:
    """Return the safety tax of the changes against the LRM; empty without reasoning accuracy."""
    accuracy, harm = (change.get(name) for name in ("reasoning_accuracy", "harmful_score"))
    if not accuracy:
        return {}
    tax = safety_tax(_difference(accuracy), _difference(harm) if harm else NOT_MEASURED)
    low, high = accuracy["all_low"], accuracy["all_high"]
    return {
        "points": {
            **as_difference(tax.points),
            "all_low": None if high is None else 0.0 - high,
            "all_high": None if low is None else 0.0 - low,
        },
        "harm_removed": as_difference(tax.harm_removed),
        "per_harm_point": as_interval(tax.per_harm_point),
    }


def _difference(change: ChangeValue) -> Difference:
    return Difference(change["estimate"], change["low"], change["high"], change["n"], change["p"])


def _adjust(rows: Sequence[TradeoffRow]) -> None:
    """Adjust the p values by Holm: a family is a metric at the final or the earlier epochs."""
    families: dict[tuple[str, str, bool], list[ChangeValue]] = {}
    for row in rows:
        level = row["seed"] if row["seed"].startswith("mean") else "seed"
        for metric, change in row["change"].items():
            families.setdefault((metric, level, row["final"]), []).append(change)
    for family in families.values():
        holm_within(family)
