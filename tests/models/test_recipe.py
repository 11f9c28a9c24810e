import json

import numpy as np
import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.run_id import RunId
from workflow.scripts.config.planning import Runtime, TrainingKnobs
from workflow.scripts.config.recipe import Recipe
from workflow.scripts.config.section import parse_section, read_section
from workflow.scripts.graph.runs import Run
from workflow.scripts.models.fit import check_fit
from workflow.scripts.models.recipe import (
    batch_plan,
    check_recomputation,
    sft_arguments,
    steps_per_epoch,
)

RECIPE = {"learning_rate": 1e-4, "epochs": 5, "global_batch": 16}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"learning_rat": 1}, "recipe: learning_rat is unknown; did you mean learning_rate?"),
        ({"epochs": -1}, "recipe: epochs is -1, expected at least 1"),
        ({"epochs": 1.5}, "recipe: epochs is 1.5, expected a whole number"),
        ({"epochs": True}, "recipe: epochs is True, expected a whole number"),
        ({"learning_rate": 0}, "recipe: learning_rate is 0, expected above 0"),
        ({"learning_rate": float("nan")}, "recipe: learning_rate is nan"),
        ({"schedule": "step"}, "recipe: schedule is 'step'"),
        ({"schedule": "linear", "min_lr_ratio": 0.1}, "only cosine decays to a minimum"),
        ({"warmup_ratio": 1}, "recipe: warmup_ratio is 1, expected below 1"),
        ({"adam_betas": [0.9]}, "recipe: adam_betas.1 is missing"),
        ({"adam_betas": [0.9, 1.0]}, "recipe: adam_betas.1 is 1.0, expected below 1"),
        ({"precision": "fp16"}, "recipe: precision is 'fp16'"),
        ({"packing": True}, "recipe: packing"),
        ({"checkpoints": "all"}, "recipe: checkpoints is 'all'"),
        ({"lora": {"r": 8}}, "recipe: lora.alpha is missing"),
        (
            {
                "lora": {"r": 1, "alpha": 1, "dropout": 0, "target_modules": ["q"], "merge": False},
                "gate": {"threshold": 0.5, "n": 1, "max_rounds": 1},
            },
            "recipe: lora.merge is false with a gate, expected true",
        ),
        ({"lora": {"r": 0, "alpha": 1, "dropout": 0, "target_modules": ["q"]}}, "recipe: lora.r"),
        (
            {"gate": {"threshold": 0.9, "max_rounds": 3, "n": 4, "tries": 1}},
            "recipe: gate.tries is unknown",
        ),
        (
            {"gate": {"threshold": 90, "max_rounds": 3, "n": 4}},
            "recipe: gate.threshold is 90, expected at most 1",
        ),
        ({"steps": [4, 2]}, "steps is [4, 2], expected a rising order"),
        ({"steps": []}, "recipe: steps is []"),
        (
            {"steps": [4], "gate": {"threshold": 0.9, "max_rounds": 3, "n": 4}},
            "steps with a gate, expected epochs",
        ),
        ({"gate": [1]}, "recipe: gate is [1], expected a mapping"),
    ],
)
def test_a_wrong_recipe_key_is_named(change, told):
    with pytest.raises(InputError) as error:
        parse_section(Recipe, json.dumps(RECIPE | change), "recipe")
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_recipe_key_is_named():
    with pytest.raises(InputError, match="recipe: epochs is missing"):
        parse_section(Recipe, '{"learning_rate": 1, "global_batch": 2}', "recipe")


def test_an_unknown_runtime_key_is_named():
    with pytest.raises(InputError, match="runtime: gpu is unknown; did you mean gpus"):
        parse_section(Runtime, '{"gpu": 8}', "runtime")


@pytest.mark.parametrize("per_device", [1, 2, 4, 8])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_the_global_batch_is_the_same_on_any_device_count(world, per_device):
    if 16 % (world * per_device):
        pytest.skip("does not divide")
    forward, accumulation = batch_plan(16, world, per_device)
    assert forward == per_device
    assert forward * accumulation * world == 16


@pytest.mark.parametrize(("batch", "world", "per_device"), [(16, 3, 1), (16, 4, 3), (8, 16, None)])
def test_a_batch_that_does_not_divide_is_an_input_error(batch, world, per_device):
    with pytest.raises(InputError, match="expected a"):
        batch_plan(batch, world, per_device)


def test_the_published_safety_run_has_625_steps():
    # upstream: 1,000 examples, global batch 8, 5 epochs
    assert steps_per_epoch(1000, 8) * 5 == 625


def test_schedules_become_those_of_transformers():
    def arguments(**change):
        recipe = parse_section(Recipe, json.dumps(RECIPE | change), "recipe")
        return sft_arguments(recipe, Runtime(), 1, 1, "x")

    assert arguments()["lr_scheduler_type"] == "cosine"
    assert arguments(schedule="linear")["lr_scheduler_type"] == "linear"
    assert arguments(schedule="constant")["lr_scheduler_type"] == "constant"
    warm = arguments(schedule="constant", warmup_ratio=0.1)
    assert warm["lr_scheduler_type"] == "constant_with_warmup"
    floor = arguments(min_lr_ratio=0.05)
    assert floor["lr_scheduler_type"] == "cosine_with_min_lr"
    assert floor["lr_scheduler_kwargs"] == {"min_lr_rate": 0.05}


LORA = {"r": 8, "alpha": 16, "dropout": 0.1, "target_modules": ["q_proj"]}


def test_dropout_with_recomputation_on_several_devices_is_refused(tmp_path):
    """Where accelerate's wrapper would draw another mask the second time."""
    recipe = read_section(Recipe, RECIPE | {"lora": LORA}, "recipe")
    runtime = Runtime(gpus=8, gradient_checkpointing=True)
    with pytest.raises(InputError, match=r"recipe\.lora\.dropout is 0\.1 .* on 8 devices"):
        check_recomputation(recipe, runtime, 8)
    check_recomputation(recipe, runtime, 1)
    check_recomputation(recipe, Runtime(gpus=8), 8)
    run = Run(RunId.parse("aligned/m/x/seed1"), {}, "s1", recipe=recipe)
    knobs = TrainingKnobs(gradient_checkpointing=True)
    with pytest.raises(InputError, match=r"^aligned/m/x/seed1: recipe\.lora\.dropout"):
        check_fit(run, run, tmp_path, knobs, 8, 1, 32e9)  # before the first job
    without = read_section(Recipe, RECIPE | {"lora": LORA | {"dropout": 0}}, "recipe")
    check_recomputation(without, runtime, 8)


def write_weights(folder, layers=3):
    """Write the shapes of a model, whose manifest says that it is here."""
    from safetensors.numpy import save_file

    square, line = np.zeros((2, 2), np.float32), np.zeros(2, np.float32)
    names = [f"model.layers.{n}.mlp.{name}_proj" for n in range(layers) for name in ("up", "down")]
    weights = {f"{name}.weight": square for name in (*names, "model.embed_tokens", "lm_head")}
    norms = {f"model.layers.{n}.input_layernorm.weight": line for n in range(layers)}
    (folder / "final").mkdir(parents=True)
    save_file({**weights, **norms}, folder / "final" / "model.safetensors")
    (folder / "manifest.json").write_text("{}")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target_modules": ["up_proj", "q_proj"]}, "target_modules names 'q_proj', expected some"),
        ({"target_modules": ["input_layernorm"]}, "expected some of down_proj, up_proj"),
        ({"target_modules": ["embed_tokens"]}, "expected some of down_proj, up_proj"),
        ({"layers": [1, 3]}, r"layers is \[1, 3\], expected layers from 0 to 2"),
    ],
)
def test_adapters_that_a_fetched_model_has_no_place_for_are_refused_before_any_job(
    tmp_path, changes, words
):
    write_weights(tmp_path)
    lora = LORA | {"target_modules": ["up_proj"], "layers": [1, 2]}

    def run_with(lora):
        recipe = read_section(Recipe, RECIPE | {"lora": lora}, "recipe")
        return Run(RunId.parse("aligned/m/x/seed1"), {}, "s1", recipe=recipe)

    run, wrong = run_with(lora), run_with(lora | changes)
    check_fit(run, run, tmp_path, TrainingKnobs(), 8, 1, 32e9)
    with pytest.raises(InputError, match=rf"^aligned/m/x/seed1: recipe\.lora\..*{words}"):
        check_fit(wrong, wrong, tmp_path, TrainingKnobs(), 8, 1, 32e9)


def test_what_the_trainer_is_told_on_gpus_and_on_the_cpu():
    recipe = read_section(Recipe, RECIPE, "recipe")
    gpus = sft_arguments(recipe, Runtime(gpus=8), 8, 1, "out")
    cpu = sft_arguments(recipe, Runtime(), 1, 1, "out")
    # of the two forms, only this one rounds alike on every processor
    assert (gpus["optim"], cpu["optim"]) == ("adamw_torch_fused", "adamw_torch_fused")
    # gradients stay sharded while they accumulate
    assert gpus["accelerator_config"] == {"gradient_accumulation_kwargs": {"sync_each_batch": True}}
    assert gpus["ddp_timeout"] == 7200
    assert gpus["save_strategy"] == "no"
