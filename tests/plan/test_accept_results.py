"""Accepting stale results: who, when, why; what follows; and what does not."""

from __future__ import annotations

from collections import Counter

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json
from workflow.scripts.plan.accept_results import main
from workflow.scripts.plan.make_plan import make_plan

MODEL = "models/aligned/tiny/safechain/seed1/manifest.json"
SAMPLES = "generate/aligned/tiny/safechain/seed1/benign/manifest.json"


def accept(*paths: str) -> None:
    main(["--experiment", "tiny", "--why", "a message", "--by", "Ada", *paths])


def states(project) -> Counter[str]:
    return Counter(project.read().states.values())


def test_accepting_models_accepts_what_was_made_from_them_but_the_report(project):
    project.finish()
    project.add_code("models.trainer")  # reached by LRM and aligned models
    # LRM and 2 aligned models, 9 samples and 9 scores of theirs, the report
    assert states(project) == {"current": 10, "stale": 22}
    accept("results/tiny/models")
    assert states(project) == {"current": 10, "accepted": 21, "stale": 1}
    accepted = read_json(project.folder / MODEL)["provenance"]["accepted"]
    assert (accepted["by"], accepted["why"]) == ("Ada", "a message")
    assert accepted["at"].startswith("20") and accepted["at"].endswith("+00:00")
    plan = make_plan(project.read())
    assert {entry["by"] for entry in plan["accepted"]} == {"Ada"}
    assert [job["rule"] for job in plan["jobs"] if job["state"] == "stale"] == ["make_report"]


def test_another_change_makes_an_accepted_result_stale_again_and_it_can_be_accepted_again(project):
    project.finish()
    project.add_code("models.trainer")
    accept("results/tiny/models")
    project.edit(lambda e: e["recipes"]["safety"].update(learning_rate=1e-4))
    assert project.read().states[MODEL] == "stale"
    accept("results/tiny/models/aligned")
    state = project.read().states
    assert (state[MODEL], state[SAMPLES]) == ("accepted", "accepted")


def test_a_score_of_a_model_that_will_be_made_anew_cannot_be_accepted(project):
    project.finish()
    project.edit(lambda e: e["recipes"]["safety"].update(learning_rate=1e-4))
    with pytest.raises(InputError, match=f"is made from {MODEL}, which will be made anew"):
        accept(f"results/tiny/{SAMPLES}")
    assert "accepted" not in read_json(project.folder / SAMPLES)["provenance"]


def test_samples_of_a_model_that_was_made_anew_do_not_follow_an_unrelated_acceptance(project):
    project.finish()
    project.edit(lambda e: e["recipes"]["safety"].update(learning_rate=1e-4))
    project.finish(MODEL)  # made anew; the samples are still those of the old one
    project.add_code("score.train_judge")
    accept("results/tiny/score/judges")
    state = project.read().states
    assert state["score/judges/ngram/judge.json"] == "accepted"
    assert state["score/base/tiny/seed1/harmful/ngram/score.json"] == "accepted"
    assert state[SAMPLES] == "stale"
    assert state["score/aligned/tiny/safechain/seed1/harmful/ngram/score.json"] == "stale"


def test_accepted_generated_data_keep_the_models_current(project):
    project.finish()
    project.add_code("data.make_micro_data")
    assert states(project)["current"] == 0
    accept("results/tiny/data/micro")
    assert states(project) == {"accepted": 31, "stale": 1}


def test_what_is_not_stale_or_has_no_reason_cannot_be_accepted(project):
    project.finish()
    with pytest.raises(InputError, match="no stale result, expected one"):
        accept(f"results/tiny/{MODEL}")
    with pytest.raises(InputError, match="expected a path below results/tiny"):
        accept("experiments")
    with pytest.raises(InputError, match="--why is empty"):
        main(["--experiment", "tiny", "--why", " ", f"results/tiny/{MODEL}"])


def test_a_dry_run_shows_and_changes_nothing(project, capsys):
    project.finish()
    project.add_code("models.trainer")
    before = (project.folder / MODEL).read_bytes()
    main(["--experiment", "tiny", "--why", "x", "--dry-run", "results/tiny/models"])
    assert f"would accept: {project.folder / SAMPLES}" in capsys.readouterr().out
    assert (project.folder / MODEL).read_bytes() == before
