"""Where an experiment's numbers come from: models, data, recipes, versions, GPU-hours.

Read from the manifests of the models and samples; one that was deleted is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar, cast

from workflow.scripts.common.io import canonical_json, sha256_text
from workflow.scripts.config.recipe import Recipe
from workflow.scripts.config.section import read_section
from workflow.scripts.report.experiment import (
    DataEntry,
    Experiment,
    ModelEntry,
    ReadyMade,
)
from workflow.scripts.report.inputs import Inputs, find_manifest
from workflow.scripts.report.mixtures import describe_mix, list_sets
from workflow.scripts.report.runs import parse_run
from workflow.scripts.report.schema import (
    DataOrigin,
    DataSource,
    InCommon,
    ModelOrigin,
    Origins,
    RecipeDifferences,
    SelectionCandidate,
)
from workflow.scripts.report.status import status_of
from workflow.scripts.report.tables.table import join

if TYPE_CHECKING:
    from workflow.scripts.common.hardware import Hardware
    from workflow.scripts.common.manifest import (
        Lineage,
        Manifest,
        Parent,
        ScoredCheckpoint,
        Training,
        TrainingData,
    )
    from workflow.scripts.generate.samples import DataFile, SamplesManifest, Throughput

T = TypeVar("T")


def read_origins(inputs: Inputs) -> tuple[Origins, InCommon]:
    """Return models, data, recipes and adopted results, and what the runs have in common."""
    scores = sorted(inputs.scores, key=lambda one: (one.run, one.benchmark, one.scorer))
    models = read_models(inputs)
    found: dict[tuple[str, str], SamplesManifest | None] = {
        (one.run, one.benchmark): find_manifest(one.samples) for one in scores if one.samples
    }
    samples = {key: one for key, one in found.items() if one}
    origins: Origins = {
        "models": [describe_model(run, one, inputs.sections) for run, one in models.items()],
        "selections": [one for run, each in models.items() for one in _selection(run, each)],
        "data": _data(inputs.sections, models, samples),
        "recipes": recipe_differences(inputs.sections),
        "adopted": [
            {
                "name": one.name,
                "from": one.from_,
                "by": one.by,
                "when": one.when,
                "reason": one.reason,
            }
            for one in inputs.adopted
        ],
    }
    return origins, _in_common(models, samples)


def read_models(inputs: Inputs, runs: Iterable[str] | None = None) -> dict[str, Manifest]:
    """Return {run: manifest} of runs, as far as their manifests are here.

    Args:
        inputs: Names their folders.
        runs: Default: those that were measured.
    """
    runs = sorted({one.run for one in inputs.scores} if runs is None else runs)
    found: dict[str, Manifest | None] = {run: find_manifest(inputs.models.get(run)) for run in runs}
    return {run: one for run, one in found.items() if one}


def _in_common(
    models: Mapping[str, Manifest], samples: Mapping[tuple[str, str], SamplesManifest]
) -> InCommon:
    known: list[Manifest | SamplesManifest] = [*models.values(), *samples.values()]
    made = [one for run, one in models.items() if not is_told(run, one)]
    return {
        "git_commits": sorted({str(one["git_commit"]) for one in known if one.get("git_commit")}),
        "versions": _versions(known),
        "decoding": _by_benchmark({at: one.get("decoding") for at, one in samples.items()}),
        "engines": _by_benchmark({at: one.get("engine") for at, one in samples.items()}),
        "hardware": sorted({name for one in known for name in _devices(one.get("hardware"))}),
        "gpu_hours_training": round(
            sum(gpu_hours(one.get("train"), one.get("hardware")) for one in made), 2
        ),
        "gpu_hours_generation": round(
            sum(gpu_hours(one.get("throughput"), one.get("hardware")) for one in samples.values()),
            2,
        ),
    }


def describe_model(run: str, manifest: Manifest, experiment: Experiment) -> ModelOrigin:
    """Return a model run's source, hash, data, parent, status and GPU-hours."""
    section, told = section_of(run, experiment), is_told(run, manifest)
    failed = manifest.get("status", "ok") != "ok"
    lineage = lineage_of(manifest)
    sets = [] if told else sets_of(lineage)
    parents = [parent["run"] for parent in parents_of(lineage)]
    source = source_of(section) or made_here(section, lineage)
    return {
        "run": run,
        "source": describe_prompting(section) if told else source,
        "weights_sha256": weights_digest(manifest, manifest["final"]),
        "data": ", ".join(f"{described_set(lineage, one)} ({one['n']})" for one in sets),
        "parent": manifest["run"] if told else ", ".join(parents),
        "status": status_of([manifest.get("status_reason") or ""] if failed else []),
        "seed": manifest.get("seed"),
        "gpu_hours": 0.0 if told else gpu_hours(manifest.get("train"), manifest.get("hardware")),
    }


def lineage_of(model: Manifest | Parent) -> Lineage:
    """Return what a model is made from; empty where it is not known."""
    return model.get("lineage") or cast("Lineage", {})


def sets_of(lineage: Lineage) -> list[TrainingData]:
    """Return the training sets of a model's last training, what it shall not say among them."""
    sets = (lineage.get("data"), lineage.get("rejected"), lineage.get("retain"))
    return [one for one in sets if one]


def described_set(lineage: Lineage, one: TrainingData) -> str:
    """Return a training set's name, and that its answers are the rejected ones."""
    return f"{'rejected ' if one is lineage.get('rejected') else ''}{one['name']}"


def parents_of(lineage: Lineage) -> list[Parent]:
    """Return the models that a model is made from, the one that it begins from first."""
    base = lineage.get("base")
    return [*([base] if base else []), *(lineage.get("others") or {}).values()]


def made_here(section: ModelEntry, lineage: Lineage) -> str:
    """Return how a model was made here."""
    if made := merged_from(lineage) or selected_from(lineage):
        return made
    if "method" in section and "recipe" not in section:
        return f"made here, method {section['method']}"
    how = f" by {section['method']}" if section.get("method", "sft") != "sft" else ""
    return f"trained here{how}, recipe {section.get('recipe', 'pretrain')}"


def merged_from(lineage: Lineage) -> str:
    """Return which models were merged and how, "" for a model that was not merged."""
    others = [one for one in (lineage.get("others") or {}).values() if "scale" in one]
    if not others:
        return ""
    differences = [f"{one['scale']:g} × {one['run']} ({one['checkpoint']})" for one in others]
    base = lineage["base"]
    assert base is not None
    return f"merged from {base['run']} and differences from it: {', '.join(differences)}"


def selected_from(lineage: Lineage) -> str:
    """Return which model was selected and how, "" for a model that was not selected."""
    if not (selection := lineage.get("selection")):
        return ""
    chosen, among = selection["chosen"], len(selection["candidates"])
    (one,) = (c for c in selection["candidates"] if chosen.items() <= c.items())
    model = f"{_candidate_name(one)} ({chosen['checkpoint']})"
    return f"selected from {among} candidates: {model}, the one with {selection['rule']}"


def _candidate_name(candidate: ScoredCheckpoint) -> str:
    """Return a candidate's run, and whose settings it was trained with where it was promoted."""
    origin = candidate.get("origin")
    return f"{candidate['run']} as {origin}" if origin else candidate["run"]


def _selection(run: str, manifest: Manifest) -> list[SelectionCandidate]:
    """Return the candidates of a selected model: run, rule, candidate, figures, whether chosen."""
    selection = lineage_of(manifest).get("selection")
    if not selection:
        return []
    return [
        {
            "run": run,
            "rule": selection["rule"],
            "candidate": _candidate_name(one),
            "checkpoint": one["checkpoint"],
            "figures": one["figures"],
            "chosen": selection["chosen"] == {"run": one["run"], "checkpoint": one["checkpoint"]},
        }
        for one in selection.get("candidates", [])
    ]


def is_told(run: str, manifest: Manifest) -> bool:
    """Tell whether a run is another one's weights with other prompts."""
    return manifest.get("run", run) != run


def describe_prompting(section: ModelEntry) -> str:
    """Return what is written into the prompts of an entry of the method `prompt`."""
    prefix = section.get("prefix", "")
    found = [f"a prefix of its thinking, {prefix!r}"] if prefix else []
    if section.get("close_thinking"):
        found.append("its thinking closed" + (" after it" if prefix else " at once"))
    if "system" in section:
        found.append(f"the system text {section['system']!r}")
    if "effort" in section:
        found.append(f"effort {section['effort']}")
    return f"the LRM with {join(found)}"


def section_of(run: str, experiment: Experiment) -> ModelEntry:
    """Return the experiment's entry that a run is made from."""
    model, _ = parse_run(run)
    sections = {
        "base": experiment["bases"],
        "lrm": experiment["lrms"],
        "aligned": experiment["alignments"],
        "attacked": experiment.get("durability", {}),
    }
    return sections[model.role].get(model.attack or model.alignment or model.name, {})


def source_of(section: ReadyMade) -> str:
    """Return where something ready-made comes from, "" for what is made here."""
    if place := section.get("hub") or section.get("path"):
        revision = f" at {section['revision'][:12]}" if section.get("revision") else ""
        return f"{place}{revision}"
    if "package" in section:
        package = section["package"]
        return f"package {package['name'] if isinstance(package, Mapping) else package}"
    return ""


def weights_digest(manifest: Manifest, checkpoint: str) -> str:
    """Return the sha256 of a checkpoint's weights; of several files, that of their hashes."""
    files = manifest["checkpoints"].get(checkpoint, {})
    hashes = [files[name]["sha256"] for name in sorted(files) if name.endswith(".safetensors")]
    return hashes[0] if len(hashes) == 1 else sha256_text("\n".join(hashes)) if hashes else ""


def gpu_hours(work: Training | Throughput | None, hardware: Hardware | None) -> float:
    """Return the GPU-hours of a training or generation; 0 on a CPU or where none is recorded."""
    wall = (work.get("wall_s") if work else None) or 0.0
    if not hardware or hardware.get("device") != "cuda":
        return 0.0
    return float(wall) * int(hardware.get("world_size") or len(hardware.get("gpus", []))) / 3600


def recipe_differences(experiment: Experiment) -> RecipeDifferences:
    """Return the keys in which the recipes of the models shown differ, a column for each recipe."""
    sections = (experiment["lrms"], experiment["alignments"], experiment.get("durability", {}))
    used = [one["recipe"] for section in sections for one in section.values() if "recipe" in one]
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
    experiment: Experiment,
    models: Mapping[str, Manifest],
    samples: Mapping[tuple[str, str], SamplesManifest],
) -> list[DataOrigin]:
    """Return the training sets and benchmarks that were used: source, revision, size, hash."""
    trained: dict[str, TrainingData] = {}
    for data in (data for one in models.values() for data in sets_of(lineage_of(one))):
        trained.setdefault(data["name"], data)  # a set's own answers come before its rejected ones
    mixed = {one for name in trained for one in list_sets(experiment, name)}
    found: list[DataOrigin] = []
    for name, section in experiment.get("data", {}).items():
        if name in trained or name in mixed:
            known = trained.get(name)  # a set that is only mixed has none
            found.append(
                {
                    "name": name,
                    "use": "training",
                    **_described_source(section),
                    "n": known.get("n") if known else None,
                    "sha256": known.get("sha256") if known else None,
                }
            )
    by_benchmark: dict[str, SamplesManifest] = {}
    for (_, benchmark), one in samples.items():
        by_benchmark.setdefault(benchmark, one)
    for name, section in experiment["benchmarks"].items():
        if name in by_benchmark:
            items = by_benchmark[name].get("data") or cast("DataFile", {})
            source = _described_source(section)
            of_older = cast(str | None, items.get("revision"))  # today the section alone has it
            source["revision"] = source["revision"] or of_older
            found.append(
                {
                    "name": name,
                    "use": "benchmark",
                    **source,
                    "n": by_benchmark[name].get("n_items"),
                    "sha256": items.get("sha256"),
                }
            )
    return found


def _described_source(section: DataEntry) -> DataSource:
    if "mix" in section:
        return {"source": f"mixture: {describe_mix(section['mix'])}", "revision": None}
    if "generated" in section:
        return {"source": f"generated here: {section['generated']}", "revision": None}
    if drawn := section.get("reasoning_gym"):
        drawn_from = f"reasoning-gym's {drawn['task']}, seed {drawn.get('seed', 0)}"
        return {"source": drawn_from, "revision": None}
    if "sampled" in section:
        prompts = section["sampled"]["prompts"]
        return {"source": f"written by each LRM to the prompts of {prompts}", "revision": None}
    source = (section.get("prepare") or section).get("source") or {}
    task = f"lm-eval's {section['task']}" if "task" in section else ""
    place = source.get("hub") or source.get("path") or source_of(source)
    parts = (task, place, source.get("split"))
    return {"source": ", ".join(filter(None, parts)), "revision": source.get("revision")}


def _by_benchmark(values: Mapping[tuple[str, str], T | None]) -> dict[str, T | list[T]]:
    """Return {benchmark: value} from those by run and benchmark, a list where the runs differ."""
    found: dict[str, set[str]] = {}
    for (_, benchmark), value in values.items():
        if value is not None:
            found.setdefault(benchmark, set()).add(json.dumps(value, sort_keys=True))
    loaded = {name: [json.loads(text) for text in sorted(texts)] for name, texts in found.items()}
    return {name: values[0] if len(values) == 1 else values for name, values in loaded.items()}


def _versions(manifests: Iterable[Manifest | SamplesManifest]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for one in manifests:
        for package, version in (one.get("versions") or {}).items():
            found.setdefault(package, set()).add(str(version))
    return {package: sorted(versions) for package, versions in sorted(found.items())}


def _devices(hardware: Hardware | None) -> list[str]:
    if not hardware:
        return []
    return hardware.get("gpus") or (["CPU"] if hardware.get("device") == "cpu" else [])
