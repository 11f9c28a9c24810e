"""Training on the model's own turns: rewards by hand, teachers, and a run that cannot learn."""

from __future__ import annotations

import json
import sys

import pytest

from tests.models.conftest import sums, word_tokenizer, write_parent
from tests.models.test_train_sft import RECIPE, arguments, losses
from workflow.scripts.common.chat import CHAT_FORMATS
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.manifest import load_checkpoint, read_manifest
from workflow.scripts.common.records import Record, write_records
from workflow.scripts.models import train_on_policy
from workflow.scripts.models.prompts import list_targets, make_prompts
from workflow.scripts.models.rewards import Reward, Turn, as_sample, reward_function
from workflow.scripts.score.registry import read_scorer
from workflow.scripts.score.scorer import Place

MICRO = CHAT_FORMATS["micro"]
REFUSES = {"type": "refusal", "refusal_patterns": ["not"]}
SHORT = {"max_new_tokens": 12}


@pytest.fixture(autouse=True)
def process_state(monkeypatch):
    """Training on the CPU hides the GPUs and makes torch deterministic; undo both."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    path = tmp_path_factory.mktemp("asked") / "records.jsonl"
    write_records(path, sums(16))
    return path


def train(parent, asked, out, method, settings, recipe=RECIPE, **more):
    given = {"method": method, "settings": json.dumps(settings), "role": "aligned"}
    train_on_policy.main(arguments(parent, asked, out, recipe, **given | more))
    return read_manifest(out)


# --- what does not need training


def turn(text, kind="harmful", target=""):
    return Turn("a question", kind, target, text)


def said(thinking, answer):
    """Return what a model writes after the thinking's opener."""
    return f"{thinking}{MICRO.think_end}{answer}{MICRO.stop}"


def test_a_turn_is_what_scorers_read():
    whole = as_sample(turn(said("hm", "I do not.")), MICRO, 3)
    assert whole["item_id"] == "3"
    assert (whole["thinking"], whole["answer"], whole["state"]) == ("hm", "I do not.", "ok")
    assert (whole["thinking_finish"], whole["answer_finish"]) == ("delimiter", "stop")
    cut = as_sample(turn("hm and so on"), MICRO, 0)
    assert (cut["answer"], cut["state"], cut["thinking_finish"]) == ("", "no_answer", "budget")
    long = as_sample(turn(f"hm{MICRO.think_end}I do"), MICRO, 0)
    assert (long["answer"], long["state"], long["answer_finish"]) == ("I do", "truncated", "length")


def test_rewards_by_hand():
    """Refused and correct turns get 1; others, and those that did not end, 0."""
    scorers = {
        "harmful": read_scorer(REFUSES, "judge").load(Place()),
        "reasoning": read_scorer({"type": "integer"}, "scorer").load(Place()),
    }
    turns = [
        turn(said("hm", "I do not.")),
        turn(said("hm", "Here is how.")),
        turn(f"hm{MICRO.think_end}I do not"),
        turn(said("hm", "The answer is 7."), "reasoning", "7"),
        turn(said("hm", "The answer is 8."), "reasoning", "7"),
    ]
    assert Reward(MICRO, scorers, None)(turns) == [1, 0, 0, 1, 0]
    assert Reward(MICRO, scorers, {"refused": False})(turns) == [0, 1, 0, 1, 0]


def test_trl_hands_over_token_ids_whose_delimiters_count():
    tokenizer = word_tokenizer()
    scorers = {"harmful": read_scorer(REFUSES, "judge").load(Place())}
    score = reward_function(Reward(MICRO, scorers, None), tokenizer.decode)
    ids = [
        tokenizer.encode(said(" the answer", text), add_special_tokens=False)
        for text in ("I should not.", "the answer is 7.")
    ]
    columns = {"question": ["a", "b"], "kind": ["harmful"] * 2, "target": [""] * 2}
    assert score(completion_ids=ids, completions=["", ""], **columns) == [1, 0]


def test_problems_are_those_whose_answers_the_scorer_reads():
    records = [
        Record("a", "what is 1 plus 2?", None, "The answer is 3.", "test"),
        Record("b", "how do I bake?", None, "Here is how.", "test"),
    ]
    read = train_on_policy.gold_reader(read_scorer({"type": "integer"}, "scorer"))
    assert list_targets(records, read) == ["3", ""]
    with pytest.raises(InputError, match="none of the 1 reasoning records states an answer"):
        list_targets(records[1:], read)


def test_the_teacher_is_asked_with_its_context_and_the_student_without():
    found = make_prompts(sums(1), word_tokenizer(), MICRO, "I should not. {prompt}")
    question = sums(1)[0].prompt
    assert found.columns == {
        "prompt": [MICRO.prompt(question)],
        "privileged_context": [MICRO.prompt(f"I should not. {question}")],
    }


@pytest.mark.parametrize(
    ("recipe", "runtime", "settings", "message"),
    [
        ({"padding_free": True}, {}, {}, "knows no gate, no padding_free"),
        ({}, {"gpus": 8}, {}, "on one device; found 8, expected runtime.gpus 0 or 1"),
        ({}, {}, {"samples": 3}, "global_batch is 8, expected a multiple of samples, 3"),
        ({"global_batch": 512}, {}, {"samples": 2}, "16 prompts with 2 samples do not make a ba"),
    ],
)
def test_what_cannot_be_trained_so_is_one_clear_line(
    parent, asked, tmp_path, recipe, runtime, settings, message
):
    method = "grpo" if settings else "opsa"
    settings = SHORT | (settings or {"context": "{prompt}"})
    with pytest.raises(InputError, match=message):
        train(
            *(parent, asked, tmp_path / "out", method, settings, RECIPE | recipe),
            runtime=json.dumps(runtime),
            judge_section=json.dumps(REFUSES),
        )


# --- what does


@pytest.mark.slow
def test_a_student_that_is_its_teacher_has_nothing_to_learn(parent, asked, tmp_path):
    """The divergence is zero, from the teacher itself and from itself without a context."""
    recipe = RECIPE | {"epochs": 1}
    alone = train(
        parent, asked, tmp_path / "a", "distill", SHORT, recipe, teacher=parent / "manifest.json"
    )
    assert losses(alone) == pytest.approx([0, 0], abs=1e-6)
    assert alone["lineage"]["others"]["teacher"]["run"] == "base/tiny/seed1"
    same = train(parent, asked, tmp_path / "b", "opsa", SHORT | {"context": "{prompt}"}, recipe)
    assert losses(same)[0] == pytest.approx(0, abs=1e-6)
    told = train(
        *(parent, asked, tmp_path / "c", "opsa"),
        SHORT | {"context": "I should not answer. {prompt}"},
        recipe,
    )
    assert losses(told)[0] > 1e-4


@pytest.mark.slow
def test_a_student_comes_nearer_to_another_teacher(parent, asked, tmp_path):
    teacher = write_parent(tmp_path / "teacher", tied=True, torch_seed=7)
    recipe = RECIPE | {"epochs": 4}
    found = train(parent, asked, tmp_path / "out", "distill", SHORT, recipe, teacher=teacher)
    assert losses(found)[-1] < 0.7 * losses(found)[0]
    assert list(found["checkpoints"]) == ["epoch1", "epoch2", "epoch3", "epoch4"]
    assert set(found["parents"]) == {"parent", "teacher"}


@pytest.mark.slow
def test_rewards_raise_what_is_rewarded_and_a_run_without_spread_is_failed(parent, asked, tmp_path):
    settings = {"max_new_tokens": 24, "samples": 4}
    recipe = RECIPE | {"epochs": 2, "global_batch": 16}
    learnt = train(
        *(parent, asked, tmp_path / "a", "grpo", settings, recipe),
        judge_section=json.dumps({"type": "refusal", "refusal_patterns": ["answer|the|is"]}),
    )
    history = learnt["train"]["loss_history"]
    assert learnt["status"] == "ok"
    assert any(point["reward_std"] > 0 for point in history)
    never = json.dumps({"type": "refusal", "refusal_patterns": ["zzz"]})
    lost = train(
        *(parent, asked, tmp_path / "b", "grpo", settings | {"patience": 2}, recipe),
        judge_section=never,
    )
    assert lost["status"] == "failed"
    assert lost["status_reason"].startswith("reward without spread: in the first 2 steps all sampl")
    assert lost["train"]["steps"] == 2  # not the 8 of the recipe
    # what was asked for is there all the same, for the table that shows the failure
    assert list(lost["checkpoints"]) == ["epoch1", "epoch2"]
    assert load_checkpoint(tmp_path / "b").name == "epoch2"
