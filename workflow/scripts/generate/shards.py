"""Data parallelism: one process per copy of the model, each with its own devices and samples."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable

from workflow.scripts.common.errors import InputError

POLL_S = 0.2


def run_shards(
    command: list[str], shards: int, devices_each: int, look: Callable[[], None]
) -> None:
    """Run `command --shard K/SHARDS` for each shard until all have ended.

    Args:
        command: Of one process.
        shards: How many.
        devices_each: GPUs of each, where there are any.
        look: Called now and then, and when all have ended.

    Raises:
        InputError: A shard failed; the others are ended, for nobody will use what they make.
    """
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(
        map(str, range(torch.cuda.device_count()))
    )
    devices = visible.split(",")
    processes = []
    for shard in range(shards):
        environment = dict(os.environ)
        if visible:
            mine = devices[shard * devices_each : (shard + 1) * devices_each]
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
        own = [*command, "--shard", f"{shard}/{shards}"]
        processes.append(subprocess.Popen(own, env=environment))
    try:
        while True:
            codes = [process.poll() for process in processes]
            failed = [shard for shard, code in enumerate(codes) if code]
            if failed:
                raise InputError(f"shard {failed[0]} of {shards} failed, see its error above")
            look()
            if None not in codes:
                return
            time.sleep(POLL_S)
    finally:
        for process in processes:
            process.terminate()
            process.wait()
