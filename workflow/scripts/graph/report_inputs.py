"""What a report is made from, as its script reads it."""

from __future__ import annotations

from typing import Any

from workflow.scripts.common.result import read_result
from workflow.scripts.graph.jobs import Graph
from workflow.scripts.graph.results import is_development, list_texts, report_section


def report_inputs(graph: Graph) -> dict[str, Any]:
    """Return the experiment's section and the folders and files that the report reads, by name.

    Returns:
        `experiment`; `scores`: run, benchmark, scorer and folder of each, with the folder of its
        samples; `models`: folder by run; `sampled`: folders of the samples that a run is trained
        on, by run; `prompts`: items by harmful benchmark; `overlap`;
        `judges`: folder by name; `adopted`: results that were made under another key, who adopted
        them, when and why; `transcripts`: whether the page shall show them.
    """
    scores = [one for one in graph.results.values() if one.scorer and one.is_shown]
    texts = list_texts(graph.experiment)
    return {
        "experiment": report_section(graph.experiment),
        "scores": [
            {
                "run": score.run.name if score.run else None,
                "benchmark": score.benchmark,
                "scorer": score.scorer,
                "folder": graph.folder(score.name),
                "samples": graph.folder(score.inputs["samples"][0]),
            }
            for score in scores
        ],
        "models": {name: graph.folder(f"models/{run.weights}") for name, run in graph.runs.items()},
        "sampled": {
            run: [graph.folder(one) for one in found]
            for run in graph.runs
            if (found := list_own_samples(graph, run))
        },
        "prompts": {
            name: graph.path(texts[f"benchmark {name}"])
            for name, benchmark in graph.experiment.benchmarks.items()
            if benchmark.kind == "harmful" and not is_development(benchmark)
        },
        "overlap": graph.path("data/overlap"),
        "judges": {name: graph.folder(f"score/judges/{name}") for name in graph.experiment.judges},
        "adopted": list_adopted(graph),
        "transcripts": graph.experiment.report.transcripts,
    }


def list_own_samples(graph: Graph, run: str) -> list[str]:
    """Return the samples of an LRM that a run's training sets are made from."""
    waiting = [f"models/{run}"] if f"models/{run}" in graph.results else []
    for name in waiting:
        made_from = graph.results[name].made_from
        waiting += [one for one in made_from if _is_of_data(graph, one) and one not in waiting]
    return [name for name in waiting if name.startswith("generate/")]


def _is_of_data(graph: Graph, name: str) -> bool:
    result = graph.results[name]
    return result.stage == "data" or (result.stage == "generate" and result.for_data)


def list_adopted(graph: Graph) -> list[dict[str, str]]:
    """Return what somebody adopted: name, key it was made under, who, when and why."""
    found = []
    for name in graph.complete:
        record = read_result(graph.root / graph.folder(name))
        if record and (adopted := record.get("adopted")):
            found.append(
                {
                    "name": name,
                    "from": adopted["key"],
                    "by": adopted["by"],
                    "when": adopted["at"],
                    "reason": adopted["reason"],
                }
            )
    return sorted(found, key=lambda entry: entry["name"])
