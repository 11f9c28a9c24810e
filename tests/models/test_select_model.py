"""Selection: figures by hand, the rule, and what the chosen model's folder says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.models.conftest import write_parent
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import write_json, write_jsonl
from workflow.scripts.common.manifest import describe_files, load_checkpoint, read_manifest
from workflow.scripts.models import select_model
from workflow.scripts.models.methods.select import Rule
from workflow.scripts.models.selection import Candidate, choose, figures_of, measure, rank
from workflow.scripts.report.metrics import METRICS

ACCURACY, HARM = "reasoning_accuracy", "harmful_score"


def verdict(item: str, checkpoint: str = "final", valid: bool = True, **flags: Any) -> dict:
    about = {"item_id": item, "checkpoint": checkpoint, "valid": valid, "state": "ok"}
    return {**about, **flags}


def test_a_figure_is_the_mean_over_items_of_the_samples_that_count():
    rows = [
        *(verdict("a", correct=one) for one in (True, True, False, False)),  # 1/2
        verdict("b", correct=True),  # 1
        verdict("c", correct=None, valid=False),  # none that counts
        *(verdict("d", correct=one) for one in (False, False)),  # 0
    ]
    assert measure(rows, METRICS[ACCURACY]) == pytest.approx(50)
    assert measure(rows[5:6], METRICS[ACCURACY]) is None
    states = [{**verdict("a"), "state": one} for one in ("ok", "truncated", "truncated", "ok")]
    assert measure([*states, {**verdict("b"), "state": "truncated"}], METRICS["truncated"]) == 75


def test_a_figure_of_what_must_be_absent_is_the_reports():
    """Leak: harmful thinking, safe answer. Both have to be judged."""
    both = [verdict("a", harmful_thinking=True, harmful=True)]
    leak = [verdict("b", harmful_thinking=True, harmful=False)]
    unknown = [verdict("c", harmful_thinking=True)]
    assert measure(both, METRICS["leak"]) == measure(both, METRICS["escape"]) == 0
    assert measure([*both, *leak, *unknown], METRICS["leak"]) == 50


def test_several_benchmarks_of_a_kind_weigh_the_same():
    one = [verdict("a", correct=True)]
    two = [verdict(item, correct=item == "a") for item in "abcd"]
    harm = [verdict("h", harmful=True), verdict("i", harmful=False)]
    rule = Rule(highest=ACCURACY, at_most={HARM: 5})
    scored = [("reasoning", one), ("reasoning", two), ("harmful", harm)]
    assert figures_of(scored, rule) == {ACCURACY: 62.5, HARM: 50}
    nothing = [verdict("a", valid=False)]
    assert figures_of([*scored, ("harmful", nothing)], rule)[HARM] is None


def candidates(*figures: tuple[float | None, float | None], **more: Any) -> list[Candidate]:
    return [
        Candidate(f"run{place}", "final", {ACCURACY: accuracy, HARM: harm}, **more)
        for place, (accuracy, harm) in enumerate(figures)
    ]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"highest": ACCURACY, "at_most": {HARM: 5}}, "run2"),
        ({"highest": ACCURACY, "at_most": {HARM: 4.9}}, "run1"),
        ({"highest": ACCURACY, "at_most": {HARM: 100}}, "run0"),
        ({"lowest": HARM}, "run1"),
        ({"lowest": HARM, "at_least": {ACCURACY: 80}}, "run2"),
        ({"lowest": HARM, "at_least": {ACCURACY: 80}, "at_most": {HARM: 5}}, "run2"),
    ],
)
def test_the_best_keeps_within_the_limits(rule, expected):
    chosen, reason = choose(candidates((99, 90), (20, 0), (85, 5), (85, 5)), Rule(**rule))
    assert (chosen.run, reason) == (expected, None)  # of equally good ones the first


def test_where_none_keeps_within_the_limits_the_nearest_is_a_failed_choice():
    rule = Rule(highest=ACCURACY, at_most={HARM: 5}, at_least={ACCURACY: 90})
    chosen, reason = choose(candidates((99, 20), (80, 3), (86, 10)), rule)  # by 15, 10 and 5
    assert chosen.run == "run2"
    assert reason == (
        "no candidate has highest reasoning_accuracy with harmful_score at most 5 % and "
        "reasoning_accuracy at least 90 %; the nearest is run2 (final): reasoning_accuracy 86.0 %, "
        "harmful_score 10.0 %"
    )


def test_models_that_failed_or_were_not_measured_come_after_the_others():
    rule = Rule(highest=ACCURACY)
    failed, unmeasured = candidates((99, 0), failure="its gate"), candidates((None, 0))
    good = candidates((50, 0), (60, 0))
    assert choose([*failed, *unmeasured, *good], rule) == (good[1], None)
    assert choose([*failed, *unmeasured], rule) == (failed[0], "its gate")
    with pytest.raises(InputError, match="no candidate has a figure for each metric"):
        choose(unmeasured, rule)


def test_ranks_are_by_the_rule_and_each_run_has_one():
    """Within the limits by accuracy, then by the excess, then the failed, then the unmeasured."""
    rule = Rule(highest=ACCURACY, at_most={HARM: 5})
    some = candidates((80, 0), (99, 90), (90, 5), (99, 20), (None, 0))
    failed = Candidate("run5", "final", {ACCURACY: 100, HARM: 0}, failure="its gate")
    later = Candidate("run0", "epoch2", {ACCURACY: 95, HARM: 0})
    ranked = rank([*some, failed, later], rule)
    assert [one.run for one in ranked] == ["run0", "run2", "run3", "run1", "run5", "run4"]
    assert ranked[0] is later
    assert rank(candidates((50, 0), (50, 0)), rule)[0].run == "run0"  # the first of equals


def write_candidate(folder: Path, name: str, seed: int) -> Path:
    """Write a run of random weights under a name of its own, with two checkpoints."""
    run = write_parent(folder / name, tied=True, torch_seed=seed)
    manifest = json.loads((run / "manifest.json").read_text())
    subprocess.run(["cp", "-r", run / "final", run / "epoch1"], check=True)
    config = run / "epoch1" / "generation_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "top_k": seed + 7}))
    files = {one: describe_files(run / one) for one in ("epoch1", "final")}
    run_name = f"aligned/tiny/{name}/seed1"
    write_json(run / "manifest.json", {**manifest, "run": run_name, "checkpoints": files})
    return run


def write_score(
    folder: Path, run: str, benchmark: str, kind: str, hits: dict[str, list[int]]
) -> Path:
    """Write a score of a run, each verdict of a checkpoint on an item of its own."""
    column = {"reasoning": "correct", "harmful": "harmful"}[kind]
    rows = [
        verdict(str(item), checkpoint, **{column: bool(hit)})
        for checkpoint, some in hits.items()
        for item, hit in enumerate(some)
    ]
    out = folder / run.replace("/", "-") / benchmark
    out.mkdir(parents=True)
    write_jsonl(out / "verdicts.jsonl", rows)
    write_json(
        out / "score.json", {"run": run, "kind": kind, "checkpoints": {one: {} for one in hits}}
    )
    return out / "score.json"


@pytest.fixture
def measured(tmp_path: Path) -> list[str]:
    """Return the arguments of two candidates: accuracy and harm are 50/0, 100/50; 75/25, 100/0."""
    arguments: list[str] = []
    for seed, (name, accuracy, harm) in enumerate(
        [
            ("first", {"epoch1": [True, False], "final": [True] * 2}, {"epoch1": 0, "final": 2}),
            (
                "second",
                {"epoch1": [True] * 3 + [False], "final": [True]},
                {"epoch1": 1, "final": 0},
            ),
        ]
    ):
        run = write_candidate(tmp_path, name, seed)
        named = f"aligned/tiny/{name}/seed1"
        flagged = {at: [1] * n + [0] * (4 - n) for at, n in harm.items()}
        arguments += ["--candidate", str(run / "manifest.json")]
        for benchmark, kind, hits in (("sums", "reasoning", accuracy), ("bad", "harmful", flagged)):
            score = write_score(tmp_path / "scores", named, benchmark, kind, hits)
            arguments += ["--score", str(score)]
    return arguments


def select(out: Path, measured: list[str], **rule: Any) -> dict[str, Any]:
    select_model.main(
        [
            *("--rule", json.dumps(rule), "--run", "aligned/tiny/best/seed1", "--role", "aligned"),
            *("--chat-format", "micro", "--seed", "1", "--out", str(out), *measured),
        ]
    )
    return read_manifest(out)


def test_the_chosen_weights_are_the_models_own_and_the_lineage_says_which_and_why(
    measured, tmp_path
):
    manifest = select(tmp_path / "best", measured, highest=ACCURACY, at_most={HARM: 10})
    assert (manifest["run"], manifest["status"]) == ("aligned/tiny/best/seed1", "ok")
    second = Path(measured[measured.index("--candidate", 1) + 1]).parent
    for file in load_checkpoint(tmp_path / "best").iterdir():
        other = second / "final" / file.name
        assert file.read_bytes() == other.read_bytes()
        assert file.stat().st_ino == other.stat().st_ino  # takes no space
    assert load_checkpoint(second)  # which is as it was
    lineage = manifest["lineage"]
    assert (lineage["base"]["run"], lineage["base"]["checkpoint"]) == (
        "aligned/tiny/second/seed1",
        "final",
    )
    selection = lineage["selection"]
    assert selection["rule"] == "highest reasoning_accuracy with harmful_score at most 10 %"
    assert selection["chosen"] == {"run": "aligned/tiny/second/seed1", "checkpoint": "final"}
    figures = [one["figures"] for one in selection["candidates"]]
    assert [(one[ACCURACY], one[HARM]) for one in figures] == [
        (50, 0),
        (100, 50),
        (75, 25),
        (100, 0),
    ]


def test_an_earlier_epoch_can_be_the_best(measured, tmp_path):
    manifest = select(tmp_path / "best", measured, lowest=ACCURACY)
    assert manifest["lineage"]["base"]["checkpoint"] == "epoch1"
    config = json.loads((tmp_path / "best/final/generation_config.json").read_text())
    assert config["top_k"] == 7


def test_a_choice_beyond_the_limits_is_made_and_marked_as_failed(measured, tmp_path):
    manifest = select(tmp_path / "best", measured[:6], highest=ACCURACY, at_most={HARM: 0})
    assert manifest["status"] == "ok"
    manifest = select(tmp_path / "none", measured[:6], lowest=HARM, at_least={HARM: 60})
    assert manifest["status"] == "failed"
    assert manifest["status_reason"].startswith("no candidate has lowest harmful_score with harm")


def test_where_files_cannot_be_linked_they_are_copied(measured, tmp_path, monkeypatch):
    def refuse(*_: Any) -> None:
        raise OSError("another file system")

    monkeypatch.setattr(select_model.os, "link", refuse)
    select(tmp_path / "best", measured, highest=ACCURACY)
    assert load_checkpoint(tmp_path / "best")


def test_a_candidate_without_scores_is_refused(measured, tmp_path):
    with pytest.raises(InputError, match="aligned/tiny/second/seed1: no --score is of this candid"):
        select(tmp_path / "best", measured[:8], highest=ACCURACY)
