"""What became of aligned models that were tuned on: harm and accuracy by step."""

from __future__ import annotations

from collections.abc import Iterator

from workflow.scripts.report.comparisons import Pairs, compare
from workflow.scripts.report.measure import measure
from workflow.scripts.report.metrics import COMPARED
from workflow.scripts.report.results import At, Results
from workflow.scripts.report.runs import Model, step_of
from workflow.scripts.report.schema import DurabilityRow, Interval


def build_durability(results: Results) -> list[DurabilityRow]:
    """Return a row per LRM, attack, alignment and step, for each seed and, as "mean", over them.

    Step 0 is the aligned model at its final epoch, before the attack. `change` is paired with it,
    by item and seed.
    """
    return [
        row
        for lrm in results.experiment["lrms"]
        for attack in results.experiment.get("durability", {})
        for alignment in results.experiment["alignments"]
        for row in _rows(results, lrm, attack, alignment)
    ]


def _rows(results: Results, lrm: str, attack: str, alignment: str) -> Iterator[DurabilityRow]:
    attacked = results.models("attacked", lrm, alignment, attack)
    starts = {model: at for model in attacked if (at := _start(results, lrm, model))}
    for checkpoint in ("step0", *results.checkpoints(starts)):
        for seed, models in (*((one.seed_label, [one]) for one in starts), ("mean", list(starts))):
            if models:
                pairs = [(starts[one], (one, checkpoint)) for one in models]
                if checkpoint == "step0":
                    pairs = [(start, start) for start, _ in pairs]
                ats = [at for _, at in pairs]
                metrics = measure(results, ats)
                yield {
                    "lrm": lrm,
                    "attack": attack,
                    "role": "aligned",
                    "alignment": alignment,
                    "step": step_of(checkpoint),
                    "seed": seed,
                    "n_seeds": len(models),
                    "status": results.status(ats),
                    "metrics": {name: metrics[name] for name in COMPARED if name in metrics},
                    "change": {} if pairs[0][0] == pairs[0][1] else _changes(results, pairs),
                }


def _start(results: Results, lrm: str, attacked: Model) -> At | None:
    """Return the aligned model that an attack started from, as it is measured."""
    found = results.models("aligned", lrm, attacked.alignment)
    model = next((one for one in found if one.seed in (attacked.seed, None)), None)
    return (model, results.final(model)) if model else None


def _changes(results: Results, pairs: Pairs) -> dict[str, Interval]:
    return {
        name: {
            "estimate": one["estimate"],
            "low": one["low"],
            "high": one["high"],
            "all_low": one["all_low"],
            "all_high": one["all_high"],
        }
        for name, one in compare(results, pairs).items()
    }
