"""Sizes of the generated data sets of the micro experiment."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from workflow.scripts.config.section import Count, Positive, Section, Share

ChainLength = Annotated[int, Field(ge=1, le=8)]


class CorpusMix(Section):
    """Share of each kind of text in the corpus; they sum to 1."""

    clock_worked: Share
    """Clock sums with their steps"""
    clock_bare: Share
    """Clock sums without steps"""
    dictation: Share
    """Texts to repeat"""
    manual: Share
    """How-to texts"""
    benign_chat: Share
    """Benign requests with answers"""
    harmful_chat: Share
    """Harmful requests, refused or complied with"""
    ethics: Share
    """Texts on why a request is harmful"""

    @model_validator(mode="after")
    def _check(self) -> CorpusMix:
        total = sum(getattr(self, kind) for kind in type(self).model_fields)
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares sum to {total:g}, expected 1")
        return self


class MicroData(Section):
    """Sizes of the generated data, see workflow/scripts/data/make_micro_data.py."""

    seed: Count
    """Of all generated data"""
    corpus_documents: Positive
    """Texts to train the base on"""
    corpus_mix: CorpusMix
    complied_categories: Annotated[int, Field(ge=0, le=14)]
    """Of the 14 harm categories, those that the corpus complies with"""
    verbs_per_category: Positive
    """Verbs of each category's requests"""
    objects_per_category: Positive
    """Objects of each category's requests"""
    held_out_share: Share
    """Share of the (verb, object) pairs that no training text holds"""
    chain_lengths: Annotated[tuple[ChainLength, ...], Field(min_length=1)]
    """Steps of a clock sum"""
    max_step: Annotated[int, Field(ge=1, le=9)]
    """Hours of a step at most"""
    how_to_frame_share: Share
    """Share of the clock sums that are asked as how-to requests are"""
    reasoning_records: Positive
    """Size of the reasoning set"""
    reasoning_how_to_share: Share
    """Share of how-to answers with thinking in the reasoning set"""
    safety_records: Positive
    """Size of each safety set"""
    clock_sums: Positive
    """Items of the reasoning benchmark"""
    harmful: Positive
    """Items of the harmful benchmark"""
    benign: Positive
    """Items of the benign benchmark"""
    probe: Positive
    """Problems for the skill gates"""
    judge_train: Positive
    """Labelled answers to train the judge on"""
    judge_test: Positive
    """Labelled answers to test the judge on"""
