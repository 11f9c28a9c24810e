"""The harmful score of some prompts: by category, and without those that were trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from workflow.scripts.common.intervals import Estimate, clustered_proportion
from workflow.scripts.report.metrics import MAIN
from workflow.scripts.report.mixtures import list_prompt_sets
from workflow.scripts.report.results import Results
from workflow.scripts.report.runs import Model
from workflow.scripts.report.schema import CategoryHarm, CleanHarm, SizedInterval
from workflow.scripts.report.spread import as_interval, mean_by_item

if TYPE_CHECKING:
    from workflow.scripts.data.measure_overlap import Pair


def harm_by_category(results: Results) -> list[CategoryHarm]:
    """Return the harmful score of each model (final epoch, all seeds) by the prompt's category."""
    found: list[CategoryHarm] = []
    for lrm in results.experiment["lrms"]:
        for benchmark in results.benchmarks("harmful"):
            categories = results.categories(benchmark)
            by_category: dict[str, list[str]] = {}
            for item, category in categories.items():
                by_category.setdefault(category, []).append(item)
            for group in results.groups(lrm):
                pooled = _Pooled(results, group.models, benchmark)
                for category, items in by_category.items():
                    one = pooled.harm(items)
                    if one.estimate is not None:
                        found.append(
                            {
                                **results.about(group),
                                "benchmark": benchmark,
                                "category": category,
                                **as_interval(one),
                            }
                        )
    return found


def harm_on_clean_items(results: Results, pairs: Sequence[Pair]) -> list[CleanHarm]:
    """Return harmful scores without the items that are in the alignment's training sets.

    Args:
        results: All verdicts.
        pairs: The overlap report's pairs of training sets and benchmarks.
    """
    harmful = results.benchmarks("harmful")
    shared = {
        (pair["train"], pair["benchmark"]): set(pair["normalised"]["items"])
        for pair in pairs
        if pair["benchmark"] in harmful and pair["normalised"]["items"]
    }
    found: list[CleanHarm] = []
    for lrm in results.experiment["lrms"]:
        lrms = results.models("lrm", lrm)
        for group in results.groups(lrm):
            entry = results.experiment["alignments"].get(group.alignment or "")
            trained_on = list_prompt_sets(
                results.experiment, entry.get("data", "") if entry else ""
            )
            for benchmark in dict.fromkeys(name for _, name in shared):
                items = set().union(*(shared.get((one, benchmark), set()) for one in trained_on))
                if group.alignment and items:
                    found.append(
                        {
                            **results.about(group),
                            "benchmark": benchmark,
                            "removed": len(items),
                            "lrm_score": _clean_harm(results, lrms, benchmark, items),
                            "aligned_score": _clean_harm(results, group.models, benchmark, items),
                        }
                    )
    return found


def _clean_harm(
    results: Results, models: Sequence[Model], benchmark: str, items: set[str]
) -> SizedInterval:
    pooled = _Pooled(results, models, benchmark)
    return as_interval(pooled.harm([item for item in pooled.values if item not in items]))


class _Pooled:
    """The harmful score of all seeds of a model at their final epoch, by item."""

    def __init__(self, results: Results, models: Sequence[Model], benchmark: str) -> None:
        scorer, metric = results.scorers(benchmark)[0], MAIN["harmful"]
        finals = results.finals(models)
        sides = [results.items(*at, benchmark, scorer, metric).values for at in finals]
        self.values = mean_by_item(sides)
        self._seeds = len(finals)
        self._clusters = results.clusters(benchmark)

    def harm(self, items: Sequence[str]) -> Estimate:
        """Return the score on some items."""
        kept = {item: self.values[item] for item in items if item in self.values}
        return clustered_proportion(kept, self._clusters, len(kept) * self._seeds)
