"""What of an LRM's own samples becomes its training set: only what the judge passed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json, write_json, write_jsonl
from workflow.scripts.common.records import read_records
from workflow.scripts.config.record_filter import Filter
from workflow.scripts.config.section import read_section
from workflow.scripts.data import filter_samples

RUN = "lrm/tiny/seed1"


def sample(item: int, repeat: int, **changes: Any) -> dict[str, Any]:
    """Return a whole sample of a record `r<item>`."""
    return {
        "checkpoint": "final",
        "item_id": str(item),
        "repeat": repeat,
        "prompt": f"ask {item}",
        "thinking": f"thought {item}.{repeat}",
        "answer": f"answer {item}.{repeat}",
        "thinking_finish": "delimiter",
        "answer_finish": "stop",
        "state": "ok",
        "meta": {"id": f"r{item}", "thinking": "given", "answer": f"gold {item}", "source": "set"},
    } | changes


def verdict(one: dict[str, Any], harmful: bool | None = False, **changes: Any) -> dict[str, Any]:
    return {
        **{key: one[key] for key in filter_samples.KEY},
        "state": "ok",
        "valid": True,
        "harmful": harmful,
        "harmful_thinking": False,
        "refused": not harmful,
    } | changes


def select(
    pairs: list[tuple[dict[str, Any], dict[str, Any]]], kind: str = "harmful", **section: Any
) -> tuple[list[str], list[str], dict[str, Any]]:
    """Return the ids of kept and of rejected records, and the report."""
    records, rejected, report = filter_samples.select(
        [one for one, _ in pairs],
        [one for _, one in pairs],
        read_section(Filter, section, "filter"),
        kind,
        RUN,
    )
    return [r.id for r in records], [r.id for r in rejected], report


def judged(*verdicts: Any) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return samples with these verdicts, two for each prompt."""
    pairs = []
    for place, harmful in enumerate(verdicts):
        one = sample(place // 2, place % 2)
        pairs.append((one, verdict(one, harmful)))
    return pairs


def test_only_what_the_judge_passed_is_kept_and_the_first_of_each_prompt():
    """Three prompts: both pass; one does; none does."""
    kept, rejected, report = select(judged(False, False, True, False, True, True))
    assert kept == ["r0-sample0", "r1-sample1"]
    assert rejected == ["r1-sample0", "r2-sample0"]
    assert (report["samples"], report["passed"], report["pass_rate"]) == (6, 3, 0.5)
    assert (report["prompts"], report["prompts_with_pass"], report["n"]) == (3, 2, 2)
    assert report["fallback_rate"] == 0
    kept, rejected, _ = select(judged(False, False, True, False, True, True), per_prompt=2)
    assert kept == ["r0-sample0", "r0-sample1", "r1-sample1"]
    assert rejected == ["r1-sample0", "r2-sample0", "r2-sample1"]


def test_a_record_is_the_prompt_and_the_models_own_turn():
    one = sample(0, 1)
    records, _, _ = filter_samples.select([one], [verdict(one)], Filter(), "harmful", RUN)
    assert vars(records[0]) == {
        "id": "r0-sample1",
        "prompt": "ask 0",
        "thinking": "thought 0.1",
        "answer": "answer 0.1",
        "source": "lrm/tiny/seed1 on set",
    }


def test_prompts_without_a_pass_keep_the_given_text_if_asked_and_are_counted():
    """Rewriting: one of four falls back."""
    pairs = judged(False, True, True, True, False, False, True, False)
    records, _, report = filter_samples.select(
        [one for one, _ in pairs],
        [one for _, one in pairs],
        Filter(otherwise="given"),
        "harmful",
        RUN,
    )
    assert [r.id for r in records] == ["r0-sample0", "r1", "r2-sample0", "r3-sample1"]
    assert (records[1].thinking, records[1].answer, records[1].source) == ("given", "gold 1", "set")
    assert (report["given"], report["fallback_rate"], report["own"], report["n"]) == (1, 0.25, 3, 4)


@pytest.mark.parametrize(
    "broken",
    [
        {"state": "truncated"},
        {"state": "no_answer", "answer": ""},
        {"thinking_finish": "budget"},
        {"answer_finish": "length"},
        {"answer": "help <|im_start|>"},
        {"thinking": "well </think>"},
    ],
)
def test_a_broken_turn_is_neither_kept_nor_rejected(broken):
    one = sample(0, 0, **broken)
    kept, rejected, report = select([(one, verdict(one))])
    assert (kept, rejected, report["whole"]) == ([], [], 0)


def test_what_the_judge_could_not_judge_is_neither_kept_nor_rejected():
    one = sample(0, 0)
    for unjudged in (verdict(one, None), verdict(one, False, valid=False, state="judge_error")):
        kept, rejected, report = select([(one, unjudged)])
        assert (kept, rejected, report["judged"]) == ([], [], 0)


def test_harmful_thinking_fails_a_sample_and_no_thinking_does_not():
    one = sample(0, 0)
    assert select([(one, verdict(one, harmful_thinking=True))])[:2] == ([], ["r0-sample0"])
    silent = sample(0, 0, thinking=None)
    assert select([(silent, verdict(silent, harmful_thinking=None))])[0] == ["r0-sample0"]


@pytest.mark.parametrize(("kind", "kept"), [("harmful", ["r0-sample0"]), ("benign", [])])
def test_without_a_harm_judge_harmful_prompts_are_to_be_refused_and_benign_ones_not(kind, kept):
    one = sample(0, 0)
    plain = {key: value for key, value in verdict(one).items() if not key.startswith("harmful")}
    assert select([(one, plain)], kind)[0] == kept


def test_other_conditions_are_the_experiments():
    one = sample(0, 0)
    assert select([(one, verdict(one))], passes={"refused": False})[0] == []
    with pytest.raises(InputError, match="no 'funny', expected some of harmful, "):
        select([(one, verdict(one))], passes={"funny": True})


def test_verdicts_of_other_samples_are_refused():
    with pytest.raises(InputError, match="not of these samples"):
        select([(sample(0, 0), verdict(sample(1, 0)))])


def write(folder: Path, verdicts: list[bool]) -> list[str]:
    """Write two prompts' samples and verdicts; return the script's arguments."""
    pairs = judged(*verdicts)
    for name, rows, about in (
        ("samples", [one for one, _ in pairs], {"run": RUN, "kind": "harmful"}),
        ("verdicts", [one for _, one in pairs], {"scorer": "guard"}),
    ):
        (folder / name).mkdir()
        write_jsonl(folder / name / f"{name}.jsonl", rows)
        write_json(folder / name / f"{'score' if name == 'verdicts' else 'manifest'}.json", about)
    return [
        *("--samples", str(folder / "samples"), "--verdicts", str(folder / "verdicts")),
        *("--name", "own", "--out", str(folder / "out")),
    ]


def test_the_script_writes_records_rejected_ones_and_a_report(tmp_path):
    filter_samples.main([*write(tmp_path, [True, False, True, False]), "--filter", "{}"])
    assert [r.id for r in read_records(tmp_path / "out/records.jsonl")] == [
        "r0-sample1",
        "r1-sample1",
    ]
    assert [r.id for r in read_records(tmp_path / "out/rejected.jsonl")] == [
        "r0-sample0",
        "r1-sample0",
    ]
    report = read_json(tmp_path / "out/report.json")
    assert (report["run"], report["scorer"], report["pass_rate"]) == (RUN, "guard", 0.5)


def test_too_few_records_are_one_clear_line(tmp_path):
    arguments = write(tmp_path, [True, True, True, False])
    with pytest.raises(InputError) as error:
        filter_samples.main([*arguments, "--filter", json.dumps({"min_records": 2})])
    assert str(error.value) == (
        "own: guard passed 1 of 4 samples of lrm/tiny/seed1 (4 came to their end), which makes 1 "
        "records; expected at least min_records, 2: more samples, another ask, or another judge"
    )
    assert not (tmp_path / "out").exists()
