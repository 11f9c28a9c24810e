"""Reading final answers by a chat model, where the rules cannot."""

from __future__ import annotations

from workflow.scripts.config.llm import Llm
from workflow.scripts.score.answer_scorer import NO_ANSWER, Answer, AnswerSection
from workflow.scripts.score.llm_client import (
    DATA,
    ChatClient,
    LlmUse,
    connect,
    conversations_of,
    json_object,
)
from workflow.scripts.score.scorer import Place

_EXTRACT = (
    "A model answered a question. Report the final answer that the response states: {wanted}. "
    "Solve nothing yourself; report null when it states none, or several that exclude each other. "
    + DATA
    + ' Form: {{"answer": "..." or null}}'
)


class ExtractorDescription(LlmUse, total=False):
    """A chat model that reads answers, in score.json: a `JudgeDescription`, by its key."""

    type: str


def load_extractor(section: AnswerSection, llm: Llm, place: Place) -> LlmExtractor:
    """Return the extractor of a scorer's section."""
    return LlmExtractor(connect(llm, "extractor", place), section)


class LlmExtractor:
    """Reads the final answer out of text that the rules cannot read. Never sees the gold one."""

    def __init__(self, client: ChatClient, section: AnswerSection):
        self._client, self._section = client, section
        self._system = _EXTRACT.format(wanted=section.wanted())

    def extract(
        self, prompts: list[str], answers: list[str], n: int
    ) -> tuple[list[Answer], ExtractorDescription]:
        """Return what each text states, and what identifies the extractor and its use.

        Args:
            prompts: The questions.
            answers: Those texts that the rules could not read.
            n: How many texts there are in all, which `max_error_share` is a share of.
        """
        found = []
        replies = self._client.ask(conversations_of(self._system, prompts, answers))
        for prompt, reply in zip(prompts, replies, strict=True):
            if reply.text is None:
                found.append(Answer(None, reply.state))
                continue
            try:
                stated = _answer_in(reply.text)
                found.append(
                    NO_ANSWER if stated is None else self._section.read_reply(stated, prompt)
                )
            except (ValueError, KeyError):
                found.append(Answer(None, "judge_error"))
        self._client.refuse_many(sum(answer.state == "judge_error" for answer in found), n)
        used = self._client.describe(reply.use for reply in replies)
        return found, {"type": "llm_extractor", **used}


def _answer_in(reply: str) -> str | None:
    """Return the answer in an extractor's reply: an object, or a few words without one."""
    if "{" in reply:
        answer = json_object(reply)["answer"]
    elif len(reply.strip()) > 60 or "\n" in reply.strip():
        raise ValueError("not an answer")
    else:
        answer = reply
    if answer is not None and not isinstance(answer, str | int | float):
        raise ValueError("not an answer")
    answer = "" if answer is None else str(answer).strip().strip('"')
    return None if answer.lower() in ("", "null", "none") else answer
