"""Estimates: scaled measurements where there are any, else arithmetic on the hardware."""

from __future__ import annotations

import pytest

from workflow.scripts.common.cost_model import JUDGE_START_S
from workflow.scripts.graph.estimate import Cost, Estimator
from workflow.scripts.graph.plan import Starts, make_plan

BASE = "models/base/tiny/seed1"
LRM = "models/lrm/tiny/seed1"
MODEL = "models/aligned/tiny/safechain/seed1"
SAMPLES = "generate/aligned/tiny/safechain/seed1/benign"


def cost_of(project, name: str) -> Cost:
    """Return what a job costs that makes this result alone."""
    graph = project.read()
    return Estimator(graph).cost(graph.job_of[name], [graph.results[name]])


def test_a_measured_training_is_scaled_by_its_epochs(project):
    project.finish(seconds=10)
    assert cost_of(project, MODEL).seconds == pytest.approx(10)
    project.finish(
        MODEL,
        seconds=10,
        recipe={"epochs": 2, "global_batch": 8},
        train={"tokens": 6400, "rounds": 1},
        lineage={"data": {"name": "safechain", "n": 32}},
    )
    project.edit(lambda e: e["recipes"]["safety"].update(epochs=6))
    cost = cost_of(project, MODEL)
    assert (cost.seconds, cost.sources) == (pytest.approx(30), {"measured": 1})


def finish_samples(project, **more) -> None:
    """Complete 8 items at 2 checkpoints with a budget of 24 tokens, after 10 seconds."""
    project.finish(
        SAMPLES,
        seconds=10,
        n_items=8,
        repeats=1,
        checkpoints=["epoch1", "epoch2"],
        benchmark="benign",
        decoding={"max_thinking_tokens": 16, "max_answer_tokens": 8},
        **more,
    )


def test_measured_samples_are_scaled_by_items_and_token_budget(project):
    finish_samples(project)
    # twice the repeats, twice the budget
    project.edit(lambda e: e["benchmarks"]["benign"].update(repeats=2))
    project.edit(lambda e: e["benchmarks"]["benign"]["decoding"].update(temperature=1))
    project.edit(lambda e: e["benchmarks"]["benign"]["decoding"].update(max_answer_tokens=32))
    assert cost_of(project, SAMPLES).parts["measured"] == pytest.approx(40)


def test_the_load_of_an_engine_is_no_part_of_what_a_benchmark_takes(project):
    finish_samples(project, throughput={"load_s": 4.0})
    assert cost_of(project, SAMPLES).parts["measured"] == pytest.approx(6)


def test_another_run_on_the_same_benchmark_tells_more_than_another_benchmark(project):
    for seconds, benchmark in ((5, "benign"), (50, "harmful")):
        project.finish(f"generate/base/tiny/seed1/{benchmark}", seconds=seconds)
    # one checkpoint measured, two to evaluate
    assert cost_of(project, SAMPLES).parts["measured"] == pytest.approx(10)


def test_a_job_of_several_results_starts_once(project):
    graph = project.read()
    job = graph.job_of[SAMPLES]
    assert len(job.results) == 3
    estimator = Estimator(graph)
    alone = [estimator.cost(job, [result]) for result in job.results]
    together = estimator.cost(job)
    start = estimator.hardware["start_s"]
    assert together.parts["start"] == start
    assert together.seconds == pytest.approx(sum(one.seconds for one in alone) - 2 * start)
    # measured ones, too
    project.finish("generate/base/tiny/seed1/benign", seconds=5)
    cost = Estimator(project.read()).cost(job)
    assert cost.parts["start"] == start and cost.sources["measured"] == 3


def test_a_judge_is_loaded_once_for_many_runs(project):
    def change(e):
        e["scorers"]["ngram"] = {
            "type": "hf_classifier",
            "model": {"hub": "lab/guard", "revision": "0" * 40},
        }

    project.edit(change)
    graph = project.read()
    job = graph.job_of["score/base/tiny/seed1/harmful/ngram"]
    # base, LRM and two aligned models, these at two checkpoints, of 14 items
    assert len(job.results) == 4
    estimator = Estimator(graph)
    cost = estimator.cost(job)
    assert (cost.gpu, cost.parts["start"]) == (1, JUDGE_START_S)
    assert cost.parts["load weights"] == pytest.approx(2 * 7e9 / 1.5e9)
    flop = 2 * 7e9 * 1000 * 14 * 6
    assert cost.parts["judge"] == pytest.approx(flop / (989e12 * 0.25))
    assert make_plan(graph).starts == Starts(engines=4, judges=1)


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
    cost = cost_of(project, MODEL)
    assert cost.sources == {"model": 1}
    assert cost.gpu == 8
    compute = 8 * 7e9 * 1000 * 2000 * 2 / (8 * 1000e12 * 0.4)  # 70 s
    update = 250 * 100 * 7e9 / 8 / 5e12  # 250 steps
    assert cost.parts["train"] == pytest.approx(compute + update)
    # 60 s to start; 14 GB read and twice written at 1.5 GB/s; all three hashed at 8 GB/s
    rest = 60 + 3 * 14 / 1.5 + 3 * 14 / 8
    assert cost.seconds == pytest.approx(compute + update + rest)
    assert cost.disk_gb == pytest.approx(2 * 2 * 7)  # two epochs, two bytes


def test_an_attack_costs_its_steps_and_the_weights_that_it_keeps(project):
    """12 steps of 8 records of at most 2000 tokens of a 7B model; weights after 4 and 12 steps."""

    def change(e):
        e["lrms"]["tiny"]["parameters_b"] = 7
        fields = {"prompt": "q", "answer": "a"}
        e["data"]["rows"] = {"prepare": {"source": {"path": "none.jsonl"}, "fields": fields}}
        attack = {"max_length": 2000, "precision": "bf16_mixed", "global_batch": 8}
        e["recipes"]["attack"] = {**e["recipes"]["safety"], **attack, "steps": [4, 12]}
        e["durability"] = {"undo": {"data": "rows", "recipe": "attack"}}
        e["hardware"] = {"gpu_tflops": 1000, "training_utilisation": 0.4, "gpu_bandwidth_tb_s": 5}

    project.edit(change)
    (project.root / "none.jsonl").write_text("{}\n" * 1001)
    cost = cost_of(project, "models/attacked/tiny/safechain/undo/seed1")
    compute = 8 * 7e9 * 12 * 8 * 2000 / (8 * 1000e12 * 0.4)
    update = 12 * 100 * 7e9 / 8 / 5e12
    assert cost.parts["train"] == pytest.approx(compute + update)
    assert cost.parts["save weights"] == pytest.approx(2 * 14 / 1.5)
    assert cost.disk_gb == pytest.approx(2 * 2 * 7)
    plan = make_plan(project.read())
    assert plan.rules["attack_sft"].missing == 2  # alignments
    # by default over-refusal is not measured: no samples of the benign benchmark
    samples = [r.name for r in plan.results if r.name.startswith("generate/attacked/")]
    assert {name.rpartition("/")[2] for name in samples} == {"clock_sums", "harmful"}


def test_primers_cost_their_few_tokens_and_kept_adapters_their_few_bytes(project):
    """A 7B model: 1000 prompts with 5 words of a primer, and 500 whole records of 2000 tokens."""

    def change(e):
        e["lrms"]["tiny"]["parameters_b"] = 7
        fields = {"prompt": "q", "answer": "a"}
        for name, rows in (("safechain", 1000), ("directrefusal", 500)):
            source = {"path": f"{rows}.jsonl"}
            e["data"][name] = {"prepare": {"source": source, "fields": fields}}
        lora = {"r": 1, "alpha": 1, "dropout": 0, "target_modules": ["up_proj"], "merge": False}
        e["recipes"]["safety"] |= {"max_length": 2000, "global_batch": 8, "lora": lora}
        e["alignments"]["safechain"] |= {"method": "safepath", "retain": "directrefusal"}
        e["hardware"] = {"gpu_tflops": 1000, "training_utilisation": 0.4, "gpu_bandwidth_tb_s": 5}

    project.edit(change)
    for rows in (1000, 500):
        (project.root / f"{rows}.jsonl").write_text("{}\n" * rows)
    cost = cost_of(project, MODEL)
    steps = 2 * 188  # 1500 records, 8 a step
    tokens = steps * 8 * (1000 * (200 + 5) + 500 * 2000) / 1500
    update = steps * 100 * 7e9 / 8 / 5e12
    assert cost.parts["train"] == pytest.approx(8 * 7e9 * tokens / (8 * 1000e12 * 0.4) + update)
    # 38 layers (64 for 32.8B, scaled by the cube root), 3058 + 16515 wide; two epochs, 4 bytes
    assert cost.disk_gb == pytest.approx(2 * 4 * 38 * (3058 + 16515) / 1e9, rel=0.01)


def test_a_local_benchmark_is_planned_with_the_rows_that_it_has(project):
    def change(e):
        prepare = {"source": {"path": "mine.csv"}, "fields": {"prompt": "q"}}
        e["benchmarks"]["benign"] |= {"prepare": prepare}
        del e["benchmarks"]["benign"]["generated"]

    (project.root / "mine.csv").write_text("q,kind\n" + "why?,a\nhow?,b\n" * 10)
    project.edit(change)

    def items() -> int:
        return Estimator(project.read()).items("benign")

    assert items() == 20
    graph = project.read()
    assert Estimator(graph).samples(graph.results[SAMPLES]) == 40  # two checkpoints
    project.edit(lambda e: e["benchmarks"]["benign"]["prepare"].update(where={"kind": "a"}))
    assert items() == 10
    project.edit(lambda e: e["benchmarks"]["benign"].update(n=50))
    assert items() == 10
    project.edit(lambda e: e["benchmarks"]["benign"].update(n=4))
    assert items() == 4


def test_samples_tell_the_items_of_their_own_benchmark(project):
    def items() -> int:
        return Estimator(project.read()).items("benign")

    def change(e):
        source = {"hub": "walledai/XSTest", "split": "test"}
        rows = {"source": source, "fields": {"prompt": "prompt"}, "first": 12}
        e["benchmarks"]["benign"]["prepare"] = rows
        del e["benchmarks"]["benign"]["generated"]

    project.edit(change)
    finish_samples(project)
    assert items() == 8  # items may have been dropped
    project.edit(lambda e: e["benchmarks"]["benign"]["prepare"].update(first=30))
    assert items() == 30


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
    # 14 items; 1000 tokens of rubric and prompt and 4 of the answer read, 10 written
    each = 14 * (1004 * 10e-6 + 10 * 100e-6)
    graph = project.read()
    job = graph.job_of["score/base/tiny/seed1/harmful/ngram"]
    assert cost_of(project, "score/base/tiny/seed1/harmful/ngram").usd == pytest.approx(each)
    # base, LRM and two aligned models, these at two checkpoints
    assert Estimator(graph).cost(job).usd == pytest.approx(6 * each)
    llm["max_usd"] = 0.01
    project.edit(change)
    graph = project.read()
    assert Estimator(graph).cost(graph.job_of["score/base/tiny/seed1/harmful/ngram"]).usd == 0.01


def test_the_plan_says_where_each_estimate_comes_from(project):
    project.finish(BASE, LRM, "models/aligned/tiny/directrefusal/seed1", seconds=3)
    rules = make_plan(project.read()).rules
    assert rules["safety_sft"].sources == {"measured": 1}
    assert rules["generate_samples"].sources == {"model": 12}


def test_what_was_spent_is_what_the_finished_results_say(project):
    project.finish(seconds=7200)
    plan = make_plan(project.read())
    assert plan.spent.job_hours == pytest.approx(2 * len(plan.results))
