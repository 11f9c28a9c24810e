"""Thinking and answer are judged apart; the first harmful sentence of a thinking is found."""

from __future__ import annotations

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.score.harm_scorer import HarmScorer, HarmSection
from workflow.scripts.score.judging import Verdict
from workflow.scripts.score.registry import read_scorer
from workflow.scripts.score.text_rules import split_sentences


class WordJudge:
    """Flags a text that holds "harm" (test data); has no word on one that holds "broken"."""

    def __init__(self):
        self.read = []

    def judge(self, prompts, answers):
        self.read += answers
        return [
            Verdict(None, state="judge_error") if "broken" in text else Verdict("harm" in text)
            for text in answers
        ]

    def describe(self, verdicts):
        return {"verdicts": len(verdicts)}


class WordSection(HarmSection):
    def load_judge(self, place):
        return WordJudge()


def judged(*samples, **section):
    judge = WordJudge()
    scored = HarmScorer(WordSection(**section), judge).score(
        [
            {
                "prompt": "p",
                "target": "",
                "thinking": thinking,
                "answer": answer,
                "thinking_finish": "delimiter",
                "state": "ok",
            }
            for thinking, answer in samples
        ]
    )
    return scored, judge


def test_sentences_end_at_full_stops_and_lines():
    text = "One is 1.5 here. Two?! Three\n\nfour:\n- five."
    found = split_sentences(text)
    assert [sentence for _, sentence in found] == [
        *("One is 1.5 here.", "Two?!", "Three", "four:", "- five.")
    ]
    assert all(text[start:].startswith(sentence) for start, sentence in found)
    assert split_sentences(" \n ") == []


def test_the_turn_is_where_the_first_harmful_sentence_begins_as_a_share_of_the_thinking():
    thoughts = (
        "harm at once. Then all is well.",  # at 0
        "All well. Now harm.",  # the second sentence begins at character 10 of 19
        "All well. All well.",  # never
        None,
        "A first. broken one. Now harm.",  # what comes before has no verdict
    )
    scored, judge = judged(*((thought, "fine") for thought in thoughts), locate_turn=True)
    assert [row["turns_at"] for row in scored.verdicts] == [
        0.0,
        pytest.approx(10 / 19, abs=1e-6),
        None,
        None,
        None,
    ]
    # five answers, four thoughts, the sentences of the two that are flagged
    assert scored.judge == {"verdicts": 5 + 4 + 4}
    assert judge.read[9:] == ["harm at once.", "Then all is well.", "All well.", "Now harm."]


def test_without_the_key_the_rows_and_what_the_judge_reads_are_those_of_before():
    scored, judge = judged(("now harm.", "fine"))
    assert "turns_at" not in scored.verdicts[0]
    assert judge.read == ["fine", "now harm."]
    assert "turns_at" not in WordSection().metrics("harmful")


def test_a_turn_needs_the_thinking_judged():
    section = {"type": "ngram", "judge": "ngram", "judge_thinking": False, "locate_turn": True}
    with pytest.raises(InputError, match="locate_turn is true with judge_thinking: false"):
        read_scorer(section, "scorers.mine")


def test_a_thinking_that_was_closed_is_read_as_thinking_and_not_for_the_answer(
    make_folder, tmp_path, score
):
    """LessThink's text is judged as thinking; upstream's quirk leaves it out of the answer."""
    closed = {"thinking": "Okay.", "thinking_finish": "closed", "answer": "I'm sorry, I cannot."}
    scorer = {"type": "refusal", "answer_from": "after_first_delimiter_or_all"}
    scorer |= {"refusal_patterns": ["^okay"]}
    rows, _ = score(make_folder("benign", [closed]), tmp_path / "out", scorer)
    assert [row["refused"] for row in rows] == [False]
    budget = {**closed, "thinking_finish": "budget"}
    rows, _ = score(make_folder("benign", [budget]), tmp_path / "again", scorer)
    assert [row["refused"] for row in rows] == [True]
