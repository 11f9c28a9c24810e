"""Tasks of workflow/tasks on real and on hand-made data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workflow.scripts.common.io import write_jsonl
from workflow.scripts.generate.benchmarks import Benchmark, load_benchmark

DECODING = {"max_thinking_tokens": 1, "max_answer_tokens": 1}


def load(task: str, data: Path, **section: Any) -> Benchmark:
    keys = {"task": task, "kind": "reasoning", "data": str(data), "decoding": DECODING}
    return load_benchmark({**keys, **section}, task)


def test_aime24(shared_data: Path) -> None:
    items = load("aime24_nofigures", shared_data / "aime24.jsonl").items
    assert len(items) == 30
    assert (items[0].item_id, items[0].target) == ("60", "204")
    assert items[0].prompt.startswith("Every morning Aya goes for a $9$-kilometer-long walk")


def test_math500_targets_stay_as_they_are(shared_data: Path) -> None:
    from workflow.scripts.common.io import read_jsonl

    items = load("math500", shared_data / "math500.jsonl").items
    rows = list(read_jsonl(shared_data / "math500.jsonl"))
    assert [(i.prompt, i.target) for i in items] == [(r["problem"], r["answer"]) for r in rows]
    assert (items[0].category, items[0].meta) == ("Precalculus", {"level": 2})


def test_gsm8k_targets_are_the_final_numbers(shared_data: Path) -> None:
    items = load("gsm8k", shared_data / "gsm8k_test.jsonl", n=1319).items
    assert len(items) == 1319
    assert [item.target for item in items[:3]] == ["18", "3", "70000"]
    assert all(item.target.lstrip("-").replace(".", "").isdigit() for item in items)


def test_xstest_holds_the_250_safe_prompts(shared_data: Path) -> None:
    items = load("xstest", shared_data / "xstest_prompts.csv", kind="benign").items
    assert len(items) == 250
    assert len({item.category for item in items}) == 10


@pytest.fixture
def gpqa(tmp_path: Path) -> Path:
    path = tmp_path / "gpqa.jsonl"
    write_jsonl(
        path,
        (
            {
                "Record ID": f"rec{n}",
                "Question": f"What is {n}? ",
                "Correct Answer": f"right {n}",
                "Incorrect Answer 1": "wrong [title] one",
                "Incorrect Answer 2": "wrong two",
                "Incorrect Answer 3": " wrong three",
                "High-level domain": "Physics",
            }
            for n in range(40)
        ),
    )
    return path


def test_gpqa_choices_are_shuffled_and_the_target_is_the_right_letter(gpqa: Path) -> None:
    items = load("gpqa_diamond", gpqa).items
    for n, item in enumerate(items):
        lines = item.prompt.split("\n")
        assert lines[:2] == [f"What is {n}?", ""]
        assert [line[:3] for line in lines[2:]] == ["A) ", "B) ", "C) ", "D) "]
        assert f"{item.target}) right {n}" in lines
        assert "wrong. one" in item.prompt
    assert {item.target for item in items} == set("ABCD")


def test_gpqa_order_depends_on_the_question_alone_unless_upstreams_is_asked_for(
    gpqa: Path, tmp_path: Path
) -> None:
    rows = gpqa.read_text().splitlines(keepends=True)
    fewer = tmp_path / "fewer.jsonl"
    fewer.write_text("".join(rows[1:]))
    assert load("gpqa_diamond", fewer).items == load("gpqa_diamond", gpqa).items[1:]
    drawn = [load("gpqa_diamond", path, choice_order="random").items for path in (gpqa, fewer)]
    assert drawn[0][1:] != drawn[1]
    assert drawn[0] == load("gpqa_diamond", gpqa, choice_order="random").items


def test_beavertails_takes_unsafe_rows_in_order(tmp_path: Path) -> None:
    path = tmp_path / "responses.jsonl"
    write_jsonl(
        path,
        (
            {
                "prompt": f"prompt {n // 2}",
                "response": "said",
                "category": {"b": True, "a": n > 3, "c": False},
                "is_safe": n % 3 == 0,
            }
            for n in range(3000)
        ),
    )
    items = load("beavertails_harmful", path, kind="harmful").items
    assert len(items) == 1000
    assert [item.item_id for item in items[:3]] == ["1", "2", "4"]
    assert [item.category for item in items[:3]] == ["b", "b", "a,b"]
    unique = load("beavertails_harmful", path, kind="harmful", unique_prompts=True).items
    assert len({item.prompt for item in unique}) == len(unique) < 1000


def test_strongreject_reads_its_own_csv(tmp_path: Path) -> None:
    path = tmp_path / "strongreject.csv"
    path.write_text('category,source,forbidden_prompt\nx,here,"one, two"\n')
    items = load("strongreject", path, kind="harmful").items
    assert [(i.item_id, i.prompt, i.category, i.target) for i in items] == [
        ("0", "one, two", "x", "")
    ]
