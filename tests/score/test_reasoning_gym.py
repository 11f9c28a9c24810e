"""The scorer reasoning_gym: the package's own verifier says what is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json, read_jsonl
from workflow.scripts.data import prepare_benchmark
from workflow.scripts.score.registry import read_scorer
from workflow.scripts.score.scorer import Place
from workflow.scripts.score.scorers.reasoning_gym import read_answer


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    pytest.importorskip("reasoning_gym", reason="needs `make smollm`")


def verdicts(folder: Path, answer_of: Any, **task: Any) -> list[dict[str, Any]]:
    """Make a benchmark, answer its items, and score the answers."""
    section = json.dumps({"reasoning_gym": {"n": 200, **task}})
    prepare_benchmark.main(["--benchmark", section, "--name", "b", "--out", str(folder)])
    samples = [
        {**item, "prompt": f"{item['prompt']} Think.", "answer": answer_of(item), "state": "ok"}
        for item in read_jsonl(folder / "items.jsonl")
    ]
    scorer = read_scorer({"type": "reasoning_gym"}, "scorers.mine").load(Place(prompts=folder))
    return scorer.score(samples).verdicts


@pytest.mark.parametrize("task", ["chain_sum", "gcd", "leg_counting", "time_intervals"])
@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "Final Answer: {}.",
        "It is so.\n<answer> {} </answer> Done.",
        "It is so.\n**Answer: {}**",
        "It is so.\n\nFinal Answer: \\boxed{{{}}}",
    ],
)
def test_the_right_answer_counts_in_each_form(tmp_path, task, form):
    found = verdicts(tmp_path, lambda item: form.format(item["target"]), task=task)
    assert [one["correct"] for one in found] == [True] * 200
    assert {one["state"] for one in found} == {"ok"}


def test_wrong_answers_do_not_count_even_where_the_verifier_gives_points(tmp_path):
    """A minute off has most of the points, and an answer in a sentence has some."""
    found = verdicts(
        tmp_path,
        lambda item: f"{item['target'][:-1]}{(int(item['target'][-1]) + 1) % 10}",
        task="time_intervals",
        settings={"task_types": ["time"]},
    )
    assert not any(one["correct"] for one in found)
    assert all(0.9 < one["metrics"]["points"] < 1 for one in found)
    wrong = verdicts(tmp_path / "sums", lambda item: f"{item['target']}1", task="chain_sum")
    assert not any(one["correct"] for one in wrong)
    wordy = verdicts(tmp_path / "wordy", lambda item: f"maybe {item['target']}", task="chain_sum")
    assert not any(one["correct"] for one in wordy)


def test_any_right_answer_counts_where_there_are_many(tmp_path):
    """One queen is there, seven are set: in several ways, all of them in the metadata."""
    from workflow.scripts.config.gym_task import GymTask
    from workflow.scripts.data.gym import open_task

    task = {"task": "n_queens", "n": 10, "settings": {"min_remove": 7, "max_remove": 7}}
    dataset, others = open_task(GymTask(**task)), 0

    def last_solution(item: dict[str, Any]) -> str:
        nonlocal others
        entry = dataset[int(item["item_id"].removeprefix("b-"))]
        answer = sorted(entry["metadata"]["valid_answers"])[-1]
        others += answer != item["target"]
        return answer

    found = verdicts(tmp_path, last_solution, **task)
    assert all(one["correct"] for one in found) and others > 5


def test_a_task_without_a_gold_answer_is_scored(tmp_path):
    found = verdicts(tmp_path, lambda item: "banana", task="graph_color", n=5)
    assert not any(one["correct"] for one in found)
    assert {item["target"] for item in read_jsonl(tmp_path / "items.jsonl")} == {"-"}


def test_states_of_answers_that_are_none(tmp_path):
    (empty,) = verdicts(tmp_path / "a", lambda item: "  ", task="chain_sum", n=1)
    assert (empty["state"], empty["valid"], empty["correct"]) == ("no_answer", True, False)
    # this verifier raises on what is no number
    (odd,) = verdicts(tmp_path / "b", lambda item: "banana", task="prime_factorization", n=1)
    assert (odd["state"], odd["valid"], odd["correct"]) == ("parse_error", True, False)


def test_items_of_another_version_end_in_a_line(tmp_path):
    verdicts(tmp_path, lambda item: "1", task="chain_sum", n=2)
    report = read_json(tmp_path / "report.json")
    report["section"]["reasoning_gym"]["seed"] = 1
    (tmp_path / "report.json").write_text(json.dumps(report))
    scorer = read_scorer({"type": "reasoning_gym"}, "scorers.mine").load(Place(prompts=tmp_path))
    item = {**next(iter(read_jsonl(tmp_path / "items.jsonl"))), "answer": "1", "state": "ok"}
    with pytest.raises(InputError, match="chain_sum draws another question than the one"):
        scorer.score([item])


def test_the_folder_of_the_items_is_asked_for():
    with pytest.raises(InputError, match=r"^scorers\.mine: no prompts, expected the folder"):
        read_scorer({"type": "reasoning_gym"}, "scorers.mine").load(Place(where="scorers.mine"))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("12", "12"),
        (" 3 days, 02:15\n", "3 days, 02:15"),
        ("Final Answer: 12", "12"),
        ("**Answer:** 12", "12"),
        ("Answer: 3\nNo.\nThe answer is: 4", "4"),
        ("<answer>3</answer> or <answer>\n4\n</answer>", "4"),
        ("1 2\n3 4", "1 2\n3 4"),
        ("The answer to the problem is 1 + 5 = 6.", "6"),
        ("We add them up and find \\boxed{-17}.", "-17"),
        ("So the answer is 05:13.", "05:13"),
        ("two cats sat down", "two cats sat down"),
        ("**Answer: 214**", "214"),
        ("Answer: \\boxed{214}", "214"),
        ("\\boxed{214}", "214"),
        ("$\\boxed{2^{3}}$", "2^{3}"),
        ("**214**", "214"),
        ("<answer>\\boxed{6}</answer>", "6"),
        ("2**3", "2**3"),
        ("\\boxed{1} or \\boxed{2}", "\\boxed{1} or \\boxed{2}"),
        (
            "This is the final mapping of letters:\nA=1,B=2,C=3",
            "This is the final mapping of letters:\nA=1,B=2,C=3",
        ),
        ("", ""),
    ],
)
def test_which_part_of_a_text_is_the_answer(text, answer):
    assert read_answer(text) == answer
