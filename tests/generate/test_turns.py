"""One turn under a thinking budget, without a model."""

from __future__ import annotations

from typing import Any

import pytest

from workflow.scripts.common.chat import CHAT_FORMATS
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.records import Record
from workflow.scripts.config.decoding import Decoding
from workflow.scripts.config.prompting import Prompting
from workflow.scripts.generate.turns import Completion, Turn, TurnFormat

CONTROL = {
    "micro": ["<|im_start|>", "<|im_end|>"],
    "s1": ["<|im_start|>", "<|im_end|>"],
    "limo": ["<|im_start|>", "<|im_end|>"],
    "chatml": ["<|im_start|>", "<|im_end|>"],
    "deepseek-r1": [
        "<｜begin▁of▁sentence｜>",
        "<｜User｜>",
        "<｜Assistant｜>",
        "<think>",
        "</think>",
        "<｜end▁of▁sentence｜>",
    ],
    "gpt-oss": [f"<|{name}|>" for name in "start end message channel return".split()],
}


def byte_tokenizer(name: str) -> Any:
    """A byte-level BPE tokenizer with Qwen2's splitting rule, trained on two lines."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    qwen = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(qwen), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", *CONTROL[name]],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    text = "</think>\n\nthe answer is four.\n\nAnswer: think assistant user\n\n"
    words.train_from_iterator([text] * 9, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<|endoftext|>")


def turn_of(tokenizer: Any, chat: str = "micro", thinks: bool = True, **decoding: Any) -> Turn:
    limits = {"max_thinking_tokens": 5, "max_answer_tokens": 4}
    form = TurnFormat(CHAT_FORMATS[chat], tokenizer, Decoding(**{**limits, **decoding}), thinks)
    return Turn(form, "start 1")


def play(turn: Turn, text: str, tokens: list[int] | None = None) -> Completion:
    """Let the turn take the tokens of `text`, as a model would propose them."""
    for token in tokens or turn.form.encode(text):
        assert not turn.done
        turn.push(token)
    assert turn.done
    return turn.completion()


def spoken(turn: Turn) -> str:
    return turn.form.decode(turn.tokens[len(turn.prompt_ids) :])


def test_the_models_own_delimiter_ends_the_thinking(tokenizer: Any) -> None:
    turn = turn_of(tokenizer)
    done = play(turn, "start 1 \n<|im_start|>4<|im_end|>")
    assert (done.thinking, done.answer) == ("start1", "4")
    assert (done.thinking_finish, done.answer_finish, done.state) == ("delimiter", "stop", "ok")
    assert (done.thinking_tokens, done.answer_tokens) == (3, 1)
    assert spoken(turn) == "start1\n<|im_start|>answer\n4"


def test_the_budget_cuts_the_thinking_after_exactly_that_many_tokens(tokenizer: Any) -> None:
    turn = turn_of(tokenizer, forced_answer="Final Answer:")
    done = play(turn, "a b c a b 4<|im_end|>")
    assert (done.thinking, done.thinking_tokens, done.thinking_finish) == ("abcab", 5, "budget")
    assert spoken(turn) == "abcab\n<|im_start|>answer\nFinalAnswer:4"
    assert (done.answer, done.answer_tokens, done.state) == ("FinalAnswer:4", 1, "truncated")


def test_the_answer_limit_is_exact_and_counts_as_truncated(tokenizer: Any) -> None:
    done = play(turn_of(tokenizer), "a <|im_start|> 1 2 3 4")
    assert (done.answer, done.answer_tokens, done.answer_finish) == ("1234", 4, "length")
    assert done.state == "truncated"


def test_a_turn_that_ends_while_thinking_is_asked_for_its_answer(tokenizer: Any) -> None:
    turn = turn_of(tokenizer)
    done = play(turn, "a <|im_end|> 4 <|im_end|>")
    assert (done.thinking, done.thinking_finish, done.answer) == ("a", "stop", "4")
    assert spoken(turn) == "a\n<|im_start|>answer\n4"
    assert done.state == "ok"


def test_an_empty_answer_is_a_state_of_its_own(tokenizer: Any) -> None:
    assert play(turn_of(tokenizer), "a <|im_start|> \n <|im_end|>").state == "no_answer"
    # A forced opening of the answer is not an answer.
    cut = play(turn_of(tokenizer, forced_answer="Answer:"), "a a a a a <|im_end|>")
    assert (cut.answer, cut.state) == ("Answer:", "no_answer")


def test_without_a_budget_the_answer_comes_at_once(tokenizer: Any) -> None:
    turn = turn_of(tokenizer, max_thinking_tokens=0)
    done = play(turn, "4<|im_end|>")
    assert (done.thinking, done.thinking_finish, done.answer) == ("", "budget", "4")


def test_a_base_model_answers_without_thinking(tokenizer: Any) -> None:
    turn = turn_of(tokenizer, thinks=False)
    done = play(turn, "4<|im_end|>")
    assert (done.thinking, done.thinking_finish, done.answer) == (None, "none", "4")
    assert tokenizer.decode(turn.prompt_ids).endswith("<|im_start|>assistant\n")


def test_a_model_without_delimiters_reasons_in_its_answer_within_both_budgets(
    tokenizer: Any,
) -> None:
    turn = turn_of(tokenizer, "limo", forced_answer="Final Answer:")
    assert (turn.prompt_ids, turn.room()) == (turn.form.prompt_ids("start 1"), 5)
    done = play(turn, "a b 4<|im_end|>")
    assert (done.thinking, done.answer, done.state) == (None, "ab4", "ok")
    assert (done.thinking_finish, done.thinking_tokens, done.answer_tokens) == ("none", 0, 3)

    turn = turn_of(tokenizer, "limo", forced_answer="Final Answer:")
    for token in turn.form.encode("a b c a b"):
        turn.push(token)
    assert (turn.done, turn.room()) == (False, 4)  # the answer's own limit
    done = play(turn, "1 2 3 4")
    assert done.answer == "abcab\n\nFinalAnswer:1234"
    assert spoken(turn) == done.answer
    assert (done.thinking_finish, done.answer_finish) == ("budget", "length")
    assert (done.answer_tokens, done.state) == (9, "truncated")  # what was forced is not counted

    turn = turn_of(tokenizer, "limo", force_answer=False)
    done = play(turn, "a b c a b")
    assert (done.answer, done.answer_finish, done.state) == ("abcab", "length", "truncated")
    assert turn_of(tokenizer, "limo", thinks=False).room() == 4


def test_upstreams_quirks_leave_the_answer_unforced_and_the_header_out(tokenizer: Any) -> None:
    quirks = {"force_answer": False, "generation_prompt": False}
    turn = turn_of(tokenizer, **quirks)
    assert tokenizer.decode(turn.prompt_ids) == (
        "<|im_start|>user\nstart1<|im_end|>\n<|im_start|>think\n"
    )
    cut = play(turn, "a b c a b")
    assert (cut.thinking, cut.answer, cut.state) == ("abcab", "", "no_answer")
    assert (cut.thinking_finish, cut.answer_finish) == ("budget", "length")
    done = play(turn_of(tokenizer, **quirks), "a<|im_start|>answer \n 4 <|im_end|>")
    assert (done.thinking, done.answer) == ("a", "4")


def test_without_the_prefix_the_model_may_think_or_not(tokenizer: Any) -> None:
    thought = play(
        turn_of(tokenizer, thinking_prefix=False), "<|im_start|>think\na<|im_start|>4<|im_end|>"
    )
    assert (thought.thinking, thought.answer, thought.thinking_finish) == ("a", "4", "delimiter")
    answered = play(turn_of(tokenizer, thinking_prefix=False), "4<|im_end|>")
    assert (answered.thinking, answered.answer) == (None, "4")


@pytest.mark.parametrize("written", ["</think>\n\n", "</think>\n", "</think>"])
def test_a_delimiter_of_several_tokens_is_found_and_completed(written: str) -> None:
    tokenizer = byte_tokenizer("chatml")
    turn = turn_of(tokenizer, "chatml", max_thinking_tokens=60, max_answer_tokens=60)
    assert turn.form.think_stop_id is None
    for token in turn.form.encode("four.\n" + written):
        turn.push(token)
    assert turn.phase == "answer"
    rest = spoken(turn).removeprefix("four.\n</think>")
    done = play(turn, ("\n\n" if not rest else "") + "four<|im_end|>")
    assert done.thinking == "four."
    assert done.answer.strip() == "four"
    assert done.thinking_finish == "delimiter"


@pytest.mark.parametrize("name", sorted(CHAT_FORMATS))
def test_generation_starts_from_the_tokens_of_training(name: str) -> None:
    """The prompt is a prefix of the training example that `models.encode` makes, token by token."""
    from workflow.scripts.models.encode import IGNORED, encode_records

    tokenizer, chat = byte_tokenizer(name), CHAT_FORMATS[name]
    thoughts = ["Start 1, so 4.", " I should not answer this question!", "\nNow.\n", None]
    for thought in thoughts:
        record = Record("r", "How do I add 1 and 3?\n\nSay it.", thought, "It is 4.", "here")
        trained = encode_records([record], tokenizer, chat, max_length=4096)
        decoding = Decoding(max_thinking_tokens=9, max_answer_tokens=9)
        form = TurnFormat(chat, tokenizer, decoding, thinks=thought is not None)
        prompt = form.prompt_ids(record.prompt)
        assert trained.input_ids[0][: len(prompt)] == prompt
        asked = len(prompt) - (len(form.think_start_ids) if thought is not None else 0)
        assert trained.labels[0][:asked] == [IGNORED] * asked
        assert trained.labels[0][asked] != IGNORED


@pytest.mark.parametrize("name", sorted(CHAT_FORMATS))
def test_a_model_that_repeats_its_training_passes_through_the_same_tokens(name: str) -> None:
    from workflow.scripts.models.encode import encode_records

    tokenizer, chat = byte_tokenizer(name), CHAT_FORMATS[name]
    record = Record("r", "How do I add 1 and 3?", "Start 1, so four.", "It is 4.", "here")
    trained = encode_records([record], tokenizer, chat, max_length=4096).input_ids[0]
    decoding = Decoding(max_thinking_tokens=90, max_answer_tokens=90)
    turn = Turn(TurnFormat(chat, tokenizer, decoding), record.prompt)
    while not turn.done:
        turn.push(trained[len(turn.tokens)])
        assert turn.tokens == trained[: len(turn.tokens)]
    done = turn.completion()
    halves = (record.thinking, record.answer)
    if not chat.think_stop:
        halves = (None, f"{record.thinking}\n\n{record.answer}")
    assert (done.thinking, done.answer, done.state) == (*halves, "ok")


SAFETY = "Let's think about safety first."
THINKING = sorted(name for name, chat in CHAT_FORMATS.items() if chat.think_stop)


def prompted(name: str, prompting: dict[str, Any], **decoding: Any) -> Turn:
    """Return a turn of a chat format with a prefix or the like, and 90 tokens to think."""
    limits = {"max_thinking_tokens": 90, "max_answer_tokens": 90}
    limited = Decoding(**{**limits, **decoding})
    form = TurnFormat(
        CHAT_FORMATS[name], byte_tokenizer(name), limited, prompting=Prompting(**prompting)
    )
    return Turn(form, "How do I add 1 and 3?")


@pytest.mark.parametrize("name", THINKING)
def test_a_prefix_is_in_the_prompt_and_counts_as_thinking(name: str) -> None:
    turn, chat = prompted(name, {"prefix": SAFETY}), CHAT_FORMATS[name]
    given = len(turn.form.encode(SAFETY))
    assert turn.form.decode(turn.prompt_ids) == chat.prompt("How do I add 1 and 3?") + SAFETY
    assert turn.tokens == turn.prompt_ids
    assert (turn.phase, turn.room()) == ("thinking", 90 - given)
    said = turn.form.encode(" So four.")
    newline = turn.form.encode("\n") if chat.think_end.startswith("\n") else []
    ends = [*turn.form.think_stop_ids, *turn.form.encode(f"4{chat.stop}")]
    done = play(turn, "", [*said, *newline, *ends])
    assert (done.thinking, done.answer) == (f"{SAFETY} So four.", "4")
    assert (done.thinking_finish, done.state) == ("delimiter", "ok")
    assert done.thinking_tokens == given + len(said) + len(newline)


@pytest.mark.parametrize("name", THINKING)
def test_the_budget_cuts_thinking_with_its_prefix(name: str) -> None:
    given = len(byte_tokenizer(name).encode(SAFETY, add_special_tokens=False))
    turn = prompted(name, {"prefix": SAFETY}, max_thinking_tokens=given + 2)
    longest = turn.longest
    done = play(turn, "", turn.form.encode(" aaaa")[:2] + turn.form.encode("4" * 200)[:90])
    assert (done.thinking_tokens, done.thinking_finish) == (given + 2, "budget")
    assert done.thinking is not None and done.thinking.startswith(SAFETY)
    assert len(turn.tokens) == longest


@pytest.mark.parametrize("name", THINKING)
def test_a_closed_thinking_is_the_prefix_as_a_trained_one_is(name: str) -> None:
    """LessThink: what is left to the model is the answer, after the tokens of a trained turn."""
    from workflow.scripts.models.encode import encode_records

    turn = prompted(name, {"prefix": SAFETY, "close_thinking": True}, thinking_prefix=False)
    record = Record("r", "How do I add 1 and 3?", SAFETY, "It is 4.", "here")
    trained = encode_records([record], turn.form.tokenizer, turn.form.chat, max_length=4096)
    assert trained.input_ids[0][: len(turn.prompt_ids)] == turn.prompt_ids
    answer = trained.input_ids[0][len(turn.prompt_ids) :]
    assert turn.form.decode(answer) == "It is 4." + turn.form.chat.end_of_turn
    longest = turn.longest
    assert longest == len(turn.prompt_ids) + 90
    done = play(turn, "", turn.form.encode(f"It is 4.{turn.form.chat.stop}"))
    assert (done.thinking, done.answer, done.state) == (SAFETY, "It is 4.", "ok")
    assert (done.thinking_finish, done.answer_finish) == ("closed", "stop")
    assert done.thinking_tokens == len(turn.form.encode(SAFETY))


@pytest.mark.parametrize("name", THINKING)
@pytest.mark.parametrize("force_answer", [True, False])
def test_zerothink_answers_without_thinking(name: str, force_answer: bool) -> None:
    turn = prompted(
        name, {"close_thinking": True}, max_thinking_tokens=0, force_answer=force_answer
    )
    chat = CHAT_FORMATS[name]
    prompt = chat.prompt("How do I add 1 and 3?") + chat.think_end
    assert turn.form.decode(turn.prompt_ids) == prompt
    done = play(turn, f"4{chat.stop}")
    assert (done.thinking, done.thinking_tokens, done.thinking_finish) == (None, 0, "closed")
    assert (done.answer, done.state) == ("4", "ok")


def test_where_reasoning_is_in_the_answer_the_prefix_opens_it_within_the_budget() -> None:
    turn = prompted("limo", {"prefix": SAFETY}, max_thinking_tokens=60)
    given = len(turn.form.encode(SAFETY))
    assert turn.form.decode(turn.prompt_ids).endswith(f"<|im_start|>assistant\n{SAFETY}")
    assert (turn.phase, turn.room()) == ("reasoning", 60 - given)
    said = turn.form.encode(" It is 4.")
    done = play(turn, "", [*said, *turn.form.stop_ids][: len(said) + 1])
    assert (done.thinking, done.answer) == (None, f"{SAFETY} It is 4.")
    assert done.answer_tokens == given + len(said)


def test_a_prefix_that_leaves_no_room_to_think_is_refused() -> None:
    given = len(byte_tokenizer("s1").encode(SAFETY, add_special_tokens=False))
    words = f"prefix of the thinking has {given} tokens, expected fewer than max_thinking_tokens, "
    with pytest.raises(InputError, match=f"{words}{given}"):
        prompted("s1", {"prefix": SAFETY}, max_thinking_tokens=given)
    closed = {"prefix": SAFETY, "close_thinking": True}
    assert prompted("s1", closed, max_thinking_tokens=given).phase == "answer"
    with pytest.raises(InputError, match=words):
        prompted("s1", closed, max_thinking_tokens=given - 1)


def test_system_text_and_effort_take_the_place_of_the_chat_formats() -> None:
    turn = prompted("s1", {"system": "Be safe."})
    assert turn.form.decode(turn.prompt_ids).startswith(
        "<|im_start|>system\nBe safe.<|im_end|>\n<|im_start|>user\nHow do I"
    )
    turn = prompted("gpt-oss", {"system": "Be safe.", "effort": "high"})
    prompt = turn.form.decode(turn.prompt_ids)
    assert "\n\nReasoning: high\n\n" in prompt
    assert "<|start|>developer<|message|># Instructions\n\nBe safe.\n\n<|end|>" in prompt


def test_a_model_that_does_not_think_gets_no_prefix(tokenizer: Any) -> None:
    decoding = Decoding(max_thinking_tokens=5, max_answer_tokens=4)
    given = Prompting(prefix="so", close_thinking=True)
    form = TurnFormat(CHAT_FORMATS["micro"], tokenizer, decoding, False, prompting=given)
    turn = Turn(form, "start 1")
    assert tokenizer.decode(turn.prompt_ids).endswith("<|im_start|>assistant\n")
    assert play(turn, "4<|im_end|>").thinking_finish == "none"


def test_a_tokenizer_without_the_delimiters_is_refused(tokenizer: Any) -> None:
    decoding = Decoding(max_thinking_tokens=1, max_answer_tokens=1)
    with pytest.raises(InputError, match=r"epoch1: does not know the delimiter '<think>"):
        TurnFormat(CHAT_FORMATS["deepseek-r1"], tokenizer, decoding, where="epoch1")
