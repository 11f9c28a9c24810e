"""The fine-tuning recipe, which belongs to a run's identity, and the knobs that do not."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from workflow.scripts.config.section import (
    AboveZero,
    Count,
    NotNegative,
    Positive,
    Section,
    Share,
)

Beta = Annotated[float, Field(ge=0, lt=1)]


class Gate(Section):
    """After training, probe problems; below the threshold, train again."""

    probe: Literal["probe"] | None = None
    """The generated problems that are asked"""
    threshold: Share
    """Share that must be solved, thinking greedily"""
    n: Positive
    """Problems asked"""
    max_rounds: Positive
    """Rounds of training at most"""
    max_thinking_tokens: Positive = 128
    """Thinking budget of a probe"""
    max_answer_tokens: Positive = 48
    """Longest answer of a probe"""


class Lora(Section):
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685)."""

    r: Positive
    """Rank"""
    alpha: Positive
    """Scale: the update is alpha / r · B A"""
    rslora: bool = False
    """Scale by alpha / √r instead, which is as strong at any rank (Kalajdzievski 2023, arXiv
    2312.03732)"""
    dropout: Beta
    """Of the adapters' inputs"""
    target_modules: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of the linear layers that get adapters, such as q_proj"""
    layers: tuple[Count, Count] | None = None
    """First and last decoder layer that get adapters, counted from 0; default, all"""
    merge: bool = True
    """Merge them into the weights that are saved. False keeps them apart, for alignments: a
    checkpoint is the adapters alone, and one start of an engine answers with all adapters of an
    LRM, unmerged"""

    @model_validator(mode="after")
    def _check_layers(self) -> Lora:
        if self.layers and self.layers[0] > self.layers[1]:
            raise ValueError(f"layers is {list(self.layers)}, expected the first and the last")
        return self


class Recipe(Section):
    """Supervised fine-tuning with AdamW: all that can change the weights but data, parent, seed."""

    learning_rate: AboveZero
    """Peak"""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """After the warm-up: to min_lr_ratio × peak (cosine), to 0 (linear), or none"""
    min_lr_ratio: Share = 0.0
    """Where a cosine ends, as a share of the peak"""
    warmup_ratio: Beta = 0.0
    """Share of all steps, rounded up"""
    epochs: Positive
    """Passes over the data"""
    global_batch: Positive
    """Examples per step on all devices"""
    weight_decay: NotNegative = 0.0
    """Decoupled, of AdamW"""
    adam_betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the two moments"""
    max_grad_norm: NotNegative = 1.0
    """Gradients are scaled down to this norm; 0: never"""
    max_length: Positive = 32768
    """Block size in tokens; longer examples lose their end and are counted"""
    precision: Literal["fp32", "bf16_mixed", "bf16_pure"] = "bf16_mixed"
    """Compute in bf16 over fp32 weights (bf16_mixed), or everything in one type"""
    checkpoints: Literal["each_epoch", "last"] = "each_epoch"
    """Weights that are kept"""
    steps: Annotated[tuple[Positive, ...], Field(min_length=1)] | None = None
    """Optimizer steps after which weights are kept, in place of epochs and checkpoints: training
    ends with the last. For durability"""
    packing: Literal[False] = False
    """Packing changes what a batch is"""
    padding_free: bool = False
    """Flatten a micro-batch into one sequence instead of padding it. Pays with flash attention
    alone: torch's own computes such a sequence with a mask, and without a flash kernel"""
    optimizer: Literal["adamw_torch"] = "adamw_torch"
    """torch's AdamW"""
    lora: Lora | None = None
    """Train adapters instead of all weights"""
    gate: Gate | None = None
    """Skill gate: more rounds of training until greedy accuracy on the probe problems suffices"""

    @property
    def keeps_adapters(self) -> bool:
        """Whether its checkpoints are adapters, for the weights that they were trained on."""
        return self.lora is not None and not self.lora.merge

    @model_validator(mode="after")
    def _check_gate(self) -> Recipe:
        if self.gate and self.keeps_adapters:
            raise ValueError(
                "lora.merge is false with a gate, expected true: its rounds start from whole "
                "weights"
            )
        return self

    @model_validator(mode="after")
    def _check_steps(self) -> Recipe:
        if self.steps and list(self.steps) != sorted(set(self.steps)):
            raise ValueError(f"steps is {list(self.steps)}, expected a rising order")
        if self.steps and self.gate:
            raise ValueError("steps with a gate, expected epochs: a gate's rounds are epochs")
        return self

    @model_validator(mode="after")
    def _check_schedule(self) -> Recipe:
        if self.min_lr_ratio and self.schedule != "cosine":
            raise ValueError(
                f"min_lr_ratio is {self.min_lr_ratio} with schedule {self.schedule!r}, "
                "expected 0: only cosine decays to a minimum"
            )
        return self
