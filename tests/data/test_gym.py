"""Tasks of reasoning-gym by name: what is drawn, its worked solutions, and what is refused."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_jsonl
from workflow.scripts.common.records import read_records
from workflow.scripts.config.dataset import Dataset
from workflow.scripts.config.experiment import Benchmark, Experiment
from workflow.scripts.config.gym_task import GymTask
from workflow.scripts.config.load import check_experiment
from workflow.scripts.data import prepare_benchmark, prepare_records
from workflow.scripts.data.gym import DRAWS, draw, open_task
from workflow.scripts.data.worked_solutions import WRITERS
from workflow.scripts.graph.gym import check_gym_tasks
from workflow.scripts.graph.results import list_results

# Few questions in all: 10 × 10 pairs of digits with two signs.
SMALL = {"max_terms": 2, "max_digits": 1}


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    pytest.importorskip("reasoning_gym", reason="needs `make smollm`")


def records(folder: Path, **task: Any) -> list[Any]:
    """Make a training set by its command."""
    section = json.dumps({"reasoning_gym": {"task": "chain_sum", **task}})
    prepare_records.main(["--dataset", section, "--name", "set", "--out", str(folder)])
    return read_records(folder / "records.jsonl")


def items(folder: Path, split: str = "test", **task: Any) -> list[dict[str, Any]]:
    """Make a benchmark by its command."""
    section = json.dumps({"reasoning_gym": {"task": "chain_sum", **task}, "split": split})
    prepare_benchmark.main(["--benchmark", section, "--name", "bench", "--out", str(folder)])
    return list(read_jsonl(folder / "items.jsonl"))


@pytest.mark.parametrize("task", WRITERS)
def test_the_packages_verifier_accepts_the_answer_of_every_worked_solution(task):
    dataset = open_task(GymTask(task=task, n=300, seed=5))
    for place in range(300):
        entry = dataset[place]
        if entry["metadata"].get("task_type") == "time_ms":
            continue  # see below
        given = copy.deepcopy(entry)
        given["answer"] = given["metadata"]["difficulty"] = None  # solved, not looked up
        thinking, answer = WRITERS[task](given)
        assert thinking.strip() and dataset.score_answer(answer, entry) == 1, (entry, answer)


def test_what_a_worked_solution_says():
    """Cases worked by hand."""
    sums = {"metadata": {"expression": "4 - 1 - 7"}}
    assert WRITERS["chain_sum"](sums) == ("4 - 1 = 3\n3 - 7 = -4", "-4")
    divisor = {"metadata": {"numbers": [12, 18]}}
    assert WRITERS["gcd"](divisor) == ("gcd(12, 18)\n18 mod 12 = 6\n12 mod 6 = 0\ngcd = 6", "6")
    legs = {"metadata": {"animals": {"duck": 2, "spider": 1}}}
    assert WRITERS["leg_counting"](legs) == (
        "duck: 2 * 2 = 4, 0 + 4 = 4\nspider: 1 * 8 = 8, 4 + 8 = 12",
        "12",
    )
    letters = {"metadata": {"target_letter": "t", "span": ["The", "cat"]}}
    assert WRITERS["letter_counting"](letters) == ("The: t h e: 1\ncat: c a t: 2", "2")
    assert WRITERS["spell_backward"]({"metadata": {"word": "sun"}}) == ("s u n\nn u s", "nus")
    about = {"start_time": "2024-02-27 22:50:00", "end_time": "2024-03-02 01:05:00"}
    thinking, answer = WRITERS["time_intervals"](
        {"metadata": {**about, "expected_format": "D days, HH:MM"}}
    )
    assert answer == "3 days, 02:15"
    assert thinking.splitlines() == [
        "min: 5 - 50 = -45, + 60 = 15, borrow 1",
        "h: 1 - 22 - 1 = -22, + 24 = 2, borrow 1",
        "To 2024-02-29: 29 - 27 = 2, 0 + 2 = 2",
        "To 2024-03-01: 2 + 1 = 3",
        "To 2024-03-02: 2 - 1 = 1, 3 + 1 = 4",
        "Days: 4 - 1 = 3",
    ]


def test_a_solution_that_the_verifier_refuses_is_left_out_and_counted(tmp_path):
    """The package rounds milliseconds down as floats: about half of its answers are 1 ms off."""
    settings = {"task_types": ["time_ms"]}
    found = records(tmp_path, task="time_intervals", n=40, settings=settings)
    dataset = open_task(GymTask(task="time_intervals", n=40, settings=settings))
    for one in found:
        entry = dataset[int(one.id.removeprefix("set-"))]
        assert entry["question"] == one.prompt and entry["answer"] == one.answer
    assert json.loads((tmp_path / "report.json").read_text())["refused"] > 10


def test_a_set_holds_different_questions_with_thinking(tmp_path):
    found = records(tmp_path, n=60, settings=SMALL)
    assert len({one.prompt for one in found}) == len(found) == 60
    assert all(one.thinking and one.answer for one in found)


def test_the_same_seed_draws_the_same_set_in_every_process(tmp_path):
    """Whatever the order of sets is: other tasks are refused."""
    section = json.dumps({"reasoning_gym": {"task": "time_intervals", "n": 50, "seed": 4}})
    texts = []
    for number in ("1", "2"):
        command = [sys.executable, "-m", "workflow.scripts.data.prepare_records"]
        command += ["--dataset", section, "--name", "set", "--out", str(tmp_path / number)]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": number})
        texts.append((tmp_path / number / "records.jsonl").read_text())
    assert texts[0] == texts[1]


def test_seeds_side_by_side_draw_other_questions(tmp_path):
    """The package alone would give seed 1 all of seed 0's draws but the first."""
    sets = (records(tmp_path / str(seed), n=50, seed=seed) for seed in (0, 1))
    first, second = ({one.prompt for one in found} for found in sets)
    assert len(first & second) <= 5  # of sums with few terms and digits


def test_no_question_of_a_benchmark_is_in_a_training_set(tmp_path):
    """Of a task with 200 questions all sets together have almost each, and none is in two."""
    parts: dict[str, set[str]] = {"training": set(), "development": set(), "test": set()}
    for seed in range(3):
        given = {"n": 30, "seed": seed, "settings": SMALL}
        trained = records(tmp_path / f"training{seed}", **given)
        parts["training"] |= {one.prompt for one in trained}
        for split in ("development", "test"):
            found = items(tmp_path / f"{split}{seed}", split, **given)
            parts[split] |= {one["prompt"] for one in found}
    assert sum(map(len, parts.values())) == len(set.union(*parts.values())) > 120


def test_too_few_questions_end_in_a_line(tmp_path):
    with pytest.raises(
        InputError, match=r"^set: \d+ different questions in \d+ draws of chain_sum"
    ):
        records(tmp_path, n=500, settings=SMALL)


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"task": "chain_sums"}, "'chain_sums' is no task of reasoning-gym .*like chain_sum, "),
        ({"settings": {"terms": 3}}, "settings.terms is unknown, chain_sum has min_terms, "),
        ({"settings": {"seed": 3}}, "settings.seed is unknown"),
        ({"settings": {"min_terms": 9}}, r"settings: chain_sum refuses them \(max_terms must be"),
        ({"settings": {"min_terms": "two"}}, "settings: chain_sum refuses them"),
        ({"task": "word_ladder"}, "'word_ladder' draws other questions in each process"),
        ({"task": "composite"}, "settings: composite refuses them"),
    ],
)
def test_what_the_package_has_not_ends_in_a_line_before_the_first_job(task, said):
    entry = {"reasoning_gym": {"task": "chain_sum", "n": 4, **task}}
    with pytest.raises(InputError, match=f"^benchmarks.mine.reasoning_gym: {said}"):
        check_gym_tasks(asked({}, {"mine": entry}))


def asked(data, benchmarks):
    """Return what an experiment has of data and benchmarks."""
    read = {name: Dataset.model_validate_json(json.dumps(one)) for name, one in data.items()}
    about = {"kind": "reasoning", "decoding": DECODING, "scorers": ["verifier"]}
    tests = {
        name: Benchmark.model_validate_json(json.dumps({**about, **one}))
        for name, one in benchmarks.items()
    }
    return Experiment.model_construct(data=read, benchmarks=tests)


def test_a_task_without_worked_solutions_is_no_training_set():
    entry = {"reasoning_gym": {"task": "sudoku", "n": 4}}
    check_gym_tasks(asked({}, {"mine": entry}))
    with pytest.raises(InputError, match=r"^data\.mine\.reasoning_gym: 'sudoku' has no worked"):
        check_gym_tasks(asked({"mine": entry}, {}))


def test_tasks_draw_the_same_in_every_process(tmp_path):
    """Of all tasks of the package that are not slow, but those that are refused."""
    script = """
import sys
from reasoning_gym.factory import DATASETS
from workflow.scripts.common.errors import InputError
from workflow.scripts.config.gym_task import GymTask
from workflow.scripts.data.gym import UNSTABLE, open_task
slow = {"futoshiki", "intermediate_integration", "knight_swap", "puzzle24", "zebra_puzzles"}
for name in sorted({*DATASETS} - {*UNSTABLE, "composite"} - slow):
    dataset = open_task(GymTask(task=name, n=1))
    print(name, [(dataset[i]["question"], dataset[i]["answer"]) for i in range(6)])
"""
    first, second = (
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": number},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for number in ("1", "2")
    )
    assert first == second and len(first) > 80


def experiment(root: Path, section: str, **entry: Any) -> dict[str, Any]:
    value = yaml.safe_load((root / "tests/experiments/every_key.yaml").read_text())
    value[section]["mine"] = entry
    return value


DECODING = {"max_thinking_tokens": 1, "max_answer_tokens": 1}


@pytest.mark.parametrize(
    ("section", "entry", "said"),
    [
        (
            "benchmarks",
            {"reasoning_gym": {"task": "sudoku", "n": 4}, "kind": "harmful"},
            "benchmarks.mine: kind is harmful, expected reasoning",
        ),
        (
            "benchmarks",
            {"generated": "clock_sums", "kind": "reasoning"},
            "benchmarks.mine.scorers: 'verifier' scores benchmarks with reasoning_gym",
        ),
        (
            "benchmarks",
            {"reasoning_gym": {"task": "sudoku", "n": 4}, "kind": "reasoning", "scorers": ["task"]},
            "benchmarks.mine.scorers: 'task' scores tasks of lm-eval",
        ),
        ("data", {"reasoning_gym": {"task": "gcd", "n": 4, "seed": 4096}}, "less than 4096"),
    ],
)
def test_what_cannot_be_ends_in_a_line(root, section, entry, said):
    if section == "benchmarks":
        entry = {"decoding": DECODING, "scorers": ["verifier"], **entry}
    with pytest.raises(InputError) as error:
        check_experiment(experiment(root, section, **entry), "mine.yaml")
    assert said in str(error.value).replace("below 4096", "less than 4096")


def test_a_task_without_worked_solutions_is_a_benchmark(root):
    entry = {"reasoning_gym": {"task": "sudoku", "n": 4}, "kind": "reasoning"}
    value = experiment(root, "benchmarks", **entry, decoding=DECODING, scorers=["verifier"])
    found = list_results(check_experiment(value, "mine.yaml"), "mine")
    assert found["data/benchmarks/mine"].rule == "prepare_benchmark"
    assert found["score/base/tiny/seed1/mine/verifier"].inputs["prompts"] == (
        "data/benchmarks/mine",
    )


def test_places_are_those_of_the_data_set(tmp_path):
    """By which the scorer finds an item again."""
    task = GymTask(task="chain_sum", n=5)
    found = list(draw(open_task(task), "test", DRAWS * task.n))[:5]
    assert [one["item_id"] for one in items(tmp_path, n=5)] == [f"bench-{at}" for at, _ in found]
