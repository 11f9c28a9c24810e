"""The plan: what runs, why, what it costs, and a budget that says no."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import write_json
from workflow.scripts.plan.make_plan import check_budget, main, make_plan


def counts(plan: dict, state: str) -> Counter[str]:
    return Counter(job["rule"] for job in plan["jobs"] if job["state"] == state)


def reasons(plan: dict) -> dict[str, list[str]]:
    return {job["path"]: job["reasons"] for job in plan["jobs"] if job["state"] == "stale"}


def test_a_fresh_experiment_has_everything_to_make(project):
    plan = make_plan(project.read())
    assert counts(plan, "missing") == Counter(
        make_micro_data=1,
        pretrain_base=1,
        reasoning_sft=1,
        safety_sft=2,
        train_judge=1,
        generate_samples=12,
        score_samples=12,
        measure_overlap=1,
        make_report=1,
    )
    assert plan["total"]["jobs"] == 32
    assert plan["wall_hours"] >= plan["critical_path"]["hours"] > 0
    chain = [path.partition("/")[0] for path in plan["critical_path"]["jobs"]]
    assert chain == ["data", "models", "models", "models", "generate", "score", "report"]


def test_a_finished_experiment_has_nothing_to_make(project, capsys):
    project.finish()
    assert make_plan(project.read())["total"]["jobs"] == 0
    main(["--experiment", "tiny"])
    assert "Nothing has to run." in capsys.readouterr().out


def test_a_changed_key_is_named_with_its_values_before_and_after(project):
    project.finish()
    project.edit(lambda e: e["recipes"]["safety"].update(learning_rate=1e-4))
    found = reasons(make_plan(project.read()))
    model = "models/aligned/tiny/safechain/seed1/manifest.json"
    assert found[model] == ["recipe.learning_rate: 0.0004 -> 0.0001"]
    samples = "generate/aligned/tiny/safechain/seed1/benign/manifest.json"
    assert found[samples] == [f"its input {model} will be made anew"]
    assert Counter(path.partition("/")[0] for path in found) == Counter(
        models=2, generate=6, score=6, report=1
    )


def test_changed_code_is_named_by_its_module(project):
    project.finish()
    project.add_code("score.train_judge")
    found = reasons(make_plan(project.read()))
    assert set(found) == {
        "score/judges/ngram/judge.json",
        "report/tradeoff.json",
        *(path for path in found if path.endswith("/harmful/ngram/score.json")),
    }
    (why,) = found["score/judges/ngram/judge.json"]
    assert why.startswith("code that score.train_judge reaches: ")


def test_what_was_made_from_a_result_since_made_anew_is_stale_because_of_it(project):
    project.finish()
    project.edit(lambda e: e["recipes"]["safety"].update(learning_rate=1e-4))
    model = "models/aligned/tiny/safechain/seed1/manifest.json"
    project.finish(model)
    found = reasons(make_plan(project.read()))
    samples = "generate/aligned/tiny/safechain/seed1/benign/manifest.json"
    assert model not in found
    assert found[samples] == [f"its input {model} was made anew"]


def test_a_deleted_model_that_nothing_needs_is_not_made_again(project):
    project.finish()
    (project.folder / "models/base/tiny/seed1/manifest.json").unlink()
    assert make_plan(project.read())["total"]["jobs"] == 0
    # until something that is made from it has to run
    project.edit(lambda e: e["benchmarks"]["benign"]["decoding"].update(max_answer_tokens=9))
    assert counts(make_plan(project.read()), "missing") == Counter(pretrain_base=1)


def test_a_result_whose_file_was_deleted_is_made_again(project):
    project.finish()
    samples = project.folder / "generate/base/tiny/seed1/benign/manifest.json"
    content = json.loads(samples.read_text())
    content["provenance"]["files"] = {"samples.jsonl": "0" * 64}
    write_json(samples, content)
    found = reasons(make_plan(project.read()))
    assert found["generate/base/tiny/seed1/benign/manifest.json"] == [
        "its file samples.jsonl is missing"
    ]


def test_a_plan_over_budget_is_one_line_after_the_table(project, capsys):
    project.edit(lambda e: e.update(budget={"disk_gb": 1e-6}))
    with pytest.raises(InputError) as error:
        main(["--experiment", "tiny", "--json", "plan.json"])
    assert str(error.value).startswith("experiments/tiny.yaml: budget.disk_gb: ")
    assert "expected at most 1e-06 in all" in str(error.value)
    assert "\n" not in str(error.value)
    assert "safety_sft" in capsys.readouterr().out
    assert json.loads((project.root / "plan.json").read_text())["total"]["jobs"] == 32


def test_a_budget_counts_what_was_spent_and_what_is_planned():
    plan = {"experiment": "x", "standing": {"usd": 3.0}, "total": {"usd": 2.0}}
    check_budget(plan, {"usd": 5})
    with pytest.raises(InputError, match=r"budget\.usd: 2 dollars planned and 3 spent"):
        check_budget(plan, {"usd": 4.9})
