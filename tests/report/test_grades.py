"""A task that grades its answers from 0 to 1, beside answers that are right or wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from workflow.scripts.report.agreement import agreement_of_scorers
from workflow.scripts.report.differences import paired_grades
from workflow.scripts.report.rows import build_rows
from workflow.scripts.report.transcripts import _shown

EXPERIMENT: dict[str, Any] = {
    "bases": {"b": {}},
    "lrms": {"m": {"base": "b"}},
    "alignments": {"a": {}},
    "benchmarks": {"sums": {}, "told": {"scorers": ["task", "rules"]}},
}
BEFORE = [1.0, 0.5, 0.8, 0.9, 1.0, 0.2, 0.6, 1.0]
AFTER = [0.9, 0.3, 0.5, 0.9, 0.7, 0.1, 0.2, 1.0]
RUNS = {"lrm/m/seed1": ("final", BEFORE), "aligned/m/a/seed1": ("epoch1", AFTER)}


def verdicts(values: list[Any]) -> list[dict[str, Any]]:
    return [
        {"item_id": f"q{k // 2}", "repeat": k % 2, "state": "ok", "valid": one is not None}
        | {"correct": one}
        for k, one in enumerate(values)
    ]


@pytest.fixture
def files(make_score: Any, tmp_path: Path) -> list[Path]:
    """Four items with two samples each."""
    found = []
    for run, (checkpoint, grades) in RUNS.items():
        right = [grade >= 0.8 for grade in grades]
        for benchmark, values, scorer in (
            ("sums", right, "math"),
            ("told", grades, "task"),
            ("told", right, "rules"),
        ):
            given = {checkpoint: verdicts(values)}
            found.append(make_score(tmp_path, run, benchmark, "reasoning", given, scorer))
    return found


def by_item(values: list[float]) -> list[float]:
    return [sum(values[k : k + 2]) / 2 for k in range(0, 8, 2)]


def test_grades_are_averaged_by_item_with_students_interval(files: list[Path], load: Any) -> None:
    rows = build_rows(load(EXPERIMENT, files))
    metrics = next(row for row in rows if row["role"] == "lrm" and row["seed"] == "1")["metrics"]
    told = metrics["reasoning_accuracy/told"]
    items = by_item(BEFORE)  # 0.75 0.85 0.6 0.8
    low, high = stats.t.interval(0.95, 3, sum(items) / 4, stats.sem(items))
    assert (told["estimate"], told["low"], told["high"]) == pytest.approx((0.75, low, high))
    assert (told["n"], told["n_valid"], told["items"]) == (8, 8, 4)
    # the others are shares as they were, and pass@2 is of them alone
    assert metrics["reasoning_accuracy/sums"]["estimate"] == 5 / 8
    assert metrics["reasoning_accuracy"]["estimate"] == pytest.approx((0.75 + 5 / 8) / 2)
    assert metrics["pass_at_2/sums"]["estimate"] == 1
    assert "pass_at_2/told" not in metrics and "pass_at_2" not in metrics
    assert metrics["truncated/told"]["estimate"] == 0


def test_models_are_compared_by_the_grades_of_the_same_items(files: list[Path], load: Any) -> None:
    """Interval and p are those of a paired t test over items."""
    experiment = {**EXPERIMENT, "benchmarks": {"told": {"scorers": ["task", "rules"]}}}
    told = [path for path in files if "/told/" in str(path)]
    rows = build_rows(load(experiment, told))
    aligned = next(row for row in rows if row["role"] == "aligned" and row["seed"] == "1")
    change = aligned["change"]["reasoning_accuracy"]
    changes = [
        after - before for before, after in zip(by_item(BEFORE), by_item(AFTER), strict=True)
    ]
    assert change["estimate"] == pytest.approx(sum(changes) / 4)  # -0.175
    low, high = stats.t.interval(0.95, 3, sum(changes) / 4, stats.sem(changes))
    assert (change["low"], change["high"]) == pytest.approx((low, high))
    expected = stats.ttest_rel(by_item(AFTER), by_item(BEFORE)).pvalue
    assert change["p"] == pytest.approx(expected)


def test_grades_that_all_change_alike_have_no_p() -> None:
    same = paired_grades({"a": 0.5, "b": 0.25}, {"a": 0.75, "b": 0.5})
    assert (same.estimate, same.low, same.high, same.p) == (0.25, 0.25, 0.25, None)
    assert paired_grades({"a": 0.5}, {"b": 0.75}).estimate is None
    alone = paired_grades({"a": 0.5}, {"a": 0.75})
    assert (alone.estimate, alone.low, alone.p) == (0.25, None, None)


def test_a_grade_agrees_with_right_from_a_half_on(files: list[Path], load: Any) -> None:
    everyone = [
        one for one in agreement_of_scorers(load(EXPERIMENT, files)) if one["role"] == "all"
    ]
    (told,) = (one for one in everyone if one["benchmark"] == "told")
    # graded 0.5 or more and not right: 0.5 and 0.6 before, 0.5 and 0.7 after
    assert (told["only_first"], told["only_second"], told["n"]) == (4, 0, 16)
    assert told["estimate"] == pytest.approx(12 / 16)


def test_a_transcript_shows_the_grade() -> None:
    sample = {"repeat": 0, "thinking": "", "answer": "", "thinking_tokens": 1, "answer_tokens": 1}
    sample["state"] = "ok"
    shown = [_shown(sample, {"correct": one}, "reasoning", 0) for one in (0.75, 0.25, True, None)]
    assert [(one["v"], one.get("grade")) for one in shown] == [
        (True, 0.75),
        (False, 0.25),
        (True, None),
        (None, None),
    ]
