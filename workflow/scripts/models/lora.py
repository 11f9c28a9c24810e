"""Low-rank adapters: where they are, and how they are merged into plain weights."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import write_json
from workflow.scripts.config.recipe import Lora

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig
    from torch import Tensor

    from workflow.scripts.models.tensors import Tensor as Weight

PREFIX = "base_model.model."
LAYER = re.compile(r"\.(\d+)\.")  # the first number in a weight's name is that of its layer


def update_scale(lora: Lora) -> float:
    """Return what multiplies B A: alpha / r (Hu et al. 2021), or alpha / √r (rsLoRA)."""
    return lora.alpha / (math.sqrt(lora.r) if lora.rslora else lora.r)


def adapter_config(lora: Lora) -> LoraConfig:
    """Return a recipe's adapters as PEFT describes them."""
    from peft import LoraConfig

    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        use_rslora=lora.rslora,
        lora_dropout=lora.dropout,
        target_modules=list(lora.target_modules),
        layers_to_transform=list(range(lora.layers[0], lora.layers[1] + 1))
        if lora.layers
        else None,
        task_type="CAUSAL_LM",
    )


def expect_modules(lora: Lora, weights: Mapping[str, Weight]) -> None:
    """Make sure that a model's decoder layers have the modules that get adapters.

    PEFT takes what it finds and is silent about the rest.

    Args:
        lora: Of the recipe.
        weights: The model's weights by name, see `list_tensors`.

    Raises:
        InputError: It lacks one.
    """
    found = [
        (int(layer[1]), name.removesuffix(".weight"))
        for name, weight in weights.items()
        if (layer := LAYER.search(name)) and len(weight.shape) == 2
    ]
    last = max((layer for layer, _ in found), default=0)
    first_asked, last_asked = lora.layers or (0, last)
    if last_asked > last:
        raise InputError(
            f"recipe.lora.layers is {[first_asked, last_asked]}, expected layers from 0 to {last}"
        )
    inside = [name for layer, name in found if first_asked <= layer <= last_asked]
    for target in lora.target_modules:
        if not any(name.endswith(f".{target}") for name in inside):
            known = sorted({name.rpartition(".")[2] for name in inside})
            raise InputError(
                f"recipe.lora.target_modules names {target!r}, expected some of {', '.join(known)}"
            )


def write_adapters(state: dict[str, Tensor], lora: Lora, folder: Path) -> None:
    """Write adapters as PEFT does; they name no model, whose place is not the same everywhere.

    Args:
        state: The adapters' weights in the state dict of a PEFT model (full tensors).
        lora: Of the recipe.
        folder: Of the checkpoint.
    """
    from safetensors.torch import save_file

    # PEFT itself writes the modules in another order each time.
    config = {**adapter_config(lora).to_dict(), "target_modules": sorted(lora.target_modules)}
    write_json(folder / "adapter_config.json", {**config, "inference_mode": True})
    weights = {name.replace(".default.", "."): weight for name, weight in state.items()}
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})


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
