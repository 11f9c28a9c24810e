"""When the jobs of a plan would end: the longest chain, and list scheduling on n nodes."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Mapping

from workflow.scripts.graph.estimate import Cost

# The jobs that run, each with those among them that it waits for; these come before it.
Waits = Mapping[str, Collection[str]]


def critical_path(waits: Waits, costs: Mapping[str, Cost]) -> tuple[list[str], float]:
    """Return the chain of jobs that takes longest, and its seconds.

    Args:
        waits: The jobs.
        costs: What each of them takes.
    """
    ends: dict[str, float] = {}
    before: dict[str, str | None] = {}
    for job, inputs in waits.items():
        last = before[job] = max(inputs, key=ends.__getitem__, default=None)
        ends[job] = costs[job].seconds + (ends[last] if last else 0)
    chain: list[str] = []
    step = max(ends, key=ends.__getitem__, default=None)
    length = ends[step] if step else 0.0
    while step:
        chain.append(step)
        step = before[step]
    return chain[::-1], length


def wall_time(waits: Waits, costs: Mapping[str, Cost], gpus: int, cores: int) -> float:
    """Return the seconds until the last job ends, by list scheduling, the longest tail first.

    A job waits for its inputs and for its GPUs; one without GPUs for a core. GPUs are one pool:
    jobs take powers of two of them or whole nodes, so little is lost at the nodes' borders.
    """
    after, tail = _tails(waits, costs)
    missing = {job: len(inputs) for job, inputs in waits.items()}
    free = {True: gpus, False: cores}
    ready: dict[bool, list[tuple[float, str]]] = {True: [], False: []}
    running: list[tuple[float, str]] = []

    def take(job: str) -> int:
        return min(costs[job].gpu, gpus) or 1

    def release(job: str) -> None:
        heapq.heappush(ready[costs[job].gpu > 0], (-tail[job], job))

    for job, count in missing.items():
        if not count:
            release(job)
    now = 0.0
    while running or ready[True] or ready[False]:
        for kind, queue in ready.items():
            while queue and take(queue[0][1]) <= free[kind]:
                _, job = heapq.heappop(queue)
                free[kind] -= take(job)
                heapq.heappush(running, (now + costs[job].seconds, job))
        now, job = heapq.heappop(running)
        free[costs[job].gpu > 0] += take(job)
        for name in after[job]:
            missing[name] -= 1
            if not missing[name]:
                release(name)
    return now


def _tails(
    waits: Waits, costs: Mapping[str, Cost]
) -> tuple[dict[str, list[str]], dict[str, float]]:
    """Return the jobs that wait for each job, and the seconds from its start to the last end."""
    after: dict[str, list[str]] = defaultdict(list)
    for job, inputs in waits.items():
        for name in inputs:
            after[name].append(job)
    tail: dict[str, float] = {}
    for job in reversed(list(waits)):
        tail[job] = costs[job].seconds + max((tail[name] for name in after[job]), default=0.0)
    return after, tail
