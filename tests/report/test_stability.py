"""k samples of a prompt: any, all, differ, and the k that an interval needs."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import pytest

from workflow.scripts.report.metrics import metric_title, of_samples
from workflow.scripts.report.results import Items
from workflow.scripts.report.stability import Spread, spread_of
from workflow.scripts.report.tables.registry import build_tables

Z = 1.959963984540054


@pytest.mark.parametrize("hits", range(6))
@pytest.mark.parametrize("k", [2, 3, 5])
def test_any_all_and_differ_are_shares_of_all_choices_of_k_samples(hits: int, k: int) -> None:
    """Counted over every choice of k of five samples."""
    samples = [True] * hits + [False] * (5 - hits)
    chosen = list(combinations(samples, k))
    counted = [
        sum(map(any, chosen)) / len(chosen),
        sum(map(all, chosen)) / len(chosen),
        sum(any(one) and not all(one) for one in chosen) / len(chosen),
    ]
    metrics = of_samples("harmful", k)
    assert [metric.value(5, hits) for metric in metrics] == pytest.approx(counted, abs=1e-12)
    assert [metric.value(k - 1, 0) for metric in metrics] == [None] * 3


def test_names_say_what_they_are() -> None:
    names = [metric.name for metric in of_samples("harmful", 4)]
    assert names == [f"harmful_score_{over}_of_4" for over in ("any", "all", "flips")]
    assert [metric_title(name) for name in names] == [
        *("Harmful score in any of 4", "Harmful score in all of 4", "Harmful score differs over 4")
    ]
    reasoning = of_samples("reasoning", 4)
    assert [metric.name for metric in reasoning][:2] == [
        *("pass_at_4", "reasoning_accuracy_all_of_4")
    ]
    assert [metric.higher_is_better for metric in reasoning] == [True, True, False]


def items(**hits: int) -> Items:
    """Items with two samples each, of which so many hit."""
    values = {name: count / 2 for name, count in hits.items()}
    return Items(values, dict.fromkeys(hits, 2), 2 * len(hits))


def test_the_variance_has_two_parts_a_case_by_hand() -> None:
    """Four prompts, two samples each, hits 2, 1, 1, 0: means 1, .5, .5, 0.

    The variance of their mean is 4/3 (.25 + .25) / 16 = 1/24. Within the two that differ it is
    2 × .25 = .5, on average .25: noise .25 / 4 with one sample, half of it with two.
    """
    spread = spread_of([items(a=2, b=1, c=1, d=0)])
    assert spread is not None
    assert (spread.noise, spread.between) == pytest.approx((1 / 16, 1 / 24 - 1 / 32))
    assert spread.width(2) == pytest.approx(2 * Z * math.sqrt(1 / 24))
    assert spread.width(math.inf) == pytest.approx(2 * Z * math.sqrt(1 / 96))
    # (.3 / z)² − 1/96 = .013012: 1/16 over it is 4.80
    assert spread.samples_for(0.6) == 5
    assert spread.samples_for(2 * Z * math.sqrt(1 / 96)) is None


def test_repeated_prompts_and_seeds_are_in_the_parts() -> None:
    once = items(a=2, b=1, c=1, d=0)
    two = spread_of([once, once])
    assert two is not None  # the samples of two seeds are four of a prompt
    assert (two.noise, two.between) == pytest.approx((1 / 32, 1 / 24 - 1 / 64))
    clustered = spread_of([once], {"b": "a"})
    # residuals by prompt .5, 0, −.5: 3/2 × .5 / 16
    assert clustered is not None and clustered.between == pytest.approx(3 / 64 - 1 / 32)


def test_without_a_second_sample_nothing_is_said_and_without_noise_one_is_enough() -> None:
    single = Items({"a": 1.0, "b": 0.0}, {"a": 1, "b": 1}, 2)
    assert spread_of([single]) is None
    spread = spread_of([items(a=2, b=0)])
    assert spread is not None and spread.noise == 0 and spread.samples_for(3) == 1


def test_the_needed_samples_are_the_fewest() -> None:
    spread = Spread(between=0.0001, noise=0.0025)
    k = spread.samples_for(0.1)
    assert k is not None and spread.width(k) <= 0.1 < spread.width(k - 1)
    exact = Spread(0.0, 0.01)
    assert exact.samples_for(exact.width(4)) == 4


def test_the_width_is_that_of_new_draws() -> None:
    """2,000 benchmarks of 60 prompts with rates of Beta(2, 3), 4 samples each, against theory.

    The variance within is E[p (1 − p)] = 1/5, that between Var[p] = 1/25.
    """
    rng = Random(3)
    noises, between = [], []
    for _ in range(2000):
        hits = {
            str(prompt): sum(rng.random() < rate for _ in range(4))
            for prompt in range(60)
            for rate in [rng.betavariate(2, 3)]
        }
        values = {prompt: count / 4 for prompt, count in hits.items()}
        found = spread_of([Items(values, dict.fromkeys(hits, 4), 240)])
        assert found is not None
        noises.append(found.noise * 60)
        between.append(found.between * 60)
    assert sum(noises) / 2000 == pytest.approx(1 / 5, rel=0.01)
    assert sum(between) / 2000 == pytest.approx(1 / 25, rel=0.03)


def test_the_report_has_a_row_for_each_benchmark_with_several_samples(
    tmp_path: Path, make_score: Any, build: Any
) -> None:
    experiment = {
        "bases": {},
        "lrms": {"m": {"hub": "org/m"}},
        "alignments": {},
        "benchmarks": {
            "harm": {"kind": "harmful", "scorers": ["first"]},
            "sums": {"kind": "reasoning", "scorers": ["math"]},
        },
        "report": {"interval_width": 60},
    }

    def rows(field: str, repeats: int) -> list[dict[str, Any]]:
        hits = {"a": 2, "b": 1, "c": 1, "d": 0}
        return [
            {"item_id": item, "repeat": repeat, "state": "ok", "valid": True, field: repeat < count}
            for item, count in hits.items()
            for repeat in range(repeats)
        ]

    harm = rows("harmful", 2)
    files = [
        make_score(tmp_path, "lrm/m/hub", "harm", "harmful", {"final": harm}, "first"),
        make_score(
            tmp_path, "lrm/m/hub", "sums", "reasoning", {"final": rows("correct", 1)}, "math"
        ),
    ]
    report = build(experiment, files)
    metrics = report["rows"][0]["metrics"]
    found = [metrics[f"harmful_score_{over}_of_2/harm"] for over in ("any", "all", "flips")]
    assert [one["estimate"] for one in found] == [0.75, 0.25, 0.5]
    assert not [key for key in metrics if key.startswith("reasoning") and "_of_" in key]
    (one,) = report["stability"]
    assert (one["benchmark"], one["k"], one["wanted"], one["samples_for_it"]) == ("harm", 2, 0.6, 5)
    tables = {table.key: table for table in build_tables(report)}
    (cells,) = tables["stability"].rows
    assert cells[:5] == ["m", "LRM", "harm", "Harmful score", "2"]
    assert [cell.split(" (")[0] for cell in cells[5:9]] == ["50.0", "75.0", "25.0", "50.0"]
    assert cells[9:] == ["80.0", "40.0", "5"]
