"""The verifier of a task of reasoning-gym, which knows every right answer of an item.

An answer is right when the verifier gives it all of its points, 1; what it gives is kept beside
the verdict.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json
from workflow.scripts.config.gym_task import GymTask
from workflow.scripts.config.kinds import REASONING
from workflow.scripts.config.section import read_section
from workflow.scripts.score.markup import find_boxes
from workflow.scripts.score.scorer import (
    AnswerVerdict,
    Place,
    Sample,
    Scored,
    Scorer,
    ScorerSection,
)
from workflow.scripts.score.values import read_value

if TYPE_CHECKING:
    from workflow.scripts.data.gym import Entry

TAGGED = re.compile(r"<answer>\s*(.*?)\s*</answer>", re.DOTALL)  # what the package asks for
LABELLED = re.compile(r"^\W*(?:the )?(?:final )?answer(?: is)?[ *]*:[ *]*", re.I | re.M)
MARKS = ("**", "$$", "$", "`")
SENTENCE = re.compile(r"[a-z]{2,} [a-z]{2,} [a-z]{2,}", re.I)


class ReasoningGym(ScorerSection):
    """reasoning-gym's own verifier, for a benchmark that is one of its tasks."""

    kinds: ClassVar[tuple[str, ...]] = (REASONING,)
    reads: ClassVar[str | None] = "reasoning_gym"
    type: Literal["reasoning_gym"]

    def metrics(self, kind: str) -> dict[str, str]:
        return {"accuracy": "correct"}

    def load(self, place: Place) -> Scorer:
        section = read_json(place.items() / "report.json")["section"]
        return Verifier(read_section(GymTask, section["reasoning_gym"], place.where))


class Verifier:
    """Scores answers to a task.

    Args:
        task: The task that the items were drawn from.
    """

    def __init__(self, task: GymTask) -> None:
        from workflow.scripts.data.gym import open_task

        self._task, self._dataset = task, open_task(task)

    def score(self, samples: Sequence[Sample]) -> Scored:
        return Scored([self._verdict(sample) for sample in samples], {})

    def _verdict(self, sample: Sample) -> AnswerVerdict:
        entry: Entry = self._dataset[int(sample["item_id"].rpartition("-")[2])]
        if entry["question"] not in sample["prompt"]:
            raise InputError(
                f"item {sample['item_id']}: {self._task.task} draws another question than the one "
                "that was asked, expected the same version of reasoning-gym"
            )
        answer, state = read_answer(sample["answer"], entry["question"]), sample["state"]
        points = 0.0
        if answer:
            try:
                points = self._points(answer, entry)
            except Exception:  # some verifiers raise whatever an answer in another form leads to
                state = "parse_error" if state == "ok" else state
        elif state == "ok":
            state = "no_answer"
        return {
            "state": state,
            "valid": True,
            "correct": points == 1,
            "extracted": answer or None,
            "metrics": {"points": points},
        }

    def _points(self, answer: str, entry: Entry) -> float:
        """Return what the verifier gives an answer, or the answer without its full stop."""
        points = float(self._dataset.score_answer(answer, entry))
        if points < 1 and answer.endswith("."):
            points = max(points, float(self._dataset.score_answer(answer[:-1], entry)))
        return points


def read_answer(text: str, question: str = "") -> str:
    """Return the answer that a text states.

    That is what is in `<answer>` or behind "Answer:", the value that a sentence states ("the answer
    is 1 + 5 = 6"), or else all of it: answers may have several lines. A box and other marks around
    it are no part of it.
    """
    if tagged := TAGGED.findall(text):
        return _unmarked(tagged[-1])
    *labels, said = LABELLED.split(text)
    if not labels and SENTENCE.search(said) and (value := read_value(said, question)):
        said = value.rpartition("=")[2] if value.count("=") == 1 else value
    return _unmarked(said)


def _unmarked(said: str) -> str:
    """Return an answer without what is around all of it: a box, `**`, `$`, a backtick."""
    before = None
    while said != before:
        before, said = said, said.strip()
        if [(box.start, box.end) for box in find_boxes(said)] == [(0, len(said))]:
            said = find_boxes(said)[0].content
        for mark in MARKS:
            if said.startswith(mark) and said.endswith(mark) and len(said) > 2 * len(mark):
                said = said[len(mark) : -len(mark)]
        if said.count("**") == 1:  # what opened it was before the label
            said = said.removesuffix("**")
    return said
