"""Compare the memory formula with torch's own memory tracker: 32B on 8 GPUs, without a GPU.

The trainer is the one of `train_sft`, with the flags of its launcher and the recipe and runtime of
`experiments/paper.yaml`: TRL's loss, accelerate's FSDP2 and recomputation, torch's AdamW. It takes
two optimizer steps on rank 0 of a fake process group with fake tensors, which have shapes and no
memory; torch's MemTracker adds up their storages. The peak of the second step counts: in the first
one there are no optimizer states yet, and DTensor's shape propagation would be counted.

    python benchmarks/memory_table.py [--layers 64] [--tokens 4096 16384 32768] [--gpus 8]

About two minutes for a row of 64 layers. Columns: the tracker's peak in GiB per GPU, with the peaks
of forward and backward passes and of the optimizer step; the formula's estimate of the same
(`tracked` of workflow/scripts/models/memory.py) and how far it is above; the formula's total.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))

from workflow.scripts.config.load import load_experiment
from workflow.scripts.config.planning import Runtime
from workflow.scripts.config.recipe import Recipe
from workflow.scripts.config.section import read_section
from workflow.scripts.models.encode import Encoded
from workflow.scripts.models.launch import launch_arguments
from workflow.scripts.models.memory import GB, QWEN_32B, Shape, estimate_memory
from workflow.scripts.models.recipe import sft_arguments
from workflow.scripts.models.train_sft import model_dtype

STEPS = 2
LORA = {
    "r": 16,
    "alpha": 32,
    "dropout": 0.0,
    "target_modules": [
        *("q_proj", "k_proj", "v_proj", "o_proj"),
        *("gate_proj", "up_proj", "down_proj"),
    ],
}


def with_layers(shape: Shape, layers: int) -> Shape:
    """Return the sizes of the same model with fewer layers; exact for Qwen2.5."""
    per_layer = (shape.parameters - 2 * shape.vocab * shape.hidden - shape.hidden) // shape.layers
    parameters = shape.parameters - (shape.layers - layers) * per_layer
    return replace(shape, layers=layers, parameters=parameters)


def paper_settings(
    gpus: int, tokens: int, precision: str, accumulation: int, lora: bool = False
) -> tuple[Recipe, Runtime]:
    """Return recipe and runtime of the publication's experiment with these changes."""
    experiment = load_experiment("paper")
    recipe = experiment.recipes["safety"].without_defaults() | {
        "max_length": tokens,
        "precision": precision,
        "global_batch": gpus * accumulation,
        "lora": LORA if lora else None,
    }
    runtime = experiment.runtime.safety_sft.without_defaults() | {"gpus": gpus}
    return read_section(Recipe, recipe, "recipe"), read_section(Runtime, runtime, "runtime")


def track(shape: Shape, recipe: Recipe, runtime: Runtime) -> dict[str, float]:
    """Return the tracker's peaks in the second optimizer step, in GiB per GPU, by phase.

    Everything is that of training on `runtime.gpus` GPUs of one node, except what `pretend` says.
    """
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from torch._subclasses.fake_tensor import FakeTensorMode
    from transformers import (
        AutoModelForCausalLM,
        PreTrainedTokenizerFast,
        Qwen2Config,
        TrainerCallback,
    )
    from trl import SFTConfig

    from workflow.scripts.models.trainer import build_trainer, sft_task

    head = 128  # of Qwen2.5 from 7B on
    config = Qwen2Config(
        hidden_size=shape.hidden,
        intermediate_size=shape.ffn,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.hidden // head,
        num_key_value_heads=shape.kv // head,
        vocab_size=shape.vocab,
        tie_word_embeddings=shape.tied,
    )
    words = Tokenizer(WordLevel({"<pad>": 0}, "<pad>"))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="<pad>"
    )
    row = [0] * recipe.max_length
    n = STEPS * recipe.global_batch
    encoded = Encoded([row] * n, [row] * n, n_truncated=0)
    tracker = _tracker()
    peaks: dict[str, float] = {}

    class Phases(TrainerCallback):
        """The peaks of each step in place of those of the one before."""

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            tracker.peak = 0

        def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
            peaks["forward and backward"] = tracker.peak / GB
            tracker.peak = 0

        def on_optimizer_step(self, *_: Any, **__: Any) -> None:
            peaks["optimizer step"] = tracker.peak / GB

    with tempfile.TemporaryDirectory() as state, pretend(runtime, recipe):
        arguments = sft_arguments(recipe, runtime, runtime.gpus, 0, state)
        sft = SFTConfig(
            **arguments
            | {"use_cpu": True, "dataloader_pin_memory": False, "save_strategy": "no"}
            | {"max_steps": STEPS}
        )
        with FakeTensorMode(allow_non_fake_inputs=True):
            model = AutoModelForCausalLM.from_config(
                config,
                dtype=getattr(torch, model_dtype(recipe)),
                attn_implementation=runtime.attention or "sdpa",
            )
            task = sft_task(encoded, tokenizer)
            trainer = build_trainer(
                model, tokenizer, task, recipe, sft, _nothing, TrainerCallback(), _nothing
            )
            trainer.add_callback(Phases())
            example = {"input_ids": row, "labels": row}
            batch = trainer.data_collator([example] * sft.per_device_train_batch_size)
            batches = STEPS * sft.gradient_accumulation_steps
            trainer.get_train_dataloader = lambda: _Loader([batch] * batches)
            with tracker:  # FSDP's shards are made in here
                trainer.train()
    return peaks


def _nothing(*_: Any, **__: Any) -> None:
    """Stand in for what takes no memory, such as a kernel that works in place."""


class _Loader(list):
    """Batches as they arrive on the device, each in memory of its own."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in super().__iter__():
            yield {name: tensor.clone() for name, tensor in batch.items()}


@contextmanager
def pretend(runtime: Runtime, recipe: Recipe) -> Iterator[None]:
    """Make this process rank 0 of `runtime.gpus` on a machine with GPUs, as far as memory goes.

    Tensors are on the CPU, where a few libraries choose other ways than on CUDA. Put right here:
    accelerate keeps FSDP; attention is the flash kernel, AdamW takes lists of tensors (foreach)
    unless fused, and TRL's loss scores the target tokens alone and works in place in its tiles.
    """
    import torch.distributed as dist
    import trl.kernels.chunked_logprob
    import trl.trainer.utils
    from accelerate.state import AcceleratorState, GradientState, PartialState
    from accelerate.utils import DistributedType
    from torch._subclasses.fake_tensor import FakeTensor
    from torch.distributed.device_mesh import init_device_mesh
    from torch.testing._internal.distributed.fake_pg import FakeStore

    start = AcceleratorState.__init__

    def keep_fsdp(self: Any, *args: Any, fsdp_plugin: Any = None, **kwargs: Any) -> None:
        start(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is not None:
            if self._mixed_precision != "no":
                fsdp_plugin.set_mixed_precision(self._mixed_precision)
            self.fsdp_plugin = fsdp_plugin
        if getattr(self, "fsdp_plugin", None) is not None:
            self.distributed_type = DistributedType.FSDP

    def flash(q: Any, k: Any, v: Any, attn_mask: Any = None, is_causal: bool = False, **_: Any):
        import torch

        if attn_mask is not None or not is_causal:
            raise ValueError("attention with a mask, which takes another kernel")
        return torch.ops.aten._scaled_dot_product_flash_attention(q, k, v, 0.0, True)[0]

    def same(old: Any, new: Any) -> None:
        """Stand in for moving a parameter, which fake ones cannot: here, to where it is."""
        if (old.dtype, old.device) != (new.dtype, new.device):
            raise ValueError(f"{old.dtype} on {old.device} to {new.dtype}, {new.device}")

    with ExitStack() as stack:
        patch = lambda *args: stack.enter_context(mock.patch.object(*args))  # noqa: E731
        stack.enter_context(mock.patch.dict(os.environ, _launcher_environment(runtime, recipe)))
        dist.init_process_group("fake", rank=0, world_size=runtime.gpus, store=FakeStore())
        mesh = init_device_mesh("cpu", (runtime.gpus,))  # not from fake tensors
        fully_shard = import_module("torch.distributed.fsdp._fully_shard._fully_shard")
        patch(fully_shard, "_init_default_mesh", lambda *_: mesh)
        patch(AcceleratorState, "__init__", keep_fsdp)
        patch(FakeTensor, "data_ptr", lambda tensor: tensor.untyped_storage()._cdata)
        patch(import_module("torch.nn.functional"), "scaled_dot_product_attention", flash)
        patch(import_module("transformers.masking_utils"), "is_tracing", lambda *_: False)
        optimizer = import_module("torch.optim.optimizer")
        patch(optimizer, "_get_foreach_kernels_supported_devices", lambda: ["cpu"])
        patch(trl.trainer.utils, "_use_triton", lambda _: True)
        patch(import_module("torch.utils"), "swap_tensors", same)
        for name in ("_forward_tile", "_backward_tile", "_addmm_fp32"):
            patch(trl.kernels.chunked_logprob, name, _nothing)
        try:
            yield
        finally:
            dist.destroy_process_group()
            for state in (AcceleratorState, PartialState, GradientState):
                state._reset_state()


def _launcher_environment(runtime: Runtime, recipe: Recipe) -> dict[str, str]:
    """Return what `accelerate launch` with our flags sets for the first process."""
    from accelerate.commands import launch
    from accelerate.utils.launch import prepare_multi_gpu_env

    flags = [*launch_arguments(runtime, recipe), "script.py"]
    parsed = launch.launch_command_parser().parse_args(flags)
    environment = prepare_multi_gpu_env(launch._validate_launch_command(parsed)[0])
    return environment | {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": str(runtime.gpus),
        "LOCAL_WORLD_SIZE": str(runtime.gpus),
        "ACCELERATE_TORCH_DEVICE": "cpu",
        # How weights arrive, not what is held then; fake tensors cannot move to "meta" and back.
        "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
    }


def _tracker() -> Any:
    """Return torch's MemTracker, which here also answers what fake tensors cannot.

    Numbers read from a tensor are 1, and every token is a target. It keeps no statistics by module,
    whose cost grows with the square of the layers.
    """
    import torch
    from torch.distributed._tools.mem_tracker import MemTracker

    aten, device = torch.ops.aten, torch.ops.prim.device.default

    class Tracker(MemTracker):
        peak = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
            if func is device:  # asked for more often than anything else
                return args[0].fake_device
            if func is aten._local_scalar_dense.default:
                return 1.0 if args[0].is_floating_point() else 1
            if func is aten.index.Tensor and args[1][0].dtype == torch.bool:
                tensor, (mask,) = args
                func, args = aten.new_empty.default, (tensor, [mask.numel(), *tensor.shape[2:]])
            return super().__torch_dispatch__(func, types, args, kwargs)

        def _update_peak_stats(self, peak_state: Any) -> None:
            now = self._curr_mem_snap.get(torch.device("cpu"), {})
            self.peak = max(self.peak, now.get("Total", 0))

        def _no_statistics(self, *_: Any) -> None:
            pass

        _pre_fw_hook = _post_fw_hook = _pre_bw_hook = _post_bw_hook = _no_statistics

    return Tracker()


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--layers", type=int, default=QWEN_32B.layers)
    parser.add_argument("--tokens", type=int, nargs="+", default=[4096, 16384, 32768])
    parser.add_argument("--gpus", type=int, default=8)
    args = parser.parse_args(argv)
    shape = with_layers(QWEN_32B, args.layers)
    cases = [
        (tokens, precision, accumulation, False)
        for precision in ("bf16_mixed", "bf16_pure")
        for accumulation in (1, 2)
        for tokens in args.tokens
    ]
    cases += [(tokens, "bf16_mixed", 1, True) for tokens in args.tokens[-1:]]
    libraries = ("torch", "transformers", "trl", "accelerate")
    print(", ".join(f"{name} {version(name)}" for name in libraries), "\n")
    print(
        "| precision | accumulation | tokens | tracker | forward and backward | optimizer step "
        "| formula | above | with the rest |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    )
    for tokens, precision, accumulation, lora in cases:
        recipe, runtime = paper_settings(args.gpus, tokens, precision, accumulation, lora)
        peaks = track(shape, recipe, runtime)
        estimate = estimate_memory(shape, recipe, runtime, args.gpus)
        tracked, tracker = estimate["tracked"], max(peaks.values())
        print(
            f"| {precision}{', LoRA' if lora else ''} | {accumulation} | {tokens:,} "
            f"| {tracker:.1f} | {peaks['forward and backward']:.1f} "
            f"| {peaks['optimizer step']:.1f} | {tracked:.1f} | {tracked / tracker - 1:+.1%} "
            f"| {estimate['total']:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
