"""Mixtures before the first job: rows that are known to be too few, and what a plan counts."""

from __future__ import annotations

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.graph.estimate import Estimator

MODEL = "aligned/tiny/directrefusal/seed1"


def train_on(project, *parts) -> None:
    project.edit(lambda e: e["alignments"]["directrefusal"].update(data=list(parts)))


def add_set(project, rows: int, **prepare) -> None:
    """Add the local set `mine`, of so many rows."""
    (project.root / "mine.jsonl").write_text('{"q": "?", "a": "!"}\n' * rows)
    section = {"source": {"path": "mine.jsonl"}, "fields": {"prompt": "q", "answer": "a"}}
    project.edit(lambda e: e["data"].update(mine={"prepare": {**section, **prepare}}))


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"set": "reasoning", "n": 33}, "33 rows of reasoning, expected 1 to 32"),
        ({"set": "reasoning", "ratio": 1.5}, "48 rows of reasoning by ratio 1.5, expected 1 to 32"),
        ({"set": "mine", "n": 11}, "11 rows of mine, expected 1 to 10"),
    ],
)
def test_rows_that_a_set_does_not_have_are_refused_at_the_start(project, part, said):
    add_set(project, 10)
    train_on(project, "directrefusal", part)
    with pytest.raises(InputError) as error:
        project.read()
    name = f"directrefusal+{part['set']}@" + (f"{part['n']}" if "n" in part else "x1.5")
    assert str(error.value) == f"data.{name}: {said}"


def test_a_limit_counts_and_a_ratio_to_a_set_of_unknown_size_is_left_to_the_job(project):
    add_set(project, 100, limit=20)
    train_on(project, "directrefusal", {"set": "mine", "n": 21})
    with pytest.raises(InputError, match="21 rows of mine, expected 1 to 20"):
        project.read()
    add_set(project, 100)  # of which some may not parse
    train_on(project, "mine", {"set": "reasoning", "ratio": 0.5})
    project.read()


def test_a_plan_counts_the_rows_of_a_mixture(project):
    def tokens() -> float:
        graph = project.read()
        return Estimator(graph)._training_tokens(graph.runs[MODEL])

    plain = tokens()  # of 32 records
    train_on(project, "directrefusal", {"set": "reasoning", "ratio": 0.5})
    assert tokens() == pytest.approx(1.5 * plain)
    train_on(project, {"set": "directrefusal", "n": 4}, {"set": "reasoning", "n": 4})
    assert tokens() == pytest.approx(plain / 4)


def test_a_plan_weighs_the_lengths_of_known_sets(project):
    """1,000 short refusals (200 tokens) and 500 of s1K's traces (10,000)."""
    commit = "a" * 40

    def change(e):
        for name, hub in (
            ("short", "TianshengHuang/DirectRefusal"),
            ("long", "simplescaling/s1K-1.1"),
        ):
            source = {"hub": hub, "split": "train", "revision": commit}
            fields = {"prompt": "q", "answer": "a"}
            e["data"][name] = {"prepare": {"source": source, "fields": fields}}
        e["recipes"]["safety"].update(epochs=2, max_length=32768)
        e["alignments"]["directrefusal"]["data"] = ["short", {"set": "long", "ratio": 0.5}]

    project.edit(change)
    graph = project.read()
    expected = 2 * (1000 * 200 + 500 * 10_000)
    assert Estimator(graph)._training_tokens(graph.runs[MODEL]) == pytest.approx(expected)
