"""A report at any time of a run: of the scores that are there, and why the others are not."""

from __future__ import annotations

import os

import pytest

from workflow.scripts.cluster.driver import claim_experiment
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import write_text
from workflow.scripts.graph.partial_report import partial_inputs

MODELS = ("base/tiny", "lrm/tiny", "aligned/tiny/directrefusal")


@pytest.fixture
def begun(project):
    """A run in which everything but one model and the n-gram judge's scores is there."""
    graph = project.read()
    judged = {name for name in graph.results if name.endswith("/ngram")}
    late = {name for name in graph.results if "safechain" in name}
    project.finish(*(graph.results.keys() - judged - late - {"report/tiny"}))
    driver = claim_experiment("tiny", project.root)
    os.utime(project.root / "results/tiny/.driver", (0, 1))  # before every log
    yield project
    driver.close()


def write_log(project, name: str, text: str) -> None:
    write_text(project.root / project.read().job_of[name].log, text)


def whys(project) -> dict[str, str]:
    return {
        f"{one.run.removesuffix('/seed1')}/{one.scorer}": one.why
        for one in partial_inputs(project.read()).missing
    }


def test_the_scores_that_are_there_are_shown_and_the_others_named(begun):
    inputs = partial_inputs(begun.read())
    made = {(one.run.removesuffix("/seed1"), one.scorer) for one in inputs.scores}
    assert made == {(model, scorer) for model in MODELS for scorer in ("math", "refusal")}
    assert len(inputs.missing) == 3 + 3
    assert {one.why for one in inputs.missing} == {"not made yet"}
    # what is not there is not read: of the models, the prompts, the judge
    assert "aligned/tiny/safechain/seed1" not in inputs.models and len(inputs.models) == 3
    assert inputs.judges == {}


def test_a_failure_is_the_reason_of_all_that_needs_it(begun):
    write_log(begun, "score/judges/ngram", "line\nerror: no rows\n")
    write_log(begun, "models/aligned/tiny/safechain/seed1", "epoch 1: step 3 of 4\n")
    found = whys(begun)
    assert found["lrm/tiny/ngram"] == "needs score/judges/ngram, which failed"
    assert found["aligned/tiny/safechain/math"] == "not made yet"
    write_log(begun, "models/aligned/tiny/safechain/seed1", "torch.OutOfMemoryError: x\n")
    lost = "needs models/aligned/tiny/safechain/seed1, which failed"
    assert whys(begun)["aligned/tiny/safechain/math"] == lost


def test_a_score_that_failed_says_why(begun):
    write_log(begun, "score/lrm/tiny/seed1/harmful/ngram", "error: 401 of the endpoint\n")
    assert whys(begun)["lrm/tiny/ngram"] == "failed: error: 401 of the endpoint"
    write_log(begun, "score/lrm/tiny/seed1/harmful/ngram", "loading\n")
    assert whys(begun)["lrm/tiny/ngram"] == "being made"


def test_without_any_score_there_is_no_report(project):
    with pytest.raises(InputError, match="results/tiny: no score is there yet"):
        partial_inputs(project.read())
