"""When the jobs of a plan would end: the longest chain, and list scheduling on n nodes."""

from __future__ import annotations

import heapq
from collections import defaultdict

from workflow.scripts.common.jobs import Job
from workflow.scripts.common.staleness import inputs_of
from workflow.scripts.plan.estimate import Cost


def critical_path(jobs: dict[str, Job], seconds: dict[str, float]) -> tuple[list[str], float]:
    """Return the chain of jobs that takes longest, and its seconds.

    Args:
        jobs: All jobs by result.
        seconds: Times of the jobs that run, inputs before what is made from them.
    """
    ends: dict[str, float] = {}
    before: dict[str, str | None] = {}
    for path, time in seconds.items():
        inputs = [name for name in inputs_of(jobs[path]) if name in ends]
        before[path] = max(inputs, key=ends.__getitem__, default=None)
        last = before[path]
        ends[path] = time + (ends[last] if last else 0)
    chain: list[str] = []
    step = max(ends, key=ends.__getitem__, default=None)
    length = ends[step] if step else 0.0
    while step:
        chain.append(step)
        step = before[step]
    return chain[::-1], length


def wall_time(jobs: dict[str, Job], costs: dict[str, Cost], gpus: int, cores: int) -> float:
    """Return the seconds until the last job ends, by list scheduling, the longest tail first.

    A job waits for its inputs and for its GPUs; one without GPUs for a core. GPUs are one pool:
    jobs take powers of two of them or whole nodes, so little is lost at the nodes' borders.
    """
    waits: dict[str, int] = {}
    after: dict[str, list[str]] = defaultdict(list)
    for path in costs:
        inputs = [name for name in inputs_of(jobs[path]) if name in costs]
        waits[path] = len(inputs)
        for name in inputs:
            after[name].append(path)
    tail: dict[str, float] = {}
    for path in reversed(costs):
        tail[path] = costs[path].seconds + max((tail[name] for name in after[path]), default=0.0)

    free = {True: gpus, False: cores}
    ready: dict[bool, list[tuple[float, str]]] = {True: [], False: []}
    running: list[tuple[float, str]] = []

    def take(path: str) -> int:
        return min(costs[path].gpu, gpus) or 1

    def release(path: str) -> None:
        heapq.heappush(ready[costs[path].gpu > 0], (-tail[path], path))

    for path, count in waits.items():
        if not count:
            release(path)
    now = 0.0
    while running or ready[True] or ready[False]:
        for kind, queue in ready.items():
            while queue and take(queue[0][1]) <= free[kind]:
                _, path = heapq.heappop(queue)
                free[kind] -= take(path)
                heapq.heappush(running, (now + costs[path].seconds, path))
        now, path = heapq.heappop(running)
        free[costs[path].gpu > 0] += take(path)
        for name in after[path]:
            waits[name] -= 1
            if not waits[name]:
                release(name)
    return now
