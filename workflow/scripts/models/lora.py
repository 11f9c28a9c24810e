"""Merging low-rank adapters into plain weights, without touching the model in training."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PREFIX = "base_model.model."


def merge_lora(state: dict[str, Tensor], scale: float, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the base model's weights with the adapters added: W + scale · B A.

    Args:
        state: State dict of a PEFT model (full tensors). Its weights are taken out one by one, so
            that a large model is not held twice.
        scale: alpha / r (Hu et al. 2021, arXiv 2106.09685, section 4.1).
        dtype: To cast to in the end.
    """
    merged = {}
    for name in [name for name in state if ".lora_" not in name]:
        weight = state.pop(name)
        plain = name.removeprefix(PREFIX).replace(".base_layer.", ".")
        stem = name.removesuffix(".base_layer.weight")
        if stem != name:
            a = state[f"{stem}.lora_A.default.weight"].float()
            b = state[f"{stem}.lora_B.default.weight"].float()
            weight = (weight.float() + scale * (b @ a)).to(weight.dtype)
        merged[plain] = weight.to(dtype)
    return merged
