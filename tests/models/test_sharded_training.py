"""FSDP2 for real, on two CPU processes over gloo: the way that a 32B model is trained."""

import json
import os
import subprocess
import sys
from functools import cache

import pytest

from tests.models.conftest import write_parent
from tests.models.test_train_sft import RECIPE, arguments, losses, train, weight_bytes
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.manifest import load_checkpoint, read_manifest
from workflow.scripts.common.records import read_records
from workflow.scripts.common.result import is_complete
from workflow.scripts.config.planning import Runtime
from workflow.scripts.config.recipe import Recipe
from workflow.scripts.config.section import read_section
from workflow.scripts.models.launch import launch_arguments
from workflow.scripts.models.order import EpochOrder
from workflow.scripts.models.sharding import process_group

KNOBS = {"gradient_checkpointing": True, "per_device_batch": 2}  # two forward passes per step
N_STEPS = 6
VOCABULARY = 20_000  # most of the weights: enough to be seen in a process's memory


@pytest.mark.parametrize(("error", "left"), [(InputError, True), (RuntimeError, False)])
def test_the_process_group_is_left_after_bad_input_and_not_after_a_crash(error, left):
    """A crash strikes one process, and leaving would wait for the others."""
    from torch import distributed

    try:
        with pytest.raises(error), process_group():
            distributed.init_process_group(
                "gloo", store=distributed.HashStore(), rank=0, world_size=1
            )
            raise error
        assert distributed.is_initialized() != left
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    """Qwen2.5-32B's architecture and proportions, four layers deep and 80 wide."""
    return write_parent(
        tmp_path_factory.mktemp("qwen"),
        tied=False,
        vocab_size=VOCABULARY,
        hidden_size=80,
        intermediate_size=432,
        num_hidden_layers=4,
        num_attention_heads=5,
        num_key_value_heads=1,
        rope_theta=1_000_000.0,
        dtype="bfloat16",
    )


@pytest.fixture(scope="module")
def on_two(data, tmp_path_factory, root, request):
    """Functions that train with FSDP2 over gloo on two processes: anew, and once for all tests."""

    def launch(precision, start, folder, **environment):
        recipe = RECIPE | {"precision": precision}
        flags = launch_arguments(Runtime(gpus=2, **KNOBS), read_section(Recipe, recipe, "recipe"))
        parent = request.getfixturevalue(start)
        knobs, made_from = json.dumps(KNOBS), json.dumps({"name": "two", "spec": {}})
        argv = arguments(parent, data, folder / "two", recipe, runtime=knobs, result=made_from)
        paths = {"PYTHONPATH": str(root), "SHARDS_TO": str(folder / "shards")}
        done = subprocess.run(
            [
                *(sys.executable, "-m", "accelerate.commands.launch", *flags),
                *(root / "tests" / "models" / "fsdp_on_cpu.py", *argv),
            ],
            cwd=root,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | paths | environment,
            timeout=240,
        )
        return done.returncode

    @cache
    def whole(precision, start):
        folder = tmp_path_factory.mktemp(precision)
        assert launch(precision, start, folder) == 0
        return folder

    return launch, whole


def notes(folder):
    return [json.loads((folder / f"shards{rank}").read_text()) for rank in (0, 1)]


# Sharded training with recomputed activations against plain training on one process, 6 steps of up
# to 3e-3: precision, parent, and how far losses and weights may lie apart. In bf16, where 2^-8 of a
# loss of 4 is 0.016, FSDP2 rounds what layers hand on, and autocast does not.
SHARDED = [
    ("fp32", "parent", 1e-5, 1e-4),
    ("bf16_mixed", "untied", 0.01, 0.02),
]


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "start", "loss_within", "weights_within"), SHARDED)
def test_two_processes_with_sharded_weights_compute_what_one_does(
    data, tmp_path, on_two, request, precision, start, loss_within, weights_within
):
    """Also where one process takes a step's examples as they come, and two balanced by length."""
    from safetensors.torch import load_file

    parent = request.getfixturevalue(start)
    whole = train(parent, data, tmp_path / "one", RECIPE | {"precision": precision})
    folder = on_two[1](precision, start)
    for note in notes(folder):
        assert note["sharded"] == note["parameters"] > 0
        assert note["local"] == note["size"] / 2
        assert note["dtypes"] == ["torch.float32"]
        assert note["computed"] == ["torch.float32" if precision == "fp32" else "torch.bfloat16"]
        assert note["recomputed"] == 2  # both layers
        assert note["group_left"]
    sharded = read_manifest(folder / "two")
    assert sharded["hardware"]["world_size"] == 2
    assert losses(sharded) == pytest.approx(losses(whole), abs=loss_within)
    for epoch in ("epoch1", "epoch2"):
        one = load_file(tmp_path / "one" / epoch / "model.safetensors")
        two = load_file(folder / "two" / epoch / "model.safetensors")
        assert one.keys() == two.keys()
        assert max((one[name] - two[name]).abs().max().item() for name in one) < weights_within


@pytest.mark.slow
def test_a_32b_jobs_life_on_two_processes(on_two, qwen, data):
    """The launcher's flags, loading, accumulation, gathering, weights and manifest."""
    folder = on_two[1]("bf16_mixed", "qwen")
    first, second = notes(folder)
    # one process reads the weights; the other's are never touched
    assert first["loaded_bytes"] > 0.9 * first["fp32_bytes"] > 10e6
    assert second["loaded_bytes"] < 0.2 * second["fp32_bytes"]
    for note in (first, second):
        assert note["recomputed"] == 4
        # after the first of a step's two forward passes, gradients are sharded, and summed in fp32
        assert note["sharded_gradients"] == note["parameters"] == note["sharded"]
        assert note["finer_than_bf16"]
        assert note["output_type"] == "None"
        assert note["group_left"]
        assert note["saves"] == []  # seconds of training are not worth a save
    manifest = read_manifest(folder / "two")
    assert manifest["train"]["steps"] == N_STEPS
    assert manifest["train"]["attention"] == "sdpa"
    assert list(manifest["checkpoints"]) == ["epoch1", "epoch2"]
    final = load_checkpoint(folder / "two")
    assert {path.name for path in final.iterdir()} == {
        path.name for path in (qwen / "final").iterdir()
    }
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(final)
    assert str(model.dtype) == "torch.bfloat16"
    assert model.config.vocab_size == VOCABULARY


@pytest.mark.slow
def test_each_step_has_the_same_examples_on_two_processes_balanced_by_length(on_two, data, parent):
    from tests.models.conftest import word_tokenizer
    from workflow.scripts.common.chat import CHAT_FORMATS
    from workflow.scripts.models.encode import encode_records

    folder = on_two[1]("bf16_mixed", "qwen")
    encoded = encode_records(read_records(data), word_tokenizer(), CHAT_FORMATS["micro"], 256)
    rows = [*encoded.input_ids, [word_tokenizer().pad_token_id] * 2]
    order = list(EpochOrder(list(map(len, encoded.input_ids)), 8, seed=1))
    first, second = (note["batches"] for note in notes(folder))
    for step in range(3):
        ours = [*first[2 * step : 2 * step + 2], *second[2 * step : 2 * step + 2]]
        expected = sorted(rows[index] for index in order[8 * step : 8 * step + 8])
        assert sorted(row for batch in ours for row in batch) == expected
        # whatever is computed at the same time is as long as all that comes later, or longer
        shortest = min(len(row) for batch in (ours[0], ours[2]) for row in batch)
        assert shortest >= max(len(row) for batch in (ours[1], ours[3]) for row in batch)


@pytest.mark.slow
def test_two_processes_killed_after_a_saved_state_go_on_to_the_same_bytes(tmp_path, on_two):
    """With SIGKILL, at the end of step 5, in the middle of the second epoch."""
    launch, whole = on_two
    assert launch("bf16_mixed", "qwen", tmp_path, SAVE_S="0", DIE_AFTER="5") != 0
    assert not is_complete(tmp_path / "two")
    (state,) = tmp_path.glob("two/state/*/round1/checkpoint-*")
    assert len(list(state.glob("pytorch_model_fsdp_0/*.distcp"))) == 2  # each process wrote
    assert len(list(state.glob("optimizer_0/*.distcp"))) == 2
    assert launch("bf16_mixed", "qwen", tmp_path) == 0
    assert is_complete(tmp_path / "two") and not (tmp_path / "two" / "state").exists()
    other = whole("bf16_mixed", "qwen")
    resumed, uninterrupted = read_manifest(tmp_path / "two"), read_manifest(other / "two")
    assert resumed["train"]["resumed_at_step"] == 4
    assert losses(resumed) == losses(uninterrupted)
    assert weight_bytes(tmp_path / "two") == weight_bytes(other / "two")
