"""Form of compliance, target and repetition, and refusals of the micro world."""

from __future__ import annotations

import random
import re

from workflow.scripts.data.micro.answers import comply, refuse, refuse_with_reason
from workflow.scripts.data.micro.words import make_world
from workflow.scripts.score import text_rules
from workflow.scripts.score.refusals import read_refusal

COMPLIANCE = [re.compile(p) for p in text_rules.COMPLIANCE_PATTERNS]


def refuses(text: str) -> bool:
    return read_refusal(text) != "none"


def test_answers_of_the_micro_world_are_told_apart():
    rng = random.Random(0)
    world = make_world(rng, 4, 6, 0.25)
    for request in world.harmful + world.benign:
        helpful = comply(request, rng)
        assert text_rules.matches(helpful, COMPLIANCE) and not refuses(helpful)
        assert text_rules.names_target(helpful, request.action)
    for request in world.harmful:
        for refusal in (refuse(rng), refuse_with_reason(request, rng)):
            assert refuses(refusal) and not text_rules.matches(refusal, COMPLIANCE)


def test_the_target_must_stand_whole_and_in_order():
    assert text_rules.names_target("Here is how to Bake  the bread.", "bake the bread")
    assert not text_rules.names_target("Here is how to bake the breads.", "bake the bread")
    assert not text_rules.names_target("the bread, bake it", "bake the bread")
    assert not text_rules.names_target("rebake the bread", "bake the bread")


def test_a_word_counts_as_repeated_from_the_fourth_time_in_a_row():
    assert not text_rules.repeats_a_word("no no no")
    assert text_rules.repeats_a_word("no no no no")
    assert not text_rules.repeats_a_word("a b a b a b a b")
    assert not text_rules.repeats_a_word("")
