"""What a report is made from, as its script reads it."""

from __future__ import annotations

from pathlib import Path

from workflow.scripts.common.result import read_result
from workflow.scripts.config.kinds import HARMFUL
from workflow.scripts.graph.jobs import Graph
from workflow.scripts.graph.results import is_development, list_texts, report_section
from workflow.scripts.report.inputs import Adopted, Inputs, Score


def report_inputs(graph: Graph) -> Inputs:
    """Return the experiment's sections, and the folders and files that the report reads."""
    texts, experiment = list_texts(graph.experiment), graph.experiment
    return Inputs(
        experiment=report_section(experiment),
        scores=tuple(
            Score(
                run=score.run.name,
                benchmark=str(score.benchmark),
                scorer=score.scorer,
                folder=Path(graph.folder(score.name)),
                samples=Path(graph.folder(score.inputs["samples"][0])),
            )
            for score in graph.results.values()
            if score.run and score.scorer and score.is_shown
        ),
        models={
            name: Path(graph.folder(f"models/{run.weights}")) for name, run in graph.runs.items()
        },
        sampled={
            run: tuple(Path(graph.folder(one)) for one in found)
            for run in graph.runs
            if (found := list_own_samples(graph, run))
        },
        prompts={
            name: Path(graph.path(texts[f"benchmark {name}"]))
            for name, benchmark in experiment.benchmarks.items()
            if benchmark.kind == HARMFUL and not is_development(benchmark)
        },
        overlap=Path(graph.path("data/overlap")),
        judges={name: Path(graph.folder(f"score/judges/{name}")) for name in experiment.judges},
        adopted=tuple(list_adopted(graph)),
        transcripts=experiment.report.transcripts,
    )


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


def list_adopted(graph: Graph) -> list[Adopted]:
    """Return what somebody adopted: name, key it was made under, who, when and why."""
    found = []
    for name in sorted(graph.complete):
        record = read_result(graph.root / graph.folder(name))
        if record and "adopted" in record:
            adopted = record["adopted"]
            found.append(
                Adopted.model_validate(
                    {
                        "name": name,
                        "from": adopted["key"],
                        "by": adopted["by"],
                        "when": adopted["at"],
                        "reason": adopted["reason"],
                    }
                )
            )
    return found
