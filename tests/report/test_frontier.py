"""The frontier: hand-worked cases, closed forms, and error rates of what it claims."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from workflow.scripts.report.dominance import (
    dominates,
    hypervolume,
    non_dominated,
    non_dominated_draws,
)
from workflow.scripts.report.frontier import build_frontiers, dominance_p
from workflow.scripts.report.paired import Benchmark, Paired
from workflow.scripts.report.resamples import Block, estimates, resample
from workflow.scripts.report.savings import Saving, describe_cost
from workflow.scripts.report.tables import frontier as tables
from workflow.scripts.report.tables.registry import build_tables


def test_a_point_dominates_where_it_is_nowhere_worse_and_somewhere_better() -> None:
    assert dominates((0.9, 1.0), (0.8, 1.0)) and not dominates((0.8, 1.0), (0.9, 1.0))
    assert not dominates((0.9, 0.5), (0.8, 0.6))
    assert not dominates((0.9, 0.5), (0.9, 0.5))


def test_the_frontier_holds_what_no_other_dominates_and_equal_points_together() -> None:
    harm_and_accuracy = [(60, 90), (20, 80), (30, 80), (1, 35), (20, 70), (60, 90)]
    points = [(-harm, accuracy) for harm, accuracy in harm_and_accuracy]
    assert non_dominated(points) == [True, True, False, True, False, True]


def test_many_sets_of_points_are_each_as_alone() -> None:
    draws = np.random.default_rng(0).random((50, 6, 3)).round(1)
    found = non_dominated_draws(draws)
    assert found.tolist() == [non_dominated(points) for points in draws.tolist()]


@pytest.mark.parametrize("measures", [1, 2, 3])
def test_hypervolume_is_that_of_the_union_of_boxes(measures: int) -> None:
    """By inclusion and exclusion of all subsets: the overlap of boxes is the box of the minima."""
    points = np.random.default_rng(measures).random((20, 5, measures)).round(1)
    for one, found in zip(points, hypervolume(points), strict=True):
        expected = sum(
            (-1) ** (size + 1) * np.prod(np.min(chosen, axis=0))
            for size in range(1, 6)
            for chosen in itertools.combinations(one, size)
        )
        assert found == pytest.approx(expected)


def block(values: Any, name: str = "one") -> Block:
    array = np.asarray(values, dtype=float)
    return Block(name, array, np.arange(array.shape[-1]), [array[0].size] * len(array))


def test_resamples_have_the_variance_of_a_mean_of_items() -> None:
    values = (np.random.default_rng(0).random((1, 1, 80)) < 0.3).astype(float)
    draws = resample([[block(values)]], False, 20_000)[:, 0, 0]
    assert draws.mean() == pytest.approx(values.mean(), abs=0.002)
    assert draws.var() == pytest.approx(values[0, 0].var(ddof=1) / 80, rel=0.05)


def test_resamples_have_the_variance_of_a_mean_of_seeds() -> None:
    """Each seed is right on its own share of the items, always the same: training alone varies."""
    by_seed = np.array([0.2, 0.4, 0.9])
    values = np.repeat(by_seed[:, None], 30, axis=1)[None]
    draws = resample([[block(values)]], True, 20_000)[:, 0, 0]
    assert draws.var() == pytest.approx(by_seed.var(ddof=1) / 3, rel=0.05)


def test_methods_have_the_same_items_in_a_resample_and_measures_of_a_benchmark_too() -> None:
    values = (np.random.default_rng(0).random((1, 2, 50)) < 0.5).astype(float)
    both = block(np.concatenate([values, values]))
    draws = resample([[both], [both]], True, 100)
    assert (draws == draws[:, :1, :1]).all()


def test_a_method_that_one_item_puts_behind_is_on_the_frontier_when_that_item_is_not_drawn() -> (
    None
):
    n, draws = 10, 20_000
    first, second = np.ones(n), np.ones(n)
    second[3] = 0
    blocks = [[block([[first], [second]])], [block([[first], [first]], "other")]]
    shares = non_dominated_draws(resample(blocks, False, draws)).mean(axis=0)
    # n - 1 items are drawn
    assert shares == pytest.approx([1.0, (1 - 1 / n) ** (n - 1)], abs=0.01)


def test_missing_verdicts_are_left_out_of_their_item_and_repeated_prompts_drawn_together() -> None:
    values = [[[1, 0, np.nan, 1], [1, np.nan, np.nan, 0]]]
    assert estimates([[block(values)]]) == pytest.approx((1 + 0 + 0.5) / 3)
    pairs = np.repeat((np.arange(40) % 2).astype(float), 2)[None, None]
    together = Block("one", pairs, np.repeat(np.arange(40), 2), [80])
    draws = resample([[together]], False, 20_000)[:, 0, 0]
    assert draws.var() == pytest.approx(pairs[0, 0, ::2].var(ddof=1) / 40, rel=0.05)


def graded(*correct: int) -> list[dict[str, Any]]:
    about = {"repeat": 0, "state": "ok", "valid": True}
    return [{"item_id": f"q{k}", **about, "correct": bool(c)} for k, c in enumerate(correct)]


def judged(*harmful: int) -> list[dict[str, Any]]:
    about = {"repeat": 0, "state": "ok", "valid": True}
    return [{"item_id": f"h{k}", **about, "harmful": bool(h)} for k, h in enumerate(harmful)]


class Took:
    """What runs took, in place of their manifests: {run: cost}, for runs that are known."""

    def __init__(self, gpu_hours: dict[str, float]) -> None:
        self.gpu_hours = gpu_hours

    def of(self, run: str, checkpoint: str) -> dict[str, float] | None:
        hours = self.gpu_hours.get(run)
        return None if hours is None else {"gpu_hours": 99.0, "whole_gpu_hours": hours}


EXPERIMENT: dict[str, Any] = {
    "bases": {},
    "lrms": {"m": {}},
    "alignments": {"good": {}, "worse": {}, "safe": {}},
    "benchmarks": {"sums": {}, "harm": {}},
}


@pytest.fixture
def scored(tmp_path: Path, make_score: Any, load: Any) -> Any:
    """Return the results of `{run: (correct, harmful)}`, and of a report's section."""

    def build(values: dict[str, Any], sums: str = "sums", **report: Any) -> Any:
        files = []
        for run, (correct, harmful) in values.items():
            for name, kind, rows in (
                (sums, "reasoning", graded(*correct)),
                ("harm", "harmful", judged(*harmful)),
            ):
                at = "final" if run.startswith("lrm") else "epoch1"
                files.append(make_score(tmp_path, run, name, kind, {at: rows}))
        benchmarks = {sums: {}, "harm": {}}
        return load({**EXPERIMENT, "benchmarks": benchmarks, "report": report}, files)

    return build


FOUR = {
    "lrm/m/hub": ([1] * 10, [1] * 10),
    **{f"aligned/m/good/seed{s}": ([1] * 9 + [0], [0] * 8 + [1, 1]) for s in (1, 2, 3)},
    **{f"aligned/m/worse/seed{s}": ([1] * 8 + [0, 0], [0] * 8 + [1, 1]) for s in (1, 2, 3)},
    **{f"aligned/m/safe/seed{s}": ([0] * 5 + [1] * 5, [0] * 10) for s in (2, 3)},
}


@pytest.fixture
def four(scored: Any) -> Any:
    """A ready-made LRM and three alignments: `worse` is below `good`, `safe` trades accuracy."""

    def build(**report: Any) -> list[dict[str, Any]]:
        return build_frontiers(scored(FOUR, **report))

    return build


def test_the_frontier_of_hand_made_scores(four: Any) -> None:
    (found,) = four()  # over-refusal was not measured
    assert found["measures"] == ["reasoning_accuracy", "harmful_score"]
    assert found["seeds"] == ["2", "3"]  # that all have; the ready-made LRM stands for each
    methods = {one["alignment"]: one for one in found["methods"]}
    assert list(methods) == [None, "good", "worse", "safe"]
    assert [one["non_dominated"] for one in methods.values()] == [True, True, False, True]
    assert methods["worse"]["dominated_by"] == ["good"]
    assert methods["good"]["metrics"]["reasoning_accuracy"]["estimate"] == pytest.approx(0.9)
    # boxes from accuracy 0 and harm 1: LRM 1 x 0, good .9 x .8, safe .5 x 1
    assert found["hypervolume"]["estimate"] == pytest.approx(0.9 * 0.8 + 0.5 * 0.2)
    assert found["hypervolume"]["reference"] == {"reasoning_accuracy": 0.0, "harmful_score": 1.0}
    low, high = (found["hypervolume"][side] for side in ("low", "high"))
    assert low < found["hypervolume"]["estimate"] < high


def test_every_ordered_pair_is_a_test_and_holm_counts_them(four: Any) -> None:
    (found,) = four(frontier=["harmful_score", "reasoning_accuracy"], frontier_margin=0.0)
    assert found["measures"] == ["harmful_score", "reasoning_accuracy"]
    assert len(found["tests"]) == 12 and {one["family"] for one in found["tests"]} == {12}
    one = next(t for t in found["tests"] if (t["first"], t["second"]) == ("good", "LRM"))
    assert one["change"]["harmful_score"]["estimate"] == pytest.approx(0.8)
    assert one["change"]["reasoning_accuracy"]["estimate"] == pytest.approx(-0.1)
    assert one["p"] == 1.0  # its accuracy is lower


def test_tables_tell_who_is_on_it_and_list_pairs_that_may_dominate(four: Any) -> None:
    report = {"frontier": four(frontier_margin=5.0)}
    rows = {row[1]: row[2:4] for row in tables.methods(report).rows}
    assert rows["worse"] == ["no", "good"] and rows["good"] == ["yes", ""]
    pairs = [row[1:3] for row in tables.dominance(report).rows]
    assert pairs == [["good", "worse"]]
    assert "worse by less than 5.0 points" in tables.dominance(report).caption
    (volume,) = tables.volume(report).rows
    assert volume[1] == "Reasoning accuracy 0 % and Harmful score 100 %"


WITH_COST = ["reasoning_accuracy", "harmful_score", "gpu_hours"]
HOURS = {
    "lrm/m/hub": 0.0,
    **{f"aligned/m/good/seed{s}": hours for s, hours in ((1, 50.0), (2, 8.0), (3, 12.0))},
    **{f"aligned/m/worse/seed{s}": 4.0 for s in (1, 2, 3)},
    **{f"aligned/m/safe/seed{s}": 0.0 for s in (2, 3)},
}


def test_what_a_method_took_as_a_whole_is_an_axis(scored: Any) -> None:
    """`worse` is below `good` but cheaper, and so no longer dominated."""
    results = scored(FOUR, frontier=WITH_COST)
    (found,) = build_frontiers(results, Took(HOURS))
    methods = {one["alignment"]: one for one in found["methods"]}
    hours = {name: one["metrics"]["gpu_hours"]["estimate"] for name, one in methods.items()}
    assert hours == {None: 0.0, "good": 10.0, "worse": 4.0, "safe": 0.0}  # mean of seeds 2 and 3
    assert all(one["non_dominated"] for one in methods.values())
    # from accuracy 0, harm 1 and the 10 hours of the dearest: LRM 1 x 0 x 1, good .9 x .8 x 0,
    # worse .8 x .8 x .6, safe .5 x 1 x 1, of which worse and safe share .5 x .8 x .6
    assert found["hypervolume"]["estimate"] == pytest.approx(
        0.8 * 0.8 * 0.6 + 0.5 - 0.5 * 0.8 * 0.6
    )
    assert found["hypervolume"]["reference"] == dict(zip(WITH_COST, (0.0, 1.0, 10.0), strict=True))
    one = next(t for t in found["tests"] if (t["first"], t["second"]) == ("worse", "good"))
    assert one["change"]["gpu_hours"]["estimate"] == 6.0


def test_a_benchmark_may_have_the_name_of_a_cost(scored: Any) -> None:
    results = scored(FOUR, sums="gpu_hours", frontier=WITH_COST)
    (found,) = build_frontiers(results, Took(HOURS))
    good = next(one["metrics"] for one in found["methods"] if one["alignment"] == "good")
    assert good["reasoning_accuracy"]["estimate"] == pytest.approx(0.9)
    assert good["gpu_hours"]["estimate"] == 10.0


def test_a_cheaper_method_dominates_one_that_is_just_as_good(scored: Any) -> None:
    same = ([1] * 9 + [0], [0] * 10)
    runs = {f"aligned/m/{name}/seed{s}": same for name in ("good", "worse") for s in (1, 2)}
    hours = {run: {"good": 3.0, "worse": 4.0}[run.split("/")[2]] for run in runs}
    (found,) = build_frontiers(scored(runs, frontier=WITH_COST), Took(hours))
    assert [one["non_dominated"] for one in found["methods"]] == [True, False]
    # costs do not depend on which items are drawn
    assert [one["share"] for one in found["methods"]] == [1.0, 0.0]


def test_where_nothing_was_taken_the_axis_changes_nothing(four: Any, scored: Any) -> None:
    free = Took(dict.fromkeys(FOUR, 0.0))
    (found,) = build_frontiers(scored(FOUR, frontier=WITH_COST), free)
    methods = {one["alignment"]: one for one in found["methods"]}
    assert [one["non_dominated"] for one in methods.values()] == [True, True, False, True]
    assert found["hypervolume"]["estimate"] == pytest.approx(0.9 * 0.8 + 0.5 * 0.2)


def test_a_method_whose_cost_is_not_known_is_left_out(scored: Any) -> None:
    known = {run: hours for run, hours in HOURS.items() if run != "aligned/m/worse/seed2"}
    (found,) = build_frontiers(scored(FOUR, frontier=WITH_COST), Took(known))
    assert [one["alignment"] for one in found["methods"]] == [None, "good", "safe"]


def test_tables_and_figure_write_a_cost_in_its_unit(scored: Any) -> None:
    results = scored(FOUR, frontier=WITH_COST, frontier_margin=5.0)
    frontiers = build_frontiers(results, Took(HOURS))
    report = {"frontier": frontiers}
    table = tables.methods(report)
    # 8 and 12, with Student's quantile of one degree, 12.7; no cost is below 0
    assert [row[-1] for row in table.rows] == ["0.00", "10.00 (0.00 to 35.41)", "4.00", "0.00"]
    assert table.header[-1] == "Whole GPU-hours"
    assert "whole GPU-hours (lower is better)" in table.caption
    assert tables.dominance(report).header[-3] == "Whole GPU-hours, cheaper by"
    (volume,) = tables.volume(report).rows
    assert volume[1].endswith("and Whole GPU-hours 10.00")


def test_savings_are_exact_below_three_seeds_and_students_from_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workflow.scripts.report.spread.SEEDS_FOR_AN_INTERVAL", 3)
    two = Saving(np.array([9.0, 11.0]), np.array([10.2, 10.2]))  # 10 against 10.2 on average
    assert two.describe() == [{"estimate": pytest.approx(0.2), "low": None, "high": None}]
    assert (two.p_not_dearer(0.02), two.p_cheaper(0.0), two.p_cheaper(0.02)) == (0.0, 0.0, 1.0)
    free = Saving(np.zeros(2), np.zeros(2))
    assert (free.p_not_dearer(0.0), free.p_cheaper(0.0)) == (0.0, 1.0)
    first, second = np.array([8.0, 9.0, 13.0]), np.array([12.0, 12.0, 14.0])
    three = Saving(np.stack([first, second]), np.stack([second, first]))
    t_test = stats.ttest_1samp(second * 0.98 - first, 0, alternative="greater")
    assert three.p_cheaper(0.02) == pytest.approx([t_test.pvalue, 1.0])
    low, high = stats.ttest_rel(second, first).confidence_interval()
    described = three.describe()[0]
    assert [described[key] for key in ("estimate", "low", "high")] == pytest.approx(
        [8 / 3, low, high]
    )
    assert describe_cost(np.array([3.0] * 3)) == {"estimate": 3.0, "low": None, "high": None}


def test_dominance_by_cost_alone_needs_more_than_the_margin() -> None:
    same = np.zeros((1, 1000))
    alike = [Paired([Benchmark(same, same)])]
    for first, expected in ((10.0, False), (9.9, False), (9.0, True)):
        saving = Saving(np.array([first]), np.array([10.0]))
        assert (dominance_p(alike, 0.02, [saving]) < 0.05) == expected
    dear = Saving(np.array([10.3]), np.array([10.0]))
    better = [Paired([Benchmark(same, same + 1)])]
    assert dominance_p(better, 0.02, [dear]) == 1.0


def test_an_experiment_with_one_measure_has_no_frontier(
    experiment: dict[str, Any], tmp_path: Path, make_score: Any, build: Any
) -> None:
    file = make_score(tmp_path, "lrm/tiny/hub", "sums", "reasoning", {"final": graded(1, 0, 1)})
    report = build(experiment, [file])
    assert report["frontier"] == []
    assert not {"frontier", "dominance"} & {table.key for table in build_tables(report)}


def changing(rng: Any, gain: float, n: int, items: int = 150) -> Benchmark:
    """Pairs of models on 0/1 items: a fifth of them change either way, `gain` more to 1 than to 0.

    The second side's true mean is that of the first plus `gain`.
    """
    moving = 0.2 + abs(gain)
    draw = rng.random((n, 1, items))
    rises, falls = draw < (moving + gain) / 2, (draw >= (moving + gain) / 2) & (draw < moving)
    still = rng.random((n, 1, items)) < 0.5
    return Benchmark(
        np.where(rises, 0.0, np.where(falls, 1.0, still)),
        np.where(rises, 1.0, np.where(falls, 0.0, still)),
    )


def test_dominance_is_claimed_wrongly_as_seldom_as_p_says() -> None:
    """The hardest case: better on one measure, and on the other just as much worse as is allowed.

    5 %, but for the approximation of Newcombe's interval and the noise of 4,000 trials.
    """
    rng, margin, n = np.random.default_rng(0), 0.05, 4000
    one, other = changing(rng, 0.2, n), changing(rng, -margin, n)
    claimed = (Paired([other]).limits(0.1)[0] > -margin) & (Paired([one]).limits(0.05)[0] > 0)
    assert 0.04 < claimed.mean() < 0.06
    for k in range(40):  # which is what p says
        alone = [Paired([Benchmark(b.first[k], b.second[k])]) for b in (one, other)]
        assert (dominance_p(alone, margin) < 0.05) == claimed[k]


def test_dominance_is_found_where_it_is_clear() -> None:
    better = np.concatenate([np.ones(60), np.zeros(40)])[None]
    worse = np.concatenate([np.ones(20), np.zeros(80)])[None]
    same = np.zeros((1, 1000))
    changes = [Paired([Benchmark(worse, better)]), Paired([Benchmark(same, same)])]
    assert dominance_p(changes, 0.02) < 1e-4
    assert dominance_p(changes, 0.0) == 1.0  # no margin: the second would have to be better, too
    assert dominance_p(changes[1:], 0.02) == 1.0  # better on none
