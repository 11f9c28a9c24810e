"""Put back the previous results whose making anew failed or was killed.

A run does this by itself when it ends; after a killed driver it is done by hand:

    python -m workflow.scripts.plan.restore_results --experiment micro
"""

from __future__ import annotations

import argparse
from pathlib import Path

from workflow.scripts.common.driver import claim_experiment
from workflow.scripts.common.errors import run
from workflow.scripts.plan.previous import settle_previous


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--experiment", required=True)
    arguments = parser.parse_args(argv)
    driver = claim_experiment(arguments.experiment, Path.cwd())
    restored = settle_previous(Path("results", arguments.experiment))
    driver.close()
    for path in restored:
        print(f"back in place: results/{arguments.experiment}/{path}")
    if not restored:
        print("no previous result waits to be put back")


if __name__ == "__main__":
    run(main)
