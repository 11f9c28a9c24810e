"""Measure how well verdicts are read from text: answers of three kinds, on cases written by hand.

Prints, for each set of endings in `tests/score/endings/`, how many are read as a reader reads them,
and apart: missed (an answer is stated, none is read), misread (another one is read or accepted) and
invented (none is stated, one is read). Fails where a figure is below the recorded one.

    python benchmarks/verdict_quality.py
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from workflow.scripts.score.registry import read_scorer  # noqa: E402
from workflow.scripts.score.scorer import Place  # noqa: E402

ENDINGS = ROOT / "tests" / "score" / "endings"
OUTCOMES = ("right", "missed", "misread", "invented")
# Set and kind: how many are read right. A change that lowers one has to say why.
RECORDED: dict[tuple[str, str], int] = {
    ("blind_1_choice", "choice"): 138,
    ("blind_1_values", "math_verify"): 35,
    ("blind_1_values", "integer"): 26,
    ("blind_2_choice", "choice"): 69,
    ("blind_2_values", "math_verify"): 18,
    ("blind_2_values", "integer"): 13,
    ("blind_3_choice", "choice"): 68,
    ("blind_4_choice", "choice"): 67,
    ("blind_4_values", "math_verify"): 17,
    ("blind_4_values", "integer"): 12,
    ("choice", "choice"): 449,
    ("values", "math_verify"): 171,
    ("values", "integer"): 83,
}


@dataclass(frozen=True)
class Ending:
    """One case: how an answer ends, and what a reader takes from it.

    Attributes:
        kind: The type of scorer.
        options: Texts of the options of a choice, in order.
        expected: A letter or a value; None where none is stated.
        wrong: Values that must not be accepted.
        text: The end of the answer.
    """

    kind: str
    options: tuple[str, ...]
    expected: str | None
    wrong: tuple[str, ...]
    text: str


def read_endings(path: Path) -> list[Ending]:
    """Read a file of endings; its first lines tell the format."""
    found: list[Ending] = []
    for group in re.split(r"^## (?=(?:choice|math|integer)\b)", path.read_text(), flags=re.M)[1:]:
        head, _, body = group.partition("\n")
        kind, *options = (part.strip() for part in head.split(" | "))
        for case in re.split(r"^>>> ", body, flags=re.M)[1:]:
            expectation, _, text = case.partition("\n")
            expected, *wrong = expectation.split(" || not ")
            found.append(
                Ending(
                    {"math": "math_verify"}.get(kind.split()[0], kind.split()[0]),
                    tuple(options),
                    None if expected == "none" else expected,
                    tuple(wrong),
                    text.rstrip("\n"),
                )
            )
    return found


def sample_of(ending: Ending, target: str, number: int) -> dict[str, Any]:
    """Return the sample that a model would have left, as `generate_samples` writes it."""
    lines = [f"{letter}) {text}" for letter, text in zip("ABCD", ending.options, strict=False)]
    prompt = "\n".join(["Which of these is it?\n", *lines]) if lines else "How much is it?"
    sample = {"item_id": str(number), "prompt": prompt, "target": target, "state": "ok"}
    return {**sample, "answer": ending.text, "answer_finish": "stop"}


def outcomes(endings: list[Ending]) -> list[str]:
    """Return how the project's own scorers read each ending, one of `OUTCOMES`."""
    found = []
    for number, ending in enumerate(endings):
        scorer = read_scorer({"type": ending.kind}, "scorer").load(Place())
        unlike = "A" if ending.kind == "choice" else "987654"
        targets = [ending.expected or unlike, *ending.wrong]
        samples = [sample_of(ending, target, number) for target in targets]
        first, *others = scorer.score(samples).verdicts
        accepted = any(verdict["correct"] for verdict in others)
        read = first["state"] == "ok"
        if ending.expected is None:
            found.append("invented" if read or accepted else "right")
        elif ending.kind == "choice":
            letter = first["extracted"]
            found.append(
                "right" if letter == ending.expected else "misread" if letter else "missed"
            )
        elif accepted:
            found.append("misread")
        else:
            found.append("right" if first["correct"] else "misread" if read else "missed")
    return found


def measure_answers() -> dict[tuple[str, str], Counter[str]]:
    """Return the outcomes of each set and kind."""
    figures: dict[tuple[str, str], Counter[str]] = {}
    for path in sorted(ENDINGS.glob("*.txt")):
        endings = read_endings(path)
        for ending, outcome in zip(endings, outcomes(endings), strict=True):
            figures.setdefault((path.stem, ending.kind), Counter())[outcome] += 1
    return figures


def main() -> None:
    figures = measure_answers()
    print(f"{'answers':<20} {'kind':<12} {'n':>5} " + " ".join(f"{o:>9}" for o in OUTCOMES))
    below = []
    for (name, kind), counts in figures.items():
        numbers = " ".join(f"{counts[outcome]:>9}" for outcome in OUTCOMES)
        print(f"{name:<20} {kind:<12} {counts.total():>5} {numbers}")
        if counts["right"] < RECORDED.get((name, kind), 0):
            below.append(f"{name} {kind}: {counts['right']}, recorded {RECORDED[name, kind]}")
    # Refusals: a `measure_refusals` beside `measure_answers`, and its figures printed here.
    if below:
        sys.exit("error: fewer are read right than were recorded: " + "; ".join(below))


if __name__ == "__main__":
    main()
