"""Refusals read on outside data: PyRIT's labelled answers and helpful reference answers."""

from __future__ import annotations

from importlib import metadata

import pytest

from benchmarks import refusal_quality


def test_labelled_answers_and_helpful_ones_are_read_as_recorded(shared_data, capsys):
    try:
        metadata.version("pyrit")
    except metadata.PackageNotFoundError:
        pytest.skip("package pyrit is not installed: pip install --no-deps -r envs/smollm.txt")
    # ends below the recorded figures
    refusal_quality.main(["--data", str(shared_data)])
    assert "of 105 agree" in capsys.readouterr().out
