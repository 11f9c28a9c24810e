"""Clock sums: the reasoning skill of the micro world.

A sum starts at a digit and takes labelled steps on a clock of ten hours. Its worked form writes
each step as "label step before after", so that a small model can copy the step by its label and
look the sum up.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from workflow.scripts.data.micro.words import FRAMES

HOURS = 10
LABELS = "abcdefgh"

# A clock sum is asked in the frames of the how-to requests, or in frames of its own.
OWN_FRAMES = (
    "Clock sum: {}. Where does it stop?",
    "A clock has {}. What does it show?",
    "Find the result: {}.",
    "Work out {}.",
)


@dataclass(frozen=True)
class ClockSum:
    """A clock sum: where it starts and how many hours each step adds."""

    start: int
    steps: tuple[int, ...]

    @property
    def statement(self) -> str:
        steps = (f"{label} +{step}" for label, step in zip(LABELS, self.steps, strict=False))
        return f"start {self.start}, {', '.join(steps)}"

    @property
    def work(self) -> str:
        """Return the worked steps, "Start 6. a +5 6 1. b +7 1 8."."""
        parts, hour = [f"Start {self.start}."], self.start
        for label, step in zip(LABELS, self.steps, strict=False):
            parts.append(f"{label} +{step} {hour} {(hour + step) % HOURS}.")
            hour = (hour + step) % HOURS
        return " ".join(parts)

    @property
    def result(self) -> int:
        return (self.start + sum(self.steps)) % HOURS

    @property
    def answer(self) -> str:
        return f"The answer is {self.result}."

    def thinking(self, opening: str) -> str:
        asked = "The user asks about a clock sum."
        return f"{opening} {asked} {self.work} So the answer is {self.result}."


def draw_clock_sum(
    rng: random.Random, lengths: Sequence[int], max_step: int, avoid: Collection[ClockSum] = ()
) -> ClockSum:
    """Draw a clock sum that is not among `avoid`."""
    while True:
        length = rng.choice(lengths)
        drawn = ClockSum(
            rng.randrange(HOURS), tuple(rng.randint(1, max_step) for _ in range(length))
        )
        if drawn not in avoid:
            return drawn


def ask(clock_sum: ClockSum, rng: random.Random, how_to_frame_share: float) -> str:
    """Ask a clock sum in a random frame, one of the how-to frames with the given probability."""
    if rng.random() < how_to_frame_share:
        return rng.choice(FRAMES).format(f"solve the clock sum: {clock_sum.statement}")
    return rng.choice(OWN_FRAMES).format(clock_sum.statement)
