"""What the plan of the publication's experiment says before anything is fetched."""

from __future__ import annotations

import importlib.util
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from workflow.scripts.cluster.resources import combine_resources, list_resources
from workflow.scripts.graph.estimate import Cost, Estimator
from workflow.scripts.graph.jobs import Graph, read_graph
from workflow.scripts.graph.plan import Starts, make_plan, print_plan


@pytest.fixture(scope="module")
def clone(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone without results and without locks."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("workflow", "rules"):
        (folder / name).symlink_to(root / name)
    (folder / "experiments").mkdir()
    for name in ("paper", "careful", "mitigations"):
        shutil.copy(root / f"experiments/{name}.yaml", folder / "experiments")
    return folder


@pytest.fixture(scope="module")
def paper(clone: Path) -> Graph:
    return read_graph("paper", clone)


@pytest.fixture(scope="module")
def careful(clone: Path) -> Graph:
    return read_graph("careful", clone)


def test_benchmarks_are_as_large_as_the_public_ones(paper, careful):
    public = {"aime24": 30, "math500": 500, "gpqa_diamond": 198, "beavertails": 1000}
    for found, sizes in ((paper, public), (careful, public | {"xstest": 250})):
        assert {name: Estimator(found).items(name) for name in found.experiment.benchmarks} == (
            sizes
        )


def test_a_benchmark_whose_repeated_prompts_are_dropped_has_at_most_so_many(paper, careful, capsys):
    for found, bounds, size in ((careful, ["beavertails"], "at most 1000"), (paper, [], "1000")):
        plan = make_plan(found)
        assert plan.at_most == bounds
        print_plan(plan)
        assert f"beavertails ({size} items)" in capsys.readouterr().out


def test_what_aime_can_show_is_what_thirty_items_can(paper):
    """Two groups of 30 from 50 %: 0.334 x sqrt(30) = 1.960 x 0.6665 + 0.842 x 0.623 (z test)."""
    found = make_plan(paper).detectable["aime24"]
    assert found["items"] == 30
    assert 100 * found["unpaired"] == pytest.approx(33.4, abs=0.05)
    assert found["paired_20_percent_differ"] is None


def test_safety_records_are_as_long_as_the_public_ones(paper):
    def cost(alignment: str) -> Cost:
        name = f"models/aligned/s1.1-32b/{alignment}/seed42-epochs5"
        return Estimator(paper).cost(paper.job_of[name])

    refusal, safechain = cost("directrefusal"), cost("safechain")
    assert refusal.parts["train"] == pytest.approx(5 * 78, rel=0.1)  # the roofline's seconds
    # 5 x 1,000 records of 1,400 tokens; 12,000 tokens took 1,700 s an epoch
    assert safechain.parts["train"] == pytest.approx(5 * 200, rel=0.1)


def test_a_jobs_time_limit_is_well_above_what_is_expected_and_hours_for_scores(paper, careful):
    for found in (paper, careful):
        estimator = Estimator(found)
        for job in found.jobs.values():
            asked = [
                list_resources(job.rule, found.experiment, one.run, one.benchmark, one.scorer)
                for one in job.results
            ]
            minutes = combine_resources(asked)["runtime"]
            assert 60 * minutes > 2.5 * estimator.cost(job).seconds, job.name
            if job.results[0].scorer:
                assert minutes <= 4 * 60, job.name


def test_the_publications_grid_takes_at_most_ninety_gpu_hours(paper):
    assert 50 < make_plan(paper).total.gpu_hours <= 90


def test_an_engine_starts_once_for_each_model_and_a_judge_once_for_each_lrm(paper, careful):
    starts = [make_plan(found).starts for found in (paper, careful)]
    # 3 LRMs and the base, 3 x 2 alignments at 5 epoch counts; its judge: the base and 3 LRMs
    assert starts[0] == Starts(engines=34, judges=4)
    # 5 LRMs and the base, 5 x 2 alignments trained once; the same judge: the base and 5 LRMs
    assert starts[1] == Starts(engines=16, judges=6)
    assert starts[0].engines <= 40 and sum(one.engines for one in starts) <= 90


def test_every_part_of_a_job_that_holds_gpus_is_in_the_plan(paper):
    plan = make_plan(paper)
    parts = plan.parts
    training = {"start", "load weights", "train", "save state", "save weights", "hash"}
    assert set(parts["safety_sft"]) == training
    generating = {"start", "load weights", "generate", "last answers", "hash"}
    assert set(parts["generate_samples"]) == generating
    assert all(
        hours > 0 for rule in ("safety_sft", "generate_samples") for hours in parts[rule].values()
    )
    summed = sum(hours for rule in parts.values() for hours in rule.values())
    assert summed == pytest.approx(plan.total.gpu_hours)


@pytest.fixture(scope="module")
def cost_table(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("cost_table", root / "benchmarks/cost_table.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_costs_are_what_their_command_makes(clone, root, paper, careful, cost_table):
    page = (root / "docs/cost.md").read_text()
    tables = {
        "items": cost_table.make_table,
        "entries": cost_table.make_entries_table,
        "methods": cost_table.make_methods_table,
    }
    for name, make in tables.items():
        _, stated, _ = cost_table.split_at_table(page, name)
        assert stated == make(clone), "run python benchmarks/cost_table.py --write"
    theirs = cost_table.published_hours(Estimator(paper).hardware)
    # worked by hand: 3 LRMs, 15 epochs of 78 and 200 s on 8 GPUs, each training read and written
    steps = 3 * 15 * (78 + 200) * 8 / 3600
    assert theirs["safety_sft"]["train"] == pytest.approx(steps, rel=0.05)
    assert theirs["safety_sft"]["save weights"] == pytest.approx(30 * 43.7 * 8 / 3600, rel=0.01)
    # 207 replies of a second each, on 8 GPUs for 30 models and on 2 for 4
    asked = 207 * (30 * 8 + 4 * 2) / 3600
    assert theirs["score_samples"]["ask"] == pytest.approx(asked)


def test_one_more_entry_costs_what_is_planned_when_all_else_is_there(careful, cost_table, clone):
    costs = cost_table.list_entries(careful)
    for entry in (("benchmarks", "xstest"), ("alignments", "safechain"), ("lrms", "limo-here")):
        section, name = entry
        experiment = yaml.safe_load((clone / "experiments/careful.yaml").read_text())
        del experiment[section][name]
        (clone / "experiments/without.yaml").write_text(yaml.safe_dump(experiment))
        finished = replace(careful)
        finished.__dict__["complete"] = frozenset(read_graph("without", clone).results)
        planned = make_plan(finished).total.gpu_hours
        assert planned == pytest.approx(costs[entry]) and planned > 0


def test_what_methods_share_is_made_and_counted_once(clone, cost_table):
    graph = read_graph("mitigations", clone)
    plan = make_plan(graph)
    rules = {name: rule.results for name, rule in plan.rules.items()}
    seeds, trained = 3, 15
    assert (rules["fetch_model"], rules["prepare_records"]) == (2, 8)  # each set once
    assert rules["safety_sft"] == seeds * trained
    assert rules["derive_model"] == seeds * 3 and rules["filter_samples"] == 3
    # the base and the LRM, not for each method or seed: five benchmarks; the LRM three sets, too
    lrm = [one for one in graph.results.values() if one.name.startswith("generate/lrm/")]
    assert sum(not one.for_data for one in lrm) == 5 and sum(one.for_data for one in lrm) == 3
    methods = cost_table.list_methods(graph)
    assert methods["merge-alpha0.5"]["training"] == methods["directrefusal"]["training"] > 0
    both = methods["directrefusal"]["training"] + methods["safechain"]["training"]
    assert methods["both"]["training"] == pytest.approx(both)
    assert set(methods["zerothink"]) == {"measuring"}
    # each alone, they would take more than together
    assert sum(map(Counter.total, methods.values())) > plan.total.gpu_hours


def test_the_plan_says_how_often_engines_and_judges_start(paper, capsys):
    print_plan(make_plan(paper))
    said = capsys.readouterr().out
    assert "Starts: 34 of an engine, 4 of a judge" in said
    assert "critical path of 5 jobs" in said
