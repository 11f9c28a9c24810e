"""Which results of an experiment stand, and which jobs a run has to do.

What stands in the results decides, never file times or Snakemake's memory: a result that carries
the key it would be made under today is current.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from workflow.scripts.common.jobs import Job, result_of
from workflow.scripts.common.provenance import is_current, read_provenance

CURRENT = "current"
ACCEPTED = "accepted"  # stale, but somebody decided that it stands: see plan/accept_results.py
STALE = "stale"
MISSING = "missing"
# Missing, and nothing that has to run is made from it: a model that was deleted to save space.
DISPENSABLE = "dispensable"
TO_RUN = (STALE, MISSING)


def read_states(
    jobs: dict[str, Job],
    keys: dict[str, str],
    folder: Path,
    asked: Collection[str] = (),
    forced: Collection[str] = (),
) -> dict[str, str]:
    """Return the state of each result, by path, inputs before what is made from them.

    Args:
        jobs: The experiment's jobs.
        keys: Their keys.
        folder: `results/<experiment>`.
        asked: Results that the user asks for by name: they are never dispensable.
        forced: Rules and results that shall run again, with all that is made from them.
    """
    states: dict[str, str] = {}
    for path, job in jobs.items():
        if result_of(path) != path:
            continue
        found = read_provenance(folder / path)
        if (folder / path).exists():
            states[path] = _state(folder / path, found, keys[path])
        else:
            states[path] = MISSING
        if forced and states[path] in (CURRENT, ACCEPTED):
            again = job.rule in forced or path in forced
            if again or any(states[name] == "forced" for name in inputs_of(job)):
                states[path] = "forced"
    wanted = set(asked)
    used = {name for job in jobs.values() for name in inputs_of(job)}
    for path in reversed(states):
        if states[path] == "forced":
            states[path] = STALE
        if states[path] == MISSING and path in used and path not in wanted:
            states[path] = DISPENSABLE
        if states[path] in TO_RUN:
            wanted.update(inputs_of(jobs[path]))
    return states


def _state(path: Path, found: dict[str, Any] | None, key: str) -> str:
    if found is None or not is_current(found, key):
        return STALE
    if not all((path.parent / name).exists() for name in found.get("files", {})):
        return STALE
    return CURRENT if found.get("key") == key else ACCEPTED


def inputs_of(job: Job) -> tuple[str, ...]:
    """Return the results that a job is made from, each once."""
    found = dict.fromkeys(result_of(name) for name in job.inputs)
    found.pop(job.path, None)  # the manifest of the generated files is made from them
    return tuple(found)


def hidden_triggers(jobs: dict[str, Job], states: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Return, for each job that has to run, the ancestors in whose shadow Snakemake overlooks it.

    Snakemake does not look at a job's own reasons when an ancestor has to run: it expects to come
    by when it follows the runs downwards, which stops at a current job between the two (a grader
    changed, and with it a file of the same data job that the models never read).
    """
    reach: dict[str, frozenset[str]] = {}
    hidden = {}
    for path, state in states.items():
        direct = inputs_of(jobs[path])
        above = frozenset().union(*(reach[name] for name in direct))
        runs = state in TO_RUN
        reach[path] = frozenset([path]) if runs else above
        if runs and above and not any(states[name] in TO_RUN for name in direct):
            hidden[path] = tuple(sorted(above))
    return hidden
