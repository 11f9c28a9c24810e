"""Endings written by hand, read by the project's own scorers; hostile text and bad gold answers."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections import Counter

import pytest

from benchmarks.verdict_quality import ENDINGS, Ending, outcomes, read_endings
from workflow.scripts.common.errors import InputError
from workflow.scripts.score.choices import read_choice, read_options
from workflow.scripts.score.registry import read_scorer
from workflow.scripts.score.scorer import Place

KINDS = ("choice", "math_verify", "integer")


def _endings() -> list[Ending]:
    return [ending for path in sorted(ENDINGS.glob("*.txt")) for ending in read_endings(path)]


@pytest.mark.parametrize("kind", KINDS)
def test_endings_are_read_as_a_reader_reads_them(kind, report_rate):
    endings = [ending for ending in _endings() if ending.kind == kind]
    found = Counter(outcomes(endings))
    stated = sum(ending.expected is not None for ending in endings)
    assert len(endings) >= 70
    assert found["missed"] <= 0.02 * stated, found
    assert found["misread"] <= 0.02 * stated, found
    assert found["invented"] <= 0.02 * (len(endings) - stated), found
    report_rate(f"endings of type {kind} read right", found["right"], len(endings))


def test_no_letter_is_read_more_easily_than_another():
    """Each ending with one letter and no option's text, with every other letter in its place."""
    letter = re.compile(r"(?<![A-Za-z])[A-D](?![A-Za-z])")
    turned = 0
    for ending in (e for e in _endings() if e.kind == "choice" and e.expected):
        if len(letter.findall(ending.text)) == 1 and read_choice(ending.text).letter:
            turned += 1
            for other in "ABCD":
                text = letter.sub(other, ending.text)
                assert read_choice(text).letter == other, text
    assert turned > 80


def test_options_are_the_last_lettered_lines_of_the_question():
    prompt = (
        "A. Is this B) or so?\n\nA) one\nof two\nB) two\nC) (c)\nD) four\n\nEnd with: Answer: X"
    )
    assert read_options(prompt, "ABCD") == {"A": "one\nof two", "B": "two", "C": "(c)", "D": "four"}
    assert read_options("How much is A) in all?", "ABCD") == {}


N = 10_000
# What sympy would compute for minutes
EXPRESSIONS = [
    *("\\boxed{9^{9^{9^{9}}}}", "\\boxed{9!!!!!!}", "\\boxed{10^{10^{10}}}", "9^{9^{9^{9}}}"),
    *("\\boxed{" + "9" * 5000 + "}", "\\boxed{" + "9" * 900 + "^" + "9" * 90 + "}"),
    *("\\boxed{" + "(" * 300 + "1" + ")" * 300 + "}", "\\boxed{x^{100000}-1}"),
    *("\\boxed{" + "\\frac{1}{" * 150 + "2" + "}" * 151, "\\boxed{(x+1)^{5000}}"),
    *("\\boxed{" + "\\sqrt{" * 150 + "2" + "}" * 151, "\\boxed{\\int_0^1 x^x dx}"),
    *("\\boxed{\\prod_{i=1}^{10^6} i}", "\\boxed{\\binom{10^9}{10^8}}"),
    "Answer: (" + "a(" * N,
]
HOSTILE = [
    *("\\boxed{" * N, "\\boxed{" * N + "}" * N, "{" * N, "}" * N, "\\boxed{}" * N),
    *("\\boxed{C} " * N, "\\boxed 7 " * N, "\\boxed" * N, "\\text{" * N, "$" * N, "(" * N),
    *("\\text{" * N + "}" * N, "\\\\" * N, "\\" * 10_001, "\\(" * N, "\\(" * N + "\\)" * N),
    *("answer is " * N, "Answer: " * N, "Answer:\n" * N, "answer " * N, "<answer>" * N),
    *("option C " * N, "(A) or (C) " * N, "A or " * N, "A, B, " * N, "C " * N, "A) x\n" * N),
    *(" " * 20 * N, "\n" * 20 * N, " " * 20 * N + "x", "\t" * 10 * N + "\nAnswer: C", "*" * 10 * N),
    *("_" * 10 * N, "#" * 10 * N, ">" * 10 * N, "-" * 10 * N, "." * 10 * N, "!" * 10 * N),
    *("?" * 10 * N, "=" * 10 * N, "| " * N, "</" * N, "<" * 10 * N, "<|im_start|>" * N),
    *("Question: " * N, "\nQuestion:" * N, '{"answer": ' * N, "**" * N, "**1" * N, "✅" * N),
    *EXPRESSIONS,
    *("Answer: " + "1+" * N, "Answer: " + "1," * N, "Answer: $" + "1+" * 400 + "1$"),
    *("The answer is " + "a" * 10 * N, "Answer: " + " C" * N, "Answer: " + "the " * N),
    *("答案" * N, "정답" * N, "√" * N, "√(" * N, "½" * N, "²" * N, "１" * N, "\u200b" * N),
    *("\u202e" * N, "\x00" * N, "$x$ is " * N, "is " * N, "= " * N, "1 " * N, "1,000," * N),
    *("12 million " * N, "not " * N, "the " * N, "I cannot " * N, "n't " * N, "therefore " * N),
    *("A is correct " * N, "A is not correct " * N, "A: " + "x " * N + "is correct", "It's " * N),
    *("\\pi" * N, "5\\sqrt{2}" * N, "Answer: 1 (" + "b" * N),
]
_MEASURE = r"""
import json, re, sys, time
from workflow.scripts.score.registry import read_scorer
from workflow.scripts.score.scorer import Place
texts, prompt = json.load(sys.stdin), "Which?\n\nA) 1\nB) 2\nC) 3\nD) 4 nm"
scorer, slowest = read_scorer(json.loads(sys.argv[1]), "scorer").load(Place()), 0.0
for text in texts:
    sample = {"item_id": "1", "prompt": prompt, "target": sys.argv[2], "state": "ok"}
    start = time.process_time()
    scorer.score([{**sample, "answer": text}])
    slowest = max(slowest, time.process_time() - start)
# of this program alone: ru_maxrss would be that of the tests, which start it
print(slowest, int(re.search(r"VmHWM:\s+(\d+) kB", open("/proc/self/status").read())[1]) / 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("section", "target"),
    [
        ({"type": "choice"}, "A"),
        ({"type": "math_verify", "timeout_s": 1}, "5"),
        ({"type": "integer"}, "5"),
    ],
)
def test_hostile_text_costs_seconds_and_little_memory(root, section, target):
    generator = random.Random(0)
    symbols = "\\{}$^_()[]ABCD 0123=+-*.,:\n√½"
    texts = [*HOSTILE, "".join(generator.choices(symbols, k=6 * N))]
    assert len(texts) >= 100
    if section["type"] == "integer":  # compared as above, but each may take the default 5 s
        texts = [text for text in texts if text not in EXPRESSIONS[1:]]
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, json.dumps(section), target],
        input=json.dumps(texts),
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, megabytes = map(float, done.stdout.split())
    assert seconds < 10 and megabytes < 1000


@pytest.mark.parametrize(
    ("kind", "target", "expected"),
    [
        ("math_verify", "", "expected a gold answer"),
        ("math_verify", "nan", "expected a gold answer"),
        ("math_verify", "\\frac{1}{", "expected a gold answer"),
        ("integer", " ", "expected a gold answer"),
        ("integer", "1.5", "expected a whole number"),
        ("choice", "E", "expected one of the letters ABCD"),
        ("choice", "AB", "expected one of the letters ABCD"),
    ],
)
def test_a_gold_answer_that_cannot_be_read_is_an_error(kind, target, expected):
    scorer = read_scorer({"type": kind}, "scorer").load(Place())
    sample = {"item_id": "q7", "prompt": "?", "target": target, "answer": "Answer: 5"}
    with pytest.raises(InputError, match=f"item q7: target is .*{expected}"):
        scorer.score([{**sample, "state": "ok"}])
