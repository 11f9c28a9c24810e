"""What the plan of the publication's experiment says before anything is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflow.scripts.common.resources import list_resources
from workflow.scripts.plan.estimate import Estimator
from workflow.scripts.plan.experiment_state import ExperimentState, read_experiment, subject
from workflow.scripts.plan.make_plan import make_plan


@pytest.fixture(scope="module")
def state(code: Path, root: Path) -> ExperimentState:
    """The experiment in a folder without results and lock."""
    (code / "experiments/paper.yaml").write_text((root / "experiments/paper.yaml").read_text())
    return read_experiment("paper", code)


def test_benchmarks_are_as_large_as_the_public_ones(state):
    sizes = {name: Estimator(state).items(name) for name in state.experiment["benchmarks"]}
    public = {"aime24": 30, "math500": 500, "gpqa_diamond": 198, "beavertails": 1000}
    assert sizes == public | {f"{k}-upstream": n for k, n in public.items()} | {"xstest": 250}


def test_what_aime_can_show_is_what_thirty_items_can(state):
    """Two groups of 30 from 50 %: 0.334 x sqrt(30) = 1.960 x 0.6665 + 0.842 x 0.623 (z test)."""
    found = make_plan(state)["detectable"]["aime24"]
    assert found["items"] == 30
    assert 100 * found["unpaired"] == pytest.approx(33.4, abs=0.05)
    assert found["paired_20_percent_differ"] is None


def test_safety_records_are_as_long_as_the_public_ones(state):
    estimator = Estimator(state)
    folder = "models/aligned/s1.1-32b"
    refusal = estimator.cost(f"{folder}/directrefusal-upstream/seed42-epochs5/manifest.json")
    safechain = estimator.cost(f"{folder}/safechain-upstream/seed42-epochs5/manifest.json")
    assert refusal.parts["train"] == pytest.approx(5 * 78, rel=0.05)  # the roofline's seconds
    # 5 x 1,000 records of 1,400 tokens; 12,000 tokens took 1,700 s an epoch
    assert safechain.parts["train"] == pytest.approx(5 * 201, rel=0.05)


def test_a_jobs_time_limit_is_well_above_what_is_expected(state):
    estimator = Estimator(state)
    for path, job in state.jobs.items():
        run, benchmark, scorer = subject(path, state.runs)
        asked = list_resources(job.rule, state.experiment, run, benchmark, scorer)
        assert 60 * asked["runtime"] > 2.5 * estimator.cost(path).seconds, path
