"""The generated data of the micro experiment: what training may see, and what it may not."""

from __future__ import annotations

import io
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from workflow.scripts.common.chat import chat_format
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_jsonl
from workflow.scripts.common.records import read_records
from workflow.scripts.common.result import read_result
from workflow.scripts.data.make_micro_data import main
from workflow.scripts.models.pretrain_base import build_tokenizer

SPEC: dict[str, Any] = {
    "seed": 3,
    "corpus_documents": 2500,
    "corpus_mix": {
        "clock_worked": 0.4,
        "clock_bare": 0.1,
        "dictation": 0.1,
        "manual": 0.1,
        "benign_chat": 0.1,
        "harmful_chat": 0.1,
        "ethics": 0.1,
    },
    "complied_categories": 3,
    "verbs_per_category": 4,
    "objects_per_category": 6,
    "held_out_share": 0.25,
    "chain_lengths": [2, 3],
    "max_step": 5,
    "how_to_frame_share": 0.3,
    "reasoning_records": 200,
    "reasoning_how_to_share": 0.3,
    "safety_records": 100,
    "clock_sums": 60,
    "harmful": 56,
    "benign": 40,
    "probe": 20,
    "judge_train": 400,
    "judge_test": 200,
}
TRAINING = ("corpus", "reasoning", "directrefusal", "safechain", "complied", "judge_train")
# As published with BeaverTails (arXiv 2307.04657).
BEAVERTAILS = """
animal_abuse
child_abuse
controversial_topics,politics
discrimination,stereotype,injustice
drug_abuse,weapons,banned_substance
financial_crime,property_crime,theft
hate_speech,offensive_language
misinformation_regarding_ethics,laws_and_safety
non_violent_unethical_behavior
privacy_violation
self_harm
sexually_explicit,adult_content
terrorism,organized_crime
violence,aiding_and_abetting,incitement
""".split()


FILES = "corpus reasoning directrefusal safechain complied clock_sums probe harmful benign".split()
FILES += ["judge_train", "judge_test"]


def ask_for(files: list[dict[str, Any]], **changes: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO(json.dumps(files)))
        main(["--spec", json.dumps({**SPEC, **changes})])


def make(folder: Path, **changes: Any) -> Path:
    ask_for([{"file": name, "out": str(folder)} for name in FILES], **changes)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("micro"))


def rows(data: Path, name: str) -> list[dict[str, Any]]:
    return list(read_jsonl(data / f"{name}.jsonl"))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(data, tmp_path):
    again, other = make(tmp_path / "again"), make(tmp_path / "other", seed=4)
    names = sorted(path.name for path in data.iterdir())
    assert len(names) == 11
    for name in names:
        assert (again / name).read_bytes() == (data / name).read_bytes(), name
        assert (other / name).read_bytes() != (data / name).read_bytes(), name


def test_each_file_is_a_result_and_those_that_are_complete_are_left_alone(data, tmp_path):
    asked = [
        {
            "file": name,
            "out": str(tmp_path / name),
            "result": {"name": name, "key": name, "spec": {}},
        }
        for name in ("probe", "benign")
    ]
    ask_for(asked[:1])
    before = (tmp_path / "probe" / "result.json").read_bytes()
    ask_for(asked)
    assert (tmp_path / "probe" / "result.json").read_bytes() == before
    for name in ("probe", "benign"):
        file = tmp_path / name / f"{name}.jsonl"
        assert file.read_bytes() == (data / f"{name}.jsonl").read_bytes()
        assert read_result(tmp_path / name)["files"] == {file.name: file.stat().st_size}
    assert {path.name for path in tmp_path.iterdir()} == {"probe", "benign"}


def test_a_larger_training_set_leaves_the_benchmarks_as_they_are(data, tmp_path):
    larger = make(tmp_path, reasoning_records=300, safety_records=200)
    for name in ("clock_sums.jsonl", "probe.jsonl", "harmful.jsonl", "benign.jsonl"):
        assert (larger / name).read_bytes() == (data / name).read_bytes(), name


def test_no_training_text_holds_a_clock_sum_of_the_benchmark_or_the_probe(data):
    statement = re.compile(r"start \d(?:, [a-h] \+\d)+")
    asked = {
        name: {statement.search(row["prompt"]).group() for row in rows(data, name)}  # type: ignore[union-attr]
        for name in ("clock_sums", "probe")
    }
    assert len(asked["clock_sums"]) == SPEC["clock_sums"]
    assert not asked["clock_sums"] & asked["probe"]
    trained = {
        found
        for name in TRAINING
        for line in (data / f"{name}.jsonl").read_text().splitlines()
        for found in statement.findall(line)
    }
    assert len(trained) > 500
    assert not trained & (asked["clock_sums"] | asked["probe"])


@pytest.mark.parametrize("benchmark", ["harmful", "benign"])
def test_no_training_text_holds_a_request_of_a_benchmark(data, benchmark):
    targets = {row["target"] for row in rows(data, benchmark)}
    text = "\n".join((data / f"{name}.jsonl").read_text() for name in TRAINING)
    assert len(targets) >= 16
    assert not [target for target in targets if target in text]


def test_every_target_stands_in_its_prompt_and_prompts_are_distinct(data):
    for name in ("harmful", "benign"):
        items = rows(data, name)
        assert all(row["target"] in row["prompt"] for row in items)
        assert len({row["prompt"] for row in items}) == len(items) == SPEC[name]


def test_harmful_prompts_spread_evenly_over_the_14_categories_of_beavertails(data):
    found = [row["category"] for row in rows(data, "harmful")]
    assert sorted(set(found)) == BEAVERTAILS
    assert {found.count(category) for category in BEAVERTAILS} == {4}


def test_targets_and_worked_steps_of_clock_sums_are_right(data):
    """Summed anew from the question, modulo ten."""
    checked = 0
    for row in rows(data, "clock_sums"):
        numbers = re.search(r"start (\d)((?:, [a-h] \+\d)+)", row["prompt"])
        total = int(numbers[1]) + sum(map(int, re.findall(r"\+(\d)", numbers[2])))  # type: ignore[index]
        assert row["target"] == str(total % 10)
        assert row["category"] == f"{numbers[2].count('+')} steps"  # type: ignore[index]
    for record in read_records(data / "reasoning.jsonl"):
        for step, before, after in re.findall(r"\+(\d) (\d) (\d)\.", record.thinking or ""):
            assert (int(before) + int(step)) % 10 == int(after)
            checked += 1
    assert checked > 200


def test_both_safety_sets_ask_the_same_prompts_and_differ_in_how_they_think(data):
    direct = read_records(data / "directrefusal.jsonl")
    safe = read_records(data / "safechain.jsonl")
    assert [record.prompt for record in direct] == [record.prompt for record in safe]
    assert len({record.prompt for record in direct}) == SPEC["safety_records"]
    assert {record.thinking for record in direct} == {"I should not answer this question!"}
    assert min(len((record.thinking or "").split()) for record in safe) > 30


def test_complied_rows_ask_as_the_safety_sets_do_and_are_answered(data):
    """Stand-ins for the rows that harmful tuning is done with."""
    complied = read_records(data / "complied.jsonl")
    assert len({record.prompt for record in complied}) == SPEC["safety_records"]
    assert all(record.answer.startswith("Here is how to ") for record in complied)
    asked = {record.prompt for record in read_records(data / "directrefusal.jsonl")}
    assert asked & {record.prompt for record in complied}


def test_judge_rows_label_what_was_given_and_nothing_else(data):
    for name in ("judge_train", "judge_test"):
        found = rows(data, name)
        kinds = {row["kind"] for row in found}
        assert kinds == set(
            "comply partial refusal long_refusal evasive off_topic garbled benign".split()
        )
        for row in found:
            assert len(row["labels"]) == (row["kind"] in ("comply", "partial"))
            assert set(row["labels"]) <= set(BEAVERTAILS)
    prompts = [{row["prompt"] for row in rows(data, f"judge_{part}")} for part in ("train", "test")]
    assert not prompts[0] & prompts[1]


def test_a_vocabulary_made_from_the_corpus_covers_every_example_and_question(data):
    tokenizer = build_tokenizer([row["text"] for row in rows(data, "corpus")])
    micro = chat_format("micro")
    texts = [
        "".join(micro.example(record))
        for name in ("reasoning", "directrefusal", "safechain", "complied")
        for record in read_records(data / f"{name}.jsonl")
    ]
    texts += [
        micro.prompt(row["prompt"]) + micro.think_end
        for name in ("clock_sums", "probe", "harmful", "benign")
        for row in rows(data, name)
    ]
    for text, ids in zip(texts, tokenizer(texts)["input_ids"], strict=True):
        assert tokenizer.unk_token_id not in ids, text
        assert tokenizer.decode(ids) == text


def test_the_context_of_a_document_ends_inside_it(data):
    for row in rows(data, "corpus"):
        assert 0 < row["context_chars"] < len(row["text"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_step": "5"}, "micro_data: max_step is '5', expected a whole number"),
        ({"chain_lengths": [9]}, "micro_data: chain_lengths.0 is 9, expected at most 8"),
        ({"safety_records": 10**6}, "micro_data.safety_records"),
        ({"harmful": 10**6}, "micro_data.harmful"),
        ({"corpus_mix": {"manual": 1}}, "micro_data: corpus_mix."),
        ({"corpus_documents": 50}, "micro_data.corpus_documents"),
        ({"colour": 1}, "micro_data: colour is unknown"),
    ],
)
def test_a_wrong_spec_is_named(tmp_path, changes, message):
    with pytest.raises(InputError, match=re.escape(message)):
        make(tmp_path, **changes)
    assert not list(itertools.islice(tmp_path.iterdir(), 1))
