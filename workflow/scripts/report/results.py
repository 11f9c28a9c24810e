"""An experiment's verdicts, asked by model, checkpoint, benchmark and scorer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from workflow.scripts.report.experiment import Experiment
from workflow.scripts.report.metrics import MAIN, TURNS_AT, Metric
from workflow.scripts.report.runs import Group, Model, by_epoch
from workflow.scripts.report.schema import ShownModel
from workflow.scripts.report.status import status_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from workflow.scripts.report.verdicts import Evaluation, Verdicts

# A model and the checkpoint at which it is looked at.
At = tuple[Model, str]


@dataclass(frozen=True)
class Items:
    """A metric of one evaluation, by item.

    Attributes:
        values: {item: value}, without the items of which no sample counts.
        valid: {item: samples that count}.
        n: Samples, also those that do not count.
        graded: Whether a sample's value is a number from 0 to 1, not true or false.
    """

    values: Mapping[str, float]
    valid: Mapping[str, int]
    n: int
    graded: bool = False

    @property
    def n_valid(self) -> int:
        """How many samples count."""
        return sum(self.valid.values())


@dataclass(frozen=True)
class Counts:
    """Samples by evaluation and item, in the order of the verdicts: n, that count, and that hit."""

    items: np.ndarray
    n: np.ndarray
    valid: np.ndarray
    hits: np.ndarray
    places: Mapping[Any, np.ndarray]
    """{evaluation: its positions in the other arrays}"""


NONE_MEASURED = Items({}, {}, 0)


class Results:
    """All verdicts of an experiment.

    Args:
        experiment: The experiment.
        verdicts: Its verdicts.
    """

    def __init__(self, experiment: Experiment, verdicts: Verdicts) -> None:
        self.experiment = experiment
        self.verdicts = verdicts
        self.evaluations: dict[tuple[Model, str, str, str], Evaluation] = {
            (one.model, one.checkpoint, one.benchmark, one.scorer): one
            for one in verdicts.evaluations
        }
        # Asked thousands of times, the same for the whole report.
        self.counts = cache(self._counts)
        self.clusters = cache(self._clusters)
        self.scorers = cache(self._scorers)

    @cached_property
    def _checkpoints(self) -> dict[Model, list[str]]:
        found: dict[Model, set[str]] = {}
        for model, checkpoint, _, _ in self.evaluations:
            found.setdefault(model, set()).add(checkpoint)
        return {model: sorted(names, key=by_epoch) for model, names in found.items()}

    @cached_property
    def _failures(self) -> dict[At, str]:
        """{(model, checkpoint): why its training failed}, of those whose training failed."""
        return {
            (one.model, one.checkpoint): one.status_reason
            for one in reversed(self.verdicts.evaluations)
            if one.status != "ok"
        }

    @cached_property
    def _benchmarks(self) -> dict[str, list[str]]:
        """{kind: benchmarks in the order of the experiment}."""
        known = {(one.benchmark, one.kind) for one in self.verdicts.evaluations}
        listed = self.experiment["benchmarks"]
        return {kind: [name for name in listed if (name, kind) in known] for kind in MAIN}

    def models(
        self, role: str, name: str, alignment: str | None = None, attack: str | None = None
    ) -> list[Model]:
        """Return the models of one kind in the order of their seeds."""
        found = [
            one
            for one in self._checkpoints
            if one == Model(role, name, alignment, one.seed, attack)
        ]
        return sorted(found, key=lambda model: -1 if model.seed is None else model.seed)

    def groups(self, lrm: str) -> list[Group]:
        """Return the base, the LRM and each alignment of it that was measured."""
        base = self.experiment["lrms"][lrm].get("base", "")
        names: list[tuple[str, str, str | None]] = [
            ("base", base, None),
            ("lrm", lrm, None),
            *(("aligned", lrm, name) for name in self.experiment["alignments"]),
        ]
        found = [Group(lrm, *name, self.models(*name)) for name in names]
        return [group for group in found if group.models]

    def about(self, group: Group) -> ShownModel:
        """Return what names a group in the tables, and whether the training of a seed failed."""
        return {
            "lrm": group.lrm,
            "role": group.role,
            "alignment": group.alignment,
            "status": self.status((m, at) for m in group.models for at in self._checkpoints[m]),
        }

    def parent(self, lrm: str, model: Model) -> Model | None:
        """Return the LRM that an aligned model was made from: its seed's, or the ready-made one."""
        return next((p for p in self.models("lrm", lrm) if p.seed in (model.seed, None)), None)

    def benchmarks(self, *kinds: str) -> list[str]:
        """Return the benchmarks of some kinds, or all by kind."""
        return [name for kind in kinds or MAIN for name in self._benchmarks[kind]]

    def _scorers(self, benchmark: str) -> list[str]:
        """Return a benchmark's scorers, the one that counts (the first in the config) first."""
        found = {one.scorer for one in self.verdicts.evaluations if one.benchmark == benchmark}
        listed = list(self.experiment["benchmarks"][benchmark].get("scorers", []))
        return [one for one in listed if one in found] + sorted(found - set(listed))

    def _clusters(self, benchmark: str) -> dict[str, str]:
        """Return {item: first item with the same prompt}, of repeated prompts."""
        found = self._by_item(benchmark, "cluster")
        return {item: cluster for item, cluster in found.items() if found[item] != item}

    def categories(self, benchmark: str) -> dict[str, str]:
        """Return {item: category of its prompt}, without items that have none."""
        return {item: one for item, one in self._by_item(benchmark, "category").items() if one}

    def _by_item(self, benchmark: str, column: str) -> dict[str, str]:
        table = self.verdicts.table
        mine = table.loc[table["benchmark"] == benchmark, ["item_id", column]]
        mine = mine.drop_duplicates("item_id").dropna()
        return dict(zip(mine["item_id"], mine[column], strict=True))

    def checkpoints(self, models: Iterable[Model]) -> list[str]:
        """Return the evaluated checkpoints, epochs in order and the final one last."""
        found = {name for model in models for name in self._checkpoints[model]}
        return sorted(found, key=by_epoch)

    def final(self, model: Model) -> str:
        """Return a model's last checkpoint."""
        return self._checkpoints[model][-1]

    def finals(self, models: Sequence[Model]) -> list[At]:
        """Return (model, final checkpoint): of aligned models those that have the last epoch.

        The others may end at an epoch of their own, where they are trained up to a gate.
        """
        last = self.checkpoints(models)[-1:]
        own = [(model, self.final(model)) for model in models]
        return [(model, at) for model, at in own if model.role != "aligned" or [at] == last]

    def run(self, model: Model, checkpoint: str) -> str:
        """Return the run that a model's checkpoint is of."""
        return self._runs[model, checkpoint]

    @cached_property
    def _runs(self) -> dict[At, str]:
        return {(one.model, one.checkpoint): one.run for one in self.verdicts.evaluations}

    def failure(self, model: Model, checkpoint: str) -> str | None:
        """Return why a model's training failed; None where it did not."""
        return self._failures.get((model, checkpoint))

    def status(self, ats: Iterable[At]) -> str:
        """Return what models at their checkpoints are: see `status_of`."""
        return status_of(self.failure(*at) for at in ats)

    def failed(self, model: Model) -> bool:
        """Tell whether a model's training failed."""
        return any((model, name) in self._failures for name in self._checkpoints[model])

    def evaluation(
        self, model: Model, checkpoint: str, benchmark: str, scorer: str
    ) -> Evaluation | None:
        """Return what was measured; None where nothing was."""
        return self.evaluations.get((model, checkpoint, benchmark, scorer))

    def items(
        self, model: Model, checkpoint: str, benchmark: str, scorer: str, metric: Metric
    ) -> Items:
        """Return a metric by item, empty where the model was not measured."""
        one = self.evaluation(model, checkpoint, benchmark, scorer)
        if one is None or one.kind != metric.kind:
            return NONE_MEASURED
        graded = one.graded and not metric.states
        if graded and metric.samples:  # of answers that are right or wrong
            return NONE_MEASURED
        counts = self.counts(metric.kind, metric.columns, metric.absent, metric.states)
        mine = counts.places[one.number]
        items, valid = counts.items[mine].tolist(), counts.valid[mine].tolist()
        values = zip(items, map(metric.value, valid, counts.hits[mine].tolist()), strict=True)
        return Items(
            {item: value for item, value in values if value is not None},
            dict(zip(items, valid, strict=True)),
            int(counts.n[mine].sum()),
            graded,
        )

    def turns(self, model: Model, checkpoint: str, benchmark: str) -> dict[str, float]:
        """Return where the thinking turns harmful, {item: mean over its samples that do}."""
        one = self.evaluation(model, checkpoint, benchmark, self.scorers(benchmark)[0])
        return self._turns.get(one.number, {}) if one else {}

    @cached_property
    def _turns(self) -> dict[int, dict[str, float]]:
        """{evaluation: {item: mean place of the first harmful sentence}}."""
        table = self.verdicts.table
        known = table.loc[table["valid"] & table[TURNS_AT].notna()]
        found: dict[int, dict[str, float]] = {}
        means = known.groupby(["evaluation", "item_id"], sort=False, observed=True)[TURNS_AT].mean()
        for (number, item), mean in means.items():
            found.setdefault(number, {})[item] = float(mean)
        return found

    def samples_per_item(
        self, model: Model, checkpoint: str, benchmark: str, kind: str = "reasoning"
    ) -> int | None:
        """Return how many samples each item has at least; None where the model was not measured."""
        metric = MAIN[kind]
        counts = self.counts(metric.kind, metric.columns, metric.absent, metric.states)
        found = [
            int(counts.n[counts.places[one.number]].min())
            for scorer in self.scorers(benchmark)
            if (one := self.evaluation(model, checkpoint, benchmark, scorer))
        ]
        return min(found, default=None)

    @cached_property
    def prompts(self) -> Mapping[int, int]:
        """{evaluation: how many different prompts it has}."""
        by_evaluation = self.verdicts.table.groupby("evaluation")
        return dict(by_evaluation["cluster"].nunique())

    @cached_property
    def state_counts(self) -> pd.DataFrame:
        """Samples by evaluation (rows) and state (columns)."""
        import pandas as pd

        return pd.crosstab(self.verdicts.table["evaluation"], self.verdicts.table["state"])

    def _counts(
        self,
        kind: str,
        columns: tuple[str, ...],
        absent: tuple[str, ...],
        states: tuple[str, ...],
    ) -> Counts:
        table = self.verdicts.table
        found = count_items(table[table["kind"] == kind], columns, absent, states)
        names = found["item_id"].cat
        return Counts(
            names.categories.to_numpy(object)[names.codes],
            found["n"].to_numpy(),
            found["valid"].to_numpy(),
            found["hits"].to_numpy(),
            found.groupby("evaluation", sort=False).indices,
        )


def count_items(
    table: pd.DataFrame, columns: Sequence[str], absent: Sequence[str], states: Sequence[str]
) -> pd.DataFrame:
    """Return a row per evaluation and item: samples (n), those that count (valid), those that hit.

    Args:
        table: Verdicts.
        columns: A sample counts if it has a verdict in each, and hits if all are true; a single
            column of grades adds them up.
        absent: It must have one in each of these, too, and hits if all are false.
        states: Instead of columns: all samples count, and those in one of the states hit.
    """
    graded = False
    if states:
        valid, hits = table["state"].notna(), table["state"].isin(states)
    else:
        flags, others = table[list(columns)], table[list(absent)]
        valid = table["valid"] & flags.notna().all(axis=1) & others.notna().all(axis=1)
        graded = len(columns) == 1 and flags.dtypes.iloc[0] != "boolean"
        if graded:
            hits = flags.iloc[:, 0].where(valid, 0.0)
        else:
            hits = valid & flags.fillna(False).all(axis=1) & ~others.fillna(False).any(axis=1)
    counted = table[["evaluation", "item_id"]].assign(
        n=1, valid=valid.astype("int32"), hits=hits.astype("float64" if graded else "int32")
    )
    # in the order of the verdicts: sums over clusters are to be the same to the last digit
    return counted.groupby(["evaluation", "item_id"], sort=False, observed=True).sum().reset_index()


def states(results: Results, chosen: Sequence[At]) -> dict[str, dict[str, int]]:
    """Return {benchmark/scorer: {state: samples}} of models at their checkpoints."""
    found = {}
    for benchmark in results.benchmarks():
        for scorer in results.scorers(benchmark):
            numbers = [
                one.number for at in chosen if (one := results.evaluation(*at, benchmark, scorer))
            ]
            counts = results.state_counts.reindex(numbers).sum()
            found[f"{benchmark}/{scorer}"] = {
                state: int(count) for state, count in sorted(counts.items()) if count
            }
    return found
