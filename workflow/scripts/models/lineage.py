"""What a model is made from, as its manifest records it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from workflow.scripts.common.io import canonical_json, sha256_file, sha256_text
from workflow.scripts.common.manifest import Parent, TrainingData, read_manifest


def describe_data(name: str, file: Path, n: int) -> TrainingData:
    """Return a training set, a file of `n` rows, under its name."""
    return {"name": name, "sha256": sha256_file(file), "n": n}


def describe_parent(model: Path, checkpoint: str) -> Parent:
    """Return which weights a run starts from, and theirs in turn, down to the base."""
    parent = read_manifest(model)
    return {
        "run": parent["run"],
        "checkpoint": checkpoint,
        "sha256": sha256_text(canonical_json(parent["checkpoints"][checkpoint])),
        "status": parent["status"],
        "lineage": parent.get("lineage"),
    }


def hash_parents(models: Mapping[str, Path]) -> dict[str, str]:
    """Return the sha256 of the manifests of parents, by the name of the input.

    Args:
        models: Their folders or manifests.
    """
    return {
        name: sha256_file(path / "manifest.json" if path.is_dir() else path)
        for name, path in models.items()
    }


def failure_of_parents(*models: Path) -> str | None:
    """Return why what is made from these models counts as failed; None when it does not."""
    for manifest in map(read_manifest, models):
        if manifest["status"] == "failed":
            return f"parent failed: {manifest.get('status_reason')}"
    return None
