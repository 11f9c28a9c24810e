import pytest

from tests.models.conftest import sums, word_tokenizer
from workflow.scripts.common.chat import CHAT_FORMATS
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.records import Record
from workflow.scripts.config.decoding import Decoding
from workflow.scripts.generate.turns import TurnFormat
from workflow.scripts.models.encode import encode_records
from workflow.scripts.models.primers import make_primers

MICRO, S1 = CHAT_FORMATS["micro"], CHAT_FORMATS["s1"]
DECODING = Decoding(max_thinking_tokens=9, max_answer_tokens=9)
RECORD = Record("a", "what is 1?", " I should not!", "the answer is 1.", "test")


def subword_tokenizer():
    """Byte-level BPE with Qwen's split, in which line breaks merge with each other."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    split = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(split), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    text = (
        "You are Qwen, a helpful assistant.\n\nwhat is the answer?\n\nI think.\n user\n think\n\nI"
    )
    tokenizer.train_from_iterator([text] * 20, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )


def test_the_loss_falls_on_the_assistants_turn_token_by_token():
    tokenizer = word_tokenizer()
    encoded = encode_records([RECORD], tokenizer, MICRO, 256)
    ids, labels = encoded.input_ids[0], encoded.labels[0]
    tokens = tokenizer.convert_ids_to_tokens(ids)
    context = ["<|im_start|>", "user", "\n", "what", " is", " 1", "?", "<|im_end|>", "\n"]
    context += ["<|im_start|>", "assistant", "\n"]
    target = ["<|im_start|>", "think", "\n", " I", " should", " not", "!", "\n"]
    target += ["<|im_start|>", "answer", "\n", "the", " answer", " is", " 1", ".", "<|im_end|>"]
    assert tokens == context + target
    assert labels == [-100] * 12 + ids[12:]
    assert encoded.target_tokens == len(target)


@pytest.mark.parametrize("chat", [MICRO, S1], ids=["micro", "s1"])
@pytest.mark.parametrize("opening", ["I think.", " I think.", "\nI think.", "\n\nI think."])
@pytest.mark.parametrize("newline", [True, False])
def test_training_starts_with_the_ids_that_generation_starts_from(chat, opening, newline):
    tokenizer = subword_tokenizer()
    record = Record("a", "what is the answer?", opening, "the answer.", "test")
    encoded = encode_records([record], tokenizer, chat, 4096, newline_before_answer=newline)
    prompt = tokenizer(chat.prompt(record.prompt), add_special_tokens=False)["input_ids"]
    assert encoded.input_ids[0][: len(prompt)] == prompt
    context, target = chat.example(record, newline)
    assert tokenizer.decode(encoded.input_ids[0]) == context + target
    trained = [label for label in encoded.labels[0] if label != -100]
    assert tokenizer.decode(trained) == target


def test_the_subword_tokenizer_would_merge_the_opener_otherwise():
    """What the test above rests on: tokenised in one piece, the prefix differs."""
    tokenizer = subword_tokenizer()
    record = Record("a", "what is the answer?", "\nI think.", "the answer.", "test")
    prompt = tokenizer(S1.prompt(record.prompt))["input_ids"]
    assert tokenizer("".join(S1.example(record)))["input_ids"][: len(prompt)] != prompt


def test_a_record_without_thinking_is_trained_on_its_answer():
    tokenizer = word_tokenizer()
    record = Record("a", "what is 1?", None, "the answer.", "test")
    encoded = encode_records([record], tokenizer, MICRO, 256)
    trained = [label for label in encoded.labels[0] if label != -100]
    assert tokenizer.decode(trained) == "the answer.<|im_end|>"


def test_records_longer_than_the_block_lose_their_end_and_are_counted():
    tokenizer = word_tokenizer()
    whole = encode_records(sums(10), tokenizer, MICRO, 256)
    block = sorted(map(len, whole.input_ids))[4]
    cut = encode_records(sums(10), tokenizer, MICRO, block)
    assert cut.n_truncated == sum(len(ids) > block for ids in whole.input_ids)
    assert [ids[:block] for ids in whole.input_ids] == cut.input_ids
    assert [labels[:block] for labels in whole.labels] == cut.labels


def test_a_question_that_fills_the_block_is_an_input_error():
    with pytest.raises(InputError, match="'a': its question has 12 tokens"):
        encode_records([RECORD], word_tokenizer(), MICRO, 12)


def test_delimiters_of_another_family_are_plain_text_where_that_is_asked_for():
    """As upstream trains DeepSeek, whose tokenizer does not know ChatML, on ChatML."""
    tokenizer = subword_tokenizer()
    chat = CHAT_FORMATS["deepseek-r1"]
    with pytest.raises(InputError, match="splits the chat format's delimiter"):
        encode_records([RECORD], tokenizer, chat, 4096)
    encoded = encode_records([RECORD], tokenizer, chat, 4096, foreign=True)
    context, target = chat.example(RECORD)
    assert tokenizer.decode(encoded.input_ids[0]) == context + target
    trained = [label for label in encoded.labels[0] if label != -100]
    assert tokenizer.decode(trained) == target


def test_a_tokenizer_without_the_delimiters_is_an_input_error():
    tokenizer = word_tokenizer(["<|endoftext|>", "<|im_end|>", "<|unk|>"])
    with pytest.raises(InputError, match=r"delimiter '<\|im_start\|>'"):
        encode_records([RECORD], tokenizer, MICRO, 256)


def test_the_loss_on_a_primer_falls_on_its_tokens_alone_and_nothing_ends_it():
    """Six tokens behind those that generation starts from; records beside it keep their loss."""
    tokenizer = word_tokenizer()
    primers = make_primers([RECORD], "I think the answer is not")
    encoded = encode_records([*primers, RECORD], tokenizer, MICRO, 256)
    ids, labels = encoded.input_ids[0], encoded.labels[0]
    given = ["<|im_start|>", "user", "\n", "what", " is", " 1", "?", "<|im_end|>", "\n"]
    given += ["<|im_start|>", "assistant", "\n", "<|im_start|>", "think", "\n"]
    primer = ["I", " think", " the", " answer", " is", " not"]
    assert tokenizer.convert_ids_to_tokens(ids) == given + primer
    assert labels == [-100] * len(given) + ids[-6:]
    whole = encode_records([RECORD], tokenizer, MICRO, 256)
    assert (encoded.input_ids[1], encoded.labels[1]) == (whole.input_ids[0], whole.labels[0])
    assert encoded.target_tokens == 6 + whole.target_tokens


@pytest.mark.parametrize("name", ["micro", "s1", "limo"])
def test_a_primer_begins_where_generation_starts_in_every_family(name):
    """Also in one that has no thinking of its own."""
    chat, tokenizer = CHAT_FORMATS[name], subword_tokenizer()
    (ids,) = encode_records(make_primers([RECORD], "I think."), tokenizer, chat, 900).input_ids
    prompt = TurnFormat(chat, tokenizer, DECODING, thinks=True).prompt_ids(RECORD.prompt)
    assert ids[: len(prompt)] == prompt
    assert tokenizer.decode(ids[len(prompt) :]) == "I think."
