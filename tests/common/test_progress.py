"""Progress: a bar in a terminal, few lines in a log, nothing for short work."""

from __future__ import annotations

import io
import os
import pty
import time

from workflow.scripts.common.progress import track


def test_a_log_gets_a_line_now_and_then() -> None:
    log = io.StringIO()
    for _ in track(range(6), 6, "scores", log, every_s=0.05):
        time.sleep(0.03)
    lines = log.getvalue().splitlines()
    assert 1 <= len(lines) <= 3
    assert lines[0].startswith("scores: 2/6, ") and lines[0].endswith(" min left")


def test_short_work_writes_nothing_into_a_log() -> None:
    log = io.StringIO()
    assert list(track([1, 2, 3], 3, "scores", log)) == [1, 2, 3]
    assert log.getvalue() == ""


def test_a_terminal_gets_a_bar_that_goes_away(monkeypatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        for _ in track(range(3), 3, "scores", terminal):
            time.sleep(0.15)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "scores" in shown and "%" in shown
    assert "\x1b[2K" in shown  # the line is cleared at the end
