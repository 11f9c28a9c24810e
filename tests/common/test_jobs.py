"""The staleness matrix: what each key of an experiment and each module makes stale, exactly.

A job is stale when its key differs from the one that its result carries; here the keys before and
after a change are compared. `tests/workflow/` shows that Snakemake runs just those jobs.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow.scripts.common.codehash import forget_files, reached_modules
from workflow.scripts.common.experiment import check_schema
from workflow.scripts.common.jobs import Job, list_jobs, list_keys

Paths = set[str]
TINY = "tests/experiments/tiny.yaml"


@pytest.fixture(scope="module")
def tiny(root: Path) -> dict[str, Any]:
    # by way of JSON: what YAML anchors share becomes apart
    experiment = json.loads(json.dumps(yaml.safe_load((root / TINY).read_text())))
    experiment["resources"] = {"safety_sft": {"gpu": 8, "runtime": 60}}
    check_schema(experiment, "experiment", "tiny.yaml")
    return experiment


def results(jobs: dict[str, Job]) -> Paths:
    """Return the results, without the generated files, which have no manifest of their own."""
    return {path for path in jobs if path.endswith(".json")}


def stale(before: dict[str, Any], after: dict[str, Any]) -> Paths:
    """Return the results of `after` that stand from `before` and are no longer current."""
    old, new = list_jobs(before), list_jobs(after)
    old_keys, new_keys = list_keys(old), list_keys(new)
    return {path for path in results(new) if path in old and old_keys[path] != new_keys[path]}


def having(*parts: str) -> Callable[[Paths], Paths]:
    """Return a selector of the results whose path holds one of `parts`, and the report."""
    return lambda paths: {
        path for path in paths if any(part in path for part in (*parts, "report/"))
    }


EVALUATIONS = ("generate/", "score/base", "score/lrm", "score/aligned")
# Key of the experiment (a prefix of it) to what a change makes stale; the longest prefix counts.
MATRIX: dict[str, Callable[[Paths], Paths]] = {
    "description": having(),
    "report": having(),
    "seeds": having(),
    "resources": lambda paths: set(),
    "runtime": lambda paths: set(),
    "hardware": lambda paths: set(),
    "budget": lambda paths: set(),
    # every generated file is drawn from these, the judge's rows too
    "micro_data": lambda paths: paths,
    "micro_data.harmful": having("data/", "/harmful/"),
    "micro_data.benign": having("data/", "/benign/"),
    "micro_data.judge_train": having("data/micro", "judges/", "/harmful/ngram"),
    "micro_data.judge_test": having("data/micro", "judges/", "/harmful/ngram"),
    "data.safechain.render": having("/safechain/"),
    "bases": having("models/", *EVALUATIONS),
    "lrms": having("models/lrm", "models/aligned", "/lrm/", "/aligned/"),
    "recipes.reasoning": having("models/lrm", "models/aligned", "/lrm/", "/aligned/"),
    "recipes.safety": having("/aligned/"),
    "alignments.directrefusal.epochs": having(
        "generate/aligned/tiny/directrefusal", "score/aligned/tiny/directrefusal"
    ),
    "alignments.safechain.epochs": having(
        "generate/aligned/tiny/safechain", "score/aligned/tiny/safechain"
    ),
    "benchmarks.clock_sums": having("/clock_sums/"),
    "benchmarks.harmful": having("/harmful/"),
    "benchmarks.benign": having("/benign/"),
    "scorers.math": having("/clock_sums/math"),
    "scorers.ngram": having("/harmful/ngram"),
    "scorers.refusal": having("/benign/refusal"),
    "judges.ngram": having("judges/ngram", "/harmful/ngram"),
}
# Keys that are names of other entries: changing them changes which jobs there are.
REFERENCES = ("generated", "data", "recipe", "base", "scorers", "judge", "per_epoch", "engine")


def leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of everything that is not an object."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, value


def changed(experiment: dict[str, Any], key: str) -> dict[str, Any]:
    """Return a copy in which the value at `key` is another one of its kind."""
    after = copy.deepcopy(experiment)
    *path, last = key.split(".")
    section = after
    for name in path:
        section = section[name]
    value = section[last]
    if isinstance(value, bool):
        section[last] = not value
    elif isinstance(value, int | float):
        section[last] = value + 1
    elif isinstance(value, list):
        section[last] = value[:-1] if len(value) > 1 else [value[0] + 1]
    elif last == "gate":
        section[last] = {"probe": "probe", "threshold": 1, "n": 1, "max_rounds": 1}
    elif value is None or value == {}:
        section[last] = {"n": 1}
    else:
        section[last] = f"{value}x"
    return after


def expected(key: str, paths: Paths) -> Paths:
    prefix = max((p for p in MATRIX if f"{key}.".startswith(f"{p}.")), key=len)
    return MATRIX[prefix](paths)


def keys_of(root: Path) -> list[str]:
    experiment = yaml.safe_load((root / TINY).read_text())
    return [key for key, _ in leaves(experiment) if key.rpartition(".")[2] not in REFERENCES]


KEYS = keys_of(Path(__file__).parents[2])


@pytest.mark.parametrize("key", KEYS)
def test_a_changed_key_makes_exactly_these_results_stale(tiny, key):
    after = changed(tiny, key)
    if key == "seeds":
        after["seeds"] = [*tiny["seeds"], 9]
    assert stale(tiny, after) == expected(key, results(list_jobs(tiny)))


def test_every_section_of_the_schema_has_a_row(root):
    schema = yaml.safe_load((root / "workflow/schemas/experiment.schema.yaml").read_text())
    assert {key.partition(".")[0] for key in MATRIX} == set(schema["properties"])


def test_run_time_knobs_make_nothing_stale(tiny):
    after = copy.deepcopy(tiny)
    after["resources"] = {"generate_samples": {"gpu": 1, "threads": 64, "mem_mb": 1}}
    after["runtime"] = {"generate_samples": {"batch_size": 1}}
    after["hardware"] = {"nodes": 4, "gpu_tflops": 312}
    after["budget"] = {"gpu_hours": 10, "disk_gb": 100, "usd": 1}
    check_schema(after, "experiment", "tiny.yaml")
    assert stale(tiny, after) == set()


def test_key_order_and_number_format_make_nothing_stale(tiny):
    def reordered(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: reordered(value[key]) for key in reversed(value)}
        return value

    after = reordered(tiny)
    for section in ("data", "bases", "lrms", "alignments", "benchmarks", "scorers", "judges"):
        after[section] = {key: after[section][key] for key in tiny[section]}
    after["recipes"]["safety"]["min_lr_ratio"] = 0.05
    after["recipes"]["reasoning"]["min_lr_ratio"] = 0.0  # was 0
    after["benchmarks"]["benign"]["decoding"]["temperature"] = 0.0  # was 0
    assert stale(tiny, after) == set()


def test_two_settings_that_swap_their_values_are_seen(tiny):
    before, after = copy.deepcopy(tiny), copy.deepcopy(tiny)
    before["recipes"]["safety"].update(learning_rate=0.1, weight_decay=0.2)
    after["recipes"]["safety"].update(learning_rate=0.2, weight_decay=0.1)
    assert stale(before, after) == having("/aligned/")(results(list_jobs(tiny)))


def test_a_new_benchmark_leaves_what_there_is_but_the_report(tiny):
    after = copy.deepcopy(tiny)
    after["benchmarks"]["more"] = {**tiny["benchmarks"]["clock_sums"], "n": 4}
    assert stale(tiny, after) == {"report/tradeoff.json", "data/overlap.json"}
    new = results(list_jobs(after)) - results(list_jobs(tiny))
    assert new and all("/more/" in path for path in new)


def test_a_pin_reaches_the_results_that_the_package_computes(tiny, monkeypatch):
    import workflow.scripts.common.jobs as jobs

    before = list_keys(list_jobs(tiny))
    original = jobs.pinned_versions

    def other(packages: tuple[str, ...], environment: str) -> dict[str, str]:
        return {**original(packages, environment), **({"trl": "9"} if "trl" in packages else {})}

    monkeypatch.setattr(jobs, "pinned_versions", other)
    after = list_keys(list_jobs(tiny))
    found = {path for path in results(list_jobs(tiny)) if before[path] != after[path]}
    assert found == having("models/lrm", "models/aligned", "/lrm/", "/aligned/")(
        results(list_jobs(tiny))
    )


@pytest.fixture(scope="module")
def modules(root: Path) -> list[str]:
    found = (root / "workflow/scripts").rglob("*.py")
    return sorted(
        str(path.relative_to(root / "workflow/scripts").with_suffix("")).replace("/", ".")
        for path in found
    )


def test_a_changed_module_reaches_the_rules_that_import_it_and_no_other(
    root, tiny, tmp_path, modules
):
    """For each module: its jobs and what is made from them are stale; a comment stales nothing."""
    shutil.copytree(root / "workflow", tmp_path / "workflow")
    jobs = list_jobs(tiny)
    before = list_keys(jobs, tmp_path)
    reached = {
        job.module: {
            found for name in (job.module, *job.also) for found in reached_modules(name, tmp_path)
        }
        for job in jobs.values()
    }
    used = set().union(*reached.values())
    assert {"common.chat", "common.records", "models.train_sft", "score.scorers"} <= used
    for module in modules:
        path = tmp_path / "workflow/scripts" / (module.replace(".", "/") + ".py")
        text = path.read_text()
        for addition, counts in (("\n# a remark\n", False), ("\nADDED = 1\n", True)):
            path.write_text(text + addition)
            forget_files()
            after = list_keys(jobs, tmp_path)
            direct = {p for p, job in jobs.items() if counts and module in reached[job.module]}
            assert {p for p in jobs if before[p] != after[p]} == downstream(jobs, direct), module
        path.write_text(text)
    forget_files()


def downstream(jobs: dict[str, Job], direct: Paths) -> Paths:
    found: Paths = set()
    for path, job in jobs.items():
        if path in direct or found.intersection(job.inputs):
            found.add(path)
    return found
