"""reasoning-gym's tasks through the graph: trained on, asked, and scored by their verifier."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.workflow.driving import Shell
from workflow.scripts.common.io import read_json, read_jsonl

pytestmark = pytest.mark.slow

SUMS = {"task": "chain_sum", "settings": {"max_terms": 3, "max_digits": 1}}
DECODING = {"max_thinking_tokens": 48, "max_answer_tokens": 12, "forced_answer": "Final Answer:"}
RECIPE = {
    "learning_rate": 1.0e-3,
    "epochs": 1,
    "global_batch": 8,
    "max_length": 512,
    "precision": "fp32",
    "checkpoints": "last",
}
EXPERIMENT = {
    "description": "Sums of reasoning-gym by a tiny model whose tokens are bytes",
    "seeds": [1],
    "data": {
        "sums": {"reasoning_gym": {**SUMS, "n": 64}},
        "words": {"reasoning_gym": {"task": "spell_backward", "n": 16}},
    },
    "bases": {"tiny": {"path": "tiny-model", "chat_format": "chatml", "parameters_b": 1.0e-4}},
    "lrms": {"tiny": {"base": "tiny", "data": ["sums", "words"], "recipe": "sft"}},
    "alignments": {
        "again": {"data": [{"set": "sums", "n": 16}], "recipe": "sft", "per_epoch": "one_run"}
    },
    "recipes": {"sft": RECIPE},
    "benchmarks": {
        "held_out": {
            "reasoning_gym": {**SUMS, "n": 8},
            "kind": "reasoning",
            "decoding": DECODING,
            "scorers": ["verifier"],
        }
    },
    "scorers": {"verifier": {"type": "reasoning_gym"}},
    "resources": {rule: {"gpu": 0} for rule in ("reasoning_sft", "safety_sft", "generate_samples")},
}


def write_model(folder: Path) -> None:
    """Write an untrained model of two layers whose tokens are bytes."""
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = {token: place for place, token in enumerate([*specials, *letters])}
    tokenizer = Tokenizer(models.BPE(tokens, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in specials])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(fast),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=1024,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)


@pytest.fixture(scope="module")
def done(project_copy, snakemake: Shell) -> Path:
    """A copy of the project in which the experiment has run."""
    pytest.importorskip("reasoning_gym", reason="needs `make smollm`")
    folder = project_copy("gym")
    write_model(folder / "tiny-model")
    (folder / "experiments/gym.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(EXPERIMENT))))
    run = snakemake(folder, "-c2", "--config", "experiment=gym")
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


def test_a_task_is_trained_on_and_scored_by_its_own_verifier(done):
    score = done / "results/gym/score/aligned/tiny/again/seed1/held_out/verifier"
    verdicts = list(read_jsonl(score / "verdicts.jsonl"))
    assert len(verdicts) == 8 and all("points" in one["metrics"] for one in verdicts)
    mixed = read_json(done / "results/gym/models/lrm/tiny/seed1/manifest.json")["lineage"]
    assert mixed["data"]["n"] == 80


def test_no_question_was_trained_on(done):
    pairs = read_json(done / "results/gym/data/overlap/overlap.json")["pairs"]
    assert {(one["train"], one["exact"]["count"]) for one in pairs} == {("sums", 0), ("words", 0)}


def test_the_report_says_where_the_questions_are_from(done):
    report = (done / "results/gym/report/tradeoff.json").read_text()
    assert "reasoning-gym's chain_sum, seed 0" in report


def test_another_seed_draws_and_trains_again_and_the_benchmark_stays(done, snakemake):
    from tests.workflow.driving import edit, planned

    edit(done, lambda e: e["data"]["words"]["reasoning_gym"].update(seed=1), "gym")
    plan = planned(snakemake(done, "-n", "--config", "experiment=gym"))
    assert plan["prepare_records"] == 1 and "prepare_benchmark" not in plan


def test_an_unknown_task_ends_in_a_line(done, snakemake):
    from tests.workflow.driving import edit

    edit(done, lambda e: e["benchmarks"]["held_out"]["reasoning_gym"].update(task="sums"), "gym")
    run = snakemake(done, "-n", "--config", "experiment=gym")
    assert run.returncode and "benchmarks.held_out.reasoning_gym: 'sums' is no task" in run.stderr
