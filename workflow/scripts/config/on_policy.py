"""What trainings need that let the model answer while it is trained."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from workflow.scripts.config.ask import Ask
from workflow.scripts.config.section import AboveZero, NotNegative, Positive, Section, Share


class Rollouts(Section):
    """How the model answers while it is trained."""

    max_new_tokens: Positive
    """Longest turn, thinking and answer together"""
    temperature: AboveZero = 1.0
    """Of the samples, and of the distributions that are compared"""


class GrpoSettings(Rollouts):
    """Group relative policy optimization (Shao et al. 2024, arXiv 2402.03300)."""

    samples: Annotated[int, Field(ge=2)] = 8
    """Of each prompt, whose rewards are compared; global_batch counts samples"""
    beta: NotNegative = 0.0
    """Weight of the divergence from the model before this training"""
    patience: Positive = 5
    """Without spread among the rewards of any prompt in so many first steps, the run has failed"""
    passes: dict[str, bool] | None = None
    """Fields of the judge's verdicts, and their values, that are rewarded; default as for sampled
    training sets"""


class DistillSettings(Rollouts):
    """On-policy distillation (Agarwal et al. 2024, arXiv 2306.13649)."""

    beta: Share = 1.0
    """0: forward divergence from the teacher, 1: reverse, between: Jensen-Shannon"""


class OpsaSettings(Rollouts):
    """On-policy self-distillation with a privileged safety context (OPSA, arXiv 2605.15239)."""

    context: Ask
    """What the teacher is asked in place of the prompt, with {prompt} in it. The teacher is the
    model before this training"""
    alpha: Share = 0.5
    """0: forward divergence from the teacher, 1: reverse, between: Jensen-Shannon"""


SETTINGS: dict[str, type[Rollouts]] = {
    "grpo": GrpoSettings,
    "distill": DistillSettings,
    "opsa": OpsaSettings,
}
