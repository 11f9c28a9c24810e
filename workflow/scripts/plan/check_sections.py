"""Checks of an experiment's sections by the rules of the scripts that will read them.

What the schema cannot say ends here, in one line, before any job starts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.jobs import scorer_section, task_files
from workflow.scripts.common.resources import OF_A_BENCHMARK, RULES
from workflow.scripts.data.make_micro_data import check_spec
from workflow.scripts.data.prepare_benchmark import check_benchmark
from workflow.scripts.data.prepare_records import check_dataset
from workflow.scripts.generate.turns import Decoding
from workflow.scripts.models.pretrain_base import check_recipe as check_pretraining
from workflow.scripts.models.recipe import parse_recipe
from workflow.scripts.report.results import METRICS
from workflow.scripts.score.classifier_judge import check_classifier
from workflow.scripts.score.llm_client import check_llm
from workflow.scripts.score.sections import KINDS, SECTIONS, fill_section
from workflow.scripts.score.text_rules import compile_patterns
from workflow.scripts.score.train_judge import RECIPE


def check_sections(experiment: dict[str, Any], where: str) -> None:
    """Check every section by the functions of the scripts that will read it.

    Args:
        experiment: An experiment that fits the schema and whose references are right.
        where: What errors call its file.

    Raises:
        InputError: One line: the file, the key, what stands there and what was expected.
    """
    benchmarks = [f"{rule}/{name}" for rule in OF_A_BENCHMARK for name in experiment["benchmarks"]]
    for name in experiment.get("resources", {}):
        if name not in (*RULES, *benchmarks):
            raise InputError(
                f"{where}: resources.{name}: no such rule, expected some of {', '.join(RULES)}, or "
                f"{' or '.join(OF_A_BENCHMARK)} with /BENCHMARK"
            )
    _check_data(experiment, where)
    _check_training(experiment, where)
    for name in experiment["scorers"]:
        _check_scorer(scorer_section(experiment, name), f"{where}: scorers.{name}")
    for name, judge in experiment.get("judges", {}).items():
        fill_section(judge, RECIPE, f"{where}: judges.{name}")
    for name, benchmark in experiment["benchmarks"].items():
        here = f"{where}: benchmarks.{name}"
        decoding = Decoding.from_section(benchmark["decoding"], f"{here}.decoding")
        if benchmark.get("repeats", 1) > 1 and not decoding.temperature:
            raise InputError(
                f"{here}.repeats: is {benchmark['repeats']} at temperature 0, expected 1: greedy "
                "samples are all the same"
            )
        task = benchmark.get("task", "prompts")
        if not task_files(task):
            raise InputError(
                f"{here}.task: is {task!r}, expected the name of a file of workflow/tasks/"
            )
        prepare = benchmark.get("prepare")
        if (
            benchmark["kind"] == "reasoning"
            and prepare is not None
            and "target" not in prepare.get("fields", {})
            and "choices" not in prepare
        ):
            raise InputError(
                f"{here}.prepare.fields: no target, expected the field of the gold answer (or "
                "choices): the benchmark is of kind reasoning"
            )
        for scorer in benchmark["scorers"]:
            section = experiment["scorers"][scorer]
            kind, kinds = benchmark["kind"], KINDS[section["type"]]
            if section.get("rubric", "refusal") != "refusal":
                kinds = ("harmful",)
            if kind not in kinds:
                scored = " or ".join(kinds)
                raise InputError(
                    f"{here}.scorers: {scorer!r} scores {scored} benchmarks, this one is {kind}"
                )
    _check_published(experiment, where)


def _at(where: str, check: Callable[..., Any], *arguments: Any) -> None:
    """Run a script's own check; its message says after `where` which key is wrong."""
    try:
        check(*arguments)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _check_data(experiment: dict[str, Any], where: str) -> None:
    if "micro_data" in experiment:
        _at(where, check_spec, experiment["micro_data"])
    for section, check in (("data", check_dataset), ("benchmarks", check_benchmark)):
        for name, entry in experiment[section].items():
            if "prepare" in entry:
                check(entry["prepare"], f"{where}: {section}.{name}.prepare")


def _check_training(experiment: dict[str, Any], where: str) -> None:
    problems = experiment.get("micro_data", {}).get("probe")
    sections = {f"recipes.{name}": one for name, one in experiment["recipes"].items()}
    for name, recipe in sections.items():
        _at(f"{where}: {name}", parse_recipe, json.dumps(recipe))
    for name, base in experiment["bases"].items():
        if "pretrain" in base:
            sections[f"bases.{name}.pretrain"] = base["pretrain"]
            _at(f"{where}: bases.{name}.pretrain", check_pretraining, base["pretrain"])
    for name, recipe in sections.items():
        asked = (recipe.get("gate") or {}).get("n", 0)
        if asked and problems is None:
            raise InputError(f"{where}: {name}.gate: needs the section micro_data")
        if asked and asked > problems:
            raise InputError(
                f"{where}: {name}.gate.n: is {asked}, expected at most micro_data.probe, {problems}"
            )


def _check_scorer(section: dict[str, Any], where: str) -> None:
    section = fill_section(section, SECTIONS[section["type"]], where)
    for key in ("llm", "extractor"):
        if section.get(key) is not None:
            check_llm(section[key], f"{where}.{key}")
    for key in ("refusal_patterns", "compliance_patterns"):
        compile_patterns(section.get(key) or (), f"{where}.{key}")
    if section["type"] == "hf_classifier":
        check_classifier(section, where)
    if section["type"] == "choice":
        letters, default = section["letters"], section["default_choice"]
        if not letters or len(set(letters)) < len(letters):
            raise InputError(f"{where}.letters: is {letters!r}, expected letters, each once")
        if default is not None and (len(default) != 1 or default not in letters):
            raise InputError(
                f"{where}.default_choice: is {default!r}, expected one of the letters {letters}"
            )


def _check_published(experiment: dict[str, Any], where: str) -> None:
    """Check the models, metrics and values of published figures: a wrong one shows a dash."""
    models = {
        *(f"base/{name}" for name in experiment["bases"]),
        *(f"lrm/{name}" for name in experiment["lrms"]),
        *(
            f"aligned/{lrm}/{name}"
            for lrm in experiment["lrms"]
            for name in experiment["alignments"]
        ),
    }
    for place, entry in enumerate(experiment.get("report", {}).get("published", [])):
        here = f"{where}: report.published.{place}"
        if entry["model"] not in models:
            known = ", ".join(sorted(models))
            raise InputError(f"{here}.model: is {entry['model']!r}, expected one of {known}")
        metric, _, of = entry["metric"].partition("/")
        share = metric in METRICS or metric.startswith("pass_at_")
        if not share and metric != "thinking_tokens":
            known = ", ".join([*METRICS, "pass_at_K", "thinking_tokens"])
            raise InputError(f"{here}.metric: is {metric!r}, expected one of {known}")
        benchmark = of.partition("@")[0]
        if benchmark and benchmark not in experiment["benchmarks"]:
            known = ", ".join(experiment["benchmarks"])
            raise InputError(f"{here}.metric: names {benchmark!r}, expected one of {known}")
        if share and not 0 <= entry["value"] <= 100:
            raise InputError(f"{here}.value: is {entry['value']}, expected percent, 0 to 100")
