"""Checks of an experiment's sections by the rules of the scripts that will read them.

What the schema cannot say ends here, in one line, before any job starts.
"""

from __future__ import annotations

from typing import Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.jobs import scorer_section
from workflow.scripts.common.resources import OF_A_BENCHMARK, RULES
from workflow.scripts.generate.turns import Decoding
from workflow.scripts.score.sections import KINDS, LLM, SECTIONS, fill_section


def check_sections(experiment: dict[str, Any], where: str) -> None:
    """Check the names of resources, every scorer, and every benchmark's decoding and scorers.

    Args:
        experiment: An experiment that fits the schema and whose references are right.
        where: What errors call its file.

    Raises:
        InputError: For resources of no rule, a key that a type of scorer does not know or lacks, a
            scorer that cannot score its benchmark's kind, or a decoding value out of range.
    """
    benchmarks = [f"{rule}/{name}" for rule in OF_A_BENCHMARK for name in experiment["benchmarks"]]
    for name in experiment.get("resources", {}):
        if name not in (*RULES, *benchmarks):
            raise InputError(
                f"{where}: resources.{name}: no such rule, expected some of {', '.join(RULES)}, or "
                f"{' or '.join(OF_A_BENCHMARK)} with /BENCHMARK"
            )
    for name in experiment["scorers"]:
        here = f"{where}: scorers.{name}"
        section = scorer_section(experiment, name)
        section = fill_section(section, SECTIONS[section["type"]], here)
        for key in ("llm", "extractor"):
            if section.get(key) is not None:
                fill_section(section[key], LLM, f"{here}.{key}")
    for name, benchmark in experiment["benchmarks"].items():
        here = f"{where}: benchmarks.{name}"
        Decoding.from_section(benchmark["decoding"], f"{here}.decoding")
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
