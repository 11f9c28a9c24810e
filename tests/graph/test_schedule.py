"""Times of a plan, against cases worked by hand."""

from __future__ import annotations

from collections import Counter

import pytest

from workflow.scripts.graph.estimate import Cost
from workflow.scripts.graph.schedule import critical_path, wall_time


def graph(*jobs: tuple[str, float, int, tuple[str, ...]]):
    """Return waits and costs of (name, seconds, GPUs, inputs)."""
    waits = {name: inputs for name, _, _, inputs in jobs}
    costs = {name: Cost({"x": seconds}, gpu, 1, 0, 0, Counter()) for name, seconds, gpu, _ in jobs}
    return waits, costs


# One LRM of 10 s on 8 GPUs; from it two aligned models of 20 s on 8 GPUs; an evaluation of each,
# 5 s on 1 GPU; a score of each, 1 s on a core.
GRID = graph(
    ("lrm", 10, 8, ()),
    ("a", 20, 8, ("lrm",)),
    ("b", 20, 8, ("lrm",)),
    ("eval a", 5, 1, ("a",)),
    ("eval b", 5, 1, ("b",)),
    ("score a", 1, 0, ("eval a",)),
    ("score b", 1, 0, ("eval b",)),
)


def test_the_critical_path_is_the_longest_chain():
    assert critical_path(*GRID) == (["lrm", "a", "eval a", "score a"], 36)


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        (16, 36),  # two nodes: both models at once
        (8, 56),  # one node: 10 + 20 + 20 + 5 + 1; the first evaluation waits for the second model
    ],
)
def test_the_wall_time_depends_on_the_gpus(gpus, expected):
    waits, costs = GRID
    assert wall_time(waits, costs, gpus, cores=2) == expected


def test_jobs_without_gpus_share_the_cores():
    waits, costs = graph(*[(f"score {i}", 3, 0, ()) for i in range(5)])
    assert wall_time(waits, costs, gpus=8, cores=2) == 9


def test_nothing_takes_no_time():
    assert wall_time({}, {}, 8, 2) == 0
    assert critical_path({}, {}) == ([], 0)
