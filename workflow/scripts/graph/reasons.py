"""Why jobs run, in words: what changed since an earlier result, or that there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from workflow.scripts.graph.jobs import STALE, Graph
from workflow.scripts.graph.plan import explain, list_work
from workflow.scripts.graph.status import title

NOT_MADE = "not made yet"
MOST = 20  # jobs with a line of their own; of more there are counts


def reasons(graph: Graph, keys: Collection[str]) -> list[tuple[str, str, str]]:
    """Return (rule, title, reason) of each job that has to run.

    Args:
        graph: The experiment.
        keys: The keys of the jobs that Snakemake would run.
    """
    states = graph.states([name for name, job in graph.job_of.items() if job.key in keys])
    found = []
    for key, made in list_work(graph, states).items():
        if key in keys:
            job = graph.jobs[key]
            whys = [
                why
                for result in made
                for why in (
                    explain(graph, result.name) if states[result.name] == STALE else [NOT_MADE]
                )
            ]
            found.append((job.rule, title(job), "; ".join(dict.fromkeys(whys))))
    return found


def describe(graph: Graph, keys: Collection[str]) -> list[str]:
    """Return the lines that a dry-run ends with: a reason for each job, or for many at once."""
    found = reasons(graph, keys)
    if not found:
        return []
    lines = [f"{name}: {why}" for _, name, why in found]
    if len(found) > MOST:
        counts = Counter((why, rule) for rule, _, why in found)
        lines = [f"{count} {rule}: {why}" for (why, rule), count in counts.items()]
    plan = f"What it takes: make plan EXPERIMENT={graph.name}"
    return ["Why these jobs run:", *(f"  {line}" for line in lines), plan]
