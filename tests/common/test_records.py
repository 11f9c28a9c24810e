"""Records and JSON lines: what is written comes back; what is wrong is named with its place."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_jsonl, write_jsonl, write_text
from workflow.scripts.common.records import Record, read_records, write_records

RECORD = Record("a", "Why?", "Because of \u2028 it.", "So.", "hand, row 1")


def test_records_survive_a_round_trip_with_line_separators_in_their_text(tmp_path):
    path = tmp_path / "records.jsonl"
    write_records(path, [RECORD, Record("b", "How?", None, "Thus.", "hand, row 2")])
    assert [record.thinking for record in read_records(path)] == [RECORD.thinking, None]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompt": "  "}, "prompt is empty"),
        ({"prompt": None}, "prompt is None, expected text"),
        ({"answer": 3}, "answer is 3, expected text"),
        ({"extra": "x"}, "unknown ['extra']"),
        ({"id": "first"}, "appears twice"),
    ],
)
def test_a_bad_record_is_named_with_file_and_row(tmp_path, change, said):
    path = tmp_path / "records.jsonl"
    good = {"id": "first", "prompt": "p", "thinking": None, "answer": "a", "source": "s"}
    write_jsonl(path, [good, {**good, "id": "second", **change}])
    with pytest.raises(InputError) as error:
        read_records(path)
    assert said in str(error.value)
    assert str(error.value).startswith(f"{path}: row 2")


def test_a_record_without_a_prompt_field_is_named(tmp_path):
    path = tmp_path / "records.jsonl"
    write_jsonl(path, [{"id": "x", "thinking": None, "answer": "a", "source": "s"}])
    with pytest.raises(InputError, match=r"row 1: missing \['prompt'\]"):
        read_records(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty, expected at least one row"),
        (b"\n\n", "empty, expected at least one row"),
        (b"{}\n{", ":2: not JSON"),
        (b"[1]\n", ":1: expected a JSON object"),
        (b"\xff\n", "not UTF-8"),
    ],
)
def test_a_file_that_is_not_json_lines_is_named_with_its_line(tmp_path, content, said):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        list(read_jsonl(path))
    assert said in str(error.value)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        list(read_jsonl(tmp_path / "absent.jsonl"))


def test_a_failing_write_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_text(path, "old\n")

    def rows():
        yield {"good": 1}
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError):
        write_jsonl(path, rows())
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_jsonl(path, [{"loss": float("nan")}])
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_an_input_error_of_a_script_is_one_line_and_status_2(root):
    code = (
        "from workflow.scripts.common.errors import InputError, run\n"
        "def main(): raise InputError('rows.jsonl: empty,\\n  expected rows')\n"
        "run(main)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: rows.jsonl: empty, expected rows\n"


def test_written_json_lines_are_read_by_the_standard_library(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [{"text": "½ \u2028 x"}])
    assert [json.loads(line) for line in path.read_text().split("\n")[:-1]] == [
        {"text": "½ \u2028 x"}
    ]
