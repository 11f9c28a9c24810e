"""Run train_sft on CPU processes with FSDP2 for real (a test's worker, no GPU being at hand).

Accelerate turns FSDP on CPU into DDP in silence; here its state keeps FSDP. What was sharded, and
how, goes to the file named by SHARDS_TO, so that the test can see that it tested something.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from torch.distributed.tensor import DTensor

from workflow.scripts.common.errors import run
from workflow.scripts.models import train_sft, trainer

init, save_weights = AcceleratorState.__init__, trainer.save_weights


def keep_fsdp(self, *args, fsdp_plugin=None, **kwargs) -> None:
    init(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
    if fsdp_plugin is not None:
        if self._mixed_precision != "no":
            fsdp_plugin.set_mixed_precision(self._mixed_precision)
        self.fsdp_plugin = fsdp_plugin
    if getattr(self, "fsdp_plugin", None) is not None:  # later states copy the process's type
        self.distributed_type = DistributedType.FSDP


def note_shards(built, *args) -> None:
    parameters = list(built.model.named_parameters())
    sharded = [name for name, p in parameters if isinstance(p, DTensor)]
    note = {
        "parameters": len(parameters),
        "sharded": len(sharded),
        "size": sum(p.numel() for _, p in parameters),
        "local": sum(p.to_local().numel() for _, p in parameters if isinstance(p, DTensor)),
        "dtypes": sorted({str(p.dtype) for _, p in parameters}),
    }
    Path(os.environ["SHARDS_TO"] + os.environ["RANK"]).write_text(json.dumps(note))
    save_weights(built, *args)


if __name__ == "__main__":
    AcceleratorState.__init__ = keep_fsdp
    trainer.save_weights = note_shards
    run(lambda: train_sft.main(sys.argv[1:]))
