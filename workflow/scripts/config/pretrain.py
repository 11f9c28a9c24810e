"""Training a base model from scratch, at micro scale."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from workflow.scripts.config.recipe import Beta
from workflow.scripts.config.section import AboveZero, Count, NotNegative, Positive, Section, Share


class PretrainGate(Section):
    """The rate stays at its peak until the probe problems are solved with the cue."""

    threshold: Share
    """Share that must be solved, before the decay and after it"""
    n: Positive
    """Problems asked"""
    every: Positive
    """Steps between two probes"""
    min_steps: Count
    """The first probe's step"""
    max_steps: Positive
    """The decay starts here at the latest"""
    cue: str
    """Asks the base to write its steps down"""

    @model_validator(mode="after")
    def _check(self) -> PretrainGate:
        if self.min_steps > self.max_steps:
            raise ValueError(
                f"min_steps is {self.min_steps}, expected at most max_steps, {self.max_steps}"
            )
        return self


class Pretrain(Section):
    """Architecture (Qwen3) and optimisation of a base."""

    hidden_size: Positive
    """Width"""
    num_hidden_layers: Positive
    """Depth"""
    num_attention_heads: Positive
    """Heads, of queries, keys and values alike"""
    intermediate_size: Positive
    """Width of the gated MLP"""
    rope_theta: AboveZero
    """Base of the rotary embedding"""
    initializer_range: AboveZero
    """Standard deviation of the first weights"""
    max_position_embeddings: Positive
    """Longest text in tokens"""
    learning_rate: AboveZero
    """Peak, after a linear warm-up"""
    global_batch: Positive
    """Texts per step"""
    warmup_steps: Count
    """Steps from zero to the peak"""
    decay_steps: Count
    """Steps from the peak to zero once the gate is passed"""
    weight_decay: NotNegative
    """Decoupled, of AdamW"""
    adam_betas: Annotated[tuple[Beta, Beta], Field()]
    """Decay of the two moments"""
    max_grad_norm: AboveZero
    """Gradients are scaled down to this norm"""
    gate: PretrainGate

    @model_validator(mode="after")
    def _check_heads(self) -> Pretrain:
        head, rest = divmod(self.hidden_size, self.num_attention_heads)
        if rest or head % 2:
            raise ValueError(
                f"num_attention_heads is {self.num_attention_heads} with hidden_size "
                f"{self.hidden_size}, expected heads of one even width"
            )
        return self
