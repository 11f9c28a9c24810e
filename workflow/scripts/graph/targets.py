"""What a user may name on Snakemake's command line, and what to type for what cannot be named."""

from __future__ import annotations

from collections.abc import Iterable

from workflow.scripts.common.errors import InputError
from workflow.scripts.graph.jobs import Graph
from workflow.scripts.graph.store import STORE


def check_targets(targets: Iterable[str], graph: Graph) -> None:
    """Make sure that each file among the targets is one that the experiment's rules make.

    Snakemake would say of any other that there is no rule and that an input function may have
    failed. Names of rules have no slash; they are left to Snakemake, which knows them.

    Raises:
        InputError: For the first that is not; the message says what to type instead.
    """
    for target in targets:
        place = target.rstrip("/").removeprefix("./")
        if "/" not in place or _is_made(place, graph):
            continue
        raise InputError(f"{target}: no file that a rule makes, expected {_instead(place, graph)}")


def _is_made(place: str, graph: Graph) -> bool:
    if place.startswith(f"results/{graph.name}/publish/"):
        return True
    folders = {graph.folder(name) for name in graph.results}
    return place in {job.output for job in graph.jobs.values()} or any(
        place.startswith(f"{folder}/") for folder in folders
    )


def _instead(place: str, graph: Graph) -> str:
    """Return what to type in place of a target."""
    first, _, rest = place.partition("/")
    other = rest.partition("/")[0] if first == "results" else graph.name
    if place.startswith(f"{STORE}/"):
        return f"a result that {graph.name} asks for; `--config experiment=NAME` chooses another"
    if other != graph.name and (graph.root / "experiments" / f"{other}.yaml").is_file():
        return f"one of {graph.name}: add `--config experiment={other} only='{_plain(place)}'`"
    return f"a rule, or results by name: `--config experiment={graph.name} only='{_plain(place)}'`"


def _plain(place: str) -> str:
    """Return the pattern for `only` that a path of a view stands for."""
    parts = place.split("/")
    if parts[0] != "results":
        return place
    if parts[2:3] == ["report"]:
        return f"report/{parts[1]}"
    return "/".join(parts[2:]) or "*"
