"""Group relative policy optimization: samples of a prompt compete for a judge's reward."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from workflow.scripts.common.io import canonical_json
from workflow.scripts.config.kinds import HARMFUL, REASONING
from workflow.scripts.config.on_policy import GrpoSettings
from workflow.scripts.config.section import expect_entry
from workflow.scripts.models import on_policy_method
from workflow.scripts.models.alignment import list_trainings
from workflow.scripts.models.on_policy_method import OnPolicyAlignment

if TYPE_CHECKING:
    from workflow.scripts.config.experiment import Experiment
    from workflow.scripts.config.planning import Runtime
    from workflow.scripts.config.recipe import Recipe
    from workflow.scripts.graph.runs import Run
    from workflow.scripts.models.memory import Shape
    from workflow.scripts.score.scorer import ScorerSection

SCRIPT = on_policy_method.SCRIPT
TRAINS = True
MOST_GPUS = on_policy_method.MOST_GPUS
list_variants = list_trainings


class Grpo(OnPolicyAlignment, GrpoSettings):
    """Policy optimization of every LRM with a judge's verdict, and correctness, as its reward."""

    method: Literal["grpo"]
    """Group relative policy optimization"""
    judge: str
    """An entry of scorers: rewards answers to the prompts of data that it passes"""
    reasoning: str | None = None
    """An entry of data: problems that are asked, too, rewarded where the answer is the record's"""
    scorer: str | None = None
    """An entry of scorers: compares answers to problems"""

    def check(self, key: str, experiment: Experiment) -> None:
        super().check(key, experiment)
        asked = {"judge": (self.judge, HARMFUL)}
        if (self.reasoning is None) != (self.scorer is None):
            raise ValueError(f"{key} has one of reasoning and scorer, expected both or none")
        if self.reasoning is not None and self.scorer is not None:
            expect_entry(f"{key}.reasoning", self.reasoning, "data", experiment.data)
            asked["scorer"] = (self.scorer, REASONING)
        for name, (entry, kind) in asked.items():
            expect_entry(f"{key}.{name}", entry, "scorers", experiment.scorers)
            scorer = experiment.scorers[entry]
            if kind not in scorer.scored_kinds():
                raise ValueError(
                    f"{key}.{name}: {entry!r} scores {' or '.join(scorer.scored_kinds())} prompts, "
                    f"these are {kind}"
                )
            if scorer.endpoints() or scorer.local_model():
                raise ValueError(
                    f"{key}.{name}: {entry!r} asks a service or has a local model, expected a "
                    "scorer that is trained here, fetched, or has rules alone"
                )
        recipe = experiment.recipes[self.recipe]
        if recipe.global_batch % self.samples:
            raise ValueError(
                f"{key}.samples is {self.samples}, expected a divisor of the recipe's "
                f"global_batch, {recipe.global_batch}"
            )
        if recipe.lora and self.beta:
            raise ValueError(f"{key}.beta is {self.beta} with lora, expected 0")


ALIGNMENT = Grpo


def scorers_of(run: Run, experiment: Experiment) -> dict[str, ScorerSection]:
    """Return the scorers that reward a run, by the name of their key."""
    entry = run.entry(Grpo)
    names = {"judge": entry.judge, "scorer": entry.scorer}
    return {key: experiment.scorers[name] for key, name in names.items() if name}


def inputs(run: Run, experiment: Experiment) -> dict[str, tuple[str, str]]:
    found = on_policy_method.inputs(run, experiment)
    entry = run.entry(Grpo)
    if entry.reasoning:
        found["reasoning"] = ("data", entry.reasoning)
    judge = experiment.scorers[entry.judge]
    if trained := judge.trained_judge():
        found["judge"] = ("score", f"judges/{trained}")
    if judge.fetched_judge():
        found["fetched"] = ("score", f"fetched/{entry.judge}")
    return found


def sections(run: Run, experiment: Experiment) -> dict[str, Any]:
    shared = on_policy_method.sections(run, experiment, "grpo")
    scorers = scorers_of(run, experiment).items()
    return {**shared, "scorers": {key: one.without_defaults() for key, one in scorers}}


def modules(run: Run, experiment: Experiment) -> tuple[str, ...]:
    scorers = scorers_of(run, experiment).values()
    return tuple(module for one in scorers for module in one.modules())


def arguments(run: Run, experiment: Experiment) -> list[str]:
    told, reasoning = sections(run, experiment)["scorers"], run.entry(Grpo).reasoning
    return [
        *on_policy_method.arguments(run, experiment, "grpo"),
        *(text for key, one in told.items() for text in (f"--{key}-section", canonical_json(one))),
        *(("--reasoning-name", reasoning) if reasoning else ()),
    ]


def count_passes(run: Run, epochs: float) -> float:
    return float(epochs * run.entry(Grpo).samples * (on_policy_method.GENERATION + 1))


def estimate_memory(shape: Shape, recipe: Recipe, runtime: Runtime, world: int) -> dict[str, float]:
    return on_policy_method.estimate_memory(shape, recipe, runtime, world, teacher=False)
