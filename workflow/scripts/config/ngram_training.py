"""How the n-gram judge is trained."""

from __future__ import annotations

from workflow.scripts.config.section import AboveZero, Positive, Section


class NgramTraining(Section):
    """The n-gram judge, a logistic regression for each category."""

    n_features: Positive = 8192
    """Hash buckets of prompts, and of answers"""
    inverse_penalty: AboveZero = 10.0
    """1 / strength of the L2 penalty"""
    max_iterations: Positive = 200
    """Sweeps of the solver over the data"""
