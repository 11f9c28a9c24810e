"""How a status looks: complete at 80 columns and at 120, with colours where they are wanted."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from workflow.scripts.graph.draw_status import draw, summary
from workflow.scripts.graph.status import COLUMNS, FailedJob, GpuHours, RunningJob, Status

NAME = "models/aligned/a-model-of-32b/an-alignment-with-a-long-name-of-its-own/seed42"


def status(**changes: Any) -> Status:
    """Return a status of 26 jobs."""

    def counts(**some: int) -> dict[str, int]:
        return dict.fromkeys(COLUMNS, 0) | some

    job = RunningJob("safety_sft", NAME, 40, 80, "steps", 1234.4, elapsed_s=30.0, left_s=300.0)
    unknown = replace(job, name="data/overlap", done=0, total=0, tokens_per_s=0.0, left_s=0.0)
    log = "results/store/score/judges/ngram-0/log.txt"
    found = Status(
        experiment="tiny",
        driver=True,
        changed=False,
        jobs=counts(done=2, running=2, queued=1, failed=1) | {"to do": 20},
        stages={"data": counts(done=2), "models": counts(running=2, queued=1, failed=1)},
        rules={},
        running=(job, unknown),
        failed=(FailedJob("train_judge", "score/judges/ngram", log, "error: no rows"),),
        retried=(),
        elapsed_s=61.0,
        left_s=480.0,
        waits=False,
        gpu_hours=GpuHours(0.0, 0.0),
    )
    return replace(found, **changes)


def drawn(width: int, colour: bool = False, **changes: Any) -> str:
    file = io.StringIO()
    console = Console(
        file=file,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
    )
    console.print(draw(status(**changes)))
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_everything_is_there_within_the_width(width: int) -> None:
    lines = drawn(width).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].rstrip() == "tiny: 2 of 26 jobs done, 2 running, 1 queued, 1 failed."
    assert lines[1].rstrip() == "61 s gone, about 8 min left."
    text = " ".join(" ".join(lines).split())
    for part in (
        "data",
        "2 of 2",
        "0 of 4 2 running, 1 queued, 1 failed",
        "40 of 80 steps, 1234 tokens/s 30 s, 5 min left",
        "data/overlap 30 s",
        "failed: score/judges/ngram: error: no rows",
        "results/store/score/judges/ngram-0/log.txt",
    ):
        assert part in text
    # a name that is too long goes on in the next line, and is all there
    (first,) = (n for n, line in enumerate(lines) if line.startswith("models/aligned/"))
    column = lines[first].index("  40 of 80")
    assert NAME in "".join(line[:column].strip() for line in lines[first:])


def test_what_waits_for_its_retry_is_told_with_its_reason() -> None:
    counts = dict.fromkeys(COLUMNS, 0) | {"done": 2, "waiting for retry": 1}
    retried = (FailedJob("safety_sft", NAME, "log.txt", "error: no memory"),)
    text = drawn(120, jobs=counts, stages={"models": counts}, retried=retried, failed=())
    assert "tiny: 2 of 3 jobs done, 1 waiting for retry." in text
    assert "2 of 3  1 waiting for retry" in text
    assert f"waiting for retry: {NAME}: error: no memory" in " ".join(text.split())


def test_a_long_list_is_cut_and_says_how_much() -> None:
    jobs = status().running[:1] * 20
    text = drawn(100, running=jobs, failed=status().failed * 9)
    assert text.count("40 of 80 steps") == 8 and "and 12 more" in text
    assert text.count("error: no rows") == 8 and "and 1 more have failed" in text


def test_colour_is_left_out_where_nobody_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[31m" in drawn(80, colour=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31m" not in drawn(80, colour=True)


def test_what_a_log_said_acts_on_no_terminal() -> None:
    failed = (replace(status().failed[0], said="error: \x1b[2J [bold]x[/bold]"),)
    text = drawn(80, colour=True, failed=failed)
    assert "\x1b[2J" not in text and "[bold]x[/bold]" in text


def test_jobs_that_wait_for_nodes_make_the_time_left_a_bound() -> None:
    assert summary(status(waits=True)).endswith("at least 8 min left.")
    assert summary(status(driver=False)).endswith("1 failed. No run is going on.")
    assert summary(status(left_s=0.0)).endswith("61 s gone.")


def test_the_docs_show_a_run_on_slurm_as_it_is_drawn(root: Path) -> None:
    stages = {
        "data": {"done": 2},
        "models": {"done": 1, "running": 1, "to do": 2},
        "generate": {"done": 1, "to do": 3},
        "score": {"done": 1, "queued": 1, "to do": 3},
        "report": {"to do": 1},
    }
    filled = {stage: dict.fromkeys(COLUMNS, 0) | some for stage, some in stages.items()}
    name = "models/lrm/tiny/seed1"
    job = RunningJob("reasoning_sft", name, 1, 2, "steps", 92.0, elapsed_s=63.0, left_s=63.0)
    text = drawn(
        80,
        stages=filled,
        jobs={key: sum(counts[key] for counts in filled.values()) for key in COLUMNS},
        running=(job,),
        failed=(),
        elapsed_s=180.0,
        left_s=180.0,
    )
    lines = [line.rstrip() for line in text.splitlines()]
    page = (root / "docs" / "terminal.md").read_text()
    assert "\n".join(lines).strip() in page
