"""The method `prompt`: an LRM with other prompts, of which no model is made."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.load import check_experiment
from workflow.scripts.graph.jobs import Graph
from workflow.scripts.graph.report_inputs import report_inputs
from workflow.scripts.graph.results import list_keys, list_results
from workflow.scripts.graph.runs import list_runs

SAFETY = "Let's think about safety first."
TOLD = {
    "zerothink": {"method": "prompt", "close_thinking": True},
    "safepath": {"method": "prompt", "prefix": SAFETY},
}


@pytest.fixture(scope="module")
def experiment(root):
    return yaml.safe_load((root / "tests/experiments/tiny.yaml").read_text())


def with_prompts(experiment: dict[str, Any], **entries: Any) -> dict[str, Any]:
    changed = copy.deepcopy(experiment)
    changed["alignments"] |= entries or TOLD
    return changed


def graph_of(experiment: dict[str, Any], root: Any) -> Graph:
    checked = check_experiment(experiment, "mine.yaml")
    results = list_results(checked, "it")
    keys = list_keys(results, root)
    return Graph("it", root, checked, list_runs(checked), results, keys, {}, ("report/it",))


def test_other_prompts_make_no_model_and_leave_all_that_there_was(experiment, root):
    before, after = graph_of(experiment, root), graph_of(with_prompts(experiment), root)
    new = set(after.results) - set(before.results)
    assert {name.split("/")[0] for name in new} == {"generate", "score"}
    assert {name.split("/")[3] for name in new} == set(TOLD)
    assert {name for name in before.keys if before.keys[name] != after.keys[name]} == {"report/it"}
    for name in new:
        if name.startswith("generate/"):
            assert after.results[name].inputs["model"] == ("models/lrm/tiny/seed1",)


def test_their_samples_are_made_by_the_engine_start_of_the_lrm(experiment, root):
    graph = graph_of(with_prompts(experiment), root)
    jobs = [job for job in graph.jobs.values() if job.rule == "generate_samples"]
    assert len(jobs) == 4  # base, LRM, two trained alignments
    made = {result.run.name for result in graph.job_of["generate/lrm/tiny/seed1/benign"].results}
    assert made == {"lrm/tiny/seed1", *(f"aligned/tiny/{name}/seed1" for name in TOLD)}


def test_the_report_reads_the_lrms_model(experiment, root):
    graph = graph_of(with_prompts(experiment), root)
    models = report_inputs(graph).models
    assert models["aligned/tiny/zerothink/seed1"] == models["lrm/tiny/seed1"]


def test_a_ready_made_lrm_with_other_prompts_is_one_run_whatever_the_seeds(experiment):
    changed = with_prompts(experiment)
    changed["seeds"] = [1, 2]
    changed["lrms"]["ready"] = {"path": "envs", "chat_format": "s1", "parameters_b": 1}
    runs = list_runs(check_experiment(changed, "mine.yaml"))
    told = [name for name in runs if "/zerothink/" in name]
    assert told == [
        *(f"aligned/tiny/zerothink/seed{seed}" for seed in (1, 2)),
        "aligned/ready/zerothink/hub",
    ]
    trained = [name for name in runs if name.startswith("aligned/ready/directrefusal")]
    assert len(trained) == 2


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({}, "{key} changes nothing, expected some of prefix, close_thinking, system, effort"),
        ({"effort": "low"}, "{key}.effort is 'low': the chat format micro of lrms.tiny knows none"),
        ({"prefix": "so <|im_end|>"}, "{key}.prefix holds '<|im_end|>', a delimiter of the chat f"),
        ({"system": "<|im_start|>"}, "{key}.system holds '<|im_start|>', a delimiter of the chat "),
        ({"prefix": 3}, "{key}.prefix is 3, expected a string"),
        ({"data": "safechain"}, "{key}.data is unknown; expected some of"),
        ({"lrms": ["none"]}, "{key}.lrms: 'none' is no entry of lrms"),
    ],
)
def test_prompts_that_cannot_be_written_are_refused_before_any_job(experiment, entry, words):
    changed = with_prompts(experiment, told={"method": "prompt", **entry})
    with pytest.raises(InputError) as error:
        check_experiment(changed, "mine.yaml")
    assert str(error.value).startswith(f"mine.yaml: {words.format(key='alignments.told')}")


@pytest.mark.parametrize(
    ("chat", "entry", "words"),
    [
        ("limo", {"close_thinking": True}, "alignments.told.close_thinking: the chat format limo "),
        ("gpt-oss", {"effort": "most"}, "alignments.told.effort is 'most': the chat format gpt-os"),
    ],
)
def test_what_a_chat_format_cannot_say_is_refused(experiment, chat, entry, words):
    changed = with_prompts(experiment, told={"method": "prompt", "lrms": ["ready"], **entry})
    changed["lrms"]["ready"] = {"path": "envs", "chat_format": chat, "parameters_b": 1}
    with pytest.raises(InputError) as error:
        check_experiment(changed, "mine.yaml")
    assert str(error.value).startswith(f"mine.yaml: {words}")
    changed["alignments"]["told"] = {"method": "prompt", "lrms": ["ready"], "prefix": SAFETY}
    check_experiment(changed, "mine.yaml")


def test_a_prefix_needs_a_budget_to_think(experiment):
    changed = with_prompts(experiment)
    changed["benchmarks"]["benign"]["decoding"] = {"max_thinking_tokens": 0, "max_answer_tokens": 8}
    with pytest.raises(InputError) as error:
        check_experiment(changed, "mine.yaml")
    assert str(error.value) == (
        "mine.yaml: alignments.safepath.prefix counts as thinking, but "
        "benchmarks.benign.decoding has a max_thinking_tokens of 0"
    )


def test_a_merge_with_an_alignment_that_trains_nothing_is_refused(experiment):
    merged = {"method": "merge", "alignment": "zerothink", "alpha": 0.5}
    changed = with_prompts(experiment, **TOLD, merged=merged)
    with pytest.raises(
        InputError, match=r"merged\.alignment: 'zerothink' is a prompt, expected a training"
    ):
        check_experiment(changed, "mine.yaml")
