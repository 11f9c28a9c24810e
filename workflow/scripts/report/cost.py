"""What an alignment took: GPU-hours, seconds of CPUs, tokens and rows of training.

From the manifests of the models, and of the samples that training sets are made from. The LRM that
an alignment starts from is not the alignment's, for all alignments share it; and an LRM with other
prompts took nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workflow.scripts.common.io import read_json
from workflow.scripts.report.inputs import Inputs
from workflow.scripts.report.origins import (
    find_manifest,
    gpu_hours,
    is_told,
    lineage_of,
    parents_of,
    read_models,
)
from workflow.scripts.report.runs import epoch_of

if TYPE_CHECKING:
    from workflow.scripts.common.hardware import Hardware
    from workflow.scripts.common.manifest import Manifest, Training
    from workflow.scripts.generate.samples import SamplesManifest, Throughput

MEASURES = ("gpu_hours", "cpu_seconds", "tokens", "rows")
WHOLE = "whole_"  # with all but the LRM that it is made from
NOTHING = dict.fromkeys(MEASURES, 0.0)
RESULT = "result.json"

Numbers = dict[str, float]


class Costs:
    """What the models of an experiment took.

    Args:
        inputs: Names the folders of their manifests.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._folders, self._sampled = inputs.models, inputs.sampled
        self._manifests = read_models(inputs, inputs.models)

    def of(self, run: str, checkpoint: str) -> Numbers | None:
        """Return what alignment took up to a checkpoint; None where a manifest is not here.

        Returns:
            `gpu_hours`, `cpu_seconds`, `tokens` (of training, padding not counted), `rows` (of its
            training set, each once); and the same with `whole_`, together with all that it is made
            from but the LRM, each once: other aligned models, all candidates of a selection or a
            promotion, and the GPU-hours or seconds of an LRM's own samples that were trained on.
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
        share, data = _share(manifest, train, checkpoint), lineage_of(manifest).get("data")
        return {
            **_time(train, manifest.get("hardware"), share),
            "tokens": float(train.get("tokens") or 0) * share,
            "rows": float((data.get("n") if data else None) or 0),
        }

    def _whole(self, run: str, checkpoint: str) -> Numbers | None:
        parts: dict[str, Numbers] = {}
        for name, at in self._made_from(run, checkpoint):
            own = self._own(name, at)
            if own is None:
                return None
            known = parts.get(name, own)  # that of a later epoch holds that of an earlier one
            parts[name] = {key: max(own[key], known[key]) for key in MEASURES}
        for folder in {one for name in parts for one in self._sampled.get(name, ())}:
            samples: SamplesManifest | None = find_manifest(folder)
            if samples is None:
                return None
            parts[str(folder)] = {
                **NOTHING,
                **_time(samples.get("throughput"), samples.get("hardware")),
            }
        return {key: math.fsum(one[key] for one in parts.values()) for key in MEASURES}

    def _made_from(self, run: str, checkpoint: str) -> Iterator[tuple[str, str]]:
        """Yield (run, checkpoint) of a model and of the aligned models that it is made from."""
        yield run, checkpoint
        manifest = self._manifests.get(run)
        if manifest is None or is_told(run, manifest):
            return
        lineage = lineage_of(manifest)
        for one in parents_of(lineage):
            if one["run"].startswith("aligned/"):
                yield from self._made_from(one["run"], one.get("checkpoint", ""))
        choice = lineage.get("selection") or lineage.get("promotion")
        candidates = choice.get("candidates", []) if choice else []
        for name in dict.fromkeys(one["run"] for one in candidates):
            yield from self._made_from(name, "")  # trained to its end to be compared


def _share(manifest: Manifest, train: Training, checkpoint: str) -> float:
    """Return the share of a training that is over at a checkpoint."""
    epochs = (manifest.get("recipe") or {}).get("epochs")
    epoch = epoch_of(checkpoint)
    if epoch is None or not epochs:
        return 1.0
    return min(1.0, epoch / (epochs * train.get("rounds", 1)))


def _time(
    work: Training | Throughput | None, hardware: Hardware | None, share: float = 1.0
) -> Numbers:
    """Return the GPU-hours of a training or generation, or else its seconds of CPUs."""
    hours = gpu_hours(work, hardware)
    wall = (work.get("wall_s") if work else None) or 0.0
    processes = int((hardware.get("world_size") if hardware else None) or 1)
    seconds = 0.0 if hours else float(wall) * processes * share
    return {"gpu_hours": hours * share, "cpu_seconds": seconds}


def _seconds(folder: Path) -> float:
    """Return what making a model took that was not trained."""
    path = folder / RESULT
    return float(read_json(path).get("seconds") or 0) if path.exists() else 0.0
