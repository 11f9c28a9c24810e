"""How often two scorers of a benchmark judge a sample the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from workflow.scripts.common.intervals import Estimate, clustered_proportion
from workflow.scripts.report.metrics import MAIN
from workflow.scripts.report.results import Results
from workflow.scripts.report.runs import Model
from workflow.scripts.report.schema import Agreement, MarkedModel
from workflow.scripts.report.spread import as_interval

if TYPE_CHECKING:
    import pandas as pd

SAMPLE = ["evaluated", "item_id", "repeat"]


def agreement(
    judged: Mapping[Any, Sequence[tuple[bool, bool]]], clusters: Mapping[Any, Any] | None = None
) -> tuple[Estimate, float | None]:
    """Return (share of the samples judged the same, Cohen's kappa; None where it is undefined).

    Args:
        judged: {item: both verdicts on each of its samples (of several seeds, repeats, models)}.
        clusters: {item: cluster}, for items whose prompts are repeated.
    """
    from statsmodels.stats.inter_rater import cohens_kappa

    table = [[0, 0], [0, 0]]
    for samples in judged.values():
        for one, other in samples:
            table[one][other] += 1
    shares = {
        item: sum(one == other for one, other in samples) / len(samples)
        for item, samples in judged.items()
        if samples
    }
    constant = table[0][1] == table[1][0] == 0 and 0 in (table[0][0], table[1][1])
    kappa = None if constant else float(cohens_kappa(table, return_results=False))
    return clustered_proportion(shares, clusters, sum(map(sum, table))), kappa


def agreement_of_scorers(results: Results) -> list[Agreement]:
    """Return how often each two scorers of a benchmark judge a sample the same, by model and over
    all models, at the final epochs: by item, n being samples."""
    found: list[Agreement] = []
    for benchmark in results.benchmarks():
        for first, second in combinations(results.scorers(benchmark), 2):
            pairs = _judged_by_both(results, benchmark, first, second)
            for lrm, about, models in _shown(results):
                mine = pairs[pairs["evaluated"].isin([str(model) for model in models])]
                if len(mine):
                    judged = _by_item(mine)
                    samples = [sample for of_item in judged.values() for sample in of_item]
                    same, kappa = agreement(judged, results.clusters(benchmark))
                    found.append(
                        {
                            **about,
                            "lrm": lrm,
                            "benchmark": benchmark,
                            "first": first,
                            "second": second,
                            **as_interval(same),
                            "n": len(samples),
                            "items": same.n,
                            "kappa": kappa,
                            "only_first": sum(one and not other for one, other in samples),
                            "only_second": sum(other and not one for one, other in samples),
                        }
                    )
    return found


def _shown(results: Results) -> Iterator[tuple[str | None, MarkedModel, Sequence[Model]]]:
    """Yield the LRM of some models, what names them in the tables, and the models; all last."""
    groups = [group for lrm in results.experiment["lrms"] for group in results.groups(lrm)]
    for group in groups:
        yield group.lrm, results.about(group), group.models
    everyone = [model for group in groups for model in group.models]
    yield None, {"role": "all", "alignment": None, "status": "ok"}, everyone


def _judged_by_both(results: Results, benchmark: str, first: str, second: str) -> pd.DataFrame:
    """Return the final samples that both scorers judged: whose, item, and both verdicts."""
    sides = []
    for scorer in (first, second):
        numbers = {
            one.number: str(one.model)
            for one in results.verdicts.evaluations
            if (one.benchmark, one.scorer) == (benchmark, scorer)
            and one.checkpoint == results.final(one.model)
        }
        table = results.verdicts.table
        mine = table[table["evaluation"].isin(numbers) & table["valid"]]
        kind = results.verdicts.evaluations[min(numbers)].kind if numbers else "reasoning"
        judged = mine[MAIN[kind].columns[0]]
        if judged.dtype != "boolean":  # grades: right from a half on
            judged = judged >= 0.5
        mine = mine.assign(evaluated=mine["evaluation"].map(numbers), judged=judged)
        sides.append(mine.dropna(subset="judged")[[*SAMPLE, "judged"]])
    return sides[0].merge(sides[1], on=SAMPLE, suffixes=("_first", "_second"))


def _by_item(pairs: pd.DataFrame) -> dict[str, list[tuple[bool, bool]]]:
    """Return {item: both verdicts on each of its samples}."""
    judged: dict[str, list[tuple[bool, bool]]] = {}
    columns = (pairs[name].tolist() for name in ("item_id", "judged_first", "judged_second"))
    for item, one, other in zip(*columns, strict=True):
        judged.setdefault(item, []).append((one, other))
    return judged
