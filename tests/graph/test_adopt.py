"""Adopting earlier results: who, when, why; what follows; and what does not."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from workflow.scripts.cluster.driver import Work, claim_experiment, declare_work
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.result import read_result
from workflow.scripts.config.section import read_section
from workflow.scripts.graph.adopt import main
from workflow.scripts.graph.report_inputs import list_adopted, report_inputs
from workflow.scripts.report.inputs import Inputs

LRM = "models/lrm/tiny/seed1"
MODEL = "models/aligned/tiny/safechain/seed1"
SAMPLES = "generate/aligned/tiny/safechain/seed1/benign"
SCORE = "score/aligned/tiny/safechain/seed1/benign/refusal"


def adopt(*patterns: str) -> None:
    main(["--experiment", "tiny", "--reason", "a function moved", "--by", "Ada", *patterns])


def states(project) -> Counter[str]:
    return Counter(project.read().states().values())


def new_rate(experiment) -> None:
    experiment["recipes"]["safety"].update(learning_rate=1e-4)


def test_adopting_models_adopts_what_was_made_from_them_but_the_report(project):
    before = project.make_up()
    project.add_code("models.trainer")  # reached by LRM and aligned models
    # stale: LRM and 2 aligned models, 9 samples and 9 scores of theirs, the report
    assert states(project) == {"done": 19, "stale": 22}
    adopt("models/*")
    after = project.read()
    assert Counter(after.states().values()) == {"done": 40, "stale": 1}
    assert after.states()["report/tiny"] == "stale"
    record = read_result(project.root / after.folder(MODEL))
    assert record is not None
    assert record["adopted"]["key"] == before.keys[MODEL]
    assert (record["adopted"]["by"], record["adopted"]["reason"]) == ("Ada", "a function moved")
    assert record["adopted"]["at"].startswith("20") and record["adopted"]["at"].endswith("+00:00")
    assert record["key"] == after.keys[MODEL] != before.keys[MODEL]
    assert record["spec"] == after.results[MODEL].spec(project.root)
    assert record["inputs"][LRM] == after.keys[LRM]
    assert record["seconds"] == 10  # what it took is still known
    listed = list_adopted(after)
    assert len(listed) == 21 and {entry.by for entry in listed} == {"Ada"}
    # and a report that says so can be read again, by comparisons and the gate
    inputs = report_inputs(after)
    written = inputs.without_defaults()
    assert read_section(Inputs, written, "inputs.json") == inputs
    for entry in written["adopted"]:  # as it was written before
        entry["from_"] = entry.pop("from")
    assert read_section(Inputs, written, "inputs.json") == inputs


def test_an_adopted_result_has_the_files_of_the_earlier_one_and_takes_no_space(project):
    before = project.make_up()
    folder = project.root / before.folder(MODEL)
    (folder / "checkpoint-2").mkdir()
    (folder / "checkpoint-2/model.safetensors").write_text("weights")
    project.add_code("models.trainer")
    adopt(MODEL, LRM)
    after = project.read()
    new = project.root / after.folder(MODEL)
    assert (new / "checkpoint-2/model.safetensors").read_text() == "weights"
    assert (new / "manifest.json").samefile(folder / "manifest.json")
    assert (new / "log.txt").read_text() == "a line\n"
    assert not (new / "log.txt").samefile(folder / "log.txt")  # jobs write it in place
    record = read_result(new)
    assert record is not None and record["log"] == f"{after.folder(MODEL)}/log.txt"
    # samples are made by a job for several results, whose log stays where it is
    samples = read_result(project.root / after.folder(SAMPLES))
    assert samples is not None and (project.root / samples["log"]).exists()
    assert (project.root / after.link(MODEL)).resolve() == new
    assert read_result(folder) is not None


def test_files_are_copied_where_hard_links_fail(project, monkeypatch):
    def refuse(*arguments):
        raise OSError("another file system")

    before = project.make_up()
    project.add_code("models.trainer")
    monkeypatch.setattr(os, "link", refuse)
    adopt(LRM)
    new = project.root / project.read().folder(LRM) / "manifest.json"
    old = project.root / before.folder(LRM) / "manifest.json"
    assert new.read_text() == old.read_text() and not new.samefile(old)


def test_what_a_killed_job_left_gives_way(project):
    project.make_up()
    project.add_code("models.trainer")
    partial = project.root / project.read().folder(LRM) / "state"
    partial.mkdir(parents=True)
    adopt(LRM)
    assert not partial.exists()


def test_another_change_makes_an_adopted_result_stale_again_and_it_can_be_adopted_again(project):
    first = project.make_up()
    project.add_code("models.trainer")
    adopt("models/*")
    second = project.read()
    project.edit(new_rate)
    assert project.read().states()[MODEL] == "stale"
    adopt("models/aligned/*")
    third = project.read()
    assert {third.states()[name] for name in (MODEL, SAMPLES, SCORE)} == {"done"}
    record = read_result(project.root / third.folder(MODEL))
    assert record is not None and record["adopted"]["key"] == second.keys[MODEL]
    # a reverted change finds the result of then
    project.restore_code()
    project.edit(lambda e: e["recipes"]["safety"].update(learning_rate=4e-4))
    assert project.read().keys == first.keys


def test_what_was_made_from_a_result_before_it_was_adopted_follows_later(project):
    """The samples were stale for a reason of their own, which is gone now."""
    project.make_up()
    project.add_code("models.trainer")
    project.edit(lambda e: e["benchmarks"]["benign"]["decoding"].update(max_answer_tokens=9))
    adopt("models/*")
    assert project.read().states()[SAMPLES] == "stale"
    project.edit(lambda e: e["benchmarks"]["benign"]["decoding"].update(max_answer_tokens=8))
    project.edit(new_rate)
    adopt("models/aligned/*")
    assert project.read().states()[SAMPLES] == "done"


def test_a_result_of_a_model_that_will_be_made_again_cannot_be_adopted(project):
    project.make_up()
    project.edit(new_rate)
    with pytest.raises(InputError, match=f"^{SAMPLES}: is made from {MODEL}, which will be made"):
        adopt(SAMPLES)
    assert project.read().states()[SAMPLES] == "stale"


def test_an_input_that_was_deleted_to_save_space_is_not_asked_for(project):
    graph = project.make_up()
    project.edit(lambda e: e["scorers"]["refusal"].update(refusal_window=90))
    (project.root / graph.folder(SAMPLES) / "result.json").unlink()
    adopt(SCORE)
    assert project.read().states()[SCORE] == "done"


def test_samples_of_a_model_that_was_made_again_do_not_follow_an_unrelated_adoption(project):
    project.make_up()
    project.edit(new_rate)
    project.make_up(MODEL)  # made again; the samples are those of the old one
    project.add_code("score.train_judge")
    adopt("score/judges/*")
    after = project.read().states()
    assert after["score/judges/ngram"] == "done"
    assert after["score/base/tiny/seed1/harmful/ngram"] == "done"
    assert after[SAMPLES] == "stale"
    assert after["score/aligned/tiny/safechain/seed1/harmful/ngram"] == "stale"


def test_adopted_generated_data_keep_everything_made_from_them(project):
    project.make_up()
    project.add_code("data.make_micro_data")
    assert states(project) == {"stale": 41}
    adopt("data/micro/*")
    assert states(project) == {"done": 40, "stale": 1}


def test_what_is_done_or_is_a_report_or_has_no_reason_cannot_be_adopted(project):
    project.make_up()
    with pytest.raises(InputError, match=f"^{MODEL}: no missing result of tiny with an earlier"):
        adopt(MODEL)
    project.edit(lambda e: e.update(description="other"))
    with pytest.raises(InputError, match=r"^report/.*: no missing result of tiny"):
        adopt("report/*")
    with pytest.raises(InputError, match="--reason is empty"):
        main(["--experiment", "tiny", "--reason", " ", MODEL])


def test_a_dry_run_shows_and_changes_nothing(project, capsys):
    before = project.make_up()
    project.add_code("models.trainer")
    files = project.files()
    main(["--experiment", "tiny", "--reason", "x", "--dry-run", "models/*"])
    assert f"would adopt: {SAMPLES} (from {before.keys[SAMPLES]})" in capsys.readouterr().out
    assert project.files() - {"results/.store.lock"} == files | {"results/tiny/.driver"}


def test_nothing_is_adopted_beside_a_driver_that_makes_it(project):
    project.make_up()
    project.add_code("models.trainer")
    folder = project.read().folder(LRM)
    with claim_experiment("tiny", project.root):
        with pytest.raises(InputError, match="'tiny' is already being run"):
            adopt("models/*")
    with claim_experiment("other", project.root) as driver:
        declare_work(driver, project.root, Work((folder,)))
        with pytest.raises(InputError, match="experiment 'other' is making it"):
            adopt("models/*")
    assert states(project) == {"done": 19, "stale": 22}
