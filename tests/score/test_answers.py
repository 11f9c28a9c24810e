"""Extraction and comparison of final answers, on real reference solutions and hand-worked cases."""

from __future__ import annotations

import json
import time

import pytest

from workflow.scripts.score.choices import read_choice
from workflow.scripts.score.compare import as_integer, same_answer
from workflow.scripts.score.markup import find_boxes
from workflow.scripts.score.values import last_expression, read_value


def _rows(path):
    return [json.loads(line) for line in path.read_text().split("\n") if line.strip()]


def test_all_math500_reference_solutions_grade_correct(shared_data, report_rate):
    rows = _rows(shared_data / "math500.jsonl")
    assert len(rows) == 500
    for row in rows:
        extracted = read_value(row["solution"])
        assert extracted is not None, row["unique_id"]
        assert same_answer(extracted, row["answer"]).correct, (row["unique_id"], extracted)
    report_rate("MATH-500 reference solutions against their own answers", len(rows), len(rows))


def test_all_math500_answers_grade_correct_in_a_sentence(shared_data):
    for row in _rows(shared_data / "math500.jsonl"):
        for said in (
            f"So it is $\\boxed{{ {row['answer']} }}$. Done.",
            f"Final Answer: ${row['answer']}$",
        ):
            extracted = read_value(said)
            assert extracted is not None and same_answer(extracted, row["answer"]).correct, said


@pytest.mark.slow
def test_math500_answers_of_other_problems_grade_wrong_unless_equal(shared_data, report_rate):
    rows = _rows(shared_data / "math500.jsonl")
    taken, failed = [], 0
    for shift in (1, 7):
        for index, row in enumerate(rows):
            other = rows[(index + shift) % len(rows)]
            compared = same_answer(read_value(other["solution"]), row["answer"])
            failed += compared.failed
            if compared.correct:
                taken.append((other["answer"], row["answer"]))
    # Read by hand: each accepted pair is the same value ("x=5" and "5" count as the same).
    assert all(a == b or (a, b) == ("x=5", "5") for a, b in taken), taken
    assert failed == 0
    report_rate("MATH-500 answers of other rows, all equal in value", len(taken), 2 * len(rows))


def test_all_gsm8k_references_grade_correct_and_other_rows_wrong(shared_data, report_rate):
    rows = _rows(shared_data / "gsm8k_test.jsonl")
    golds = [row["answer"].rsplit("#### ", 1)[1] for row in rows]
    assert len(rows) == 1319
    taken = 0
    for index, row in enumerate(rows):
        extracted = read_value(row["answer"])
        assert extracted is not None and same_answer(extracted, golds[index]).correct
        other = golds[(index + 1) % len(rows)]
        equal = other.replace(",", "") == golds[index].replace(",", "")
        assert same_answer(extracted, other).correct == equal
        taken += equal
    report_rate("GSM8K references against their own answers", len(rows), len(rows))
    report_rate("GSM8K answers of the next row, all equal in value", taken, len(rows))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The answer is 2.", "2"),
        ("so \\boxed{1} but really \\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("\\boxed{\\left\\{ 1, \\{2\\} \\right\\}}", "\\left\\{ 1, \\{2\\} \\right\\}"),
        ("It is \\boxed 7.", "7"),
        ("\\boxed{3} and then cut \\boxed{4", "3"),
        ("Answer: 5\nSome more words.\nFinal Answer: 12", "12"),
        ("**Final Answer:** 33", "33"),
        ("**Answer**: $x^2$", "x^2"),
        ("Final Answer: 5. I hope it is correct.", "5"),
        ("Final Answer: The final answer is $17$. I hope it is correct.", "17"),
        ("Answer: it must be $\\frac{1}{2}$ of them", "\\frac{1}{2}"),
        ("Answer: $x=1$ and $x=2$", "$x=1$ and $x=2$"),
        ("Answer: To solve this, note that it repeats.\n\nSo the answer is 42.", "42"),
        ("Final Answer: 12\nI checked it, and the answer is correct.", "12"),
        ("Answer: 3\nWait. The answer is $4$.", "4"),
        ("Final Answer:\n\n**7**", "7"),
        ("Final Answer:\n\nWe have found 204 in 3 ways", None),
        ("Answer: all real numbers but 3", "all real numbers but 3"),
        ("Final Answer:\nAnswer: 42", "42"),
        ("Final Answer:\n**Answer:** B", "B"),
        ("Answer:\n\n#### 42", "42"),
        ("Answer: 12\nNote the result is 3 more than before.", "12"),
        ("Answer: B\nThe answer is not A.", "B"),
        ("Answer: 2\nThe answer is $\\frac{1}{2}$.", "\\frac{1}{2}"),
        ("Final Answer:", None),
        ("Answer: The answer is 5.", "5"),
        ("work\n#### 1,024", "1,024"),
        ("The answer is 3. No, the answer is 4.", "4"),
        ("The answer is: **17**.", "17"),
        ("The answer is 0.5.", "0.5"),
        ("答案\nAnswer：9", "9"),
        ("I cannot answer this question.", None),
        ("", None),
        ("\\boxed{}", None),
    ],
)
def test_extraction_follows_the_usual_forms_of_an_answer(text, expected):
    assert read_value(text) == expected


def test_without_a_stated_answer_the_last_expression_is_taken():
    assert last_expression("First 3 apples, then 4, so 12 in all") == "12"
    assert last_expression("It equals $\\frac{3}{4}$") == "\\frac{3}{4}"
    assert last_expression("I'm sorry, I can't help with that.") is None


@pytest.mark.parametrize(
    ("candidate", "target", "correct"),
    [
        ("0.5", "\\frac{1}{2}", True),
        ("\\sqrt{117}", "3\\sqrt{13}", True),
        ("x=5", "5", True),
        ("12 apples", "12", True),
        ("2 or 3", "3", False),
        ("3 pi", "3", False),
        ("1{,}000", "1000", True),
        ("\\$18.00", "18", True),
        ("\\left(3, \\frac{\\pi}{2}\\right)", "\\left( 3, \\frac{\\pi}{2} \\right)", True),
        ("(3,2)", "(2,3)", False),
        ("2", "-2", False),
        ("12", "21", False),
        ("10", "1", False),
        ("[-2,7)", "[-2,7]", False),
        ("\\text{odd}", "\\text{even}", False),
        ("", "5", False),
    ],
)
def test_comparison_is_mathematical(candidate, target, correct):
    assert same_answer(candidate, target).correct is correct


@pytest.mark.slow
def test_a_comparison_that_takes_too_long_is_a_failure_not_a_verdict():
    start = time.monotonic()
    compared = same_answer("9^{9^{9^{9}}}", "5", timeout_s=1)
    assert compared.failed and not compared.correct
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("073", 73),
        ("$204$", 204),
        ("\\text{204}", 204),
        ("1,024", 1024),
        ("25{,}000", 25000),
        ("-3.", -3),
        ("12.5", None),
        ("1,2", None),
        ("\\frac{1}{2}", None),
        ("twelve", None),
    ],
)
def test_whole_numbers_are_read_in_the_ways_they_are_written(text, number):
    assert as_integer(text) == number


def test_all_aime24_answers_read_as_integers(shared_data):
    rows = _rows(shared_data / "aime24.jsonl")
    assert len(rows) == 30
    for row in rows:
        number = as_integer(str(row["answer"]))
        assert number is not None and 0 <= number <= 999
        assert as_integer(read_value(f"So \\boxed{{{row['answer']}}}.")) == number


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("The answer is (C).", "C"),
        ("\\boxed{B}", "B"),
        ("\\boxed{\\text{D}}", "D"),
        ("Answer: A) the first option", "A"),
        ("Answer: Option B", "B"),
        ("Final Answer: **D**", "D"),
        ("C", "C"),
        ("(A)", "A"),
        ("The answer is B because it is smaller.", "B"),
        ("Answer: B because the energy level is the highest", "B"),
        ("Answer: **C** – since the mass of it is conserved", "C"),
        ("Answer: Option C is correct since the mass is conserved", "C"),
        ("Final Answer:\nAnswer: B", "B"),
        ("Final Answer:\n\nC) 5 eV", "C"),
        ("Answer: B\nThe answer is not A.", "B"),
        ("Answer: I think that it may be any of them", None),
        ("Answer: A large number of electrons move.", None),
        ("A large number of electrons move.", None),
        ("Answer: All of them", None),
        ("The answer is E.", None),
        ("I do not know.", None),
        ("", None),
    ],
)
def test_a_choice_is_read_only_where_one_is_made(text, letter):
    assert read_choice(text, "ABCD").letter == letter


def test_boxes_nest():
    assert read_value("\\boxed{\\boxed{3}}") == "3"
    assert [box.content for box in find_boxes("\\boxed{1} \\fbox{{2}} \\boxed{ } \\boxed{3")] == [
        "1",
        "{2}",
    ]
