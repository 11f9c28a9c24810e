"""What an alignment took: GPU-hours, seconds of CPUs, tokens and rows of training.

From the manifests of the models. The LRM that an alignment starts from is not the alignment's, for
all alignments share it; and an LRM with other prompts took nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow.scripts.common.io import read_json
from workflow.scripts.report.inputs import Inputs
from workflow.scripts.report.origins import gpu_hours, is_told, read_models
from workflow.scripts.report.runs import epoch_of

MEASURES = ("gpu_hours", "cpu_seconds", "tokens", "rows")
WHOLE = "whole_"  # with the other aligned models that it is made from
NOTHING = dict.fromkeys(MEASURES, 0.0)
RESULT = "result.json"

Numbers = dict[str, float]


class Costs:
    """What the models of an experiment took.

    Args:
        inputs: Names the folders of their manifests.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._folders = inputs.models
        self._manifests = read_models(inputs, inputs.models)

    def of(self, run: str, checkpoint: str) -> Numbers | None:
        """Return what alignment took up to a checkpoint; None where a manifest is not here.

        Returns:
            `gpu_hours`, `cpu_seconds`, `tokens` (of training, padding not counted), `rows` (of its
            training set, each once); and the same with `whole_`, together with the other aligned
            models that it is made from, such as those that are merged.
        """
        own, whole = self._own(run, checkpoint), self._whole(run, checkpoint)
        if own is None or whole is None:
            return None
        return {**own, **{f"{WHOLE}{name}": value for name, value in whole.items()}}

    def mean(self, runs: Sequence[tuple[str, str]]) -> Numbers:
        """Return the mean over the runs and checkpoints of several seeds; empty without it."""
        known = [self.of(*one) for one in runs]
        found = [one for one in known if one]
        if len(found) < len(known) or not found:
            return {}
        return {name: math.fsum(one[name] for one in found) / len(found) for name in found[0]}

    def _own(self, run: str, checkpoint: str) -> Numbers | None:
        manifest = self._manifests.get(run)
        if not run.startswith("aligned/") or (manifest and is_told(run, manifest)):
            return NOTHING
        if manifest is None:
            return None
        train = manifest.get("train")
        if not train:
            return {**NOTHING, "cpu_seconds": _seconds(self._folders[run])}
        share = _share(manifest, checkpoint)
        hours = gpu_hours(manifest)
        processes = int((manifest.get("hardware") or {}).get("world_size") or 1)
        return {
            "gpu_hours": hours * share,
            "cpu_seconds": 0.0 if hours else float(train.get("wall_s") or 0) * processes * share,
            "tokens": float(train.get("tokens") or 0) * share,
            "rows": float(((manifest.get("lineage") or {}).get("data") or {}).get("n") or 0),
        }

    def _whole(self, run: str, checkpoint: str) -> Numbers | None:
        own, manifest = self._own(run, checkpoint), self._manifests.get(run)
        lineage = (manifest or {}).get("lineage") or {}
        if manifest and is_told(run, manifest):
            lineage = {}
        parents = [lineage.get("base"), *(lineage.get("others") or {}).values()]
        parts = [own] + [
            self._whole(one["run"], one.get("checkpoint", ""))
            for one in parents
            if one and one["run"].startswith("aligned/")
        ]
        known = [one for one in parts if one is not None]
        if len(known) < len(parts):
            return None
        return {name: math.fsum(one[name] for one in known) for name in MEASURES}


def _share(manifest: Mapping[str, Any], checkpoint: str) -> float:
    """Return the share of a training that is over at a checkpoint."""
    epochs = (manifest.get("recipe") or {}).get("epochs")
    epoch = epoch_of(checkpoint)
    if epoch is None or not epochs:
        return 1.0
    return min(1.0, epoch / (epochs * manifest["train"].get("rounds", 1)))


def _seconds(folder: Path) -> float:
    """Return what making a model took that was not trained."""
    path = folder / RESULT
    return float(read_json(path).get("seconds") or 0) if path.exists() else 0.0
