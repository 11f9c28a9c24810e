"""The result in the terminal: 80 columns, aligned, without marks of another format."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from workflow.scripts.common.errors import InputError
from workflow.scripts.report import show_report
from workflow.scripts.report.spread import over_both
from workflow.scripts.report.tables.table import interval, number

LONG = "a-method-with-a-name-that-is-longer-than-any-column-of-a-terminal-can-be"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results" / "mine" / "report"


def write(place: Path, report: dict[str, Any]) -> None:
    place.mkdir(parents=True)
    (place / "tradeoff.json").write_text(json.dumps(report))


def percent(files: list[Path], model: str, benchmark: str, field: str) -> str:
    """Count a model's verdicts of the last epoch, over its two seeds of as many items."""
    hits = []
    for file in files:
        if f"/{model}/seed" in str(file) and file.parts[-3] == benchmark:
            for line in file.with_name("verdicts.jsonl").read_text().splitlines():
                verdict = json.loads(line)
                if verdict["checkpoint"] in ("final", "epoch5"):
                    hits.append(verdict[field])
    assert hits
    return f"{100 * sum(hits) / len(hits):.1f}"


def test_the_table_has_the_counts_and_fits_80_columns(
    place: Path,
    experiment: dict[str, Any],
    score_files: list[Path],
    build: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(place, build(experiment, score_files))
    show_report.main(["--experiment", "mine"])
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert not any(mark in printed for mark in ("|", "\\", "**", "`"))
    lines = printed.splitlines()
    runs = {"base": "base/tiny", "LRM": "lrm/tiny"}
    runs |= {name: f"aligned/tiny/{name}" for name in ("refuse", "reason")}
    counts = {}
    for name, run in runs.items():
        (row,) = (line.split() for line in lines if line.startswith(f"{name} "))
        counts[name] = [
            percent(score_files, run, "sums", "correct"),
            percent(score_files, run, "harm", "harmful"),
            percent(score_files, run, "kind", "refused"),
        ]
        assert row[1:4] == counts[name]
    sentence = " ".join(printed.partition("\n\n")[0].split())
    refused = [counts[name][2] for name in ("LRM", "refuse", "reason")]
    assert sentence.endswith(
        f", over-refusal from {refused[0]} % to {refused[1]} % with refuse and {refused[2]} % "
        "with reason."
    )
    assert "Open results/mine/report/index.html\n" in printed


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_number_is_cut_off_at_any_width(
    experiment: dict[str, Any], score_files: list[Path], build: Any, columns: int
) -> None:
    file = io.StringIO()
    report = build(experiment, score_files)
    Console(file=file, width=columns).print(show_report.show(report, columns))
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    tax = next(
        r["tax"]["points"]
        for r in report["rows"]
        if r["final"] and r["seed"] == "mean" and r["alignment"] == "refuse"
    )
    (row,) = (n for n, line in enumerate(lines) if re.match(r"refuse +[\d.]+ ", line))
    assert lines[row].split()[-1] == number(tax["estimate"])
    limits = interval(over_both(tax))
    assert lines[row + 1].rstrip().endswith(limits) is (columns >= 80)


def test_a_clear_tax_is_red_and_none_is_green_where_colour_is_had(
    experiment: dict[str, Any],
    score_files: list[Path],
    build: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = build(experiment, score_files)
    for row in report["rows"]:
        if row["tax"] and row["alignment"] == "reason":
            row["tax"]["points"] |= {"estimate": 0.012, "low": -0.1, "high": 0.1, "all_low": -0.1}
            row["change"]["reasoning_accuracy"]["p_holm"] = 0.8

    def shown() -> str:
        file = io.StringIO()
        console = Console(file=file, width=80, force_terminal=True, color_system="standard")
        console.print(show_report.show(report, 80))
        return file.getvalue()

    text = shown()
    red, green = (re.search(rf"\x1b\[{code}m *([\d.]+)\x1b", text) for code in ("1;31", "32"))
    assert red and green and green[1] == "1.2" and float(red[1]) > 20
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[\d;]*3[12]m", shown())


def test_long_and_hostile_names_are_wrapped_and_act_on_nothing(
    place: Path,
    experiment: dict[str, Any],
    score_files: list[Path],
    build: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = build(experiment, score_files)
    for row in report["rows"]:
        row["lrm"] = f"\x1b[31m{LONG}"
        if row["alignment"] == "refuse":
            row |= {"alignment": f"\u202e{LONG}", "status": "failed"}
        row["metrics"].pop("over_refusal", None)
        for one in row["tax"].values():
            one |= {"estimate": -0.999, "low": -1.0, "high": -0.999, "all_low": None}
    write(place, report)
    show_report.main(["--experiment", "mine"])
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert "\x1b" not in printed and "\u202e" not in printed and "Over-refusal" not in printed
    assert printed.count("-100.0 to -99.9") == 2


def test_an_experiment_without_a_report_is_one_line(place: Path) -> None:
    with pytest.raises(InputError, match=r"results/mine/report: no report, expected one of a fin"):
        show_report.main(["--experiment", "mine"])
