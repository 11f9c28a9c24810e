"""Training sets that LRMs write themselves, as the graph sees them.

Such a set is one result for each LRM and seed that is aligned with it: the LRM is asked the set's
prompts, as if they were a benchmark, a scorer judges, and what passes is the set. A mixture with
such a set is one result for each LRM and seed, too.
"""

from __future__ import annotations

from collections.abc import Mapping

from workflow.scripts.config.ask import Ask
from workflow.scripts.config.experiment import Benchmark, Experiment
from workflow.scripts.config.generation import PROMPT
from workflow.scripts.config.mixtures import list_sets
from workflow.scripts.config.sampling import Sampled


class SampledPrompts(Benchmark):
    """The prompts of a sampled set, as a benchmark."""

    ask: Ask = PROMPT


def list_sampled(experiment: Experiment) -> dict[str, Sampled]:
    """Return the sections `sampled` of an experiment's training sets, by name."""
    return {name: one.sampled for name, one in experiment.data.items() if one.sampled}


def list_asked(experiment: Experiment) -> Mapping[str, Benchmark]:
    """Return all that models are asked, by name: benchmarks, and prompts of sampled sets as such.

    A sampled set's prompts have the source of the set that they are from.
    """
    asked = dict(experiment.benchmarks)
    for name, sampled in list_sampled(experiment).items():
        source = experiment.data[sampled.prompts]
        asked[name] = SampledPrompts.model_construct(
            generated=source.generated,
            prepare=source.prepare,
            reasoning_gym=source.reasoning_gym,
            kind=sampled.kind,
            n=sampled.n,
            ask=sampled.ask,
            engine=sampled.engine,
            repeats=sampled.samples,
            decoding=sampled.decoding,
            scorers=(sampled.judge,),
        )
    return asked


def most_records(sampled: Sampled, prompts: int) -> int:
    """Return how many records a sampled set has at most, of so many prompts."""
    return min(prompts, sampled.n or prompts) * sampled.per_prompt


def is_own(experiment: Experiment, name: str) -> bool:
    """Tell whether LRMs write a training set themselves, or a set of a mixture."""
    return any(experiment.data[one].sampled for one in list_sets(experiment, name))


def own_set(experiment: Experiment, name: str, lrm: str | None) -> str:
    """Return the result that holds such a set as an LRM (`lrm/NAME/seedK`) wrote it."""
    place = "mixtures" if experiment.data[name].mix else "sampled"
    return f"data/{place}/{name}/{str(lrm).removeprefix('lrm/')}"
