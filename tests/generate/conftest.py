"""Tiny models with random weights, written as model runs, and benchmark files to ask them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow.scripts.common.io import write_jsonl
from workflow.scripts.common.manifest import write_manifest

WORDS = "how do i solve the clock sum start a b c hmm so answer is".split()
QUESTIONS = [
    "how do i solve the clock sum ?",
    "start 1",
    "a b c a b c a b c start 7 ?",
    "sum",
    "the clock is 3",
    "how do i start the clock ? is a so b ?",
]


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """A word-level tokenizer that knows the delimiters of the `micro` chat format."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|unk|>"]
    plain = ["\n", "user", "assistant", "think", *WORDS, *"0123456789?:", "Final", "Answer"]
    vocabulary = {word: index for index, word in enumerate(dict.fromkeys([*specials, *plain]))}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<|unk|>"))
    pattern = Regex(r"\n|[A-Za-z]+|[0-9]|[^\sA-Za-z0-9]")
    words.pre_tokenizer = pre_tokenizers.Split(pattern, "removed", invert=True)
    words.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<|unk|>",
        additional_special_tokens=["<|im_start|>"],
    )


def write_run(
    folder: Path, tokenizer: Any, checkpoints: list[str], thinking: bool = True, **config: Any
) -> Path:
    """Write a run of random Qwen2 models, one per checkpoint; return its manifest's path."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    sizes = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 256,
        # Large weights make the logits spread, so that rounding cannot flip an argmax.
        "initializer_range": 0.5,
        "eos_token_id": None,
        "bos_token_id": None,
    }
    for seed, name in enumerate(checkpoints):
        torch.manual_seed(seed)
        model = Qwen2ForCausalLM(Qwen2Config(**{**sizes, **config}))
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    write_manifest(
        folder,
        checkpoints,
        run="lrm/tiny/seed0",
        role="lrm" if thinking else "base",
        chat_format="micro",
        thinking=thinking,
        status="ok",
    )
    return folder / "manifest.json"


@pytest.fixture(scope="session")
def model_run(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """The manifest of a thinking run with the checkpoints epoch1 and epoch2."""
    return write_run(tmp_path_factory.mktemp("run"), tokenizer, ["epoch1", "epoch2"])


@pytest.fixture(scope="session")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "questions.jsonl"
    rows = (
        {"item_id": f"q{index}", "prompt": text, "target": str(index), "category": "clock"}
        for index, text in enumerate(QUESTIONS)
    )
    write_jsonl(path, rows)
    return path


@pytest.fixture
def generate(tmp_path: Path, model_run: Path, questions: Path) -> Callable[..., list[dict]]:
    """Run the script in this process and return the samples that it wrote."""
    from workflow.scripts.generate.generate_samples import main

    def call(
        *options: str,
        model: Path = model_run,
        out: Path = tmp_path / "out",
        keep_state: bool = False,
        **section: Any,
    ) -> list[dict]:
        decoding = {"max_thinking_tokens": 12, "max_answer_tokens": 6} | section.pop("decoding", {})
        benchmark = {"kind": "reasoning", "data": str(questions)} | section
        main(
            [
                *("--model", str(model), "--run", "lrm/tiny/seed0"),
                *("--benchmark", json.dumps({**benchmark, "decoding": decoding})),
                *("--benchmark-name", "clock_sums"),
                *("--state", str(tmp_path / "state"), "--out", str(out)),
                *options,
            ]
        )
        if not keep_state:
            shutil.rmtree(tmp_path / "state")
        return [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]

    return call
