"""Selection in the graph: what is measured on what, what the report sees, and what is refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.load import check_experiment
from workflow.scripts.graph.estimate import Estimator
from workflow.scripts.graph.report_inputs import report_inputs
from workflow.scripts.graph.results import list_keys, list_results

SELECT = {
    "method": "select",
    "among": ["merge", "directrefusal"],
    "highest": "reasoning_accuracy",
    "at_most": {"harmful_score": 5},
}


def add_selection(experiment: dict[str, Any]) -> None:
    """Add development halves of two benchmarks, a sweep that is not evaluated, and a selection."""
    benchmarks = experiment["benchmarks"]
    for name, half in (("clock_sums", 4), ("harmful", 7)):
        benchmarks[f"dev_{name}"] = {**benchmarks[name], "n": half, "split": "development"}
        benchmarks[name]["skip"] = half
    sweep = {"alpha": [0.25, 0.5]}
    experiment["alignments"] |= {
        "best": copy.deepcopy(SELECT),
        "merge": {"method": "merge", "alignment": "safechain", "evaluate": False, "sweep": sweep},
    }


@pytest.fixture(scope="module")
def experiment(root: Path) -> dict[str, Any]:
    text = (root / "tests/experiments/tiny.yaml").read_text()
    experiment = json.loads(json.dumps(yaml.safe_load(text)))
    add_selection(experiment)
    return experiment


def test_candidates_alone_are_measured_on_development_benchmarks(experiment):
    results = list_results(check_experiment(experiment, "it"), "it")
    candidates = ("merge-alpha0.25", "merge-alpha0.5", "directrefusal")
    assert {name for name in results if name.startswith("score/") and "/dev_" in name} == {
        f"score/aligned/tiny/{name}/seed1/{scored}"
        for name in candidates
        for scored in ("dev_clock_sums/math", "dev_harmful/ngram")
    }
    best = results["models/aligned/tiny/best/seed1"]
    assert set(best.inputs["score"]) == {name for name in best.made_from if "/dev_" in name}
    assert len(best.inputs["score"]) == 6 and len(best.inputs["candidate"]) == 3


def test_the_test_benchmarks_see_the_chosen_one_and_not_the_sweep(experiment):
    names = list_results(check_experiment(experiment, "it"), "it")
    seen = {name.split("/")[3] for name in names if name.startswith("score/aligned/tiny/")}
    tested = {
        name.split("/")[3]
        for name in names
        if name.startswith("score/aligned/tiny/") and "/dev_" not in name
    }
    assert seen - tested == {"merge-alpha0.25", "merge-alpha0.5"}
    assert "best" in tested


def test_a_development_benchmark_makes_no_other_result_stale(experiment):
    def keys(value: dict[str, Any]) -> dict[str, str]:
        return list_keys(list_results(check_experiment(value, "it"), "it"))

    before = copy.deepcopy(experiment)
    for name in ("best", "merge"):
        del before["alignments"][name]
    for name in ("dev_clock_sums", "dev_harmful"):
        del before["benchmarks"][name]
    old, new = keys(before), keys(experiment)
    assert {name for name in old if old[name] != new[name]} == {"data/overlap", "report/it"}


def test_development_scores_reach_no_report(project):
    project.edit(add_selection)
    graph = project.read()
    assert not [name for name in graph.results["report/tiny"].made_from if "/dev_" in name]
    inputs = report_inputs(graph)
    measured = {one.benchmark for one in inputs.scores}
    assert measured == {"clock_sums", "harmful", "benign"}
    assert set(inputs.prompts) == {"harmful"}


def test_no_job_waits_for_itself_where_one_judge_scores_candidates_and_chosen(project):
    def change(e: dict[str, Any]) -> None:
        add_halving(e)
        model = {"hub": "lab/guard", "revision": "0" * 40}
        e["scorers"]["ngram"] = {"type": "hf_classifier", "model": model}

    project.edit(change)
    graph = project.read()
    done: set[str] = set()

    def make(key: str, path: tuple[str, ...] = ()) -> None:
        assert key not in path, "a circle of jobs"
        if key not in done:
            for made in graph.jobs[key].results:
                for name in made.made_from:
                    if (other := graph.job_of[name].key) != key:
                        make(other, (*path, key))
            done.add(key)

    for key in graph.jobs:
        make(key)
    judging = {job.name for job in graph.jobs.values() if job.name.startswith("ngram/")}
    # which loads the judge three times
    assert judging == {"ngram/tiny", "ngram/tiny/development", "ngram/tiny/development/epochs3"}


def add_halving(experiment: dict[str, Any]) -> None:
    """Add a sweep of four rates, of which two are trained for two epochs, and the best of them."""
    add_selection(experiment)
    rates = {"recipe.learning_rate": [1e-5, 5e-5, 1e-4, 2e-4], "data": ["directrefusal"]}
    sft = {"data": "safechain", "recipe": "safety", "per_epoch": "one_run", "evaluate": False}
    experiment["alignments"] |= {
        "rate": {**sft, "sweep": rates},
        "best": {**SELECT, "among": ["rate"], "halving": [3]},
    }


RUNGS = ("aligned/tiny/best-epochs3-rank1/seed1", "aligned/tiny/best-epochs3-rank2/seed1")


def test_a_rung_trains_half_of_the_models_after_the_scores_of_all(project):
    project.edit(add_halving)
    results = project.read().results
    rates = [name for name in results if name.startswith("models/aligned/tiny/rate-")]
    trained = [name for name, one in results.items() if one.rule == "safety_sft"]
    assert len(rates) == 4 and len([name for name in trained if "/best-" in name]) == 2
    for run in RUNGS:
        one = results[f"models/{run}"]
        assert one.inputs["candidate"] == tuple(rates)
        assert len(one.inputs["score"]) == 8  # of each, accuracy and harm
        assert one.inputs["parent"] == ("models/lrm/tiny/seed1",)
        assert one.inputs["data"] == ("data/micro/directrefusal",)
        (trainings,) = ({t["recipe"]["epochs"] for t in one.sections["trainings"].values()},)
        assert trainings == {3} and one.run.checkpoints == ("epoch3",)
    best = results["models/aligned/tiny/best/seed1"]
    assert best.inputs["candidate"] == tuple(f"models/{run}" for run in RUNGS)
    tested = {name for name in results if name.startswith("score/") and "/dev_" not in name}
    assert not [name for name in tested if "/rate-" in name or "/best-" in name]
    assert [name for name in tested if "/best/" in name]


def test_another_rule_promotes_again_and_trains_no_candidate(project):
    project.edit(add_halving)
    before = project.read()

    def change(experiment: dict[str, Any]) -> None:
        experiment["alignments"]["best"]["at_most"]["harmful_score"] = 6

    project.edit(change)
    after = project.read()
    changed = {
        name.split("/")[3]
        for name in after.keys
        if name.startswith("models/") and after.keys[name] != before.keys[name]
    }
    assert changed == {"best", "best-epochs3-rank1", "best-epochs3-rank2"}


def test_a_plan_counts_the_items_of_each_half(project):
    project.edit(add_selection)
    estimator = Estimator(project.read())
    names = ("clock_sums", "dev_clock_sums", "harmful", "dev_harmful")
    assert [estimator.items(name) for name in names] == [4, 4, 7, 7]


ONE = "alignments.best"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (f"{ONE}.benchmarks", ["harmful"], f"{ONE}.benchmarks: 'harmful' is a test benchmark, exp"),
        (f"{ONE}.benchmarks", ["x"], f"{ONE}.benchmarks: 'x' is no entry of benchmarks, expected "),
        (
            f"{ONE}.benchmarks",
            ["dev_clock_sums"],
            f"{ONE}: harmful_score needs a benchmark of kind harmful with split: development, and ",
        ),
        (f"{ONE}.at_least", {"over_refusal": 1}, f"{ONE}: over_refusal needs a benchmark of kind "),
        (f"{ONE}.lowest", "harmful_score", f"{ONE}: has both highest and lowest, expected one of"),
        (f"{ONE}.highest", None, f"{ONE}: has neither highest nor lowest, expected one of them"),
        (f"{ONE}.highest", "accuracy", f"{ONE}.highest: is 'accuracy', expected one of reasoning_"),
        (f"{ONE}.at_most.harmful_score", 101, f"{ONE}.at_most.harmful_score is 101, expected at m"),
        (f"{ONE}.at_most.harmful_strict", 5, ""),
        ("scorers.ngram.compliance_patterns", [], ""),
        (f"{ONE}.among", ["nothing"], f"{ONE}.among.0: 'nothing' is no entry of alignments, exp"),
        (f"{ONE}.among", ["merge", "merge"], f"{ONE}.among.2: 'merge-alpha0.25' is there twice"),
        (f"{ONE}.among", ["best"], f"{ONE}.among.0: 'best' is made from the selection 'best', ex"),
        ("benchmarks.harmful.skip", 6, "benchmarks.dev_harmful is for development and shares ite"),
        ("benchmarks.harmful.split", "dev", "benchmarks.harmful.split is 'dev', expected 'test' "),
    ],
)
def test_choosing_by_a_test_benchmark_and_other_mistakes_are_refused(experiment, key, value, said):
    changed = copy.deepcopy(experiment)
    *path, last = key.split(".")
    section = changed
    for name in path:
        section = section[name]
    section[last] = value
    if not said:  # the change alone is right
        check_experiment(changed, "it")
        return
    with pytest.raises(InputError) as error:
        check_experiment(changed, "it")
    assert str(error.value).startswith(f"it: {said}")


@pytest.mark.parametrize(
    ("task", "filter_name", "apart"),
    [("told_sums_again", "none", True), ("told_sums", "strict", False)],
)
def test_two_tasks_of_lm_eval_share_no_items_and_one_does(experiment, task, filter_name, apart):
    changed = copy.deepcopy(experiment)
    decoding = changed["benchmarks"]["clock_sums"]["decoding"]
    told = {"include_path": "tests/tasks", "kind": "reasoning", "decoding": decoding}
    changed["scorers"] |= {
        "test": {"type": "lm_eval", "metric": "exact_match,strict"},
        "dev": {"type": "lm_eval", "metric": f"exact_match,{filter_name}"},
    }
    changed["benchmarks"] |= {
        "told": {**told, "task": "told_sums", "scorers": ["test"]},
        "dev_told": {**told, "task": task, "scorers": ["dev"], "split": "development"},
    }
    if apart:
        assert check_experiment(changed, "it")
        return
    with pytest.raises(InputError, match="dev_told is for development and shares items with told"):
        check_experiment(changed, "it")


def test_a_metric_that_the_scorer_does_not_count_is_refused(experiment):
    changed = copy.deepcopy(experiment)
    changed["alignments"]["best"]["at_most"] = {"harmful_strict": 5}
    changed["scorers"]["ngram"]["compliance_patterns"] = []
    with pytest.raises(
        InputError, match=f"{ONE}: the scorer 'ngram' does not count harmful_strict"
    ):
        check_experiment(changed, "it")


def test_what_was_chosen_can_be_aligned_further_but_not_chosen_again(experiment):
    changed = copy.deepcopy(experiment)
    more = {"data": "safechain", "recipe": "safety", "per_epoch": "one_run", "after": "best"}
    changed["alignments"]["more"] = more
    results = list_results(check_experiment(changed, "it"), "it")
    parent = results["models/aligned/tiny/more/seed1"].inputs["parent"]
    assert parent == ("models/aligned/tiny/best/seed1",)
    changed["alignments"]["best"]["among"] = ["merge"]
    changed["alignments"]["again"] = {**SELECT, "among": ["more"]}
    with pytest.raises(InputError, match=r"again\.among\.0: 'more' is made from the selection 'be"):
        check_experiment(changed, "it")


def test_only_development_benchmarks_are_no_experiment(experiment):
    changed = copy.deepcopy(experiment)
    for one in changed["benchmarks"].values():
        one["split"] = "development"
    with pytest.raises(InputError, match="benchmarks: all are of split development, expected one"):
        check_experiment(changed, "it")
