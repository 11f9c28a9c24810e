"""The result in a sentence for each LRM, and what it must be read with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from workflow.scripts.report.schema import MetricValue, TradeoffRow
from workflow.scripts.report.spread import over_both
from workflow.scripts.report.tables.table import join, model_name, number, points

MANY = 4  # alignments that a sentence can still list
INTERVALS = " (95 % intervals)"
INCLUDED = {
    "failed": "training failed and is included",
    "missed": "no candidate was within the limits of a selection, and the nearest is included",
}
OTHERWISE = {
    "none": "not distinguishable from none:",
    "unclear": "over training seeds not distinguishable from none:",
}


def headline(rows: Sequence[TradeoffRow]) -> str:
    """Return the result, one sentence for each LRM, with its uncertainty."""
    return " ".join(_sentence(lrm, final) for lrm, final in _finals(rows))


def _sentence(lrm: str, final: Sequence[TradeoffRow]) -> str:
    aligned = [row for row in final if row["tax"]]
    of_lrm = (row["metrics"] for row in final if row["role"] == "lrm")
    before: dict[str, MetricValue] = next(of_lrm, {})
    if not aligned:
        return f"On {lrm} no aligned model was measured against its LRM."
    seeds = max(row["n_seeds"] for row in aligned)
    where = f"{lrm} ({seeds} training seed{'s' if seeds > 1 else ''})"
    text = _losses(where, aligned)
    if len(aligned) > MANY:  # a sentence names the cheapest and the dearest
        aligned = _cheapest_and_dearest(aligned)
    of = sorted(key.partition("/")[2] for key in aligned[0]["metrics"] if _of_a_benchmark(key))
    mean = f" (mean of {join(of)}, each by its first scorer)" if len(of) > 1 else ""
    measured = (before, *(row["metrics"] for row in aligned))
    changes = {
        metric: _change(metric, before, aligned)
        for metric in ("harmful_score", "over_refusal")
        if all(metric in one for one in measured)
    }
    if harm := changes.get("harmful_score"):
        text += f"; the harmful score{mean} went {harm}"
    else:
        some = any("harmful_score" in one for one in measured)
        text += f"; harm was not measured{' for all' if some else ''}"
    if refusals := changes.get("over_refusal"):
        text += f", over-refusal {'' if harm else 'went '}{refusals}"
    return f"{text}."


def _losses(where: str, aligned: Sequence[TradeoffRow]) -> str:
    """Return what the alignments cost, the clear losses apart from the others."""
    lost: dict[str, list[str]] = {}
    for row in aligned:
        lost.setdefault(_verdict(row), []).append(_loss(row))
    if len(aligned) > MANY:
        least, most = map(_loss, _cheapest_and_dearest(aligned))
        taxed = len(lost.get("taxed", []))
        return (
            f"On {where} {taxed} of {len(aligned)} alignments cost reasoning "
            f"accuracy; points lost{INTERVALS}: from {least} to {most}"
        )
    if "taxed" in lost:
        taxed_by = join(lost.pop("taxed"))
        others = "".join(f"; {OTHERWISE[kind]} {join(one)}" for kind, one in sorted(lost.items()))
        start = f"On {where} safety alignment cost points of reasoning accuracy{INTERVALS}"
        return f"{start}: {taxed_by}{others}"
    none = "No tax stands out from the spread of training seeds"
    start = none if "unclear" in lost else "No tax was measured"
    lost_points = join(map(_loss, aligned))
    return f"{start} on {where}; points of reasoning accuracy lost{INTERVALS}: {lost_points}"


def _cheapest_and_dearest(aligned: Sequence[TradeoffRow]) -> list[TradeoffRow]:
    ordered = sorted(aligned, key=lambda row: row["tax"]["points"]["estimate"] or 0.0)
    return [ordered[0], ordered[-1]]


def _change(metric: str, before: Mapping[str, MetricValue], aligned: Sequence[TradeoffRow]) -> str:
    """Return "from 99.3 % to 0.0 % with a and 1.4 % with b", what is the same said once."""
    after: dict[str, list[str]] = {}
    for row in aligned:
        percent = f"{number(row['metrics'][metric]['estimate'])} %"
        after.setdefault(percent, []).append(str(row["alignment"]))
    if len(after) == 1:
        ends = [*after, "with each"][: 1 + (len(aligned) > 1)]
        to = " ".join(ends)
    else:
        to = join(f"{percent} with {join(names)}" for percent, names in after.items())
    return f"from {number(before[metric]['estimate'])} % to {to}"


def _of_a_benchmark(key: str) -> bool:
    return key.startswith("harmful_score/") and "@" not in key


def caveats(rows: Sequence[TradeoffRow]) -> str:
    """Return what the headline must be read with: intervals, seeds, training that failed."""
    taxes = [row["tax"]["points"] for row in rows if row["tax"]]
    several = any(one.get("all_low") is not None for one in taxes)
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
                f"{join(spreads)}."
            )
        for status in ("failed", "missed"):
            if bad := [model_name(row) for row in final if row["status"] == status]:
                sentences.append(f"On {lrm} {INCLUDED[status]}: {join(bad)}.")
    return " ".join(sentences)


def _finals(rows: Sequence[TradeoffRow]) -> list[tuple[str, list[TradeoffRow]]]:
    """Return (LRM, its rows of the final epoch over all seeds)."""
    final = [row for row in rows if row["final"] and row["seed"] == "mean"]
    names = dict.fromkeys(row["lrm"] for row in final)
    return [(name, [row for row in final if row["lrm"] == name]) for name in names]


def is_taxed(row: TradeoffRow) -> bool:
    """Tell whether an alignment clearly cost reasoning accuracy."""
    return bool(row["tax"]) and _verdict(row) == "taxed"


def _verdict(row: TradeoffRow) -> str:
    """Return "taxed", "unclear" (not clear of zero over the training seeds) or "none"."""
    p, tax = row["change"]["reasoning_accuracy"]["p_holm"], row["tax"]["points"]
    if (tax["estimate"] or 0.0) <= 0 or p is None or p >= 0.05:
        return "none"
    return "taxed" if tax["all_low"] is None or tax["all_low"] > 0 else "unclear"


def _loss(row: TradeoffRow) -> str:
    return f"{points(over_both(row['tax']['points']))} with {row['alignment']}"
