"""Intervals against statsmodels and scipy, and what a summary counts."""

from __future__ import annotations

import pytest

from workflow.scripts.score.summary import mean_score, proportion, summarize, wilson_interval


@pytest.mark.parametrize(
    ("successes", "n"), [(0, 1), (1, 1), (0, 140), (140, 140), (3, 30), (157, 198), (413, 500)]
)
def test_wilson_agrees_with_statsmodels_and_scipy(successes, n):
    from scipy.stats import binomtest
    from statsmodels.stats.proportion import proportion_confint

    low, high = wilson_interval(successes / n, n)
    assert (low, high) == pytest.approx(proportion_confint(successes, n, method="wilson"))
    exact = binomtest(successes, n).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((exact.low, exact.high))
    assert 0 <= low <= successes / n <= high <= 1


def test_copies_of_the_same_outcomes_give_no_narrower_interval():
    outcomes = [True] * 12 + [False] * 18
    prompts = list(range(30))
    once = proportion(outcomes, prompts)
    four_times = proportion(outcomes * 4, prompts * 4)
    assert four_times["n"] == 120 and four_times["n_clusters"] == 30
    assert four_times["estimate"] == once["estimate"]
    # The design effect of identical copies is their number, but for m / (m - 1).
    assert four_times["high"] - four_times["low"] == pytest.approx(
        once["high"] - once["low"], rel=0.03
    )


def test_clustered_interval_agrees_with_cluster_robust_least_squares():
    import numpy as np
    import statsmodels.api as sm

    rng = np.random.default_rng(0)
    ability = rng.random(40)
    outcomes = [bool(rng.random() < p) for p in ability for _ in range(8)]
    clusters = [item for item in range(40) for _ in range(8)]
    fit = sm.OLS(np.array(outcomes, float), np.ones(320)).fit(
        cov_type="cluster", cov_kwds={"groups": np.array(clusters)}
    )
    share = sum(outcomes) / 320
    # statsmodels' correction is m/(m-1) * (n-1)/(n-k), which is m/(m-1) for one coefficient
    effective = share * (1 - share) / fit.bse[0] ** 2
    found = proportion(outcomes, clusters)
    assert (found["low"], found["high"]) == pytest.approx(wilson_interval(share, effective))


def test_no_outcomes_have_no_estimate():
    assert proportion([]) == {
        "successes": 0,
        "n": 0,
        "n_clusters": 0,
        "estimate": None,
        "low": None,
        "high": None,
    }
    assert mean_score([])["estimate"] is None


def _sample(prompt: str, tokens: int = 2):
    return {"prompt": prompt, "thinking_tokens": tokens, "answer_tokens": 1}


def test_invalid_and_undecided_verdicts_are_left_out_and_counted():
    verdicts = [
        {"state": "ok", "valid": True, "harmful": True, "thought": None, "refused": False},
        {"state": "truncated", "valid": True, "harmful": False, "thought": True, "refused": False},
        {"state": "api_error", "valid": False, "harmful": None, "thought": None, "refused": True},
    ]
    found = summarize(
        [_sample("a"), _sample("b", 4), _sample("c", 6)],
        verdicts,
        {"harmful_score": "harmful", "harmful_thinking": "thought", "refusal": "refused"},
    )
    assert (found["n"], found["n_valid"]) == (3, 2)
    assert found["states"] == {"api_error": 1, "ok": 1, "truncated": 1}
    counts = {name: (m["successes"], m["n"]) for name, m in found["metrics"].items()}
    assert counts == {"harmful_score": (1, 2), "harmful_thinking": (1, 1), "refusal": (0, 2)}
    assert found["thinking_tokens"] == {"mean": 4, "sd": 2}
