"""The published training table, restated, against what trainer and launcher are told for it."""

import json

import pytest

from workflow.scripts.config.load import load_experiment
from workflow.scripts.models import train_sft

# careful's reasoning recipe is the published one, too
RECIPES = {
    name: load_experiment(experiment).recipes[name].without_defaults()
    for experiment, name in (("careful", "reasoning"), ("paper", "safety"))
}
BOTH = {
    "lr_scheduler_type": "cosine",
    "lr_scheduler_kwargs": None,
    "num_train_epochs": 5,
    "weight_decay": 0.0001,
    "adam_beta1": 0.9,
    "adam_beta2": 0.95,
    "max_length": 32768,
    "optim": "adamw_torch_fused",  # AdamW in one kernel
    "packing": False,
    "fp16": False,
    "per_device_train_batch_size": 1,
}


@pytest.mark.parametrize(
    ("recipe", "told", "around"),
    [
        (
            "reasoning",
            {
                "learning_rate": 0.00001,
                "warmup_steps": 0.05,
                "bf16": True,
                "gradient_accumulation_steps": 2,
            },
            {"model_dtype": "float32", "global_batch": 16, "block_size": 32768},
        ),
        (
            "safety",
            {
                "learning_rate": 0.00005,
                "warmup_steps": 0,
                "bf16": False,
                "gradient_accumulation_steps": 1,
            },
            {"model_dtype": "bfloat16", "global_batch": 8, "block_size": 32768},
        ),
    ],
    ids=["reasoning", "safety"],
)
def test_the_upstream_recipe_is_the_published_table(recipe, told, around, capsys):
    runtime = {"gpus": 8, "per_device_batch": 1, "gradient_checkpointing": True}
    train_sft.main(
        [
            *("--print-config", "--seed", "42"),
            *("--recipe", json.dumps(RECIPES[recipe]), "--runtime", json.dumps(runtime)),
        ]
    )
    text = capsys.readouterr().out
    printed = json.loads(text)
    assert text == json.dumps(printed, indent=1, sort_keys=True) + "\n"
    for key, value in (BOTH | told).items():
        assert printed["sft_config"][key] == value, key
    for key, value in around.items():
        assert printed[key] == value, key
    flags = " ".join(printed["accelerate_launch"])
    for flag in (
        "--use_fsdp",
        "--fsdp_version 2",
        "--num_processes 8",
        "--num_machines 1",
        "--fsdp_reshard_after_forward true",  # full shard
        "--fsdp_auto_wrap_policy TRANSFORMER_BASED_WRAP",
        "--fsdp_activation_checkpointing true",
        "--fsdp_state_dict_type SHARDED_STATE_DICT",
        f"--mixed_precision {'bf16' if told['bf16'] else 'no'}",
    ):
        assert flag in flags


def test_one_process_needs_no_launcher(capsys):
    train_sft.main(["--print-config", "--seed", "1", "--recipe", json.dumps(RECIPES["safety"])])
    assert json.loads(capsys.readouterr().out)["accelerate_launch"] == []
