"""From verdict files to rows: hand-worked cases and counts taken from the files themselves."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.intervals import proportion
from workflow.scripts.report.agreement import agreement_of_scorers
from workflow.scripts.report.comparisons import compare_alignments
from workflow.scripts.report.harm import harm_on_clean_items
from workflow.scripts.report.published import against_published
from workflow.scripts.report.rows import build_rows
from workflow.scripts.report.runs import parse_run


def find(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    assert len(found) == 1, (wanted, len(found))
    return found[0]


def graded(*correct: int, **more: Any) -> list[dict[str, Any]]:
    """Verdicts of a reasoning benchmark, one item each."""
    return [
        {"item_id": f"q{k}", "repeat": 0, "state": "ok", "valid": True, "correct": bool(c), **more}
        for k, c in enumerate(correct)
    ]


def judged(*harmful: int) -> list[dict[str, Any]]:
    return [
        {"item_id": f"h{k}", "repeat": 0, "state": "ok", "valid": True, "harmful": bool(h)}
        | {"refused": not h}
        for k, h in enumerate(harmful)
    ]


@pytest.fixture
def small() -> dict[str, Any]:
    return {
        "bases": {"b": {}},
        "lrms": {"m": {"base": "b"}},
        "alignments": {"a": {}},
        "benchmarks": {"sums": {}, "more": {}, "harm": {"scorers": ["first", "second"]}},
    }


@pytest.fixture(scope="module")
def rows(experiment: dict[str, Any], score_files: list[Path], load: Any) -> list[dict[str, Any]]:
    return build_rows(load(experiment, score_files))


def test_each_model_epoch_and_seed_has_a_row_and_a_mean(rows: list[dict[str, Any]]) -> None:
    kinds = [(r["role"], r["alignment"], r["checkpoint"], r["seed"]) for r in rows]
    expected = [(role, None, "final", s) for role in ("base", "lrm") for s in ("1", "2", "mean")]
    expected += [
        ("aligned", name, f"epoch{epoch}", seed)
        for name in ("refuse", "reason")
        for epoch in range(1, 6)
        for seed in ("1", "2", "mean")
    ]
    assert kinds == expected


def test_counts_and_intervals_are_those_of_the_files(
    rows: list[dict[str, Any]], score_files: list[Path]
) -> None:
    path = next(p for p in score_files if "aligned/tiny/refuse/seed2/sums" in str(p))
    verdicts = [json.loads(v) for v in path.with_name("verdicts.jsonl").read_text().splitlines()]
    for epoch in range(1, 6):
        mine = [v for v in verdicts if v["checkpoint"] == f"epoch{epoch}"]
        expected = proportion(sum(v["correct"] for v in mine), 120)
        got = find(rows, alignment="refuse", epoch=epoch, seed="2")["metrics"]["reasoning_accuracy"]
        assert (got["estimate"], got["low"], got["high"]) == pytest.approx(
            (expected.estimate, expected.low, expected.high)
        )
        assert (got["n"], got["n_valid"]) == (120, 120)


@pytest.mark.parametrize("seed", ["1", "2"])
def test_change_against_the_lrm_of_its_seed_is_mcnemars_on_the_same_items(
    rows: list[dict[str, Any]], score_files: list[Path], seed: str
) -> None:
    def correct(run: str, checkpoint: str) -> dict[str, bool]:
        path = next(p for p in score_files if f"{run}/seed{seed}/sums" in str(p))
        lines = path.with_name("verdicts.jsonl").read_text().splitlines()
        loaded = [json.loads(line) for line in lines]
        return {v["item_id"]: v["correct"] for v in loaded if v["checkpoint"] == checkpoint}

    before, after = correct("lrm/tiny", "final"), correct("aligned/tiny/refuse", "epoch2")
    lost = sum(before[item] and not after[item] for item in before)
    gained = sum(after[item] and not before[item] for item in before)
    change = find(rows, alignment="refuse", epoch=2, seed=seed)["change"]["reasoning_accuracy"]
    assert change["estimate"] == pytest.approx((gained - lost) / 120)
    table = [[0, lost], [gained, 0]]
    assert change["p"] == pytest.approx(mcnemar(table, exact=True).pvalue, abs=1e-12)
    tax = find(rows, alignment="refuse", epoch=2, seed=seed)["tax"]
    assert tax["points"]["estimate"] == pytest.approx((lost - gained) / 120)


def test_mean_over_seeds_is_the_mean_and_its_spread_stands_apart(
    rows: list[dict[str, Any]],
) -> None:
    one, two, mean = (
        find(rows, alignment="refuse", epoch=5, seed=seed)["metrics"]["reasoning_accuracy"]
        for seed in ("1", "2", "mean")
    )
    assert mean["estimate"] == pytest.approx((one["estimate"] + two["estimate"]) / 2)
    assert mean["seed_sd"] == pytest.approx(abs(one["estimate"] - two["estimate"]) / 2**0.5)
    assert one["seed_sd"] is None and one["seed_low"] is None
    # Not as narrow as if the two seeds had been asked different items.
    pooled = proportion(round(mean["estimate"] * 240), 240)
    assert mean["high"] - mean["low"] >= (pooled.high or 0) - (pooled.low or 0) - 1e-9


def test_holm_counts_the_family_that_the_report_names(rows: list[dict[str, Any]]) -> None:
    final = [r for r in rows if r["role"] == "aligned" and r["final"] and r["seed"] == "mean"]
    changes = [row["change"]["reasoning_accuracy"] for row in final]
    assert [one["family"] for one in changes] == [2, 2]
    expected = multipletests([one["p"] for one in changes], method="holm")[1]
    # The smaller p is about 1e-29: compared by its ratio.
    assert [one["p_holm"] for one in changes] == pytest.approx(list(expected), rel=1e-9, abs=0)
    assert changes[0]["p_holm"] == pytest.approx(2 * changes[0]["p"], rel=1e-9, abs=0)


def test_a_seed_that_lacks_an_epoch_is_not_counted_there(
    tmp_path: Path, small: dict[str, Any], make_score: Any, load: Any
) -> None:
    def put(run: str, **verdicts: list[dict[str, Any]]) -> Path:
        return make_score(tmp_path, run, "sums", "reasoning", verdicts)

    files = [put("lrm/m/hub", final=graded(1, 1))]
    files.append(put("aligned/m/a/seed1", epoch1=graded(1, 0), epoch2=graded(0, 0)))
    files.append(put("aligned/m/a/seed2", epoch1=graded(1, 1)))
    rows = build_rows(load(small, files))
    assert [find(rows, epoch=e, seed="mean")["n_seeds"] for e in (1, 2)] == [2, 1]
    assert not [row for row in rows if row["epoch"] == 2 and row["seed"] == "2"]


def test_failed_training_is_shown_and_the_other_seeds_stand_beside(
    tmp_path: Path, experiment: dict[str, Any], make_scores: Any, load: Any
) -> None:
    files = make_scores(tmp_path, failed=("base/tiny/seed1", "lrm/tiny/seed2"))
    rows = build_rows(load(experiment, files))
    base = find(rows, role="base", seed="1")
    assert (base["status"], base["status_reason"]) == ("failed", "gate: 41 % of 80 %")
    assert base["metrics"]["reasoning_accuracy"]["n"] == 120
    mean = find(rows, role="lrm", seed="mean")
    assert (mean["status"], mean["status_reason"]) == ("failed", "seed 2: gate: 41 % of 80 %")
    alone = find(rows, alignment="refuse", epoch=5, seed="mean_ok")
    first = find(rows, alignment="refuse", epoch=5, seed="1")
    assert alone["metrics"] == first["metrics"] and alone["n_seeds"] == 1


def test_samples_without_a_verdict_leave_n_valid_and_others_do_not(
    tmp_path: Path, small: dict[str, Any], make_score: Any, load: Any
) -> None:
    verdicts = graded(1, 1, 0, 0)
    verdicts[2]["state"], verdicts[3]["state"] = "truncated", "no_answer"
    harm = judged(1, 0, 0)
    harm[2] |= {"state": "judge_error", "valid": False, "harmful": None, "refused": None}
    files = [
        make_score(tmp_path, "lrm/m/hub", "sums", "reasoning", {"final": verdicts}),
        make_score(tmp_path, "lrm/m/hub", "harm", "harmful", {"final": harm}, "first"),
    ]
    row = find(build_rows(load(small, files)), seed="hub")
    accuracy, harmful = (row["metrics"][m] for m in ("reasoning_accuracy", "harmful_score"))
    assert (accuracy["estimate"], accuracy["n"], accuracy["n_valid"]) == (0.5, 4, 4)
    assert (harmful["estimate"], harmful["n"], harmful["n_valid"]) == (0.5, 3, 2)
    assert row["metrics"]["truncated"]["estimate"] == 0.25
    assert row["metrics"]["unanswered"]["estimate"] == 0.25
    assert row["states"]["harm/first"] == {"judge_error": 1, "ok": 2}


def test_accuracy_averages_benchmarks_equally_and_the_first_scorer_counts(
    tmp_path: Path, small: dict[str, Any], make_score: Any, load: Any
) -> None:
    files = [
        make_score(tmp_path, "lrm/m/hub", "sums", "reasoning", {"final": graded(1, 1, 1, 1)}),
        make_score(tmp_path, "lrm/m/hub", "more", "reasoning", {"final": graded(0, 1)}),
        make_score(tmp_path, "lrm/m/hub", "harm", "harmful", {"final": judged(1, 1)}, "second"),
        make_score(tmp_path, "lrm/m/hub", "harm", "harmful", {"final": judged(0, 1)}, "first"),
    ]
    metrics = find(build_rows(load(small, files)), seed="hub")["metrics"]
    assert metrics["reasoning_accuracy"]["estimate"] == pytest.approx(0.75)
    assert metrics["reasoning_accuracy/more"]["estimate"] == 0.5
    assert metrics["harmful_score"]["estimate"] == 0.5
    assert metrics["harmful_score/harm@second"]["estimate"] == 1


def test_no_mean_is_taken_over_only_some_of_the_benchmarks(
    tmp_path: Path, small: dict[str, Any], make_score: Any, load: Any
) -> None:
    lrm, aligned = "lrm/m/hub", "aligned/m/a/seed1"
    files = [
        make_score(tmp_path, lrm, "sums", "reasoning", {"final": graded(1, 1)}),
        make_score(tmp_path, lrm, "more", "reasoning", {"final": graded(0, 0)}),
        make_score(tmp_path, aligned, "sums", "reasoning", {"epoch1": graded(1, 0)}),
    ]
    row = find(build_rows(load(small, files)), alignment="a", seed="mean")
    assert row["metrics"]["reasoning_accuracy/sums"]["estimate"] == 0.5
    assert "reasoning_accuracy" not in row["metrics"] and not row["change"]


def test_a_ready_made_lrm_is_the_parent_of_every_seed_and_retrained_epochs_are_one_curve(
    tmp_path: Path, small: dict[str, Any], make_score: Any, load: Any
) -> None:
    files = [make_score(tmp_path, "lrm/m/hub", "sums", "reasoning", {"final": graded(1, 1, 1, 0)})]
    for seed, last in ((1, graded(1, 0, 0, 0)), (2, graded(1, 1, 0, 0))):
        for epoch, verdicts in ((1, graded(1, 1, 1, 0)), (3, last)):
            run = f"aligned/m/a/seed{seed}-epochs{epoch}"
            files.append(
                make_score(tmp_path, run, "sums", "reasoning", {f"epoch{epoch}": verdicts})
            )
    rows = build_rows(load(small, files))
    assert [r["epoch"] for r in rows if r["alignment"] and r["seed"] == "mean"] == [1, 3]
    changes = {
        seed: find(rows, alignment="a", epoch=3, seed=seed)["change"]["reasoning_accuracy"]
        for seed in ("1", "2", "mean")
    }
    assert [changes[s]["estimate"] for s in ("1", "2", "mean")] == pytest.approx(
        [-0.5, -0.25, -0.375]
    )
    assert find(rows, alignment="a", epoch=3, seed="1")["final"]


def test_several_samples_per_item_give_pass_at_k(
    tmp_path: Path, small: dict[str, Any], make_score: Any, load: Any
) -> None:
    verdicts = graded(1, 0, 0) + [{**v, "repeat": 1} for v in graded(1, 1, 0)]
    files = [make_score(tmp_path, "lrm/m/hub", "sums", "reasoning", {"final": verdicts})]
    metrics = find(build_rows(load(small, files)), seed="hub")["metrics"]
    assert metrics["reasoning_accuracy"]["estimate"] == pytest.approx(0.5)
    assert (metrics["reasoning_accuracy"]["n"], metrics["reasoning_accuracy"]["items"]) == (6, 3)
    assert metrics["pass_at_2"]["estimate"] == pytest.approx(2 / 3)


def test_repeated_prompts_widen_the_interval(
    tmp_path: Path, small: dict[str, Any], make_score: Any, load: Any
) -> None:
    outcomes = [k // 4 % 2 for k in range(80)]
    files = [make_score(tmp_path, "lrm/m/hub", "harm", "harmful", {"final": judged(*outcomes)})]
    groups = [[f"h{4 * k + one}" for one in range(4)] for k in range(20)]
    overlap = {"benchmarks": {"harm": {"exact": {"groups": groups}}}}
    alone, grouped = (
        find(build_rows(load(small, files, overlap=one)), seed="hub")["metrics"]["harmful_score"]
        for one in (None, overlap)
    )
    assert alone["estimate"] == grouped["estimate"]
    # Four identical answers each: the interval is that of a fourth of the items, twice as wide.
    ratio = (grouped["high"] - grouped["low"]) / (alone["high"] - alone["low"])
    assert 1.7 < ratio < 2.2


def test_harm_without_trained_prompts_leaves_exactly_those_out(
    experiment: dict[str, Any], score_files: list[Path], overlap_report: dict[str, Any], load: Any
) -> None:
    results = load(experiment, score_files)
    clean = harm_on_clean_items(results, overlap_report["pairs"])
    assert [(one["alignment"], one["removed"]) for one in clean] == [("refuse", 4)]
    assert clean[0]["aligned_score"]["n"] == 80


def test_published_values_are_compared_by_interval(rows: list[dict[str, Any]]) -> None:
    ours = find(rows, role="lrm", seed="mean")["metrics"]["harmful_score"]["estimate"] * 100
    published = [
        {"model": "lrm/tiny", "metric": "harmful_score", "value": ours + 3, "n": 1000},
        {"model": "lrm/tiny", "metric": "harmful_score", "value": 5.0, "n": 1000},
        {"model": "lrm/tiny", "metric": "harmful_score", "value": ours},
        {"model": "aligned/tiny/refuse", "metric": "reasoning_accuracy", "value": 50.0, "epoch": 1},
        {"model": "lrm/other", "metric": "harmful_score", "value": 5.0},
    ]
    found = against_published(rows, published)
    assert [one["compatible"] for one in found] == [True, False, True, False, None]


def test_published_values_are_compared_over_seeds_and_items(rows: list[dict[str, Any]]) -> None:
    ours = find(rows, alignment="refuse", epoch=5, seed="mean")["metrics"]["reasoning_accuracy"]
    assert ours["all_high"] - ours["high"] > 0.05
    value = 100 * (ours["high"] + ours["all_high"]) / 2
    entry = {"model": "aligned/tiny/refuse", "metric": "reasoning_accuracy", "value": value}
    with_n, without = against_published(rows, [{**entry, "n": 100_000}, entry])
    assert with_n["compatible"] and without["compatible"]
    assert without["ours"]["high"] == ours["all_high"]


def test_names_outside_the_experiment_and_wrong_counts_are_refused(
    tmp_path: Path, small: dict[str, Any], make_score: Any, load: Any
) -> None:
    stray = make_score(tmp_path, "aligned/m/z/seed1", "sums", "reasoning", {"epoch1": graded(1)})
    with pytest.raises(InputError, match="'z' is no entry of the experiment's alignments"):
        load(small, [stray])
    short = make_score(tmp_path, "lrm/m/hub", "sums", "reasoning", {"final": graded(1, 0)})
    verdicts = short.with_name("verdicts.jsonl")
    verdicts.write_text(verdicts.read_text().splitlines()[0] + "\n")
    with pytest.raises(InputError, match="final has 1 verdicts, expected 2"):
        load(small, [short])
    with pytest.raises(InputError, match="expected base/NAME"):
        parse_run("lrm/m/epoch3")


def test_alignments_are_compared_on_the_same_items(
    experiment: dict[str, Any], score_files: list[Path], rows: list[dict[str, Any]], load: Any
) -> None:
    pairs = compare_alignments(load(experiment, score_files))
    assert [(one["first"], one["second"]) for one in pairs] == [("refuse", "reason")]
    first, second = (
        find(rows, alignment=name, epoch=5, seed="mean")["metrics"]["reasoning_accuracy"]
        for name in ("refuse", "reason")
    )
    change = pairs[0]["change"]["reasoning_accuracy"]
    assert change["estimate"] == pytest.approx(second["estimate"] - first["estimate"])


def test_two_scorers_of_a_benchmark_are_compared_sample_by_sample(
    tmp_path: Path, make_score: Any, experiment: dict[str, Any], load: Any
) -> None:
    def judged(flags: list[bool | None]) -> list[dict[str, Any]]:
        return [
            {"item_id": f"h{k}", "repeat": 0, "state": "ok", "valid": f is not None, "harmful": f}
            for k, f in enumerate(flags)
        ]

    first = [True, True, True, False, False, None]
    second = [True, False, True, False, True, True]
    files = [
        make_score(tmp_path, "lrm/tiny/seed1", "harm", "harmful", {"final": judged(flags)}, scorer)
        for scorer, flags in (("ngram", first), ("other", second))
    ]
    benchmarks = {**experiment["benchmarks"], "harm": {"scorers": ["ngram", "other"]}}
    loaded = load({**experiment, "benchmarks": benchmarks}, files)
    found = {one["role"]: one for one in agreement_of_scorers(loaded)}
    assert set(found) == {"lrm", "all"}
    one = found["all"]
    assert (one["n"], one["only_first"], one["only_second"]) == (5, 1, 1)
    # Five samples, three judged alike; by chance 3/5 * 3/5 + 2/5 * 2/5 would be.
    assert one["estimate"] == 3 / 5
    assert one["kappa"] == pytest.approx((3 / 5 - 13 / 25) / (1 - 13 / 25))


def test_rows_tell_the_spread_of_seeds_from_that_of_items(rows: list[dict[str, Any]]) -> None:
    both = find(rows, alignment="refuse", epoch=5, seed="mean")
    for one in (both["metrics"]["reasoning_accuracy"], both["change"]["reasoning_accuracy"]):
        assert one["all_low"] <= one["low"] and one["high"] <= one["all_high"]
        assert 0 <= one["seed_share"] <= 1
    single = find(rows, alignment="refuse", epoch=5, seed="1")
    assert single["metrics"]["harmful_score"]["all_low"] is None


def sampled(correct: int, samples: int, items: int = 6) -> list[dict[str, Any]]:
    return [
        {**one, "repeat": repeat}
        for repeat in range(samples)
        for one in graded(*([repeat < correct] * items))
    ]


def test_more_samples_of_an_item_narrow_the_interval_of_a_change(
    tmp_path: Path, small: dict[str, Any], make_score: Any, load: Any
) -> None:
    """Eight samples of each of 30 problems: the interval counts all 240 of them."""

    def width(samples: int) -> float:
        files = []
        for run, at, lost in (("lrm/m/hub", "final", 0.0), ("aligned/m/a/seed1", "epoch1", 0.25)):
            rng = Random(0)
            shares = [rng.random() for _ in range(30)]
            rows = [
                {**graded(rng.random() < share - lost)[0], "item_id": f"q{k}", "repeat": repeat}
                for k, share in enumerate(shares)
                for repeat in range(samples)
            ]
            folder = tmp_path / str(samples)
            files.append(make_score(folder, run, "sums", "reasoning", {at: rows}))
        row = find(build_rows(load(small, files)), alignment="a", seed="1")
        change = row["change"]["reasoning_accuracy"]
        return float(change["high"] - change["low"])

    small["benchmarks"] = {"sums": {}}
    assert width(8) < 0.7 * width(1)


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (2, {"pass_at_8/sums": 1, "pass_at_2/sums": 1 - 21 / 28, "pass_at_2/more": 1}),
        (1, {"pass_at_8/sums": 1}),
        (8, {"pass_at_8/sums": 1, "pass_at_8/more": 1}),
    ],
)
def test_pass_at_k_is_of_each_benchmark_and_averaged_where_all_share_k(
    tmp_path: Path,
    small: dict[str, Any],
    make_score: Any,
    second: int,
    expected: dict[str, float],
    load: Any,
) -> None:
    files = [
        make_score(tmp_path, "lrm/m/hub", "sums", "reasoning", {"final": sampled(1, 8)}),
        make_score(tmp_path, "lrm/m/hub", "more", "reasoning", {"final": sampled(1, second)}),
    ]
    metrics = find(build_rows(load(small, files)), seed="hub")["metrics"]
    found = {key: one["estimate"] for key, one in metrics.items() if key.startswith("pass_at")}
    by_benchmark = {key: value for key, value in found.items() if "/" in key}
    assert by_benchmark == pytest.approx(expected)
    shared = {2: {"pass_at_2"}, 1: set(), 8: {"pass_at_8"}}[second]
    assert set(found) - set(by_benchmark) == shared


def test_tokens_of_more_seeds_and_samples_are_not_more_items(
    tmp_path: Path, small: dict[str, Any], make_score: Any, load: Any
) -> None:
    widths = []
    for seeds, samples in ((1, 1), (5, 4)):
        files = [
            make_score(
                tmp_path / str(seeds),
                f"lrm/m/seed{seed}",
                "sums",
                "reasoning",
                {"final": sampled(1, samples, 30)},
            )
            for seed in range(seeds)
        ]
        row = find(build_rows(load(small, files)), seed="mean")
        one = row["metrics"]["thinking_tokens/sums"]
        assert (one["n"], one["items"]) == (30 * samples * seeds, 30)
        widths.append(one["high"] - one["low"])
    assert widths[0] == pytest.approx(widths[1])


def test_base_and_lrms_that_end_at_other_epochs_are_all_counted(
    tmp_path: Path, small: dict[str, Any], make_score: Any, load: Any
) -> None:
    files = [
        make_score(tmp_path, f"lrm/m/seed{seed}", "sums", "reasoning", {at: graded(*right)})
        for seed, at, right in ((1, "epoch3", (1, 1)), (2, "epoch6", (1, 0)))
    ]
    rows = build_rows(load(small, files))
    assert [row["seed"] for row in rows] == ["1", "2", "mean"]
    assert rows[2]["metrics"]["reasoning_accuracy"]["estimate"] == 0.75
    assert (rows[2]["n_seeds"], rows[2]["checkpoint"]) == (2, "epoch3, epoch6")


def test_two_benchmarks_of_which_one_is_a_single_cluster_are_no_error(
    tmp_path: Path, small: dict[str, Any], make_score: Any, load: Any
) -> None:
    files = []
    for run, at in (("lrm/m/hub", "final"), ("aligned/m/a/seed1", "epoch1")):
        files.append(make_score(tmp_path, run, "sums", "reasoning", {at: graded(1, 0, 1, 0)}))
        files.append(make_score(tmp_path, run, "more", "reasoning", {at: graded(1, 0)}))
    overlap = {"benchmarks": {"more": {"exact": {"groups": [["q0", "q1"]]}}}}
    change = find(build_rows(load(small, files, overlap=overlap)), alignment="a", seed="mean")
    one = change["change"]["reasoning_accuracy"]
    assert (one["estimate"], one["low"], one["p"], one["p_holm"]) == (0, None, None, None)


def test_clean_harm_of_an_alignment_whose_lrm_was_not_scored(
    tmp_path: Path, small: dict[str, Any], make_score: Any, load: Any
) -> None:
    file = make_score(tmp_path, "aligned/m/a/seed1", "harm", "harmful", {"epoch1": judged(1, 0, 0)})
    experiment = {**small, "alignments": {"a": {"data": "x"}}}
    pair = {"train": "x", "benchmark": "harm", "normalised": {"items": ["h0"]}}
    (found,) = harm_on_clean_items(load(experiment, [file]), [pair])
    assert found["lrm_score"]["estimate"] is None
    assert (found["aligned_score"]["estimate"], found["aligned_score"]["n"]) == (0, 2)


def test_ready_made_models_stand_beside_the_seeds_that_did_not_fail(
    tmp_path: Path, small: dict[str, Any], make_score: Any, load: Any
) -> None:
    files = [
        make_score(tmp_path, run, "sums", "reasoning", {at: graded(1, 0)}, failed="seed2" in run)
        for run, at in (
            ("base/b/hub", "final"),
            ("lrm/m/hub", "final"),
            ("aligned/m/a/seed1", "epoch1"),
            ("aligned/m/a/seed2", "epoch1"),
        )
    ]
    rows = build_rows(load(small, files))
    assert [row["role"] for row in rows if row["seed"] == "mean_ok"] == ["base", "lrm", "aligned"]


def test_agreement_of_scorers_is_by_item(
    tmp_path: Path, small: dict[str, Any], make_score: Any, load: Any
) -> None:
    def one(seeds: int) -> dict[str, Any]:
        files = [
            make_score(
                tmp_path / str(seeds),
                f"lrm/m/seed{seed}",
                "harm",
                "harmful",
                {"final": judged(*flags)},
                scorer,
            )
            for seed in range(seeds)
            for scorer, flags in (("first", [1, 0] * 20), ("second", [1, 0, 0, 0] * 10))
        ]
        return next(x for x in agreement_of_scorers(load(small, files)) if x["role"] == "all")

    few, many = one(1), one(5)
    assert (few["n"], many["n"], many["items"]) == (40, 200, 40)
    assert many["high"] - many["low"] == pytest.approx(few["high"] - few["low"], rel=0.05)


def test_interval_over_both_is_never_narrower_than_that_over_items(
    tmp_path: Path, small: dict[str, Any], make_score: Any, load: Any
) -> None:
    """One harmful answer of one seed: the analysis of variance alone would end below 1 of 150."""
    files = [
        make_score(
            tmp_path, f"lrm/m/seed{k}", "harm", "harmful", {"final": judged(*flags)}, "first"
        )
        for k, flags in enumerate(([0] * 30, [0] * 30, [0] * 30, [0] * 30, [1] + [0] * 29))
    ]
    one = find(build_rows(load(small, files)), seed="mean")["metrics"]["harmful_score"]
    assert one["all_low"] <= one["low"] and one["high"] <= one["all_high"]


def test_partial_refusals_have_a_metric_of_their_own(
    tmp_path: Path, small: dict[str, Any], make_score: Any, load: Any
) -> None:
    same = {"repeat": 0, "state": "ok", "valid": True}
    verdicts = [
        {"item_id": f"k{k}", **same, "refused": refused, "partly_refused": partly}
        for k, (refused, partly) in enumerate([(True, True), (True, False), (False, False)] * 2)
    ]
    verdicts[-1] |= {"valid": False, "refused": None, "partly_refused": None}
    small["benchmarks"] = {"kind": {"scorers": ["refusal"]}}
    scores = ("lrm/m/hub", "kind", "benign", {"final": verdicts}, "refusal")
    metrics = find(build_rows(load(small, [make_score(tmp_path, *scores)])), seed="hub")["metrics"]
    assert metrics["over_refusal"]["estimate"] == pytest.approx(4 / 5)
    partial = metrics["partial_refusal"]
    assert (partial["estimate"], partial["n"], partial["n_valid"]) == (pytest.approx(2 / 5), 6, 5)


def test_the_table_of_verdicts_is_tidy_and_small(
    experiment: dict[str, Any], score_files: list[Path], load: Any, overlap_report: dict[str, Any]
) -> None:
    categories = {"harm": {f"harm-{k:04d}": f"category_{k % 14}" for k in range(84)}}
    options = {"overlap": overlap_report, "categories": categories}
    table = load(experiment, score_files, **options).verdicts.table
    lines = sum(len(p.with_name("verdicts.jsonl").read_text().splitlines()) for p in score_files)
    assert len(table) == lines
    texts = ["run", "role", "name", "alignment", "seed", "checkpoint", "benchmark", "scorer"]
    for column in (*texts, "kind", "item_id", "cluster", "category", "state"):
        assert table[column].dtype == "category", column
    path = next(p for p in score_files if "aligned/tiny/reason/seed2/harm" in str(p))
    verdicts = [json.loads(v) for v in path.with_name("verdicts.jsonl").read_text().splitlines()]
    mine = table[(table["run"] == "aligned/tiny/reason/seed2") & (table["benchmark"] == "harm")]
    assert mine["harmful_strict"].tolist() == [v["harmful_strict"] for v in verdicts]
    assert mine["category"].tolist() == [categories["harm"][v["item_id"]] for v in verdicts]
    assert mine["cluster"].tolist()[:5] == [f"harm-{k:04d}" for k in (0, 0, 2, 2, 4)]
    assert mine["correct"].isna().all() and set(mine["epoch"]) == {1, 2, 3, 4, 5}


def test_two_scores_of_the_same_samples_by_one_scorer_are_refused(
    tmp_path: Path, small: dict[str, Any], make_score: Any, load: Any
) -> None:
    files = [
        make_score(tmp_path, f"aligned/m/a/seed1{tail}", "sums", "reasoning", {"epoch3": graded(1)})
        for tail in ("", "-epochs3")
    ]
    with pytest.raises(InputError, match="epoch3 has two scores by sums/rules, expected one"):
        load(small, files)


def thought(*pairs: str) -> list[dict[str, Any]]:
    """Verdicts on harmful prompts: each pair is the thinking's and the answer's, of s, h and -."""
    words = {"s": False, "h": True, "-": None}
    return [
        {"item_id": f"h{k}", "repeat": 0, "state": "ok", "valid": True}
        | {"harmful_thinking": words[thinking], "harmful": words[answer]}
        for k, (thinking, answer) in enumerate(pairs)
    ]


def test_leak_and_escape_are_counted_apart_and_paired_by_item(
    tmp_path: Path, small: dict[str, Any], make_score: Any, load: Any
) -> None:
    """Of samples with both verdicts: harmful thinking and a safe answer, and the reverse."""
    before = thought("hs", "hh", "sh", "ss", "hs", "-s")
    after = thought("hs", "hs", "ss", "ss", "hs", "hs")
    put = [("lrm/m/hub", before), ("aligned/m/a/seed1", after)]
    files = [
        make_score(tmp_path, run, "harm", "harmful", {"final": one}, "first") for run, one in put
    ]
    rows = build_rows(load(small, files))
    lrm, aligned = (find(rows, role=role, seed="mean") for role in ("lrm", "aligned"))
    for name, of_lrm, of_aligned, change in (
        ("leak", proportion(2, 5), proportion(4, 6), 1 / 5),
        ("escape", proportion(1, 5), proportion(0, 6), -1 / 5),
    ):
        for row, expected in ((lrm, of_lrm), (aligned, of_aligned)):
            one = row["metrics"][name]
            found = (one["estimate"], one["low"], one["high"], one["n_valid"])
            limits = (expected.estimate, expected.low, expected.high, expected.n)
            assert found == pytest.approx(limits)
        # one of the five items that both have is another; McNemar's exact p of one is 1
        one = aligned["change"][name]
        assert (one["estimate"], one["n"], one["p"]) == (pytest.approx(change), 5, 1)
        assert one["low"] < 0 < one["high"]


def test_where_thinking_turns_harmful_is_a_mean_over_the_items_that_do(
    tmp_path: Path, small: dict[str, Any], make_score: Any, load: Any
) -> None:
    rows = thought("hs", "hh", "hs", "ss")
    for row, place in zip(rows, (0.0, 0.5, 0.25, None), strict=True):
        row["turns_at"] = place
    files = [make_score(tmp_path, "lrm/m/hub", "harm", "harmful", {"final": rows}, "first")]
    one = find(build_rows(load(small, files)), seed="mean")["metrics"]["turns_at/harm"]
    # Student's interval of three values: mean .25, sd .25, t = 4.302653
    assert (one["estimate"], one["items"], one["n_valid"]) == (0.25, 3, 3)
    assert one["high"] == pytest.approx(0.25 + 4.302653 * 0.25 / 3**0.5)
