"""Run a training script on CPU processes with FSDP2 for real (a test's worker, no GPU at hand).

Accelerate turns FSDP on CPU into DDP in silence; here its state keeps FSDP. What was sharded, and
how, goes to the file named by SHARDS_TO, so that the test can see that it tested something.

SCRIPT: the script, `train_sft` by default.
SAVE_S: seconds between two saves of trainer state, in place of the trainer's minutes.
DIE_AFTER: all processes are killed at the end of this step, before its state is saved.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from torch import distributed, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import CheckpointWrapper
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback

from workflow.scripts.common.errors import run
from workflow.scripts.models import sharding, state, trainer, weights

init, save_weights = AcceleratorState.__init__, weights.save_weights
load_model, build_trainer = sharding.load_model, trainer.build_trainer
computed: set[str] = set()  # in which types linear layers computed
note: dict[str, Any] = {"saves": [], "batches": []}


def keep_fsdp(self, *args, fsdp_plugin=None, **kwargs) -> None:
    init(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
    if fsdp_plugin is not None:
        if self._mixed_precision != "no":
            fsdp_plugin.set_mixed_precision(self._mixed_precision)
        self.fsdp_plugin = fsdp_plugin
    if getattr(self, "fsdp_plugin", None) is not None:  # later states copy the process's type
        self.distributed_type = DistributedType.FSDP


def note_type(module, inputs, output) -> None:
    if isinstance(module, nn.Linear):
        computed.add(str(output.dtype))


def anonymous_memory() -> int:
    """Return the bytes of this process's resident memory that are no file's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise OSError("no RssAnon in /proc/self/status")


def load_and_note(*args):
    before = anonymous_memory()
    model = load_model(*args)
    note["loaded_bytes"] = anonymous_memory() - before
    note["fp32_bytes"] = 4 * sum(p.numel() for p in model.parameters())
    return model


class Look(TrainerCallback):
    """Looks at gradients after a step's first backward pass; kills the process if asked to."""

    def on_substep_end(self, args, state, control, model, **_):
        gradients = [p.grad for p in model.parameters() if isinstance(p.grad, DTensor)]
        local = [gradient.to_local() for gradient in gradients]
        note["sharded_gradients"] = len(gradients)
        note["finer_than_bf16"] = any((g != g.bfloat16().float()).any().item() for g in local)

    def on_save(self, args, state, control, **_):
        note["saves"].append(state.global_step)

    def on_step_end(self, args, state, control, **_):
        if os.environ.get("DIE_AFTER") == str(state.global_step):
            os.kill(os.getpid(), signal.SIGKILL)


def build_and_look(model, *args):
    built = build_trainer(model, *args)
    built.add_callback(Look())
    collate = built.data_collator

    def collate_and_note(rows):
        note["batches"].append([row.get("input_ids") for row in rows])
        return collate(rows)

    built.data_collator = collate_and_note
    return built


def note_shards(built, *args) -> None:
    parameters = list(built.model.named_parameters())
    sharded = [name for name, p in parameters if isinstance(p, DTensor)]
    policy = built.accelerator.state.fsdp_plugin.mixed_precision_policy
    note.update(
        {
            "parameters": len(parameters),
            "sharded": len(sharded),
            "size": sum(p.numel() for _, p in parameters),
            "local": sum(p.to_local().numel() for _, p in parameters if isinstance(p, DTensor)),
            "dtypes": sorted({str(p.dtype) for _, p in parameters}),
            "computed": sorted(computed),
            "recomputed": sum(isinstance(m, CheckpointWrapper) for m in built.model.modules()),
            "output_type": str(policy.output_dtype) if policy else None,
        }
    )
    save_weights(built, *args)


def main() -> None:
    script = os.environ.get("SCRIPT", "train_sft")
    import_module(f"workflow.scripts.models.{script}").main(sys.argv[1:])
    note["group_left"] = not distributed.is_initialized()
    Path(os.environ["SHARDS_TO"] + os.environ["RANK"]).write_text(json.dumps(note))


if __name__ == "__main__":
    AcceleratorState.__init__ = keep_fsdp
    sharding.load_model = load_and_note
    trainer.build_trainer = build_and_look
    weights.save_weights = note_shards
    if "SAVE_S" in os.environ:
        state.SAVE_MINUTES, state.PAYS = float(os.environ["SAVE_S"]) / 60, 0
    torch.set_num_threads(1)
    nn.modules.module.register_module_forward_hook(note_type)
    run(main)
