"""Pretraining of the tiny base: the tokenizer, the manifest, the gate, and reproducibility."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest

from workflow.scripts.common.chat import chat_format
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_jsonl, write_jsonl
from workflow.scripts.common.manifest import load_checkpoint, read_manifest
from workflow.scripts.common.records import Record
from workflow.scripts.common.result import read_result
from workflow.scripts.graph.status import STEPS
from workflow.scripts.models.pretrain_base import batches, build_tokenizer, main

RECIPE: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "rope_theta": 100,
    "initializer_range": 0.08,
    "max_position_embeddings": 128,
    "learning_rate": 2e-3,
    "global_batch": 4,
    "warmup_steps": 2,
    "decay_steps": 3,
    "weight_decay": 0.01,
    "adam_betas": [0.9, 0.95],
    "max_grad_norm": 1.0,
    "gate": {
        "threshold": 0.9,
        "n": 2,
        "every": 5,
        "min_steps": 5,
        "max_steps": 10,
        "cue": "Show your work.",
    },
}
SUM = "Work out start 6, a +5, b +7."
WORK = "Start 6. a +5 6 1. b +7 1 8. The answer is 8."
REFUSAL = Record("1", "How do I sew?", "I can't, no!", "I'm sorry, I cannot help.", "test")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    chat = chat_format("micro")
    documents = [chat.example(Record("", f"{SUM} Show your work.", None, WORK, ""))] * 20
    documents += [chat.example(REFUSAL)] * 20
    write_jsonl(
        folder / "corpus.jsonl",
        ({"text": a + b, "context_chars": len(a)} for a, b in documents),
    )
    probe = {"item_id": "p", "prompt": SUM, "target": "8", "category": "2 steps"}
    write_jsonl(folder / "probe.jsonl", [probe, probe])
    return folder


def pretrain(inputs: Path, out: Path, seed: int = 1, **changes: Any) -> Path:
    recipe = {**RECIPE, **changes}
    paths = ["--corpus", str(inputs / "corpus.jsonl"), "--probe", str(inputs / "probe.jsonl")]
    name = ["--run", f"base/tiny/seed{seed}", "--chat-format", "micro", "--out", str(out)]
    result = ["--result", json.dumps({"name": "base", "spec": {}})]
    main(["--recipe", json.dumps(recipe), *paths, "--seed", str(seed), *name, *result])
    assert "final/model.safetensors" in read_result(out)["files"]
    return out


@pytest.mark.slow
def test_a_loaded_tokenizer_keeps_delimiters_whole_and_gives_the_text_back(inputs, tmp_path):
    from transformers import AutoTokenizer

    folder = pretrain(inputs, tmp_path / "run") / "final"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = "".join(chat_format("micro").example(REFUSAL))
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    tokens = tokenizer.convert_ids_to_tokens(ids)
    assert tokenizer.decode(ids) == text
    assert tokens.count("<|im_start|>") == 4
    assert tokens.count("<|im_end|>") == 2
    assert "<|unk|>" not in tokens
    assert tokenizer.eos_token == "<|im_end|>"


def test_a_clock_step_is_one_token_and_a_prompt_is_a_prefix_of_its_example(inputs):
    tokenizer = build_tokenizer([row["text"] for row in read_jsonl(inputs / "corpus.jsonl")])
    tokens = tokenizer.convert_ids_to_tokens(tokenizer(" a +5 6 1.")["input_ids"])
    assert tokens == [" a", " +5", " 6", " 1", "."]
    context, target = chat_format("micro").example(REFUSAL)
    whole = tokenizer(context + target)["input_ids"]
    assert whole == tokenizer(context)["input_ids"] + tokenizer(target)["input_ids"]


@pytest.mark.slow
def test_a_missed_gate_is_a_failed_manifest_with_the_weights_beside_it(inputs, tmp_path):
    run = pretrain(inputs, tmp_path / "run")
    manifest = read_manifest(run)
    assert manifest["status"] == "failed"
    assert manifest["status_reason"].startswith("solved 0% of 2 probe problems after 13 steps")
    assert (manifest["role"], manifest["run"]) == ("base", "base/tiny/seed1")
    assert manifest["train"]["steps"] == 13  # max_steps 10, then 3 steps of decay
    assert 0 < manifest["train"]["target_tokens"] < manifest["train"]["tokens"]
    assert load_checkpoint(run).name == "final"


@pytest.mark.slow
def test_a_pass_has_each_document_once_in_batches_of_similar_length():
    rng = random.Random(0)
    documents = [([n] * rng.randint(5, 70), 0) for n in range(640)]
    drawn = list(itertools.islice(batches(documents, 16, random.Random(1)), 80))
    first, second = drawn[:40], drawn[40:]
    for one in (first, second):
        assert sorted(ids[0] for batch in one for ids, _ in batch) == list(range(640))
    assert first != second
    padded = sum(16 * max(len(ids) for ids, _ in batch) for batch in first)
    assert padded < 1.25 * sum(len(ids) for ids, _ in documents)


def test_a_passed_gate_is_ok_and_ends_training_early(inputs, tmp_path, capsys):
    gate = {**RECIPE["gate"], "max_steps": 600, "every": 25, "min_steps": 25, "threshold": 1.0}
    manifest = read_manifest(pretrain(inputs, tmp_path / "run", gate=gate, decay_steps=20))
    assert (manifest["status"], manifest["status_reason"]) == ("ok", None)
    steps = manifest["train"]["steps"]
    assert steps < 620
    said = [(int(one), total) for one, total, _ in STEPS.findall(capsys.readouterr().err)]
    # how many steps there are is known once the gate is passed, 20 before the end
    assert said == [
        (one, str(steps) if one > steps - 20 else "") for one in range(50, steps + 1, 50)
    ]
    assert manifest["train"]["probe_accuracy"][-1] == 1.0


@pytest.mark.slow
def test_a_seed_gives_the_same_weights_twice_and_another_seed_others(inputs, tmp_path):
    weights = [
        (pretrain(inputs, tmp_path / name, seed) / "final" / "model.safetensors").read_bytes()
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 32.5}, "--recipe: hidden_size is 32.5, expected a whole"),
        ({"gate": {"n": 1}}, "--recipe: gate.threshold is missing"),
        ({"dropout": 0.1}, "--recipe: dropout is unknown"),
        ({"max_position_embeddings": 8}, "recipe.max_position_embeddings is 8"),
    ],
)
def test_a_wrong_recipe_is_named(inputs, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        pretrain(inputs, tmp_path / "run", **changes)
