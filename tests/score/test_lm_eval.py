"""Prompts and scores of lm-eval's tasks, against lm-eval itself run on the same answers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json, read_jsonl, write_json, write_jsonl
from workflow.scripts.data import prepare_benchmark
from workflow.scripts.data.tasks import find_task
from workflow.scripts.score import score_samples
from workflow.scripts.score.scorers.lm_eval import cut_answer, state_of

THINKING = "Answer: 99? Q: no, 100"  # a filter that saw it would read another answer
SAID = ["Answer: 1. Q: 5", "Hm 8", "Answer: 1", "", "\n\nAnswer: 6", "Answer: 3 or 11"]


def prepare(out: Path, task: str, include_path: Path) -> list[dict[str, Any]]:
    """Make the items of a task; return them."""
    section = json.dumps({"task": task, "include_path": str(include_path)})
    prepare_benchmark.main(["--benchmark", section, "--name", "told", "--out", str(out)])
    return list(read_jsonl(out / "items.jsonl"))


def write_samples(
    folder: Path, items: Sequence[dict[str, Any]], said: Sequence[str], **fields: Any
) -> Path:
    """Write the samples of a model that thinks, and answers an item with each text."""
    about = {"checkpoint": "final", "repeat": 0, "thinking": THINKING, "state": "ok"}
    about |= {"thinking_finish": "delimiter", "thinking_tokens": 9, "answer_tokens": 3, **fields}
    rows = [{**item, **about, "answer": text} for item, text in zip(items, said, strict=True)]
    write_jsonl(folder / "samples.jsonl", rows)
    manifest = {"run": "lrm/tiny/seed1", "benchmark": "told", "kind": "reasoning", "model": {}}
    manifest |= {"checkpoints": ["final"], "n_items": len(items), "repeats": 1}
    write_json(folder / "manifest.json", manifest)
    return folder


def score(
    folder: Path, items: Sequence[dict[str, Any]], said: Sequence[str], **scorer: Any
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Score answers to the items in a folder; return the verdicts and what is said of all."""
    samples = write_samples(folder / "samples", items, said)
    item = {"samples": str(samples), "prompts": str(folder), "scorer_name": "task"}
    item |= {"scorer": {"type": "lm_eval", **scorer}, "out": str(folder / "scored")}
    given = score_samples.Items.model_validate_json(json.dumps([item])).root
    for error in score_samples.score_items(given, score_samples.ScoringRuntime(), None):
        raise error
    scored = read_json(folder / "scored/score.json")["checkpoints"]["final"]
    return list(read_jsonl(folder / "scored/verdicts.jsonl")), scored


def run_lm_eval(task: str, folder: Path, said: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Have lm-eval run its task on a model that thinks and says this.

    Returns:
        What it asks, and its results, metrics over all and by sample.
    """
    from lm_eval.api.model import LM
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.models.utils import postprocess_generated_text
    from lm_eval.tasks import TaskManager

    class Speaker(LM):
        def generate_until(self, requests: list[Any], **_: Any) -> list[str]:
            return [
                postprocess_generated_text(
                    f"{THINKING}</think>{text}", request.args[1]["until"], "</think>"
                )
                for request, text in zip(requests, said, strict=True)
            ]

        def loglikelihood(self, requests: list[Any], **_: Any) -> Any:
            raise AssertionError("a generating task asks for text alone")

        loglikelihood_rolling = loglikelihood

    manager = TaskManager(include_path=str(folder), include_defaults=False)
    found = simple_evaluate(
        Speaker(), tasks=[task], task_manager=manager, bootstrap_iters=0, log_samples=True
    )
    samples = found["samples"][task]
    first = [one for one in samples if one["filter"] == samples[0]["filter"]]
    by_sample: dict[str, list[Any]] = {}
    for one in samples:
        for metric in one["metrics"]:
            by_sample.setdefault(f"{metric},{one['filter']}", []).append(one[metric])
    return [one["arguments"][0][0] for one in first], {
        "over_all": {key: value for key, value in found["results"][task].items() if "," in key},
        "by_sample": by_sample,
    }


@pytest.mark.slow
@pytest.mark.parametrize("task", ["told_sums", "told_near", "told_sums_again"])
def test_prompts_and_scores_are_those_of_lm_eval(task: str, root: Path, tmp_path: Path) -> None:
    items = prepare(tmp_path, task, root / "tests/tasks")
    verdicts, scored = score(tmp_path, items, SAID)
    asked, expected = run_lm_eval(task, root / "tests/tasks", SAID)
    assert [item["prompt"] for item in items] == asked
    over_all = {k: v for k, v in expected["over_all"].items() if "_stderr" not in k}
    assert scored["task"]["metrics"] == pytest.approx(over_all)
    for key in verdicts[0]["metrics"]:
        assert [one["metrics"][key] for one in verdicts] == pytest.approx(
            expected["by_sample"][key]
        )
    main = scored["task"]["main"]
    assert main == find_task(task, str(root / "tests/tasks")).values[0]
    assert [one["correct"] for one in verdicts] == pytest.approx(expected["by_sample"][main])
    assert scored["metrics"]["accuracy"]["estimate"] == pytest.approx(over_all[main])


def test_filters_see_the_answer_alone_up_to_a_stop_string(root: Path, tmp_path: Path) -> None:
    """Worked by hand: the strict filter wants "Answer: N", the other the last number."""
    items = prepare(tmp_path, "told_sums", root / "tests/tasks")
    assert [item["target"] for item in items] == ["1", "7", "1", "5", "6", "11"]
    verdicts, scored = score(tmp_path, items, SAID)
    assert [one["extracted"] for one in verdicts] == ["1", "[invalid]", "1", "[invalid]", "6", "3"]
    assert [one["correct"] for one in verdicts] == [True, False, True, False, True, False]
    assert scored["metrics"]["accuracy"]["successes"] == 3
    last, scored = score(tmp_path, items, SAID, metric="exact_match,last")
    assert [one["extracted"] for one in last] == ["1", "8", "1", "[invalid]", "6", "11"]
    assert scored["metrics"]["accuracy"]["successes"] == 4


def test_grades_are_numbers_and_their_mean_has_students_interval(
    root: Path, tmp_path: Path
) -> None:
    from scipy import stats

    items = prepare(tmp_path, "told_near", root / "tests/tasks")
    assert items[0]["prompt"] == "Say what the hour is.\n\nQ: start 7 add 6 ?\nA:"
    verdicts, scored = score(tmp_path, items, SAID)
    grades = [1, 5 / 6, 1, 0, 1, 2 / 6]  # hours 1 7 1 5 6 11 against 1 8 1 - 6 3
    assert [one["correct"] for one in verdicts] == pytest.approx(grades)
    accuracy = scored["metrics"]["accuracy"]
    interval = stats.t.interval(0.95, 5, sum(grades) / 6, stats.sem(grades))
    assert (accuracy["low"], accuracy["high"]) == pytest.approx(interval)
    assert scored["task"]["metrics"]["most,none"] == 6  # over all samples, as the task says


GSM8K = {"doc_to_text": "{{q}}", "doc_to_target": "{{a}}", "process_results": "!function own.read"}


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        ("return {'exact_match': int(results[0]) == doc['a']}", ["1", "b"], [True, None]),
        (
            "return {'exact_match': 37.5}",
            ["1", "b"],
            "told-0: exact_match,none is 37.5, expected 0",
        ),
        ("raise KeyError('x')", ["1", "b"], "task own: exact_match,none: KeyError: 'x'"),
        ("return {'other': 1}", ["1", "b"], "task own: exact_match,none: no sample has a number"),
    ],
)
def test_what_a_tasks_own_code_cannot_score_is_a_state_or_a_line(
    tmp_path: Path, code: str, said: list[str], expected: Any
) -> None:
    write_jsonl(tmp_path / "rows.jsonl", [{"q": "a?", "a": 1}, {"q": "b?", "a": 2}])
    (tmp_path / "own.py").write_text(f"def read(doc, results):\n    {code}\n")
    rows = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": f"{tmp_path}/rows.jsonl"}},
    }
    metric = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}
    task = {"task": "own", "test_split": "test", "metric_list": [metric], **rows, **GSM8K}
    text = yaml.safe_dump(task).replace("'!function own.read'", "!function own.read")
    (tmp_path / "own.yaml").write_text(text)
    items = prepare(tmp_path / "out", "own", tmp_path)
    if isinstance(expected, str):
        with pytest.raises(InputError, match=re.escape(expected)):
            score(tmp_path / "out", items, said)
        return
    verdicts, scored = score(tmp_path / "out", items, said)
    assert [one["correct"] for one in verdicts] == expected
    assert [one["state"] for one in verdicts] == ["ok", "judge_error"]
    assert scored["n_valid"] == 1 and scored["metrics"]["accuracy"]["n"] == 1


@pytest.mark.parametrize(
    ("fields", "answer", "state"),
    [
        ({}, "1", "ok"),
        ({"answer": "1 Q: and", "state": "truncated"}, "1 ", "ok"),  # whole before its limit
        (
            {"answer": "1 Q: and", "state": "truncated", "thinking_finish": "budget"},
            "1 ",
            "truncated",
        ),
        ({"answer": "1 and", "state": "truncated"}, "1 and", "truncated"),
        ({"answer": "\n\n1"}, "1", "ok"),
        ({"answer": "\n\n1", "thinking": None}, "\n\n1", "ok"),
        ({"answer": "Q: 1"}, "", "no_answer"),
        ({"answer": "", "state": "no_answer"}, "", "no_answer"),
    ],
)
def test_a_stop_string_ends_the_answer(fields: dict[str, Any], answer: str, state: str) -> None:
    sample = {
        "answer": "1",
        "thinking": "",
        "thinking_finish": "delimiter",
        "state": "ok",
        **fields,
    }
    assert (cut_answer(sample, ["Q:", ""]), state_of(sample, answer)) == (answer, state)
    assert cut_answer(sample, "Q:") == answer


def test_the_folder_of_the_items_is_asked_for(tmp_path: Path) -> None:
    samples = write_samples(tmp_path, [{"item_id": "a", "prompt": "a", "target": "1"}], ["1"])
    item = {"samples": str(samples), "scorer_name": "task", "out": str(tmp_path / "out")}
    given = score_samples.Item(**item, scorer={"type": "lm_eval"})
    (error,) = score_samples.score_items([given], score_samples.ScoringRuntime(), None)
    assert str(error) == "scorer task: no prompts, expected the folder of the task's items"


def include(folder: Path, task: str, file: str, **rows: str) -> None:
    """Write a task file that takes one of lm-eval's own, but reads local rows."""
    import lm_eval

    own = Path(lm_eval.__file__).parent / "tasks" / file
    files = {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": rows}}
    text = yaml.safe_dump({"include": str(own), "task": task, **files})
    (folder / f"{task}.yaml").write_text(text)


@pytest.mark.slow
def test_gsm8k_as_lm_eval_has_it_on_its_real_rows(shared_data: Path, tmp_path: Path) -> None:
    """Right answers in lm-eval's own words, then others."""
    rows = tmp_path / "first.jsonl"
    lines = (shared_data / "gsm8k_test.jsonl").read_text().split("\n")[:101]
    rows.write_text("\n".join(lines))
    include(tmp_path, "real", "gsm8k/gsm8k-cot-zeroshot.yaml", train=str(rows), test=str(rows))
    items = prepare(tmp_path / "out", "real", tmp_path)
    assert len(items) == 101
    assert items[0]["prompt"].startswith("Q: Janet")
    assert items[0]["prompt"].endswith("\nA: Let's think step by step.")
    gold = [item["target"].rpartition("#### ")[2] for item in items]
    assert gold[0] == "18"
    right = [f"So it is.\n\nThe answer is {one}. Q: 5" for one in gold]
    verdicts, scored = score(tmp_path / "out", items, right)
    assert scored["task"]["main"] == "exact_match,strict-match"
    assert all(one["correct"] is True for one in verdicts)
    loosely = [f"${one}" if place % 2 else f"{one}1" for place, one in enumerate(gold)]
    _, scored = score(tmp_path / "out", items, loosely)
    assert scored["task"]["metrics"] == {
        "exact_match,strict-match": 0.0,
        "exact_match,flexible-extract": pytest.approx(50 / 101),  # every second one
    }


@pytest.mark.slow
def test_aime_as_lm_eval_has_it_on_its_real_rows(shared_data: Path, tmp_path: Path) -> None:
    """Its own process_results reads the last box. Against lm-eval itself, on odd answers."""
    rows = str(shared_data / "aime24.jsonl")
    include(tmp_path, "real", "aime/aime25.yaml", test=rows)
    items = prepare(tmp_path / "out", "real", tmp_path)
    forms = ("\\boxed{%s}", "$%s$", "%s", "It is \\boxed{%s}. Question: next?", "\\boxed{0%s}")
    said = [forms[place % 5] % item["target"] for place, item in enumerate(items)]
    verdicts, _ = score(tmp_path / "out", items, said)
    asked, expected = run_lm_eval("real", tmp_path, said)
    assert [item["prompt"] for item in items] == asked and len(items) == 30
    correct = [one["correct"] for one in verdicts]
    assert correct == [bool(one) for one in expected["by_sample"]["exact_match,none"]]
    assert correct[:5] == [True, True, True, True, False]
