"""Where an experiment's numbers come from: models, data, recipes, versions, GPU-hours.

Read from the manifests of the models and samples; one that was deleted is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import canonical_json, read_json, sha256_text
from workflow.scripts.config.recipe import Recipe
from workflow.scripts.config.section import read_section
from workflow.scripts.report.inputs import Inputs
from workflow.scripts.report.runs import parse_run

Manifest = Mapping[str, Any]


def read_origins(inputs: Inputs) -> dict[str, Any]:
    """Return models, data, recipes and adopted results, and what the runs have in common."""
    scores = sorted(inputs.scores, key=lambda one: (one.run, one.benchmark, one.scorer))
    models = read_models(inputs)
    found = {(one.run, one.benchmark): _read(one.samples) for one in scores if one.samples}
    samples = {key: one for key, one in found.items() if one}
    return {
        "models": [describe_model(run, one, inputs.experiment) for run, one in models.items()],
        "data": _data(inputs.experiment, models, samples),
        "recipes": recipe_differences(inputs.experiment),
        "adopted": [one.model_dump(mode="json", by_alias=True) for one in inputs.adopted],
        "common": _common(models, samples),
    }


def read_models(inputs: Inputs) -> dict[str, Manifest]:
    """Return {run: manifest} of the runs that were measured, as far as their manifests are here."""
    runs = sorted({one.run for one in inputs.scores})
    found = {run: _read(inputs.models.get(run)) for run in runs}
    return {run: one for run, one in found.items() if one}


def _common(
    models: Mapping[str, Manifest], samples: Mapping[tuple[str, str], Manifest]
) -> dict[str, Any]:
    known = [*models.values(), *samples.values()]
    return {
        "git_commits": sorted({str(one["git_commit"]) for one in known if one.get("git_commit")}),
        "versions": _versions(known),
        "decoding": _by_benchmark(samples, "decoding"),
        "engines": _by_benchmark(samples, "engine"),
        "tasks": _by_benchmark(samples, "task"),
        "hardware": sorted({gpu for one in known for gpu in _gpus(one)}),
        "gpu_hours_training": round(sum(map(gpu_hours, models.values())), 2),
        "gpu_hours_generation": round(sum(map(gpu_hours, samples.values())), 2),
    }


def describe_model(
    run: str, manifest: Mapping[str, Any], experiment: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a model run's source, hash, data, parent, status and GPU-hours."""
    section = section_of(run, experiment)
    lineage = manifest.get("lineage") or {}
    data, parent = lineage.get("data") or {}, lineage.get("base") or {}
    return {
        "run": run,
        "source": source_of(section) or f"trained here, recipe {section.get('recipe', 'pretrain')}",
        "weights_sha256": weights_digest(manifest, manifest["final"]),
        "data": f"{data['name']} ({data['n']})" if data else "",
        "parent": parent.get("run", ""),
        "status": manifest.get("status", "ok"),
        "seed": manifest.get("seed"),
        "gpu_hours": gpu_hours(manifest),
    }


def section_of(run: str, experiment: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the experiment's entry that a run is made from."""
    model, _ = parse_run(run)
    kind = {"base": "bases", "lrm": "lrms", "aligned": "alignments"}[model.role]
    return experiment.get(kind, {}).get(model.alignment or model.name, {})


def source_of(section: Mapping[str, Any]) -> str:
    """Return where something ready-made comes from, "" for what is made here."""
    for key in ("hub", "path"):
        if key in section:
            revision = f" at {section['revision'][:12]}" if section.get("revision") else ""
            return f"{section[key]}{revision}"
    if "package" in section:
        package = section["package"]
        return f"package {package['name'] if isinstance(package, Mapping) else package}"
    return ""


def weights_digest(manifest: Mapping[str, Any], checkpoint: str) -> str:
    """Return the sha256 of a checkpoint's weights; of several files, that of their hashes."""
    files = manifest["checkpoints"].get(checkpoint, {})
    hashes = [files[name]["sha256"] for name in sorted(files) if name.endswith(".safetensors")]
    return hashes[0] if len(hashes) == 1 else sha256_text("\n".join(hashes)) if hashes else ""


def gpu_hours(manifest: Mapping[str, Any]) -> float:
    """Return the GPU-hours of a training or generation; 0 on a CPU or where none is recorded."""
    hardware = manifest.get("hardware") or {}
    wall = (manifest.get("train") or manifest.get("throughput") or {}).get("wall_s") or 0.0
    if hardware.get("device") != "cuda":
        return 0.0
    return float(wall) * int(hardware.get("world_size") or len(hardware.get("gpus", []))) / 3600


def recipe_differences(experiment: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys in which the recipes of the models shown differ, a column for each recipe."""
    used = [
        section["recipe"]
        for kind in ("lrms", "alignments")
        for section in experiment.get(kind, {}).values()
        if "recipe" in section
    ]
    names = [name for name in dict.fromkeys(used) if name in experiment.get("recipes", {})]
    recipes = [
        read_section(Recipe, experiment["recipes"][name], f"recipes.{name}").with_defaults()
        for name in names
    ]
    rows = []
    for key in sorted(Recipe.model_fields):
        values = [canonical_json(recipe[key]) for recipe in recipes]
        if len(set(values)) > 1:
            rows.append([key, *values])
    return {"names": names, "rows": rows}


def _data(
    experiment: Mapping[str, Any],
    models: Mapping[str, Manifest],
    samples: Mapping[tuple[str, str], Manifest],
) -> list[dict[str, Any]]:
    """Return the training sets and benchmarks that were used: source, revision, size, hash."""
    lineages = (one.get("lineage") or {} for one in models.values())
    trained = {data["name"]: data for one in lineages if (data := one.get("data"))}
    found = []
    for name, section in experiment.get("data", {}).items():
        if name in trained:
            about = {"n": trained[name].get("n"), "sha256": trained[name].get("sha256")}
            found.append({"name": name, "use": "training", **_described_source(section), **about})
    by_benchmark: dict[str, Manifest] = {}
    for (_, benchmark), one in samples.items():
        by_benchmark.setdefault(benchmark, one)
    for name, section in experiment["benchmarks"].items():
        if name in by_benchmark:
            data = by_benchmark[name].get("data") or {}
            about = {"n": by_benchmark[name].get("n_items"), "sha256": data.get("sha256")}
            source = _described_source(section)
            source["revision"] = source["revision"] or data.get("revision")
            found.append({"name": name, "use": "benchmark", **source, **about})
    return found


def _described_source(section: Mapping[str, Any]) -> dict[str, Any]:
    if "generated" in section:
        return {"source": f"generated here: {section['generated']}", "revision": None}
    if "sampled" in section:
        prompts = section["sampled"]["prompts"]
        return {"source": f"written by each LRM to the prompts of {prompts}", "revision": None}
    source = (section.get("prepare") or {}).get("source") or {}
    place = source.get("hub") or source.get("path") or source_of(source) or "lm-eval"
    split = f", {source['split']}" if source.get("split") else ""
    return {"source": f"{place}{split}", "revision": source.get("revision")}


def _by_benchmark(samples: Mapping[tuple[str, str], Manifest], key: str) -> dict[str, Any]:
    """Return {benchmark: value}, a list of values where the runs differ."""
    found: dict[str, set[str]] = {}
    for (_, benchmark), one in samples.items():
        if one.get(key) is not None:
            found.setdefault(benchmark, set()).add(json.dumps(one[key], sort_keys=True))
    loaded = {name: [json.loads(text) for text in sorted(texts)] for name, texts in found.items()}
    return {name: values[0] if len(values) == 1 else values for name, values in loaded.items()}


def _versions(manifests: Iterable[Manifest]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for one in manifests:
        for package, version in (one.get("versions") or {}).items():
            found.setdefault(package, set()).add(str(version))
    return {package: sorted(versions) for package, versions in sorted(found.items())}


def _gpus(manifest: Manifest) -> list[str]:
    return list((manifest.get("hardware") or {}).get("gpus") or [])


def _read(folder: Path | None) -> Manifest | None:
    """Return the manifest in a folder; None where it was deleted."""
    path = folder / "manifest.json" if folder else None
    if path is None or not path.exists():
        return None
    found = read_json(path)
    if not isinstance(found, dict):
        raise InputError(f"{path}: expected a JSON object")
    return found
