"""A tiny random parent model with a word-level tokenizer, and records that fit it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from workflow.scripts.common.manifest import write_manifest
from workflow.scripts.common.records import Record, write_records

WORDS = [*"0123456789", *"what is plus the answer I should not user assistant think".split()]
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|unk|>"]


def word_tokenizer(specials: list[str] = SPECIALS):
    """Return a tokenizer in which a word with the space before it, or a line break, is a token."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = [*specials, "\n", "?", "!", ".", *WORDS, *(f" {word}" for word in WORDS)]
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="<|unk|>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?\w+|\n|[^\w\s]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in specials])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<|unk|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
    )


def sums(n: int, seed: int = 0) -> list[Record]:
    """Return `n` records of one-digit sums modulo 10, of uneven lengths."""
    rng = random.Random(seed)
    records = []
    for index in range(n):
        a, b = rng.randrange(10), rng.randrange(10)
        total = (a + b) % 10
        thought = " the answer is" * rng.randrange(1, 4) + f" {total}"
        answer = f"the answer is {total}."
        records.append(Record(f"r{index}", f"what is {a} plus {b}?", thought, answer, "test"))
    return records


@pytest.fixture(scope="session")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of an untrained two-layer Qwen2 model."""
    return write_parent(tmp_path_factory.mktemp("models"), tied=True)


@pytest.fixture(scope="session")
def untied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, with an output layer of its own, as 32B models have."""
    return write_parent(tmp_path_factory.mktemp("untied"), tied=False)


def write_parent(
    models: Path, tied: bool, torch_seed: int = 0, max_shard_size: str = "5GB", **sizes: Any
) -> Path:
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    folder = models / "base" / "tiny" / "seed1"
    torch.manual_seed(torch_seed)
    tokenizer = word_tokenizer()
    values = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 256,
        "initializer_range": 0.08,
        "tie_word_embeddings": tied,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = Qwen2Config(**{**values, **sizes})
    model = Qwen2ForCausalLM(config).to(config.dtype or torch.float32)
    model.save_pretrained(folder / "final", max_shard_size=max_shard_size)
    tokenizer.save_pretrained(folder / "final")
    write_manifest(
        folder,
        ["final"],
        run="base/tiny/seed1",
        role="base",
        chat_format="micro",
        thinking=False,
        status="ok",
        status_reason=None,
        lineage={"base": None, "data": {"name": "corpus", "sha256": "0" * 64, "n": 1}},
    )
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-one records: an odd number, so that the last batch of an epoch is short."""
    path = tmp_path_factory.mktemp("data") / "records.jsonl"
    write_records(path, sums(21))
    return path
