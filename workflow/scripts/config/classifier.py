"""A sequence classifier that judges: where it comes from, and what is fetched of it."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from workflow.scripts.config.section import Commit, Positive, Section, expect_one_source


class ClassifierModel(Section):
    """A sequence classifier with the 14 categories of BeaverTails as labels."""

    hub: str | None = None
    """Name of a model on the hub"""
    revision: Commit | None = None
    """A commit of the hub; else the lock's"""
    path: str | None = None
    """A local model folder"""

    @model_validator(mode="after")
    def _check(self) -> ClassifierModel:
        expect_one_source(self, ("hub", "path"))
        return self


class FetchedJudge(Section):
    """What of a classifier says which files to fetch, and what they have to fit."""

    model: ClassifierModel
    weights: Literal["safetensors", "torch"] = "safetensors"
    """torch: pickled files, read by torch's loader that runs no code"""
    window_tokens: Positive = 512
    """Length of a window"""
