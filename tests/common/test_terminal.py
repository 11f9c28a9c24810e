"""The terminal's width and colours, and what stands in for them in a file."""

from __future__ import annotations

import io

import pytest
from rich.text import Text

from workflow.scripts.common.terminal import console_on, duration


def test_a_file_has_80_columns_and_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    file = io.StringIO()
    console_on(file).print(Text("word " * 40, "bold red"))
    lines = file.getvalue().splitlines()
    assert 75 <= max(map(len, lines)) <= 80 and "\x1b" not in file.getvalue()
    monkeypatch.setenv("COLUMNS", "40")
    assert console_on(file).width == 40


def test_text_is_not_read_as_markup() -> None:
    file = io.StringIO()
    console_on(file).print("[bold]x[/bold] :smile: 12")
    assert file.getvalue() == "[bold]x[/bold] :smile: 12\n"


def test_times_have_the_unit_that_suits_them() -> None:
    times = [duration(seconds) for seconds in (0, 99, 100, 7000, 7200, 360_000)]
    assert times == ["0 s", "99 s", "2 min", "117 min", "2.0 h", "100.0 h"]
