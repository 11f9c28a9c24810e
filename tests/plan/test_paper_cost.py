"""What the plan of the publication's experiment says before anything is fetched."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from workflow.scripts.common.resources import list_resources
from workflow.scripts.plan.estimate import Estimator
from workflow.scripts.plan.experiment_state import ExperimentState, read_experiment, subject
from workflow.scripts.plan.make_plan import make_plan, print_plan


def read(name: str, code: Path, root: Path) -> ExperimentState:
    """Return an experiment in a folder without results and lock."""
    (code / f"experiments/{name}.yaml").write_text((root / f"experiments/{name}.yaml").read_text())
    return read_experiment(name, code)


@pytest.fixture(scope="module")
def state(code: Path, root: Path) -> ExperimentState:
    return read("paper", code, root)


@pytest.fixture(scope="module")
def careful(code: Path, root: Path) -> ExperimentState:
    return read("careful", code, root)


def test_benchmarks_are_as_large_as_the_public_ones(state, careful):
    public = {"aime24": 30, "math500": 500, "gpqa_diamond": 198, "beavertails": 1000}
    for found, sizes in ((state, public), (careful, public | {"xstest": 250})):
        assert {name: Estimator(found).items(name) for name in found.experiment["benchmarks"]} == (
            sizes
        )


def test_a_benchmark_whose_repeated_prompts_are_dropped_has_at_most_so_many(state, careful, capsys):
    for found, bounds, size in ((careful, ["beavertails"], "at most 1000"), (state, [], "1000")):
        plan = make_plan(found)
        assert plan["at_most"] == bounds
        print_plan(plan)
        assert f"beavertails ({size} items)" in capsys.readouterr().out


def test_what_aime_can_show_is_what_thirty_items_can(state):
    """Two groups of 30 from 50 %: 0.334 x sqrt(30) = 1.960 x 0.6665 + 0.842 x 0.623 (z test)."""
    found = make_plan(state)["detectable"]["aime24"]
    assert found["items"] == 30
    assert 100 * found["unpaired"] == pytest.approx(33.4, abs=0.05)
    assert found["paired_20_percent_differ"] is None


def test_safety_records_are_as_long_as_the_public_ones(state):
    estimator = Estimator(state)
    folder = "models/aligned/s1.1-32b"
    refusal = estimator.cost(f"{folder}/directrefusal/seed42-epochs5/manifest.json")
    safechain = estimator.cost(f"{folder}/safechain/seed42-epochs5/manifest.json")
    assert refusal.parts["train"] == pytest.approx(5 * 78, rel=0.1)  # the roofline's seconds
    # 5 x 1,000 records of 1,400 tokens; 12,000 tokens took 1,700 s an epoch
    assert safechain.parts["train"] == pytest.approx(5 * 200, rel=0.1)


def test_a_jobs_time_limit_is_well_above_what_is_expected(state, careful):
    for found in (state, careful):
        estimator = Estimator(found)
        for path, job in found.jobs.items():
            run, benchmark, scorer = subject(path, found.runs)
            asked = list_resources(job.rule, found.experiment, run, benchmark, scorer)
            assert 60 * asked["runtime"] > 2.5 * estimator.cost(path).seconds, path


def test_the_publications_grid_takes_at_most_ninety_gpu_hours(state):
    assert 50 < make_plan(state)["total"]["gpu_hours"] <= 90


def test_every_part_of_a_job_that_holds_gpus_is_in_the_plan(state, cost_table):
    plan = make_plan(state)
    parts = cost_table.planned_hours(plan)
    training = {"start", "load weights", "train", "save state", "save weights", "hash"}
    assert set(parts["safety_sft"]) == training
    generating = {"start", "load weights", "generate", "last answers", "hash"}
    assert set(parts["generate_samples"]) == generating
    assert all(
        hours > 0 for rule in ("safety_sft", "generate_samples") for hours in parts[rule].values()
    )
    summed = sum(hours for rule in parts.values() for hours in rule.values())
    assert summed == pytest.approx(plan["total"]["gpu_hours"])


@pytest.fixture(scope="module")
def cost_table(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("cost_table", root / "benchmarks/cost_table.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_costs_are_what_their_command_makes(code, root, state, careful, cost_table):
    page = (root / "docs/cost.md").read_text()
    tables = {"items": cost_table.make_table, "entries": cost_table.make_entries_table}
    for name, make in tables.items():
        _, stated, _ = cost_table.split_at_table(page, name)
        assert stated == make(code), "run python benchmarks/cost_table.py --write"
    theirs = cost_table.published_hours(Estimator(state).hardware)
    # worked by hand: 3 LRMs, 15 epochs of 78 and 200 s on 8 GPUs, each training read and written
    steps = 3 * 15 * (78 + 200) * 8 / 3600
    assert theirs["safety_sft"]["train"] == pytest.approx(steps, rel=0.05)
    assert theirs["safety_sft"]["save weights"] == pytest.approx(30 * 43.7 * 8 / 3600, rel=0.01)
    # 207 replies of a second each, on 8 GPUs for 30 models and on 2 for 4
    asked = 207 * (30 * 8 + 4 * 2) / 3600
    assert theirs["score_samples"]["ask"] == pytest.approx(asked)


def test_one_more_entry_costs_what_the_plan_gains_with_it(careful, cost_table, code):
    """Without its last alignment, benchmark or LRM the plan is shorter by what the table says."""
    costs = cost_table.list_entries(careful)
    whole = make_plan(careful)["total"]["gpu_hours"]
    for entry in (("benchmarks", "xstest"), ("alignments", "safechain"), ("lrms", "limo-here")):
        section, name = entry
        experiment = yaml.safe_load((code / "experiments/careful.yaml").read_text())
        del experiment[section][name]
        (code / "experiments/without.yaml").write_text(yaml.safe_dump(experiment))
        rest = make_plan(read_experiment("without", code))["total"]["gpu_hours"]
        assert whole - rest == pytest.approx(costs[entry]) and costs[entry] > 0
