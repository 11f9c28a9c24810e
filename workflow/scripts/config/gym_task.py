"""A task of reasoning-gym: a training set, or a benchmark."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from workflow.scripts.config.section import Positive, Section

SEEDS = 4096


class GymTask(Section):
    """Questions that a task of reasoning-gym draws, by name. Training sets, benchmarks of split
    development and those of split test have none in common, whatever their seeds and settings."""

    task: str
    """Its name, such as chain_sum"""
    n: Positive
    """Questions, all different"""
    seed: Annotated[int, Field(ge=0, lt=SEEDS)] = 0
    """Of the draws"""
    settings: dict[str, Any] = {}
    """Of the task, by their names there; without seed and size"""
