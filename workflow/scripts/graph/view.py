"""The view for people: `results/<experiment>/`, links with plain names into the store."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from workflow.scripts.common.result import link
from workflow.scripts.graph.jobs import Graph

# Not links: what a run itself leaves there.
OWN = (".driver", "logs", "publish", "partial")


def update_view(graph: Graph) -> None:
    """Let the links of an experiment show the results that its file asks for, and only these.

    The link to the report stays until a new report is complete. A graph of some results leaves the
    links to the others.
    """
    view = graph.root / "results" / graph.name
    shown = {graph.link(name): name for name in graph.complete}
    mine = {graph.link(name) for name in graph.results}
    whole = all(name.startswith("report/") for name in graph.asked)
    for path in _links(view):
        plain = str(path.relative_to(graph.root))
        kept = path.exists() and (path.name == "report" or (plain not in mine and not whole))
        if plain not in shown and not kept:
            path.unlink()
    for plain, name in shown.items():
        link(graph.root / plain, graph.root / graph.folder(name))
    _remove_empty(view)


def _links(view: Path) -> list[Path]:
    found = []
    for folder, folders, files in os.walk(view):
        paths = (Path(folder, name) for name in [*folders, *files])
        found += [path for path in paths if path.is_symlink()]
    return found


def _remove_empty(view: Path) -> None:
    """Remove the folders below the view that hold nothing."""
    for folder, _, _ in os.walk(view, topdown=False):
        if Path(folder) != view and Path(folder).name not in OWN and not os.listdir(folder):
            shutil.rmtree(folder)
