import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.models.launch import claim_gpus, launch_arguments
from workflow.scripts.models.recipe import Recipe, Runtime

RECIPE = Recipe(learning_rate=1e-5, epochs=1, global_batch=8)


def test_accelerate_knows_every_launch_flag():
    from accelerate.commands.launch import launch_command_parser

    flags = launch_arguments(Runtime(gpus=4, gradient_checkpointing=True), RECIPE)
    known, unknown = launch_command_parser().parse_known_args([*flags, "script.py"])
    assert unknown == []
    assert known.training_script == "script.py"
    assert (known.num_processes, known.fsdp_version, known.use_fsdp) == (4, "2", True)
    assert known.fsdp_activation_checkpointing == "true"


@pytest.mark.parametrize("gpus", [0, 1])
def test_one_process_is_not_launched(gpus):
    assert launch_arguments(Runtime(gpus=gpus), RECIPE) == []


def test_missing_gpus_are_counted_in_the_error(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(InputError, match="asks for 8 GPUs, found 0"):
        claim_gpus(8)
