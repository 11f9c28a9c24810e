"""The plan: what runs, why, what it costs, and a budget that says no."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from types import SimpleNamespace

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.planning import Budget
from workflow.scripts.graph.plan import (
    Plan,
    Starts,
    Usage,
    check_budget,
    list_waits,
    list_work,
    main,
    make_plan,
)

BASE = "models/base/tiny/seed1"
MODEL = "models/aligned/tiny/safechain/seed1"
SAMPLES = "generate/aligned/tiny/safechain/seed1/benign"


def counts(plan: Plan, state: str) -> Counter[str]:
    return Counter(one.rule for one in plan.results if one.state == state)


def jobs(plan: Plan) -> Counter[str]:
    return Counter(job.rule for job in plan.jobs)


def reasons(plan: Plan) -> dict[str, list[str]]:
    return {one.name: one.reasons for one in plan.results if one.state == "stale"}


def another_rate(experiment: dict) -> None:
    experiment["recipes"]["safety"].update(learning_rate=1e-4)


def test_a_fresh_experiment_has_everything_to_make(project):
    plan = make_plan(project.read())
    one_each = dict(pretrain_base=1, reasoning_sft=1, train_judge=1, measure_overlap=1)
    assert counts(plan, "missing") == Counter(
        make_micro_data=10,
        safety_sft=2,
        generate_samples=12,
        score_samples=12,
        make_report=1,
        **one_each,
    )
    # one job makes all data; one the samples, and one the scores, of each of the four models
    assert jobs(plan) == Counter(
        make_micro_data=1,
        safety_sft=2,
        generate_samples=4,
        score_samples=4,
        make_report=1,
        **one_each,
    )
    assert (plan.total.jobs, plan.total.results) == (16, 41)
    assert plan.starts == Starts(engines=4, judges=0)
    assert plan.wall_hours >= plan.critical_path.hours > 0
    chain = plan.critical_path.jobs
    assert chain[:2] == ["micro", "models/base/tiny/seed1"] and chain[-1] == "report/tiny"
    assert len(chain) == 7


def test_a_finished_experiment_has_nothing_to_make(project, capsys):
    project.finish()
    assert make_plan(project.read()).total.jobs == 0
    main(["--experiment", "tiny"])
    assert "Nothing has to run." in capsys.readouterr().out


def test_a_job_is_planned_for_those_of_its_results_that_are_not_there(project):
    project.finish()
    shutil.rmtree(project.folder(SAMPLES))
    shutil.rmtree(project.folder("report/tiny"))
    shutil.rmtree(project.folder("score/aligned/tiny/safechain/seed1/benign/refusal"))
    plan = make_plan(project.read())
    (samples,) = [job for job in plan.jobs if job.rule == "generate_samples"]
    assert samples.results == [SAMPLES]
    assert plan.starts.engines == 1


def test_a_changed_key_is_named_with_its_values_before_and_after(project):
    project.finish()
    project.edit(another_rate)
    found = reasons(make_plan(project.read()))
    assert found[MODEL] == ["recipe.learning_rate: 0.0004 -> 0.0001"]
    assert found[SAMPLES] == [f"its input {MODEL} has changed"]
    assert Counter(name.partition("/")[0] for name in found) == Counter(
        models=2, generate=6, score=6, report=1
    )


def test_a_change_that_is_taken_back_finds_the_results_before(project):
    project.finish()
    project.edit(another_rate)
    project.finish(MODEL)
    project.edit(lambda e: e["recipes"]["safety"].update(learning_rate=4e-4))
    assert make_plan(project.read()).total.jobs == 0


def test_changed_code_is_named_by_its_module(project):
    project.finish()
    project.add_code("score.train_judge")
    found = reasons(make_plan(project.read()))
    assert set(found) == {
        "score/judges/ngram",
        "report/tiny",
        *(name for name in found if name.endswith("/harmful/ngram")),
    }
    (why,) = found["score/judges/ngram"]
    assert why.startswith("code that score.train_judge reaches: ")
    assert found["report/tiny"] == ["its inputs changed"]


def test_what_was_made_from_another_result_than_todays_is_stale_because_of_it(project):
    project.finish()
    project.edit(another_rate)
    project.finish(MODEL)
    found = reasons(make_plan(project.read()))
    assert MODEL not in found
    assert found[SAMPLES] == [f"its input {MODEL} has changed"]


def test_every_stale_result_and_its_reasons_are_listed_if_asked_for(project, capsys):
    project.finish()
    project.edit(another_rate)
    main(["--experiment", "tiny", "--stale", "--json", "plan.json"])
    written = json.loads((project.root / "plan.json").read_text())["results"]
    assert all(("reasons" in one) == (one["state"] == "stale") for one in written)
    said = capsys.readouterr().out
    assert "  recipe.learning_rate: 0.0004 -> 0.0001  (2 safety_sft)" in said
    assert f"{MODEL}\n    recipe.learning_rate: 0.0004 -> 0.0001" in said
    assert f"{SAMPLES}\n    its input {MODEL} has changed" in said


def test_a_deleted_model_that_nothing_needs_is_not_made_again(project, capsys):
    project.finish()
    shutil.rmtree(project.folder(BASE))
    plan = make_plan(project.read())
    assert plan.total.jobs == 0
    assert counts(plan, "dispensable") == Counter(pretrain_base=1)
    main(["--experiment", "tiny"])
    assert "Missing, but needed by nothing that has to run: 1" in capsys.readouterr().out
    # until something that is made from it has to run, or it is asked for
    assert jobs(make_plan(project.read(), asked=[BASE])) == Counter(pretrain_base=1)
    project.edit(lambda e: e["benchmarks"]["benign"]["decoding"].update(max_answer_tokens=9))
    assert counts(make_plan(project.read()), "missing") == Counter(pretrain_base=1)


def test_a_part_of_an_experiment_can_be_planned(project, capsys):
    main(["--experiment", "tiny", "--only", "models/lrm/*", "--json", "plan.json"])
    plan = json.loads((project.root / "plan.json").read_text())
    expected = Counter(make_micro_data=1, pretrain_base=1, reasoning_sft=1)
    assert Counter(job["rule"] for job in plan["jobs"]) == expected


def test_a_job_waits_for_the_jobs_of_all_its_inputs(project):
    graph = project.read()
    waits = list_waits(graph, list_work(graph, graph.states()))
    named = {key: graph.jobs[key].name for key in waits}
    (report,) = [key for key, name in named.items() if name == "report/tiny"]
    rules = Counter(graph.jobs[key].rule for key in waits[report])
    assert rules == Counter(score_samples=4, train_judge=1, measure_overlap=1)
    order = list(waits)
    assert all(order.index(before) < order.index(key) for key in waits for before in waits[key])


def test_a_plan_over_budget_is_one_line_after_the_table(project, capsys):
    project.edit(lambda e: e.update(budget={"disk_gb": 1e-6}))
    with pytest.raises(InputError) as error:
        main(["--experiment", "tiny", "--json", "plan.json"])
    assert str(error.value).startswith("experiments/tiny.yaml: budget.disk_gb: ")
    assert "expected at most 1e-06 in all" in str(error.value)
    assert "\n" not in str(error.value)
    assert "safety_sft" in capsys.readouterr().out
    assert json.loads((project.root / "plan.json").read_text())["total"]["jobs"] == 16


def test_a_budget_counts_what_was_spent_and_what_is_planned():
    plan = SimpleNamespace(experiment="x", spent=Usage(usd=3.0), total=Usage(usd=2.0))
    check_budget(plan, Budget(usd=5))
    with pytest.raises(InputError, match=r"budget\.usd: 2 dollars planned and 3 spent"):
        check_budget(plan, Budget(usd=4.9))
