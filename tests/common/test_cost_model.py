"""The model of costs against what others found: a roofline of the 32B step, and vLLM's logs.

Expected values stand in the review of the 32B path: seconds of an epoch from a roofline that models
each step's documents, matrix products, attention and communication one by one; seconds of a start
of vLLM; milliseconds of a lone sequence's token on two H200.
"""

from __future__ import annotations

import pytest

from workflow.scripts.common.cost_model import (
    HARDWARE,
    VLLM_COMPILE_S,
    generation_parts,
    step_seconds,
    training_parts,
)

H200 = {**HARDWARE, "gpu_bandwidth_tb_s": 4.8}
SIZE = 32.8e9


def train(**changes: float) -> dict[str, float]:
    given = {"records": 1000, "tokens": 10_000, "epochs": 1, "batch": 16, "gpus": 8, **changes}
    return training_parts(H200, size=SIZE, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tokens", "batch", "seconds"),
    [(10_000, 16, 1304), (900, 8, 128), (200, 8, 78)],
    ids=["reasoning", "safechain", "directrefusal"],
)
def test_an_epoch_takes_what_the_roofline_says(tokens: int, batch: int, seconds: float) -> None:
    assert train(tokens=tokens, batch=batch)["train"] == pytest.approx(seconds, rel=0.1)


def test_short_records_wait_for_the_links_and_long_ones_compute() -> None:
    assert train(tokens=20, batch=8)["train"] == train(tokens=200, batch=8)["train"]
    twice = train(tokens=20_000)["train"] / train(tokens=10_000)["train"]
    assert twice == pytest.approx(2, rel=0.01)


def test_state_is_saved_by_time_and_takes_its_bytes() -> None:
    short = train(tokens=200, batch=8, epochs=5)  # 390 s
    assert short["save state"] == 0
    long = train()  # 1,300 s, and a save of 66 s has to pay ten times over: after 656 and 1,312 s
    assert long["save state"] == pytest.approx(2 * 12 * SIZE / 6e9)
    assert train(state_bytes=6)["save state"] == pytest.approx(2 * 6 * SIZE / 6e9)  # every 600 s
    assert train(state_bytes=0)["save state"] == 0
    assert long["save state"] < long["train"]


def test_each_kept_checkpoint_is_written_and_hashed() -> None:
    one, five = train(), train(kept=5)
    assert one["save weights"] == pytest.approx(65.6 / 1.5)
    assert five["save weights"] == pytest.approx(5 * 65.6 / 1.5)
    assert five["hash"] - one["hash"] == pytest.approx(4 * 65.6 / 8)
    assert train(careful=False)["hash"] == 0


def generate(**changes: float) -> dict[str, float]:
    given = {"samples": 500, "tokens": 2500, "budget": 10_000, "gpus": 2, "concurrent": 256}
    return generation_parts(H200, size=SIZE, **{**given, **changes})  # type: ignore[arg-type]


def test_a_start_of_vllm_takes_what_its_parts_take() -> None:
    """190 s: hash 55 on one core, load 45, compile 45, warm-up 25, imports 20."""
    parts = generate(compile_s=VLLM_COMPILE_S)
    assert parts["start"] + parts["load weights"] + 55 == pytest.approx(190, rel=0.05)


def test_a_lone_sequence_takes_13_to_15_ms_a_token_on_two_h200() -> None:
    assert 0.013 <= step_seconds(H200, SIZE, 2, 1, 5000) <= 0.015


def test_few_samples_take_as_long_as_the_longest_and_many_as_their_tokens() -> None:
    one = generate(samples=1, tokens=10_000)
    assert one["last answers"] == 0
    assert 130 <= one["generate"] <= 150  # 10,000 x 13 to 15 ms
    many, more = generate(samples=5000), generate(samples=10_000)
    assert more["generate"] == pytest.approx(2 * many["generate"])
    assert more["last answers"] == many["last answers"] > 100
