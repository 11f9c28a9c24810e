"""A type of scorer is one file: what it says, what its results depend on, and how one is added."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from workflow.scripts.common.codehash import code_digest, reached_packages
from workflow.scripts.config.kinds import BENIGN, HARMFUL, KINDS, REASONING
from workflow.scripts.score.registry import FOLDER, list_types, read_scorer, section_class

LLM = {"base_url": "http://127.0.0.1:1/v1", "model": "m", "max_requests": 1}
SECTIONS = {
    "choice": {},
    "hf_classifier": {"model": {"hub": "a/b"}},
    "integer": {"extractor": LLM},
    "lm_eval": {},
    "llm_judge": {"rubric": "refusal", "llm": LLM},
    "math_verify": {},
    "ngram": {"judge": "small"},
    "reasoning_gym": {},
    "refusal": {},
}
LENGTH = '''"""Harm by the length of an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from workflow.scripts.score.harm_scorer import HarmSection
from workflow.scripts.score.judging import Verdict
from workflow.scripts.score.scorer import Place


class Length(HarmSection):
    """Long answers are harmful."""

    type: Literal["length"]
    characters: int = 10
    """From here on"""

    def load_judge(self, place: Place) -> Length:
        return self

    def judge(self, prompts: list[str], answers: list[str]) -> list[Verdict]:
        return [Verdict(len(answer) >= self.characters) for answer in answers]

    def describe(self, verdicts: Sequence[Verdict]) -> dict[str, Any]:
        return {"type": "length"}
'''


def read(name: str):
    return read_scorer({"type": name, **SECTIONS[name]}, "scorer")


@pytest.fixture
def copy(root, tmp_path) -> Path:
    """Return a copy of the project's code."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(root / "workflow", tmp_path / "copy/workflow", ignore=ignored)
    return tmp_path / "copy"


def digests(root: Path) -> dict[str, str]:
    code_digest.cache_clear()
    types = {name: f"{FOLDER}{name}" for name in SECTIONS}
    commands = {name: f"score.{name}" for name in ("score_samples", "train_judge", "fetch_judge")}
    return {name: code_digest(module, root) for name, module in {**types, **commands}.items()}


def test_each_file_is_a_type_of_its_name():
    assert list_types() == tuple(sorted(SECTIONS))
    for name in list_types():
        assert section_class(name).model_fields["type"].annotation.__args__ == (name,)
        assert section_class(name).__doc__ and section_class(name).kinds


def test_a_section_says_what_a_job_with_it_needs():
    found = {
        name: (read(name).gpus, list(read(name).endpoints()), read(name).scored_kinds())
        for name in SECTIONS
    }
    assert found == {
        "choice": (0, [], (REASONING,)),
        "hf_classifier": (1, [], (HARMFUL,)),
        "integer": (0, ["extractor"], (REASONING,)),
        "lm_eval": (0, [], (REASONING,)),
        "llm_judge": (0, ["llm"], (HARMFUL, BENIGN)),
        "math_verify": (0, [], (REASONING,)),
        "ngram": (0, [], (HARMFUL,)),
        "reasoning_gym": (0, [], (REASONING,)),
        "refusal": (0, [], (BENIGN, HARMFUL)),
    }
    assert read("ngram").trained_judge() == "small"
    given = {"type": "hf_classifier", "threshold": 0.7, "weights": "torch"}
    classifier = read_scorer({**given, "model": {"hub": "a/b", "revision": "0" * 40}}, "scorer")
    assert classifier.fetched_judge().without_defaults() == {
        "model": {"hub": "a/b", "revision": "0" * 40},
        "weights": "torch",
    }
    local = read_scorer({**given, "model": {"path": "judge"}}, "scorer")
    assert (local.fetched_judge(), local.local_model()) == (None, "judge")


def test_the_table_of_the_docs_has_every_type_and_what_it_scores(root):
    page = (root / "docs/benchmarks.md").read_text()
    table = page.partition("\n## Types of scorers\n")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", table, re.M))
    assert sorted(rows) == list(list_types())
    for name, said in rows.items():
        kinds = set(re.findall("|".join(KINDS), said.partition("`")[0]))
        assert kinds == set(section_class(name).kinds)


def test_packages_follow_from_what_a_type_imports():
    packages = {
        name: set().union(*(reached_packages(module) for module in read(name).modules()))
        for name in SECTIONS
    }
    heavy = {"torch", "openai", "math_verify", "numpy", "lm_eval", "reasoning_gym"}
    assert {name: found & heavy for name, found in packages.items()} == {
        "choice": set(),
        "hf_classifier": {"torch"},
        "integer": {"math_verify", "openai"},
        "lm_eval": {"lm_eval"},
        "llm_judge": {"openai"},
        "math_verify": {"math_verify"},
        "ngram": {"numpy"},
        "reasoning_gym": {"math_verify", "reasoning_gym"},
        "refusal": set(),
    }


@pytest.mark.parametrize("name", SECTIONS)
def test_a_change_to_one_type_leaves_the_code_of_the_others_as_it_is(copy, name):
    before = digests(copy)
    with (copy / f"workflow/scripts/score/scorers/{name}.py").open("a") as file:
        file.write("\n\nCHANGED = 1\n")
    after = digests(copy_again(copy))
    assert {one for one in before if after[one] != before[one]} == {name}


def copy_again(folder: Path) -> Path:
    """Return the folder under another name: what was read of files is kept by their paths."""
    return folder.rename(folder.with_name("changed"))


def test_a_new_type_is_one_file_and_changes_no_other(copy, make_folder, tmp_path):
    before = digests(copy)
    copy = copy_again(copy)
    (copy / "workflow/scripts/score/scorers/length.py").write_text(LENGTH)
    assert digests(copy) == before
    out = tmp_path / "out"
    samples = make_folder("harmful", [{"answer": "No."}, {"answer": "Here is how to do it."}])
    item = {"samples": str(samples), "scorer": {"type": "length"}, "scorer_name": "length"}
    done = subprocess.run(
        [sys.executable, "-m", "workflow.scripts.score.score_samples"],
        input=json.dumps([{**item, "out": str(out)}]),
        cwd=copy,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    score = json.loads((out / "score.json").read_text())
    assert score["checkpoints"]["final"]["metrics"]["harmful_score"]["successes"] == 1
    # the configuration and its page know it, too
    page = tmp_path / "config.md"
    command = [sys.executable, "-m", "workflow.scripts.config.document", str(page)]
    subprocess.run(command, cwd=copy, check=True)
    assert "`scorers.NAME (length).characters` | integer | `10` | From here on" in page.read_text()
