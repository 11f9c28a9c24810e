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

from workflow.scripts.report import statistics as st


def binary(successes: int, n: int) -> dict[int, float]:
    return {item: float(item < successes) for item in range(n)}


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (10, 10), (116, 198), (1, 1), (604, 1000)])
def test_proportion_equals_statsmodels(successes: int, n: int) -> None:
    ours = st.proportion(successes, n)
    low, high = proportion_confint(successes, n, method="wilson")
    assert (ours.estimate, ours.n) == (successes / n, n)
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=1e-10)


def test_wilson_closed_form_of_a_published_example() -> None:
    # Newcombe 1998 (Statist. Med. 17:857), table I, score method: 81/263 -> 0.2553 to 0.3662.
    ours = st.proportion(81, 263)
    assert (round(ours.low or 0, 4), round(ours.high or 0, 4)) == (0.2553, 0.3662)


def test_no_data_gives_none_not_nan() -> None:
    assert st.proportion(0, 0) == st.NOTHING
    assert st.clustered_proportion({}) == st.NOTHING
    assert st.paired_difference({}, {1: 1.0}).p is None
    assert st.over_seeds([]) == (st.NOTHING, None)
    assert st.minimum_detectable_difference(0) is None
    assert st.holm([None]) == [None]
    assert st.average([]) == st.NOTHING


@pytest.mark.parametrize("successes", [0, 20])
def test_all_or_none_right_still_has_an_interval(successes: int) -> None:
    values = binary(successes, 20)
    alone = st.clustered_proportion(values)
    assert 0.1 < (alone.high or 0) - (alone.low or 0) < 0.2
    repeated = st.clustered_proportion(values, {item: item // 2 for item in values})
    assert (repeated.high or 0) - (repeated.low or 0) > (alone.high or 0) - (alone.low or 0)
    same = st.paired_difference(values, values)
    assert same.p == 1 and (same.low or 0) < 0 < (same.high or 0)


def test_one_item_or_one_cluster_is_no_error() -> None:
    assert st.paired_difference({1: 1.0}, {1: 0.0}).p == 1
    one_cluster = {1: "a", 2: "a"}
    assert st.paired_difference({1: 1.0, 2: 0.0}, {1: 0.0, 2: 0.0}, one_cluster).p is None
    assert st.clustered_proportion({1: 1.0, 2: 0.0}, one_cluster).low is None


def test_unclustered_items_give_plain_wilson() -> None:
    assert st.clustered_proportion(binary(116, 198)) == st.proportion(116, 198)


def test_cluster_variance_equals_statsmodels_cluster_robust_regression() -> None:
    import statsmodels.api as sm

    rng = np.random.default_rng(1)
    groups = rng.integers(0, 30, 200)
    y = (rng.random(200) < rng.random(30)[groups]).astype(float)
    fit = sm.OLS(y, np.ones(200)).fit(cov_type="cluster", cov_kwds={"groups": groups})
    residuals = st._cluster_residuals(dict(enumerate(y)), dict(enumerate(groups)))
    assert st._variance(residuals, residuals, 200) == pytest.approx(fit.bse[0] ** 2, rel=1e-10)


@pytest.mark.parametrize("seeds", [2, 5])
def test_limits_rise_with_the_number_that_counts(seeds: int) -> None:
    """One of 168 is not known to be rarer than none of 168, and so on up to all."""
    items = 84
    limits = []
    for count in range(items * seeds + 1):
        values = {item: (count // items + (item < count % items)) / seeds for item in range(items)}
        one = st.clustered_proportion(values, samples=items * seeds)
        limits.append((one.low or 0.0, one.high or 0.0))
    for side in zip(*limits, strict=True):
        near = [*side[:8], *side[-8:]]
        assert near == sorted(near)


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
    ours = st.independent_difference(st.proportion(30, 100), st.proportion(45, 120))
    expected = confint_proportions_2indep(45, 120, 30, 100, method="newcomb")
    assert (ours.low, ours.high) == pytest.approx(expected, abs=1e-10)


def test_published_safechain_loss_is_not_significant_and_directrefusal_is() -> None:
    # The publication's GPQA counts of 198: LRM 116, SafeChain 102, DirectRefusal 70.
    lrm, safechain, refusal = (st.proportion(k, 198) for k in (116, 102, 70))
    p = st.independent_difference(lrm, safechain).p
    assert p == pytest.approx(proportions_ztest([116, 102], [198, 198])[1], abs=0.01)
    assert round(p or 0, 2) == 0.16
    assert (st.independent_difference(lrm, refusal).p or 1) < 1e-5


def test_holm_equals_statsmodels_and_a_hand_worked_case() -> None:
    assert st.holm([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06])
    p = list(np.random.default_rng(4).random(12))
    assert st.holm(p) == pytest.approx(list(multipletests(p, method="holm")[1]), abs=1e-10)


def test_mean_over_seeds_equals_scipy_and_keeps_the_spread_apart() -> None:
    values = [0.9, 0.8, 0.95, 0.7]
    mean, sd = st.over_seeds(values)
    interval = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (mean.low, mean.high) == pytest.approx(interval, abs=1e-10)
    assert sd == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    assert st.over_seeds([0.9]) == (st.Estimate(0.9, None, None, 1), None)
    assert st.over_seeds([0.9, None])[0].n == 1


@pytest.mark.parametrize("baseline", [0.5, 0.6, 0.9])
def test_unpaired_detectable_difference_inverts_statsmodels_sample_size(baseline: float) -> None:
    drop = st.minimum_detectable_difference(198, baseline)
    assert drop is not None
    n = samplesize_proportions_2indep_onetail(-drop, baseline, 0.8, alpha=0.05)
    assert n == pytest.approx(198, rel=0.01)


def test_gpqa_diamond_cannot_show_the_published_safechain_loss() -> None:
    # 7.1 points were reported on 198 items; at 80 % power about 14 are needed unpaired.
    drop = st.minimum_detectable_difference(198, 116 / 198)
    assert drop == pytest.approx(0.139, abs=0.002)


def test_paired_detectable_difference_has_the_promised_power() -> None:
    n, discordant = 400, 0.2
    drop = st.minimum_detectable_difference(n, discordant=discordant)
    assert drop is not None
    rng = np.random.default_rng(5)
    lost = (discordant + drop) / 2
    cells = rng.multinomial(n, [lost, discordant - lost, 1 - discordant], 4000)
    z = (cells[:, 0] - cells[:, 1]) / np.sqrt(cells[:, 0] + cells[:, 1])
    assert np.mean(np.abs(z) > 1.96) == pytest.approx(0.8, abs=0.02)
    assert st.minimum_detectable_difference(10, discordant=0.1) is None


@pytest.mark.parametrize(
    ("n", "baseline", "discordant", "found"),
    [(100, 1.0, None, True), (100, 0.0, None, False), (100, 0.5, 0.0, False)],
)
def test_no_loss_of_zero_is_ever_found(
    n: int, baseline: float, discordant: float | None, found: bool
) -> None:
    drop = st.minimum_detectable_difference(n, baseline, discordant=discordant)
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
    one = st.mean_with_t(40.0, 9.0, 120)
    assert st.average_on_same_items([one] * 5) == one


@pytest.mark.slow
def test_tokens_of_seeds_on_the_same_items_cover_95_percent() -> None:
    rng = np.random.default_rng(9)
    covered = []
    for _ in range(500):
        item = rng.normal(40, 9, 60)
        seeds = [item + rng.normal(0, 3, 60) for _ in range(5)]
        found = [st.mean_with_t(x.mean(), x.std(ddof=1), 60) for x in seeds]
        one = st.average_on_same_items(found)
        covered.append((one.low or 0) <= 40 <= (one.high or 0))
    assert 0.93 <= np.mean(covered) <= 0.985


def test_fieller_limits_solve_the_quadratic() -> None:
    a, b = st.Estimate(0.2, 0.1, 0.3, 100), st.Estimate(0.5, 0.4, 0.6, 200)
    ours = st.ratio(a, b)
    error = 0.1 / stats.norm.ppf(0.975)
    z2 = stats.norm.ppf(0.975) ** 2
    roots = np.roots([0.5**2 - z2 * error**2, -2 * 0.2 * 0.5, 0.2**2 - z2 * error**2])
    assert (ours.low, ours.high) == pytest.approx(sorted(roots), abs=1e-10)
    unclear = st.ratio(a, st.Estimate(0.05, -0.05, 0.15, 200))
    assert unclear.estimate == pytest.approx(4) and unclear.low is None
    assert st.ratio(a, st.Estimate(0.0, -0.1, 0.1, 9)) == st.NOTHING


def test_safety_tax_counts_points_lost_per_harm_point_removed() -> None:
    # The publication's averages: accuracy 63.40 -> 56.31, harm 60.40 -> 30.80.
    tax = st.safety_tax(
        st.Difference(-0.0709, -0.15, 0.01, 198, 0.1), st.Difference(-0.296, -0.33, -0.26, 1000, 0)
    )
    assert (tax.points.estimate, tax.points.low, tax.points.high) == (0.0709, -0.01, 0.15)
    assert tax.per_harm_point.estimate == pytest.approx(7.09 / 29.6)


@pytest.mark.parametrize("harm", [(0.2, 0.1, 0.3), (-0.05, -0.12, 0.02)])
def test_no_tax_per_harm_point_where_no_harm_was_removed(harm: tuple[float, float, float]) -> None:
    tax = st.safety_tax(st.Difference(-0.1, -0.15, -0.05, 198), st.Difference(*harm, 198))
    assert tax.per_harm_point == st.NOTHING


def exact_coverage(n: int, grid: np.ndarray) -> np.ndarray:
    """Coverage at each p, summed over all outcomes: a simulation without its noise."""
    limits = [st.proportion(k, n) for k in range(n + 1)]
    low = np.array([one.low for one in limits])
    high = np.array([one.high for one in limits])
    pmf = (stats.binom.pmf(np.arange(n + 1), n, p) for p in grid)
    inside = ((low <= p) & (p <= high) for p in grid)
    return np.array([chance[hit].sum() for chance, hit in zip(pmf, inside, strict=True)])


BANDS = [(0.01, 0.05), (0.05, 0.1), (0.1, 0.3), (0.3, 0.7), (0.7, 0.9), (0.9, 0.95), (0.95, 0.99)]


@pytest.mark.parametrize("n", [30, 198, 500, 1000])
@pytest.mark.parametrize(("least", "most"), BANDS)
def test_wilson_covers_95_percent_whatever_p_is(n: int, least: float, most: float) -> None:
    coverage = exact_coverage(n, np.linspace(least, most, 41)).mean()
    assert 0.935 <= coverage <= 0.965


@pytest.mark.parametrize(
    # At a single p coverage jumps with the count that just falls out (Brown, Cai & DasGupta 2001).
    # Measured: beyond 198 items it stays within 93.4 and 97.8; with 30 items it falls to 89.9 % and
    # is conservative elsewhere.
    ("n", "least", "most"),
    [(30, 0.89, 0.985), (198, 0.934, 0.978), (500, 0.934, 0.972), (1000, 0.94, 0.966)],
)
def test_wilson_at_each_single_p(n: int, least: float, most: float) -> None:
    coverage = exact_coverage(n, np.linspace(0.01, 0.99, 197))
    assert least <= coverage.min() and coverage.max() <= most


def crossed(
    rng: np.random.Generator, seeds: int, items: int, sd: tuple[float, float, float]
) -> list[dict[int, float]]:
    seed, item, rest = sd
    by_item = rng.normal(0, item, items)
    return [
        dict(enumerate(0.5 + shift + by_item + rng.normal(0, rest, items)))
        for shift in rng.normal(0, seed, seeds)
    ]


def test_seeds_and_items_together_equal_a_mixed_model_of_statsmodels() -> None:
    import pandas as pd
    import statsmodels.formula.api as smf

    sides = crossed(np.random.default_rng(11), 4, 25, (0.2, 0.3, 0.4))
    rows = [(s, i, y) for s, side in enumerate(sides) for i, y in side.items()]
    frame = pd.DataFrame(rows, columns=["seed", "item", "y"]).assign(all=1)
    parts = {"seed": "0 + C(seed)", "item": "0 + C(item)"}
    model = smf.mixedlm("y ~ 1", frame, groups="all", vc_formula=parts, re_formula="0")
    fit = model.fit(reml=True)
    both, share = st.over_seeds_and_items([sides])
    error = float(fit.bse["Intercept"])
    components = dict(zip(model.exog_vc.names, fit.vcomp, strict=True))
    assert both.estimate == pytest.approx(float(fit.params["Intercept"]), abs=1e-8)
    assert share == pytest.approx(components["seed"] / 4 / error**2, rel=0.01)
    # Both parts with their own Student's quantile; what is left over of an item stands with seeds.
    seed_part = (components["seed"] + fit.scale / 25) / 4
    item_part = components["item"] / 25
    assert seed_part + item_part == pytest.approx(error**2, rel=0.01)
    half = math.sqrt(
        stats.t.ppf(0.975, 3) ** 2 * seed_part + stats.t.ppf(0.975, 24) ** 2 * item_part
    )
    assert ((both.high or 0) - (both.low or 0)) / 2 == pytest.approx(half, rel=0.01)


def test_one_seed_says_nothing_about_other_seeds() -> None:
    both, share = st.over_seeds_and_items([[{1: 1.0, 2: 0.0}]])
    assert (both.estimate, both.low, share) == (0.5, None, None)
    assert st.over_seeds_and_items([]) == (st.NOTHING, None)
    same = st.over_seeds_and_items([[{1: 1.0, 2: 1.0}, {1: 1.0, 2: 1.0}]])
    assert same[0].estimate == 1.0 and same[0].low is None


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_interval_over_seeds_and_items_covers_at_least_95_percent(
    seeds: int, spread: float
) -> None:
    rng = np.random.default_rng(seeds)
    covered = []
    for _ in range(600):
        both, _ = st.over_seeds_and_items([crossed(rng, seeds, 60, (spread, 0.3, 0.3))])
        covered.append((both.low or 0) <= 0.5 <= (both.high or 0))
    # Measured: 95.1 to 96.9 % where training varies much, 96 to 99 % where it varies little.
    assert 0.935 <= np.mean(covered) <= 0.995


def test_agreement_equals_scikit_learn() -> None:
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(12)
    first = list(map(bool, rng.random(90) < 0.4))
    second = [one != (rng.random() < 0.2) for one in first]
    same, kappa = st.agreement(
        {k: [pair] for k, pair in enumerate(zip(first, second, strict=True))}
    )
    assert same.estimate == np.mean(np.array(first) == np.array(second))
    assert kappa == pytest.approx(cohen_kappa_score(first, second), abs=1e-10)
    assert st.agreement({1: [(True, True)]})[1] is None
    assert st.agreement({}) == (st.NOTHING, None)


def test_agreement_on_one_item_five_times_is_not_five_items() -> None:
    alone = st.agreement({k: [(True, k % 4 > 0)] for k in range(40)})[0]
    often = st.agreement({k: [(True, k % 4 > 0)] * 5 for k in range(40)})[0]
    assert often.estimate == alone.estimate
    width = [(one.high or 0) - (one.low or 0) for one in (alone, often)]
    assert width[1] == pytest.approx(width[0], rel=0.05)


def test_what_could_be_found_is_known_before_the_run() -> None:
    found = st.detectable_before_run({"gpqa": 198, "none": 0}, 116 / 198)
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
@pytest.mark.parametrize(("groups", "size"), [(40, 4), (150, 3)])
def test_repeated_prompts_make_naive_errors_too_small_and_ours_not(groups: int, size: int) -> None:
    """Duplicate prompts share one difficulty: 95 % intervals must still hold the truth."""
    rng = np.random.default_rng(groups)
    clusters = {item: item // size for item in range(groups * size)}
    ours, naive = [], []
    for mean in (0.2, 0.5, 0.8):
        for _ in range(250):
            difficulty = np.repeat(rng.beta(mean, 1 - mean, groups), size)
            values = dict(enumerate((rng.random(groups * size) < difficulty).astype(float)))
            for kept, one in (
                (ours, st.clustered_proportion(values, clusters)),
                (naive, st.clustered_proportion(values)),
            ):
                kept.append((one.low or 0) <= mean <= (one.high or 0))
    assert np.mean(naive) < 0.88
    assert 0.93 <= np.mean(ours) <= 0.97


@pytest.mark.slow
def test_several_samples_per_item_cover_95_percent() -> None:
    rng = np.random.default_rng(7)
    covered = []
    for _ in range(500):
        difficulty = rng.beta(1, 1, 60)
        shares = dict(enumerate(rng.binomial(4, difficulty) / 4))
        one = st.clustered_proportion(shares, samples=240)
        covered.append((one.low or 0) <= 0.5 <= (one.high or 0))
    assert 0.93 <= np.mean(covered) <= 0.975


@pytest.mark.slow
def test_fieller_covers_95_percent() -> None:
    rng = np.random.default_rng(8)
    covered = []
    for _ in range(1500):
        a, b = rng.normal(0.1, 0.03), rng.normal(0.4, 0.05)
        half = stats.norm.ppf(0.975)
        one = st.ratio(
            st.Estimate(a, a - half * 0.03, a + half * 0.03, 9),
            st.Estimate(b, b - half * 0.05, b + half * 0.05, 9),
        )
        covered.append((one.low or 0) <= 0.25 <= (one.high or 0))
    assert 0.935 <= np.mean(covered) <= 0.965
