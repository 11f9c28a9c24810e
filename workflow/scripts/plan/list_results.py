"""Print the results of an experiment that match a pattern, as targets for Snakemake.

A pattern is a path below `results/<experiment>` with `*` for anything, slashes too:

    snakemake -c2 $(python -m workflow.scripts.plan.list_results --experiment micro \
        'score/*/harmful/*')
"""

from __future__ import annotations

import argparse
from fnmatch import fnmatchcase
from pathlib import Path

from workflow.scripts.common.errors import InputError, run
from workflow.scripts.plan.experiment_state import read_experiment


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--experiment", required=True)
    parser.add_argument("patterns", nargs="+")
    arguments = parser.parse_args(argv)
    state = read_experiment(arguments.experiment, Path.cwd())
    for pattern in arguments.patterns:
        found = [path for path in state.states if fnmatchcase(path, pattern)]
        if not found:
            raise InputError(f"{pattern}: no result of {arguments.experiment} is called so")
        for path in found:
            print(f"results/{arguments.experiment}/{path}")


if __name__ == "__main__":
    run(main)
