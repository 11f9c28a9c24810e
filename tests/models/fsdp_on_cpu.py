"""Run train_sft on CPU processes with FSDP2 for real (a test's worker, no GPU being at hand).

Accelerate turns FSDP on CPU into DDP in silence; here its state keeps FSDP. What was sharded, and
how, goes to the file named by SHARDS_TO, so that the test can see that it tested something. With
DIE_AT=epochN all processes are killed at the end of that epoch, before its state is saved.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import CheckpointWrapper
from torch.distributed.tensor import DTensor

from workflow.scripts.common.errors import run
from workflow.scripts.models import train_sft, trainer

init, save_weights = AcceleratorState.__init__, trainer.save_weights
computed: set[str] = set()  # in which types linear layers computed


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


def note_shards(built, parent, folder, recipe) -> None:
    parameters = list(built.model.named_parameters())
    sharded = [name for name, p in parameters if isinstance(p, DTensor)]
    note = {
        "parameters": len(parameters),
        "sharded": len(sharded),
        "size": sum(p.numel() for _, p in parameters),
        "local": sum(p.to_local().numel() for _, p in parameters if isinstance(p, DTensor)),
        "dtypes": sorted({str(p.dtype) for _, p in parameters}),
        "computed": sorted(computed),
        "recomputed": sum(isinstance(m, CheckpointWrapper) for m in built.model.modules()),
    }
    Path(os.environ["SHARDS_TO"] + os.environ["RANK"]).write_text(json.dumps(note))
    if os.environ.get("DIE_AT") == folder.name:
        os.kill(os.getpid(), signal.SIGKILL)
    save_weights(built, parent, folder, recipe)


if __name__ == "__main__":
    AcceleratorState.__init__ = keep_fsdp
    trainer.save_weights = note_shards
    nn.modules.module.register_module_forward_hook(note_type)
    run(lambda: train_sft.main(sys.argv[1:]))
