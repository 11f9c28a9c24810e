"""Make a report of the scores that are there, at any time of a run; it names what is missing.

It is no result of the store and nothing is made from it: `results/<experiment>/partial/`. Models
are not compared with those that are missing; what is shown is what the whole report would show of
the same scores.

    python -m workflow.scripts.graph.partial_report --experiment micro
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import write_text
from workflow.scripts.graph.jobs import Graph, read_graph
from workflow.scripts.graph.plan import list_work
from workflow.scripts.graph.report_inputs import report_inputs
from workflow.scripts.graph.status import FAILED, RUNNING, find_states, said
from workflow.scripts.report.inputs import FILE, Inputs, Missing
from workflow.scripts.report.make_report import make_report
from workflow.scripts.report.show_report import print_report

PARTIAL = "partial"
NOT_YET = "not made yet"


def partial_inputs(graph: Graph) -> Inputs:
    """Return what the report of the scores that are there is made from, and the missing ones.

    Raises:
        InputError: There is no score yet.
    """
    inputs, complete = report_inputs(graph), graph.complete
    work = list_work(graph, graph.states())
    found = find_states(graph, work)
    scores = {name: result for name, result in graph.results.items() if result.scorer}
    there = {Path(graph.folder(name)) for name in scores if name in complete}
    if not there:
        raise InputError(
            f"results/{graph.name}: no score is there yet, expected at least one; `make status` "
            "shows how far the run is"
        )
    missing = tuple(
        Missing(
            run=score.run.name if score.run else "",
            benchmark=str(score.benchmark),
            scorer=str(score.scorer),
            why=why_missing(graph, name, found),
        )
        for name, score in scores.items()
        if name not in complete
    )
    folders = {Path(graph.folder(name)) for name in complete}
    return inputs.model_copy(
        update={
            "scores": tuple(one for one in inputs.scores if one.folder in there),
            "models": _kept(inputs.models, folders),
            "prompts": {name: path for name, path in inputs.prompts.items() if path.is_file()},
            "overlap": inputs.overlap if inputs.overlap and inputs.overlap.is_file() else None,
            "judges": _kept(inputs.judges, folders),
            "missing": missing,
        }
    )


def _kept(named: Mapping[str, Path], folders: set[Path]) -> dict[str, Path]:
    return {name: folder for name, folder in named.items() if folder in folders}


def why_missing(graph: Graph, name: str, found: Mapping[str, str]) -> str:
    """Return why a result is missing: it, or what it is made from, failed; it runs; not yet.

    Args:
        graph: The experiment.
        name: The result.
        found: The states of the jobs that are not complete, see `find_states`.
    """
    state = found.get(graph.job_of[name].key)
    if state == FAILED:
        return f"failed: {said(graph, graph.job_of[name])}"
    if state == RUNNING:
        return "being made"
    failed = _first_failed(graph, name, found)
    return f"needs {failed}, which failed" if failed else NOT_YET


def _first_failed(graph: Graph, name: str, found: Mapping[str, str]) -> str | None:
    """Return a result that failed, of all that a result is made from."""
    waiting, seen = list(graph.results[name].made_from), set()
    while waiting:
        one = waiting.pop()
        if one in seen or one in graph.complete:
            continue
        seen.add(one)
        if found.get(graph.job_of[one].key) == FAILED:
            return one
        waiting += graph.results[one].made_from
    return None


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--experiment", required=True)
    name = parser.parse_args(argv).experiment
    graph = read_graph(name, Path.cwd())
    out = Path("results") / name / PARTIAL
    if f"report/{name}" in graph.complete:  # what is made of less says less
        shutil.rmtree(out, ignore_errors=True)
        print_report(Path(graph.link(f"report/{name}")))
        return
    inputs = out / FILE
    write_text(inputs, json.dumps(partial_inputs(graph).without_defaults(), indent=1) + "\n")
    make_report(inputs, out)
    print_report(out)


if __name__ == "__main__":
    run(main)
