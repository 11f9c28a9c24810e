"""Accept stale results as they are: a cosmetic change of code, say, that changes no figure.

Into each result's JSON goes who accepted it, when and why, for the key that it would be made under
today; another change makes it stale again. What was made from an accepted result and is stale for
no other reason is accepted with it, but for reports, which are made anew and name what was
accepted. `--dry-run` shows what would be accepted.

    python -m workflow.scripts.plan.accept_results --experiment micro \
        --why "trainer: a clearer message" results/micro/models
"""

from __future__ import annotations

import argparse
import getpass
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workflow.scripts.common.driver import claim_experiment
from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import canonical_json, read_json, write_json
from workflow.scripts.common.jobs import MICRO_MANIFEST, result_of
from workflow.scripts.common.provenance import read_provenance
from workflow.scripts.common.staleness import ACCEPTED, CURRENT, STALE, TO_RUN, inputs_of
from workflow.scripts.plan.experiment_state import ExperimentState, read_experiment


def choose(state: ExperimentState, chosen: list[str]) -> list[str]:
    """Return the stale results to accept, inputs before what is made from them.

    Args:
        state: The experiment and what stands of it.
        chosen: Results, or folders of results, below `results/<experiment>`.

    Raises:
        InputError: Nothing stale is meant, or a result is made from one that will be made anew.
    """
    stale = [path for path, status in state.states.items() if status == STALE]
    for name in chosen:
        if not any(_below(path, name) for path in stale):
            raise InputError(
                f"{state.folder / name}: no stale result, expected one (see make plan)"
            )
    accepted: list[str] = []
    for path in stale:
        found = read_provenance(state.folder / path)
        wanted = any(_below(path, name) for name in chosen)
        again = [
            name
            for name in inputs_of(state.jobs[path])
            if state.states[name] in TO_RUN and name not in accepted
        ]
        if found is None:
            continue
        if wanted and again:
            raise InputError(
                f"{state.folder / path}: is made from {again[0]}, which will be made anew, "
                "expected that one to be accepted too"
            )
        if wanted or (not again and _follows(state, path, found, accepted)):
            accepted.append(path)
    return accepted


def accept(state: ExperimentState, paths: list[str], why: str, by: str) -> None:
    """Write into each result that it is accepted under the key of today."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    for path in paths:
        file = state.folder / path
        result = read_json(file)
        provenance = result["provenance"]
        before = provenance.get("accepted", {})
        earlier = [*before.get("earlier", []), *([before["key"]] if before else [])]
        entry: dict[str, Any] = {"key": state.keys[path], "by": by, "at": at, "why": why}
        if path == MICRO_MANIFEST:
            entry["files"] = {name: state.keys[name] for name in state.jobs[path].inputs}
        provenance["accepted"] = entry | ({"earlier": earlier} if earlier else {})
        write_json(file, result)


def _follows(state: ExperimentState, path: str, found: dict[str, Any], accepted: list[str]) -> bool:
    """Tell whether a result is stale for no other reason than that its inputs were accepted."""
    job = state.jobs[path]
    if path.startswith("report/") or "inputs" not in found:
        return False
    if canonical_json(found["spec"]) != canonical_json(job.spec(state.root)):
        return False
    return all(found["inputs"].get(name) in _keys_of(state, name, accepted) for name in job.inputs)


def _keys_of(state: ExperimentState, name: str, accepted: list[str]) -> set[str]:
    """Return the keys under which an input, as it stands, was made or accepted."""
    path = result_of(name)
    found = read_provenance(state.folder / path)
    if found is None:
        return set()
    stands = state.states[path] in (CURRENT, ACCEPTED) or path in accepted
    keys = {state.keys[name]} if stands else set()
    if name != path:  # a generated data file, whose key stands in its manifest
        known = [found.get("inputs", {}).get(name)]
        known.append(found.get("accepted", {}).get("files", {}).get(name))
    else:
        taken = found.get("accepted", {})
        known = [found["key"], taken.get("key"), *taken.get("earlier", [])]
    return keys | {key for key in known if key}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return f"user {os.getuid()}"


def _below(path: str, name: str) -> bool:
    return name in (".", "") or path == name or path.startswith(f"{name}/")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--why", required=True, help="what changed, and why the results stand")
    parser.add_argument("--by", default=_user(), help="who says so (default: you)")
    parser.add_argument("--dry-run", action="store_true", help="only show what would be accepted")
    parser.add_argument("paths", nargs="+", type=Path, help="results, or folders of results")
    arguments = parser.parse_args(argv)
    if not arguments.why.strip():
        raise InputError("--why is empty, expected the reason that the report will show")
    driver = claim_experiment(arguments.experiment, Path.cwd())
    state = read_experiment(arguments.experiment, Path.cwd())
    chosen = []
    for path in arguments.paths:
        if not path.resolve().is_relative_to(state.folder.resolve()):
            raise InputError(f"{path}: expected a path below results/{arguments.experiment}")
        chosen.append(str(path.resolve().relative_to(state.folder.resolve())))
    accepted = choose(state, chosen)
    if not arguments.dry_run:
        accept(state, accepted, arguments.why.strip(), arguments.by)
    driver.close()
    for name in accepted:
        print(f"{'would accept' if arguments.dry_run else 'accepted'}: {state.folder / name}")


if __name__ == "__main__":
    run(main)
