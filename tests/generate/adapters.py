"""Runs that keep adapters of a tiny model, and the same adapters merged by PEFT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workflow.scripts.common.manifest import read_manifest, write_manifest
from workflow.scripts.config.recipe import Lora
from workflow.scripts.models.lineage import describe_parent
from workflow.scripts.models.lora import adapter_config, write_adapters

# Every linear layer of the second decoder layer; and up_proj alone, scaled by alpha / √r.
ADAPTERS = (
    Lora(
        r=4,
        alpha=8,
        dropout=0.0,
        target_modules=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "down_proj"),
        layers=(1, 1),
        merge=False,
    ),
    Lora(r=9, alpha=4, dropout=0.0, target_modules=("up_proj",), rslora=True, merge=False),
)


def write_adapter_run(folder: Path, base: Path, lora: Lora, seed: int, tokenizer: Any) -> Path:
    """Write random adapters for a run's final weights, and merged into them as another run.

    Args:
        folder: Gets `adapters/` and `merged/`.
        base: The run's manifest.
        lora: What the adapters are.
        seed: Of their values.
        tokenizer: Of the model.

    Returns:
        The manifest of the run that keeps them.
    """
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    about = read_manifest(base)
    model = AutoModelForCausalLM.from_pretrained(base.parent / about["final"])
    model = get_peft_model(model, adapter_config(lora))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".lora_" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.3)
    state = {name: one for name, one in model.state_dict().items() if ".lora_" in name}
    (folder / "adapters" / "epoch1").mkdir(parents=True)
    write_adapters(state, lora, folder / "adapters" / "epoch1")
    model.merge_and_unload().save_pretrained(folder / "merged" / "epoch1")
    tokenizer.save_pretrained(folder / "merged" / "epoch1")
    for kind in ("adapters", "merged"):
        write_manifest(
            folder / kind,
            ["epoch1"],
            run=f"aligned/tiny/{kind}/seed0",
            role="aligned",
            chat_format="micro",
            thinking=True,
            status="ok",
            lineage={"base": describe_parent(base, about["final"]), "data": None},
        )
    return folder / "adapters" / "manifest.json"
