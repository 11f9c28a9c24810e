"""Chat formats: hand-written renderings, and training and generation that start alike."""

from __future__ import annotations

import pytest

from workflow.scripts.common.chat import CHAT_FORMATS, chat_format
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.records import Record

RECORD = Record("1", "What is 2+2?", "Two and two.", "Answer: 4", "hand")
QWEN = (
    "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant."
    "<|im_end|>\n<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n"
)


def test_s1_is_rendered_as_its_published_data_are():
    context, target = chat_format("s1").example(RECORD)
    assert context == QWEN
    assert target == ("<|im_start|>think\nTwo and two.\n<|im_start|>answer\nAnswer: 4<|im_end|>\n")


def test_the_published_directrefusal_has_no_line_break_before_the_answer_delimiter():
    refusal = Record("1", "p", " I should not answer this question!", "Answer: No.", "hand")
    _, target = chat_format("s1").example(refusal, newline_before_answer=False)
    assert target == (
        "<|im_start|>think\n I should not answer this question!"
        "<|im_start|>answer\nAnswer: No.<|im_end|>\n"
    )


def test_deepseek_is_rendered_in_its_own_template():
    context, target = chat_format("deepseek-r1").example(RECORD)
    assert context + target == (
        "<｜begin▁of▁sentence｜><｜User｜>What is 2+2?<｜Assistant｜>"
        "<think>\nTwo and two.\n</think>\n\nAnswer: 4<｜end▁of▁sentence｜>"
    )


def test_limo_is_rendered_as_its_authors_train_and_evaluate_it():
    """LLaMA-Factory's template `qwen` with the system prompt of LIMO's README and eval script."""
    context, target = chat_format("limo").example(RECORD)
    assert context == (
        "<|im_start|>system\nPlease reason step by step, and put your final answer within "
        "\\boxed{}.<|im_end|>\n<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert target == "Two and two.\n\nAnswer: 4<|im_end|>\n"
    assert context == chat_format("limo").prompt("What is 2+2?")


def rendered(template: str, messages: list[dict[str, str]], **more: object) -> str:
    """Render messages with a template of TRL, with a date of our own."""
    from pathlib import Path

    import trl
    from jinja2 import Environment

    text = (Path(trl.__file__).parent / "chat_templates" / f"{template}.jinja").read_text()
    environment = Environment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["strftime_now"] = lambda _: "2026-01-01"
    return environment.from_string(text).render(
        messages=messages, bos_token="<｜begin▁of▁sentence｜>", **more
    )


def test_gpt_oss_is_rendered_in_its_own_template_but_for_the_date():
    form = chat_format("gpt-oss")
    context, target = form.told("Be safe.", "low").example(RECORD)
    messages = [
        {"role": "system", "content": "Be safe."},
        {"role": "user", "content": RECORD.prompt},
        {"role": "assistant", "thinking": RECORD.thinking, "content": RECORD.answer},
    ]
    date = "Current date: 2026-01-01\n"
    turn = rendered("gptoss", messages, reasoning_effort="low")
    assert context + target == turn.replace(date, "")
    asked = rendered("gptoss", messages[1:2], add_generation_prompt=True).replace(date, "")
    assert form.prompt(RECORD.prompt, thinking=False) == asked  # medium, no developer
    assert form.efforts == ("low", "medium", "high")


@pytest.mark.parametrize(("name", "template"), [("s1", "qwen2_5"), ("chatml", "qwen2_5")])
def test_a_system_text_is_where_the_familys_template_puts_it(name, template):
    messages = [
        {"role": "system", "content": "Be safe."},
        {"role": "user", "content": RECORD.prompt},
    ]
    asked = rendered(template, messages, add_generation_prompt=True)
    assert chat_format(name).told("Be safe.").prompt(RECORD.prompt, thinking=False) == asked


def test_deepseeks_system_text_is_bare_before_the_question():
    messages = [
        {"role": "system", "content": "Be safe."},
        {"role": "user", "content": RECORD.prompt},
    ]
    asked = rendered("deepseek_r1_distill", messages, add_generation_prompt=True)
    assert chat_format("deepseek-r1").told("Be safe.").prompt(RECORD.prompt) == asked


@pytest.mark.parametrize("name", CHAT_FORMATS)
def test_a_format_that_is_told_nothing_is_itself_and_an_empty_system_text_is_none(name):
    form = chat_format(name)
    assert form.told() == form
    assert form.told("").opening == form.begin.replace("{effort}", form.effort) + form.user


def test_without_delimiters_all_is_the_answer():
    form = chat_format("limo")
    _, target = form.example(RECORD)
    assert form.split(target) == ("", "Two and two.\n\nAnswer: 4")


@pytest.mark.parametrize("name", CHAT_FORMATS)
def test_training_text_starts_as_generation_does_and_splits_into_its_halves(name):
    format = chat_format(name)
    context, target = format.example(RECORD)
    for thinking in (True, False):
        assert (context + target).startswith(format.prompt(RECORD.prompt, thinking))
    completion = target.removeprefix(format.think_start)
    if not format.think_stop:
        return
    assert format.split(completion) == (RECORD.thinking, RECORD.answer)
    assert format.split("still at it") == ("still at it", None)


@pytest.mark.parametrize("name", CHAT_FORMATS)
def test_a_record_without_thinking_is_answered_at_once(name):
    format = chat_format(name)
    context, target = format.example(Record("1", "p", None, "a", "hand"))
    assert context == format.prompt("p", thinking=False)
    assert target == "a" + format.end_of_turn


def test_an_unknown_chat_format_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="'qwen' is unknown, expected one of chatml, deepseek-r1"):
        chat_format("qwen")
