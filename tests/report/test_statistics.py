"""The report's statistics against closed forms, other libraries, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import (
    confint_proportions_2indep,
    proportion_confint,
    proportions_ztest,
    samplesize_proportions_2indep_onetail,
)

from workflow.scripts.common import intervals as iv
from workflow.scripts.report import differences as st
from workflow.scripts.report import power
from workflow.scripts.report.agreement import agreement
from workflow.scripts.report.tax import ratio, safety_tax


def binary(successes: int, n: int) -> dict[int, float]:
    return {item: float(item < successes) for item in range(n)}


def test_no_data_gives_none_not_nan() -> None:
    assert iv.proportion(0, 0) == iv.NOTHING
    assert iv.clustered_proportion({}) == iv.NOTHING
    assert st.paired_difference({}, {1: 1.0}).p is None
    assert iv.over_seeds([]) == (iv.NOTHING, None)
    assert power.minimum_detectable_difference(0) is None
    assert st.holm([None]) == [None]
    assert st.average([]) == iv.NOTHING


@pytest.mark.parametrize("successes", [0, 20])
def test_all_or_none_right_still_has_an_interval(successes: int) -> None:
    values = binary(successes, 20)
    alone = iv.clustered_proportion(values)
    assert 0.1 < (alone.high or 0) - (alone.low or 0) < 0.2
    repeated = iv.clustered_proportion(values, {item: item // 2 for item in values})
    assert (repeated.high or 0) - (repeated.low or 0) > (alone.high or 0) - (alone.low or 0)
    same = st.paired_difference(values, values)
    assert same.p == 1 and (same.low or 0) < 0 < (same.high or 0)


def test_one_item_or_one_cluster_is_no_error() -> None:
    assert st.paired_difference({1: 1.0}, {1: 0.0}).p == 1
    one_cluster = {1: "a", 2: "a"}
    assert st.paired_difference({1: 1.0, 2: 0.0}, {1: 0.0, 2: 0.0}, one_cluster).p is None
    assert iv.clustered_proportion({1: 1.0, 2: 0.0}, one_cluster).low is None


@pytest.mark.parametrize(
    ("cells"), [(60, 20, 5, 15), (10, 0, 0, 5), (30, 12, 0, 0), (0, 0, 7, 20), (3, 9, 8, 2)]
)
def test_paired_difference_equals_mcnemar_and_newcombe(cells: tuple[int, int, int, int]) -> None:
    both, first_only, second_only, neither = cells
    pairs = (
        [(1.0, 1.0)] * both
        + [(1.0, 0.0)] * first_only
        + [(0.0, 1.0)] * second_only
        + [(0.0, 0.0)] * neither
    )
    ours = st.paired_difference(
        dict(enumerate(x for x, _ in pairs)), dict(enumerate(y for _, y in pairs))
    )
    table = [[both, first_only], [second_only, neither]]
    expected_p = mcnemar(table, exact=True).pvalue if first_only + second_only else 1.0
    assert ours.p == pytest.approx(expected_p, abs=1e-10)
    # Newcombe 1998 (Statist. Med. 17:2635), method 10 from its formulas: phi is corrected by n/2.
    n = sum(cells)
    p1, p2 = (both + first_only) / n, (both + second_only) / n
    (l1, u1), (l2, u2) = (proportion_confint(round(p * n), n, method="wilson") for p in (p1, p2))
    margins = (both + first_only) * (second_only + neither) * (both + second_only)
    margins *= first_only + neither
    product = both * neither - first_only * second_only
    product = max(product - n / 2, 0) if product > 0 else product
    phi = product / math.sqrt(margins) if margins else 0.0
    d = p2 - p1
    low = d - math.sqrt((p2 - l2) ** 2 - 2 * phi * (p2 - l2) * (u1 - p1) + (u1 - p1) ** 2)
    high = d + math.sqrt((u2 - p2) ** 2 - 2 * phi * (u2 - p2) * (p1 - l1) + (p1 - l1) ** 2)
    assert (ours.estimate, ours.low, ours.high) == pytest.approx((d, low, high), abs=1e-10)


def test_p_and_interval_of_several_samples_never_contradict_each_other() -> None:
    rng = np.random.default_rng(3)
    found = []
    for k in range(60):
        a, b = rng.binomial(5, 0.02, 40) / 5, rng.binomial(5, 0.02 + 0.004 * k, 40) / 5
        one = st.paired_difference(dict(enumerate(a)), dict(enumerate(b)), samples=200)
        assert one.p is not None and one.low is not None and one.high is not None
        found.append(one.p < 0.05)
        assert found[-1] == (not one.low <= 0 <= one.high)
    assert 10 < sum(found) < 50


def test_p_of_several_samples_is_close_to_a_t_test_where_that_is_right() -> None:
    rng = np.random.default_rng(4)
    for shift in (0.02, 0.04, 0.06):
        a = rng.binomial(8, 0.5, 400) / 8
        b = np.clip(a - shift + rng.choice([-0.25, 0, 0.25], 400), 0, 1)
        ours = st.paired_difference(dict(enumerate(a)), dict(enumerate(b)), samples=3200)
        z = [abs(stats.norm.ppf((p or 1) / 2)) for p in (ours.p, stats.ttest_rel(b, a).pvalue)]
        assert z[0] == pytest.approx(z[1], rel=0.25)


def test_the_same_loss_on_every_item_is_not_no_loss() -> None:
    # One of two seeds fell from 100 to 0, the other not at all: each item lost one half.
    before, after = dict.fromkeys(range(50), 1.0), dict.fromkeys(range(50), 0.5)
    one = st.paired_difference(before, after, samples=100)
    assert one.estimate == -0.5 and (one.high or 0) < 0
    assert one.p is not None and one.p < 0.001


def test_models_that_agree_on_every_item_still_have_an_interval() -> None:
    same = st.paired_difference(binary(20, 40), binary(20, 40))
    assert same.estimate == 0 and (same.low or 0) < -0.01 and (same.high or 0) > 0.01


def test_only_shared_items_are_paired() -> None:
    difference = st.paired_difference({1: 1.0, 2: 1.0, 3: 0.0}, {2: 0.0, 3: 0.0, 4: 1.0})
    assert (difference.n, difference.estimate) == (2, -0.5)


def test_independent_difference_equals_statsmodels_newcombe() -> None:
    ours = st.independent_difference(iv.proportion(30, 100), iv.proportion(45, 120))
    expected = confint_proportions_2indep(45, 120, 30, 100, method="newcomb")
    assert (ours.low, ours.high) == pytest.approx(expected, abs=1e-10)


def test_published_safechain_loss_is_not_significant_and_directrefusal_is() -> None:
    # The publication's GPQA counts of 198: LRM 116, SafeChain 102, DirectRefusal 70.
    lrm, safechain, refusal = (iv.proportion(k, 198) for k in (116, 102, 70))
    p = st.independent_difference(lrm, safechain).p
    assert p == pytest.approx(proportions_ztest([116, 102], [198, 198])[1], abs=0.01)
    assert round(p or 0, 2) == 0.16
    assert (st.independent_difference(lrm, refusal).p or 1) < 1e-5


def test_holm_equals_statsmodels_and_a_hand_worked_case() -> None:
    assert st.holm([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06])
    p = list(np.random.default_rng(4).random(12))
    assert st.holm(p) == multipletests(p, method="holm")[1].tolist()  # to the last bit


@pytest.mark.parametrize("baseline", [0.5, 0.6, 0.9])
def test_unpaired_detectable_difference_inverts_statsmodels_sample_size(baseline: float) -> None:
    drop = power.minimum_detectable_difference(198, baseline)
    assert drop is not None
    n = samplesize_proportions_2indep_onetail(-drop, baseline, 0.8, alpha=0.05)
    assert n == pytest.approx(198, rel=0.01)


def test_gpqa_diamond_cannot_show_the_published_safechain_loss() -> None:
    # 7.1 points were reported on 198 items; at 80 % power about 14 are needed unpaired.
    drop = power.minimum_detectable_difference(198, 116 / 198)
    assert drop == pytest.approx(0.139, abs=0.002)


def test_paired_detectable_difference_has_the_promised_power() -> None:
    n, discordant = 400, 0.2
    drop = power.minimum_detectable_difference(n, discordant=discordant)
    assert drop is not None
    rng = np.random.default_rng(5)
    lost = (discordant + drop) / 2
    cells = rng.multinomial(n, [lost, discordant - lost, 1 - discordant], 4000)
    z = (cells[:, 0] - cells[:, 1]) / np.sqrt(cells[:, 0] + cells[:, 1])
    assert np.mean(np.abs(z) > 1.96) == pytest.approx(0.8, abs=0.02)
    assert power.minimum_detectable_difference(10, discordant=0.1) is None


@pytest.mark.parametrize(
    ("n", "baseline", "discordant", "found"),
    [(100, 1.0, None, True), (100, 0.0, None, False), (100, 0.5, 0.0, False)],
)
def test_no_loss_of_zero_is_ever_found(
    n: int, baseline: float, discordant: float | None, found: bool
) -> None:
    drop = power.minimum_detectable_difference(n, baseline, discordant=discordant)
    assert (drop is not None) == found
    if drop is not None:
        needed = samplesize_proportions_2indep_onetail(-drop, baseline, 0.8, alpha=0.05)
        assert drop > 0.01 and needed == pytest.approx(n, rel=0.01)


def test_average_of_benchmarks_has_the_textbook_standard_error() -> None:
    one, two = (st.Difference(0.1, 0.1 - h, 0.1 + h, 50, 0.5) for h in (0.03, 0.04))
    mean = st.average([one, two])
    assert (mean.estimate, mean.low, mean.high) == pytest.approx((0.1, 0.075, 0.125))
    assert isinstance(mean, st.Difference) and mean.p == pytest.approx(
        2 * stats.norm.sf(0.1 / (0.025 / stats.norm.ppf(0.975)))
    )
    assert st.average([one]) is one
    unknown = st.average([one, st.Difference(0.3, None, None, 5)])
    assert unknown == st.Difference(pytest.approx(0.2), None, None, 55)


def test_p_of_an_average_goes_with_its_interval() -> None:
    for low, high in ((-0.001, 0.4), (0.001, 0.4), (-0.4, -0.001), (-0.4, 0.001)):
        one = st.Difference((low + high) / 2 + 0.05, low, high, 9)
        p = st.average([one, one.__class__(one.estimate, low, high, 9)]).p
        assert p is not None
        mean = st.average([one, one])
        assert (p < 0.05) == (not (mean.low or 0) <= 0 <= (mean.high or 0))


def test_seeds_on_the_same_items_do_not_narrow_an_interval() -> None:
    one = iv.mean_with_t(40.0, 9.0, 120)
    assert st.average_on_same_items([one] * 5) == one


@pytest.mark.slow
def test_tokens_of_seeds_on_the_same_items_cover_95_percent() -> None:
    rng = np.random.default_rng(9)
    covered = []
    for _ in range(500):
        item = rng.normal(40, 9, 60)
        seeds = [item + rng.normal(0, 3, 60) for _ in range(5)]
        found = [iv.mean_with_t(x.mean(), x.std(ddof=1), 60) for x in seeds]
        one = st.average_on_same_items(found)
        covered.append((one.low or 0) <= 40 <= (one.high or 0))
    assert 0.93 <= np.mean(covered) <= 0.985


def test_fieller_limits_solve_the_quadratic() -> None:
    a, b = iv.Estimate(0.2, 0.1, 0.3, 100), iv.Estimate(0.5, 0.4, 0.6, 200)
    ours = ratio(a, b)
    error = 0.1 / stats.norm.ppf(0.975)
    z2 = stats.norm.ppf(0.975) ** 2
    roots = np.roots([0.5**2 - z2 * error**2, -2 * 0.2 * 0.5, 0.2**2 - z2 * error**2])
    assert (ours.low, ours.high) == pytest.approx(sorted(roots), abs=1e-10)
    unclear = ratio(a, iv.Estimate(0.05, -0.05, 0.15, 200))
    assert unclear.estimate == pytest.approx(4) and unclear.low is None
    assert ratio(a, iv.Estimate(0.0, -0.1, 0.1, 9)) == iv.NOTHING


def test_safety_tax_counts_points_lost_per_harm_point_removed() -> None:
    # The publication's averages: accuracy 63.40 -> 56.31, harm 60.40 -> 30.80.
    tax = safety_tax(
        st.Difference(-0.0709, -0.15, 0.01, 198, 0.1), st.Difference(-0.296, -0.33, -0.26, 1000, 0)
    )
    assert (tax.points.estimate, tax.points.low, tax.points.high) == (0.0709, -0.01, 0.15)
    assert tax.per_harm_point.estimate == pytest.approx(7.09 / 29.6)


@pytest.mark.parametrize("harm", [(0.2, 0.1, 0.3), (-0.05, -0.12, 0.02)])
def test_no_tax_per_harm_point_where_no_harm_was_removed(harm: tuple[float, float, float]) -> None:
    tax = safety_tax(st.Difference(-0.1, -0.15, -0.05, 198), st.Difference(*harm, 198))
    assert tax.per_harm_point == iv.NOTHING


def test_agreement_equals_scikit_learn() -> None:
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(12)
    first = list(map(bool, rng.random(90) < 0.4))
    second = [one != (rng.random() < 0.2) for one in first]
    same, kappa = agreement({k: [pair] for k, pair in enumerate(zip(first, second, strict=True))})
    assert same.estimate == np.mean(np.array(first) == np.array(second))
    assert kappa == pytest.approx(cohen_kappa_score(first, second), abs=1e-10)
    assert agreement({1: [(True, True)]})[1] is None
    assert agreement({}) == (iv.NOTHING, None)


def test_agreement_on_one_item_five_times_is_not_five_items() -> None:
    alone = agreement({k: [(True, k % 4 > 0)] for k in range(40)})[0]
    often = agreement({k: [(True, k % 4 > 0)] * 5 for k in range(40)})[0]
    assert often.estimate == alone.estimate
    width = [(one.high or 0) - (one.low or 0) for one in (alone, often)]
    assert width[1] == pytest.approx(width[0], rel=0.05)


def test_what_could_be_found_is_known_before_the_run() -> None:
    found = power.detectable_before_run({"gpqa": 198, "none": 0}, 116 / 198)
    assert found["gpqa"]["unpaired"] == pytest.approx(0.139, abs=0.002)
    assert found["none"]["unpaired"] is None


@pytest.mark.slow
@pytest.mark.parametrize("n", [50, 198, 500])
def test_paired_interval_covers_95_percent_on_average(n: int) -> None:
    rng = np.random.default_rng(n)
    covered = []
    for p in (0.3, 0.6, 0.9):
        for lost, gained in ((0.05, 0.05), (0.15, 0.05), (0.25, 0.02)):
            for _ in range(150):
                first = rng.random(n) < p
                flip = rng.random(n) < np.where(first, lost, gained)
                difference = st.paired_difference(
                    dict(enumerate(first.astype(float))),
                    dict(enumerate((first ^ flip).astype(float))),
                )
                truth = (1 - p) * gained - p * lost
                covered.append((difference.low or 0) <= truth <= (difference.high or 0))
    # Measured: 0.975 for 50 items (conservative: few differ), 0.956 for 198, 0.959 for 500.
    assert 0.935 <= np.mean(covered) <= (0.965 if n > 50 else 0.985)


@pytest.mark.slow
def test_fieller_covers_95_percent() -> None:
    rng = np.random.default_rng(8)
    covered = []
    for _ in range(1500):
        a, b = rng.normal(0.1, 0.03), rng.normal(0.4, 0.05)
        half = stats.norm.ppf(0.975)
        one = ratio(
            iv.Estimate(a, a - half * 0.03, a + half * 0.03, 9),
            iv.Estimate(b, b - half * 0.05, b + half * 0.05, 9),
        )
        covered.append((one.low or 0) <= 0.25 <= (one.high or 0))
    assert 0.935 <= np.mean(covered) <= 0.965
