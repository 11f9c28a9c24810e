"""Which models are dominated: at most as good as another on every measure, and worse on one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def dominates(first: Sequence[float], second: Sequence[float]) -> bool:
    """Tell whether a point is at least as good as another on every measure and better on one.

    Args:
        first: Its values, of which higher is better.
        second: The other's.
    """
    pairs = list(zip(first, second, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def non_dominated(points: Sequence[Sequence[float]]) -> list[bool]:
    """Tell of each point whether no other dominates it; points that are the same are all in."""
    return [not any(dominates(other, one) for other in points) for one in points]


def non_dominated_draws(points: Any) -> Any:
    """Return `non_dominated` of many sets of points at once.

    Args:
        points: Array (draws, points, measures) of which higher is better.

    Returns:
        Array (draws, points) of true and false.
    """
    beaten = [
        ((points >= one).all(axis=-1) & (points > one).any(axis=-1)).any(axis=-1)
        for one in (points[:, [k]] for k in range(points.shape[1]))
    ]
    import numpy as np

    return ~np.stack(beaten, axis=-1)


def hypervolume(points: Any) -> Any:
    """Return the volume of the union of the boxes between the origin and each point.

    By sweeping along the last measure: between two neighbouring values it is the volume, in one
    dimension less, of the points that reach further (Fonseca et al. 2006).

    Args:
        points: Array (..., points, measures), at least 0 everywhere; the origin is the reference.

    Returns:
        Array (...).
    """
    import numpy as np

    if points.shape[-1] == 1:
        return points[..., 0].max(axis=-1)
    order = np.argsort(-points[..., -1], axis=-1)
    ordered = np.take_along_axis(points, order[..., None], axis=-2)
    heights = ordered[..., -1]
    gaps = heights - np.concatenate([heights[..., 1:], np.zeros_like(heights[..., :1])], axis=-1)
    slices = [hypervolume(ordered[..., : k + 1, :-1]) for k in range(points.shape[-2])]
    return (np.stack(slices, axis=-1) * gaps).sum(axis=-1)
