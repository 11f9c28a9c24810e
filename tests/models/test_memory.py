import json

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.experiment import Run
from workflow.scripts.models import memory
from workflow.scripts.models.fit import check_fit
from workflow.scripts.models.memory import (
    GB,
    Shape,
    check_memory,
    count_adapters,
    estimate_memory,
    guess_shape,
    read_shape,
)
from workflow.scripts.models.recipe import Lora

# Qwen2.5-32B: config.json and model card (32.5 B parameters, 64 layers, GQA 40/8, head 128)
QWEN_32B = Shape(32_763_876_352, 64, 5120, 1024, 27648, 152064, tied=False)


@pytest.mark.parametrize(
    ("precision", "bytes_each"), [("fp32", 16), ("bf16_mixed", 16), ("bf16_pure", 8)]
)
def test_training_state_takes_the_published_bytes_per_parameter(precision, bytes_each):
    # Rajbhandari et al. 2020: 2 or 4 bytes each for weight, gradient and two moments, over the GPUs
    estimate = estimate_memory(QWEN_32B, precision, 8, 32768, 1, True)
    assert estimate["state"] == pytest.approx(bytes_each * 32_763_876_352 / 8 / GB, abs=0.01)


def test_adapters_alone_have_gradients_and_moments():
    lora = Lora(r=16, alpha=32, dropout=0.0, target_modules=("q_proj", "v_proj"))
    # by hand, 64 layers: q 16 · (5120 + 5120), v 16 · (5120 + 1024)
    assert count_adapters(QWEN_32B, lora) == 64 * 16 * (10240 + 6144)
    estimate = estimate_memory(QWEN_32B, "bf16_mixed", 8, 32768, 1, True, lora)
    frozen, adapters = 4 * 32_763_876_352, 16 * 64 * 16 * 16384
    assert estimate["state"] == pytest.approx((frozen + adapters) / 8 / GB, abs=0.01)
    assert (
        estimate["total"] < 75 < estimate_memory(QWEN_32B, "bf16_mixed", 8, 32768, 1, True)["total"]
    )


@pytest.mark.slow  # imports trl
def test_the_loss_takes_trls_tile_the_targets_hidden_states_and_the_heads_gradient():
    from trl.kernels.chunked_logprob import TOKEN_CHUNK_SIZE
    from trl.trainer.utils import _CHUNKED_LOGPROB_CHUNK_SIZE

    tile = (memory.LOSS_TILE_TOKENS, memory.LOSS_TILE_WORDS)
    assert tile == (TOKEN_CHUNK_SIZE, _CHUNKED_LOGPROB_CHUNK_SIZE)
    # By hand for 32,768 tokens in bf16: tile 4096 · 32768 · 2; of each token 5120 values, twice in
    # bf16 and once in fp32; 152064 · 5120 values of the head's gradient in fp32.
    estimate = estimate_memory(QWEN_32B, "bf16_mixed", 8, 32768, 1, True)
    assert estimate["loss"] == pytest.approx(0.25 + 1.25 + 2.90, abs=0.01)
    # all logits, in bf16 and fp32, would be 27.8
    assert estimate["loss"] < 32768 * 152064 * (2 + 4) / GB / 6


def test_the_figures_of_the_docs_are_those_of_the_estimate(root):
    docs = (root / "docs/paper.md").read_text()
    for precision, tokens in (("bf16_mixed", 32768), ("bf16_pure", 32768), ("bf16_pure", 20000)):
        total = estimate_memory(QWEN_32B, precision, 8, tokens, 1, True)["total"]
        assert f"{total:.0f} GiB" in docs, (precision, tokens)


@pytest.mark.parametrize(
    "shape",
    [
        # config.json and model card: Qwen2.5-7B, Qwen2.5-32B, Llama-3.3-70B
        Shape(7_615_616_512, 28, 3584, 512, 18944, 152064, tied=False),
        QWEN_32B,
        Shape(70_553_706_496, 80, 8192, 1024, 28672, 128256, tied=False),
    ],
)
def test_a_model_that_is_not_here_is_estimated_from_its_parameters(shape):
    for tokens in (4096, 32768):
        known, guessed = (
            estimate_memory(sizes, "bf16_mixed", 8, tokens, 1, True)["total"]
            for sizes in (shape, guess_shape(shape.parameters))
        )
        assert guessed == pytest.approx(known, rel=0.15)


def test_the_published_run_fits_eight_h200_and_not_eight_a100():
    # upstream trained in pure bf16 with block 32,768 and checkpointing on 8 × 141 GB
    estimate = estimate_memory(QWEN_32B, "bf16_pure", 8, 32768, 1, True)
    check_memory(estimate, 141e9 / GB)
    mixed = estimate_memory(QWEN_32B, "bf16_mixed", 8, 32768, 1, True)
    with pytest.raises(InputError, match="expected more GPUs"):
        check_memory(mixed, 80e9 / GB)


def test_a_run_that_does_not_fit_is_named_before_it_is_submitted(parent):
    """By the size of the ready-made model that it comes from, two trainings away."""
    base = Run("base/m/hub", "base", {}, "s1")
    lrm = Run("lrm/m/seed1", "lrm", {}, "s1", parent=base.name)
    recipe = {"learning_rate": 1e-5, "epochs": 1, "global_batch": 8, "max_length": 64}
    aligned = Run("aligned/m/x/seed1", "aligned", {}, "s1", parent=lrm.name, recipe=recipe)
    runs = {run.name: run for run in (base, lrm, aligned)}
    models = parent.parent / "models"
    (models / "base/m").mkdir(parents=True)
    (models / "base/m/hub").symlink_to(parent)
    fits = {"gpu_memory_gb": 3.0, "per_device_batch": 1}
    check_fit(aligned, runs, fits, 8, 1, models, 32e9)
    tight = {**fits, "gpu_memory_gb": 1.9}
    check_fit(aligned, runs, tight, 0, 1, models, 32e9)  # on a CPU
    with pytest.raises(InputError, match=r"^aligned/m/x/seed1: training needs about 2\.\d+ GiB"):
        check_fit(aligned, runs, tight, 8, 1, models, 32e9)
    with pytest.raises(InputError, match="on 24 devices, expected a multiple"):
        check_fit(aligned, runs, fits, 8, 3, models, 32e9)
    # before it is here, by its parameters
    elsewhere = models / "elsewhere"
    check_fit(aligned, runs, fits, 8, 1, elsewhere, 50e6)
    with pytest.raises(InputError, match="guessed from 32 B parameters: base/m/hub is not here"):
        check_fit(aligned, runs, fits, 8, 1, elsewhere, 32e9)
    # a guess is let pass up to 15 % above the GPU's memory, and the message says the GPU's own
    need = estimate_memory(guess_shape(32e9), "bf16_mixed", 8, 64, 1, False)["total"]
    check_fit(aligned, runs, {**fits, "gpu_memory_gb": need / 1.14}, 8, 1, elsewhere, 32e9)
    tight = {**fits, "gpu_memory_gb": round(need / 1.16, 2)}
    with pytest.raises(InputError, match=f"gpu_memory_gb is {tight['gpu_memory_gb']}: expected"):
        check_fit(aligned, runs, tight, 8, 1, elsewhere, 32e9)


def test_checkpointing_and_more_gpus_need_less():
    base = estimate_memory(QWEN_32B, "bf16_mixed", 8, 8192, 1, True)["total"]
    assert estimate_memory(QWEN_32B, "bf16_mixed", 16, 8192, 1, True)["total"] < base
    assert estimate_memory(QWEN_32B, "bf16_mixed", 8, 8192, 1, False)["total"] > base
    assert estimate_memory(QWEN_32B, "bf16_mixed", 8, 8192, 2, True)["total"] > base


def test_sizes_are_read_from_a_checkpoint(parent):
    from safetensors.torch import load_file

    shape = read_shape(parent / "final")
    weights = load_file(parent / "final" / "model.safetensors")
    assert shape.parameters == sum(weight.numel() for weight in weights.values())
    config = json.loads((parent / "final" / "config.json").read_text())
    assert (shape.layers, shape.hidden, shape.vocab) == (2, 32, config["vocab_size"])
    assert shape.tied
