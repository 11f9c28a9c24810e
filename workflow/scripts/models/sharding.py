"""What training on several processes needs beyond the launcher's flags: FSDP2's finer settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.models.launch import is_main

if TYPE_CHECKING:
    import torch


def load_model(folder: Path, dtype: Any, attention: str) -> Any:
    """Return the model of a folder; in all processes but the first, with memory never touched.

    Sharding hands the first process's weights to the others. Transformers itself reads them in
    every process (huggingface/transformers#43749): as fp32, 131 GB for 32B parameters, eight times.
    """
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.initialization import no_init_weights

    if is_main():
        return AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, attn_implementation=attention, use_safetensors=True
        )
    # Not on torch's meta device: accelerate finds an optimizer's parameters by their address.
    with no_init_weights():
        model = AutoModelForCausalLM.from_config(
            AutoConfig.from_pretrained(folder), dtype=dtype, attn_implementation=attention
        )
    model.tie_weights()
    return model


def configure_sharding(plugin: Any, mixed: bool) -> None:
    """Set what the launcher has no flag for, before the trainer shards its model.

    - Computing in bf16, gradients are summed over the processes in fp32, and nothing rounds the
      log-probabilities that leave the model: accelerate would do both in bf16. The same policy as
      torchtitan's.
    - Trainer state goes from each GPU to its files in small pieces. Accelerate would first copy
      all of it to the host: 12 bytes per parameter on a node.

    Args:
        plugin: The accelerator's `FullyShardedDataParallelPlugin`.
        mixed: Compute in bf16 over fp32 weights.
    """
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy, ShardedStateDictConfig

    if mixed:
        plugin.mixed_precision_policy = MixedPrecisionPolicy(
            param_dtype=torch.bfloat16, reduce_dtype=torch.float32
        )
    plugin.state_dict_config = ShardedStateDictConfig(offload_to_cpu=False)


def gather_weights(
    model: Any, skip: set[str], dtype: torch.dtype | None = None
) -> dict[str, torch.Tensor] | None:
    """Return copies of a model's weights on the host, by name; None in all processes but the first.

    One weight at a time, and cast before it travels: half of the traffic and of the host's memory.
    Every process must call this.

    Args:
        model: Sharded or not.
        skip: Names to leave out.
        dtype: To cast to, if any.
    """
    from torch.distributed.tensor import DTensor

    kept = {}
    for name, weight in model.state_dict().items():
        if name in skip:
            continue
        weight = weight.detach().to(dtype or weight.dtype)
        if isinstance(weight, DTensor):
            weight = weight.full_tensor()
        if is_main():
            kept[name] = weight.to("cpu", copy=True)
    return kept if is_main() else None


def agree(holds: bool, device: Any) -> bool:
    """Return the first process's opinion, in every process."""
    import torch
    from torch import distributed

    if not distributed.is_initialized():
        return holds
    opinion = torch.tensor([int(holds)], device=device)
    distributed.broadcast(opinion, src=0)
    return bool(opinion.item())


@contextmanager
def process_group() -> Iterator[None]:
    """Leave the process group, which the trainer joins, before the process ends.

    Its threads would otherwise be torn down at exit, which has ended finished trainings with
    status 134. Not after an unforeseen error: it may have struck this process alone, and leaving
    waits for the others, which the launcher ends.
    """
    from torch import distributed

    try:
        yield
    except InputError:
        _leave(distributed)
        raise
    _leave(distributed)


def _leave(distributed: Any) -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()
