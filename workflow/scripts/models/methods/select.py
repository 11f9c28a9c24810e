"""Selection: the best of several aligned models by a rule on development benchmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from workflow.scripts.common.io import canonical_json
from workflow.scripts.config.section import Positive, Section, expect_entry
from workflow.scripts.models import method_registry
from workflow.scripts.models.alignment import Alignment, Variant, expect_applied
from workflow.scripts.report.metrics import METRICS

if TYPE_CHECKING:
    from workflow.scripts.config.experiment import Benchmark, Experiment
    from workflow.scripts.config.planning import Runtime
    from workflow.scripts.config.recipe import Recipe
    from workflow.scripts.graph.runs import Run
    from workflow.scripts.models.memory import Shape

SCRIPT = "models.select_model"
TRAINS = False


def _known_metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"is {name!r}, expected one of {', '.join(METRICS)}")
    return name


MetricName = Annotated[
    str, AfterValidator(_known_metric), Field(json_schema_extra={"enum": list(METRICS)})
]
Percent = Annotated[float, Field(ge=0, le=100)]


class Rule(Section):
    """What makes a model the best of several; metrics are in percent, as the report has them."""

    highest: MetricName | None = None
    """The model with the most of this metric, as `reasoning_accuracy`"""
    lowest: MetricName | None = None
    """The model with the least of this metric"""
    at_most: dict[MetricName, Percent] = Field(default={})
    """Metric to percent: among the models that have no more, as `harmful_score: 5`"""
    at_least: dict[MetricName, Percent] = Field(default={})
    """Metric to percent: among the models that have no less"""

    @model_validator(mode="after")
    def _check(self) -> Rule:
        if (self.highest is None) == (self.lowest is None):
            has = "both highest and lowest" if self.highest else "neither highest nor lowest"
            raise ValueError(f"has {has}, expected one of them")
        return self

    def metrics(self) -> list[str]:
        """Return the metrics that it looks at, the one that decides first."""
        decides = str(self.highest or self.lowest)
        return list(dict.fromkeys((decides, *self.at_most, *self.at_least)))

    def __str__(self) -> str:
        said = f"highest {self.highest}" if self.highest else f"lowest {self.lowest}"
        limits = [f"{name} at most {limit:g} %" for name, limit in self.at_most.items()]
        limits += [f"{name} at least {limit:g} %" for name, limit in self.at_least.items()]
        return f"{said} with {' and '.join(limits)}" if limits else said


class Choice(Rule, Alignment):
    """What is made of some of several aligned models, by their development scores."""

    among: Annotated[tuple[str, ...], Field(min_length=1)]
    """Entries of alignments, or a sweep: their models at every epoch that is evaluated"""
    benchmarks: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Entries of benchmarks with split: development; default, all that the rule needs"""

    def check(self, key: str, experiment: Experiment) -> None:
        super().check(key, experiment)
        for place, name in enumerate(self.among):
            expect_applied(f"{key}.among.{place}", name, key, self.lrms, experiment)
            if self.among.index(name) != place:
                raise ValueError(f"{key}.among.{place}: {name!r} is there twice")
            if chosen := _selections_behind(name, experiment):
                raise ValueError(
                    f"{key}.among.{place}: {name!r} is made from the selection {chosen[0]!r}, "
                    "expected models that were not chosen before"
                )
        for name in self.benchmarks or ():
            expect_entry(f"{key}.benchmarks", name, "benchmarks", experiment.benchmarks)
            if experiment.benchmarks[name].split != "development":
                raise ValueError(
                    f"{key}.benchmarks: {name!r} is a test benchmark, expected one with split: "
                    "development; whoever chooses by the test has no test left"
                )
        given = [experiment.benchmarks[name] for name in self.benchmarks or experiment.benchmarks]
        kinds = {one.kind for one in given if one.split == "development"}
        for metric in self.metrics():
            if METRICS[metric].kind not in kinds:
                raise ValueError(
                    f"{key}: {metric} needs a benchmark of kind {METRICS[metric].kind} with "
                    "split: development, and there is none"
                )
            self._check_scorers(key, metric, given, experiment)

    def _check_scorers(
        self, key: str, metric: str, given: list[Benchmark], experiment: Experiment
    ) -> None:
        """Make sure that the first scorer of each development benchmark counts a metric."""
        about = METRICS[metric]
        for one in given:
            scorer = experiment.scorers.get(one.scorers[0])
            if scorer and (one.split, one.kind) == ("development", about.kind):
                counted = set(scorer.metrics(one.kind).values())
                if not counted >= {*about.columns, *about.absent}:
                    raise ValueError(
                        f"{key}: the scorer {one.scorers[0]!r} does not count {metric}, expected "
                        "another scorer, or another of its settings"
                    )

    def made_from(self) -> tuple[str, ...]:
        return self.among


class Select(Choice):
    """The best of several aligned models by their scores on development benchmarks."""

    method: Literal["select"]
    """A copy of the chosen model"""
    halving: Annotated[tuple[Positive, ...], Field(min_length=1)] | None = None
    """Epochs of further rungs, such as `[2, 4]`: in each, the better half is trained again for so
    many epochs, and the best of the last rung is chosen (successive halving)"""


ALIGNMENT = Select


def _selections_behind(name: str, experiment: Experiment) -> list[str]:
    """Return the selections that an alignment is or is made from."""
    waiting = [name]
    for one in waiting:
        known = experiment.alignments.get(one)
        waiting += [other for other in known.made_from() if other not in waiting] if known else []
    return [one for one in waiting if isinstance(experiment.alignments.get(one), Select)]


def list_variants(alignment: Select, experiment: Experiment) -> list[Variant]:
    return [Variant(others=list_candidates(alignment, experiment))]


def list_candidates(alignment: Choice, experiment: Experiment) -> dict[str, tuple[str, int | None]]:
    """Return the runs that are chosen among, see `Variant.others`."""
    runs = [
        (name, variant.epochs)
        for name in alignment.among
        for other in [experiment.alignments[name]]
        for variant in method_registry.method_of(other).list_variants(other, experiment)
    ]
    return {f"candidate{place}": run for place, run in enumerate(runs)}


def inputs(run: Run, experiment: Experiment) -> dict[str, tuple[str, ...]]:
    candidates = list(run.others.values())
    benchmarks = benchmarks_of(run, experiment)
    scores = [
        f"{one}/{name}/{experiment.benchmarks[name].scorers[0]}"
        for one in candidates
        for name in benchmarks
    ]
    return {"candidate": ("run", *candidates), "score": ("score", *scores)}


def sections(run: Run, experiment: Experiment) -> dict[str, Any]:
    return {
        "rule": rule_of(run),
        "benchmarks": benchmarks_of(run, experiment),
        "chat_format": run.chat_format,
        "seed": run.seed,
    }


def arguments(run: Run, experiment: Experiment) -> list[str]:
    return ["--rule", canonical_json(rule_of(run))]


def estimate_memory(shape: Shape, recipe: Recipe, runtime: Runtime, world: int) -> dict[str, float]:
    return {"total": 0.0}  # it takes no GPU


def rule_of(run: Run) -> dict[str, Any]:
    """Return the rule of a run, as JSON values."""
    return run.entry(Choice).without_defaults(Rule.model_fields)


def benchmarks_of(run: Run, experiment: Experiment) -> list[str]:
    """Return the development benchmarks that the rule looks at."""
    entry, known = run.entry(Choice), experiment.benchmarks
    kinds = {METRICS[metric].kind for metric in entry.metrics()}
    return [
        name
        for name in entry.benchmarks or known
        if known[name].split == "development" and known[name].kind in kinds
    ]
