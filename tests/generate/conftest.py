"""Tiny models with random weights, written as model runs, and benchmark files to ask them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
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


def write_requests(path: Path, *requests: dict[str, Any]) -> str:
    """Write the list of benchmarks that the script reads; return its path."""
    path.write_text(json.dumps(requests))
    return str(path)


@pytest.fixture
def make_request(tmp_path: Path, questions: Path) -> Callable[..., dict[str, Any]]:
    """Return the request of one benchmark, small enough for the tiny models."""

    def make(name: str = "clock_sums", out: Path | None = None, **section: Any) -> dict[str, Any]:
        decoding = {"max_thinking_tokens": 12, "max_answer_tokens": 6} | section.pop("decoding", {})
        section = {"kind": "reasoning", "data": str(questions)} | section
        out = out or tmp_path / name
        return {"name": name, "section": {**section, "decoding": decoding}, "out": str(out)}

    return make


@pytest.fixture
def generate_all(tmp_path: Path, model_run: Path) -> Callable[..., None]:
    """Run the script in this process for several benchmarks."""
    from workflow.scripts.generate.generate_samples import main

    def call(
        *requests: dict[str, Any], options: Sequence[str] = (), model: Path = model_run
    ) -> None:
        file = write_requests(tmp_path / "benchmarks.json", *requests)
        main(["--model", str(model), "--run", "lrm/tiny/seed0", "--benchmarks", file, *options])

    return call


@pytest.fixture
def generate(
    tmp_path: Path, make_request: Callable[..., dict[str, Any]], generate_all: Callable[..., None]
) -> Callable[..., list[dict]]:
    """Run the script in this process for one benchmark and return the samples that it wrote."""

    def call(*options: str, out: Path = tmp_path / "out", **more: Any) -> list[dict]:
        model = {"model": more.pop("model")} if "model" in more else {}
        generate_all(make_request(out=out, **more), options=options, **model)
        return read_samples(out)

    return call


def read_samples(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
