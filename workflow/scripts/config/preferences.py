"""The losses of preferences: what TRL's trainers are told of them."""

from __future__ import annotations

from typing import Literal

from workflow.scripts.config.section import AboveZero, NotNegative, Section


class DpoLoss(Section):
    """Direct preference optimization (Rafailov et al. 2023, arXiv 2305.18290)."""

    beta: AboveZero = 0.1
    """How much leaving the reference costs; the reference is the model before this training"""
    loss: Literal["sigmoid", "ipo", "hinge"] = "sigmoid"
    """Of a pair's margin: DPO's, IPO's squared one per token (arXiv 2310.12036), or SLiC's hinge
    (arXiv 2305.10425)"""


class KtoLoss(Section):
    """Kahneman-Tversky optimization (Ethayarajh et al. 2024, arXiv 2402.01306)."""

    beta: AboveZero = 0.1
    """How much leaving the reference costs; the reference is the model before this training"""
    desirable_weight: NotNegative = 1.0
    """Of the loss on chosen answers"""
    undesirable_weight: NotNegative = 1.0
    """Of the loss on rejected answers"""


LOSSES: dict[str, type[DpoLoss | KtoLoss]] = {"dpo": DpoLoss, "kto": KtoLoss}
