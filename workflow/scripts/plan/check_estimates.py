"""Compare estimates with what finished jobs took.

Every finished job is estimated from the *other* measured jobs, as if it had never run; one that is
the only one of its rule, from its own time. The sums per rule and per stage stand beside the
measured ones, and the job that is furthest off.

    python -m workflow.scripts.plan.check_estimates --experiment micro
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import InputError, run
from workflow.scripts.plan.estimate import Estimator, read_seconds
from workflow.scripts.plan.experiment_state import ExperimentState, read_experiment, tail_of


def compare(state: ExperimentState) -> list[dict[str, Any]]:
    """Return for each rule, then for each stage, jobs, seconds measured and estimated, ratios."""
    estimator = Estimator(state, leave_out=True)
    found: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for path in state.states:
        seconds = read_seconds(state.folder / "benchmarks" / f"{tail_of(path)}.tsv")
        if seconds is None:
            continue
        pair = (seconds, estimator.cost(path).seconds)
        found["rule", state.jobs[path].rule].append(pair)
        found["stage", path.partition("/")[0]].append(pair)
    if not found:
        raise InputError(f"{state.folder}/benchmarks: no measured job, expected a finished run")
    return [
        {
            "kind": kind,
            "name": name,
            "jobs": len(pairs),
            "measured_s": (measured := sum(pair[0] for pair in pairs)),
            "estimated_s": (estimated := sum(pair[1] for pair in pairs)),
            "ratio": estimated / measured,
            "furthest": max((e / m for m, e in pairs), key=lambda ratio: max(ratio, 1 / ratio)),
        }
        for (kind, name), pairs in sorted(found.items())
    ]


def main(argv: list[str] | None = None) -> None:
    from tabulate import tabulate

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--experiment", required=True)
    arguments = parser.parse_args(argv)
    rows = compare(read_experiment(arguments.experiment, Path.cwd()))
    print(tabulate(rows, headers="keys", floatfmt=".3g"))


if __name__ == "__main__":
    run(main)
