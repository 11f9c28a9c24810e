"""Estimates: scaled measurements where there are any, else arithmetic on the hardware."""

from __future__ import annotations

import pytest

from workflow.scripts.common.io import write_json
from workflow.scripts.plan.estimate import Estimator
from workflow.scripts.plan.make_plan import make_plan

MODEL = "models/aligned/tiny/safechain/seed1/manifest.json"
SAMPLES = "generate/aligned/tiny/safechain/seed1/benign/manifest.json"


def test_a_measured_training_is_scaled_by_its_epochs(project):
    project.finish(seconds=10)
    assert Estimator(project.read()).cost(MODEL).seconds == pytest.approx(10)
    manifest = {
        "recipe": {"epochs": 2},
        "train": {"tokens": 6400, "rounds": 1},
        "lineage": {"data": {"name": "safechain", "n": 32}},
        "checkpoints": {},
    }
    write_json(project.folder / MODEL, manifest)
    project.finish(MODEL)
    project.edit(lambda e: e["recipes"]["safety"].update(epochs=6))
    cost = Estimator(project.read()).cost(MODEL)
    assert (cost.seconds, cost.source) == (pytest.approx(30), "measured")


def test_measured_samples_are_scaled_by_items_and_token_budget(project):
    manifest = {
        "n_items": 8,
        "repeats": 1,
        "checkpoints": ["epoch1", "epoch2"],
        "benchmark": "benign",
        "decoding": {"max_thinking_tokens": 16, "max_answer_tokens": 8},
    }
    write_json(project.folder / SAMPLES, manifest)
    project.finish(SAMPLES, seconds=10)
    # twice the repeats, twice the budget
    project.edit(lambda e: e["benchmarks"]["benign"].update(repeats=2))
    project.edit(lambda e: e["benchmarks"]["benign"]["decoding"].update(temperature=1))
    project.edit(lambda e: e["benchmarks"]["benign"]["decoding"].update(max_answer_tokens=32))
    assert Estimator(project.read()).cost(SAMPLES).seconds == pytest.approx(40)


def test_another_run_on_the_same_benchmark_tells_more_than_another_benchmark(project):
    for seconds, benchmark in ((5, "benign"), (50, "harmful")):
        project.finish(f"generate/base/tiny/seed1/{benchmark}/manifest.json", seconds=seconds)
    # one checkpoint measured, two to evaluate
    assert Estimator(project.read()).cost(SAMPLES).seconds == pytest.approx(10)


def test_a_new_experiment_is_estimated_from_the_hardware(project):
    """A 7B model, 1000 records of at most 2000 tokens, 2 epochs, 8 GPUs of 1000 TFLOP/s at 40 %."""

    def change(e):
        e["lrms"]["tiny"]["parameters_b"] = 7
        fields = {"prompt": "q", "answer": "a"}
        e["data"]["safechain"] = {"prepare": {"source": {"path": "none.jsonl"}, "fields": fields}}
        e["recipes"]["safety"] |= {"max_length": 2000, "precision": "bf16_mixed", "global_batch": 8}
        e["hardware"] = {"gpu_tflops": 1000, "training_utilisation": 0.4, "gpu_bandwidth_tb_s": 5}

    project.edit(change)
    (project.root / "none.jsonl").write_text("{}\n" * 1000)
    cost = Estimator(project.read()).cost(MODEL)
    assert cost.source == "model"
    assert cost.gpu == 8
    compute = 8 * 7e9 * 1000 * 2000 * 2 / (8 * 1000e12 * 0.4)  # 70 s
    update = 250 * 100 * 7e9 / 8 / 5e12  # 250 steps
    assert cost.parts["train"] == pytest.approx(compute + update)
    # 60 s to start; 14 GB read and twice written at 1.5 GB/s; all three hashed at 8 GB/s
    rest = 60 + 3 * 14 / 1.5 + 3 * 14 / 8
    assert cost.seconds == pytest.approx(compute + update + rest)
    assert cost.disk_gb == pytest.approx(2 * 2 * 7)  # two epochs, two bytes


def test_a_local_benchmark_is_planned_with_the_rows_that_it_has(project):
    def change(e):
        prepare = {"source": {"path": "mine.csv"}, "fields": {"prompt": "q"}}
        e["benchmarks"]["benign"] |= {"prepare": prepare}
        del e["benchmarks"]["benign"]["generated"]

    project.edit(change)
    (project.root / "mine.csv").write_text("q,kind\n" + "why?,a\nhow?,b\n" * 10)
    assert Estimator(project.read()).items("benign") == 20
    assert Estimator(project.read()).samples(SAMPLES) == 40  # two checkpoints
    project.edit(lambda e: e["benchmarks"]["benign"]["prepare"].update(where={"kind": "a"}))
    assert Estimator(project.read()).items("benign") == 10
    project.edit(lambda e: e["benchmarks"]["benign"].update(n=50))
    assert Estimator(project.read()).items("benign") == 10
    project.edit(lambda e: e["benchmarks"]["benign"].update(n=4))
    assert Estimator(project.read()).items("benign") == 4


def test_an_api_judge_costs_what_its_prices_say_and_no_more_than_its_cap(project):
    llm = {
        "base_url": "http://127.0.0.1:9/v1",
        "model": "judge-2026-01-01",
        "max_requests": 1000,
        "usd_per_million_input": 10,
        "usd_per_million_output": 100,
        "max_reply_tokens": 20,
    }

    def change(e):
        e["scorers"]["ngram"] = {"type": "llm_judge", "rubric": "strongreject", "llm": llm}
        e["hardware"] = {"budget_share": 0.5}

    project.edit(change)
    path = "score/base/tiny/seed1/harmful/ngram/score.json"
    # 14 items; 1000 tokens of rubric and prompt and 4 of the answer read, 10 written
    expected = 14 * (1004 * 10e-6 + 10 * 100e-6)
    assert Estimator(project.read()).cost(path).usd == pytest.approx(expected)
    llm["max_usd"] = 0.01
    project.edit(change)
    assert Estimator(project.read()).cost(path).usd == 0.01


def test_the_plan_says_where_each_estimate_comes_from(project):
    project.finish("data/micro/manifest.json", seconds=3)
    (project.folder / "data/micro/manifest.json").unlink()
    rules = make_plan(project.read())["rules"]
    assert rules["make_micro_data"]["sources"] == {"measured": 1}
    assert rules["safety_sft"]["sources"] == {"model": 2}
