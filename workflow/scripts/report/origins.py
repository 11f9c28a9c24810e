"""Where an experiment's numbers come from: models, data, recipes, versions, GPU-hours.

Read from the manifests below `results/<experiment>`; a manifest that was deleted with its model is
left out.
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
from workflow.scripts.report.results import parse_run


def read_origins(
    folder: Path, experiment: Mapping[str, Any], measured: Iterable[tuple[str, str, str]]
) -> dict[str, Any]:
    """Return models, data, recipes and accepted results, and what the runs have in common.

    Args:
        folder: `results/<experiment>`.
        experiment: The experiment's sections.
        measured: (run, benchmark, scorer) of each score.
    """
    measured = sorted(set(measured))
    runs = list(dict.fromkeys(run for run, _, _ in measured))
    models = {run: _read(folder / "models" / run / "manifest.json") for run in runs}
    samples = {
        (run, name): _read(folder / "generate" / run / name / "manifest.json")
        for run, name, _ in measured
    }
    known = [one for one in (*models.values(), *samples.values()) if one]
    results = {f"models/{run}/manifest.json": one for run, one in models.items()}
    results |= {f"generate/{run}/{name}/manifest.json": one for (run, name), one in samples.items()}
    for run, name, scorer in measured:
        path = f"score/{run}/{name}/{scorer}/score.json"
        results[path] = _read(folder / path)
    for place in ("score/judges", "data"):
        for file in sorted((folder / place).rglob("*.json")):
            results[str(file.relative_to(folder))] = _read(file)
    return {
        "models": [describe_model(run, one, experiment) for run, one in models.items() if one],
        "data": _data(experiment, models, samples),
        "recipes": recipe_differences(experiment),
        "accepted": _accepted(results),
        "common": {
            "git_commits": sorted(
                {str(one["git_commit"]) for one in known if one.get("git_commit")}
            ),
            "versions": _versions(known),
            "decoding": _by_benchmark(samples, "decoding"),
            "engines": _by_benchmark(samples, "engine"),
            "tasks": _by_benchmark(samples, "task"),
            "hardware": sorted({gpu for one in known for gpu in _gpus(one)}),
            "gpu_hours_training": round(sum(gpu_hours(one) for one in models.values() if one), 2),
            "gpu_hours_generation": round(
                sum(gpu_hours(one) for one in samples.values() if one), 2
            ),
        },
    }


def describe_model(
    run: str, manifest: Mapping[str, Any], experiment: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a model run's source, hash, data, parent, status and GPU-hours."""
    model, _ = parse_run(run)
    kind = {"base": "bases", "lrm": "lrms", "aligned": "alignments"}[model.role]
    section = experiment.get(kind, {}).get(model.alignment or model.name, {})
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
    models: Mapping[str, dict[str, Any] | None],
    samples: Mapping[tuple[str, str], dict[str, Any] | None],
) -> list[dict[str, Any]]:
    trained = {
        data["name"]: data
        for one in models.values()
        if one and (data := (one.get("lineage") or {}).get("data"))
    }
    found = []
    for name, section in experiment.get("data", {}).items():
        if name in trained:
            about = {"n": trained[name].get("n"), "sha256": trained[name].get("sha256")}
            found.append({"name": name, "use": "training", **_described_source(section), **about})
    for name, section in experiment["benchmarks"].items():
        one = next((m for (_, benchmark), m in samples.items() if benchmark == name and m), None)
        if one:
            data = one.get("data") or {}
            about = {"n": one.get("n_items"), "sha256": data.get("sha256")}
            source = _described_source(section)
            source["revision"] = source["revision"] or data.get("revision")
            found.append({"name": name, "use": "benchmark", **source, **about})
    return found


def _described_source(section: Mapping[str, Any]) -> dict[str, Any]:
    if "generated" in section:
        return {"source": f"generated here: {section['generated']}", "revision": None}
    source = (section.get("prepare") or {}).get("source") or {}
    place = source.get("hub") or source.get("path") or source_of(source) or "lm-eval"
    split = f", {source['split']}" if source.get("split") else ""
    return {"source": f"{place}{split}", "revision": source.get("revision")}


def _accepted(results: Mapping[str, dict[str, Any] | None]) -> list[dict[str, str]]:
    return [
        {"result": path, **{key: str(taken.get(key, "")) for key in ("by", "at", "why")}}
        for path, one in sorted(results.items())
        if one and (taken := (one.get("provenance") or {}).get("accepted"))
    ]


def _by_benchmark(
    samples: Mapping[tuple[str, str], dict[str, Any] | None], key: str
) -> dict[str, Any]:
    """Return {benchmark: value}, a list of values where the runs differ."""
    found: dict[str, list[str]] = {}
    for (_, benchmark), one in samples.items():
        if one and one.get(key) is not None:
            text = json.dumps(one[key], sort_keys=True)
            if text not in found.setdefault(benchmark, []):
                found[benchmark].append(text)
    loaded = {name: [json.loads(text) for text in sorted(texts)] for name, texts in found.items()}
    return {name: values[0] if len(values) == 1 else values for name, values in loaded.items()}


def _versions(manifests: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for one in manifests:
        for package, version in (one.get("versions") or {}).items():
            found.setdefault(package, set()).add(str(version))
    return {package: sorted(versions) for package, versions in sorted(found.items())}


def _gpus(manifest: Mapping[str, Any]) -> list[str]:
    return list((manifest.get("hardware") or {}).get("gpus") or [])


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = read_json(path)
    except InputError:
        if path.exists():
            raise
        return None
    return found if isinstance(found, dict) else None
