"""Hostile text in names, reasons and samples does no harm in any format that a report has."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from workflow.scripts.report import compare_reports, make_page
from workflow.scripts.report.draw_figures import draw_figures
from workflow.scripts.report.escape import csv_cell, escape_latex, escape_markdown, visible
from workflow.scripts.report.figures.registry import FIGURES
from workflow.scripts.report.render import to_csv, to_latex, to_markdown
from workflow.scripts.report.tables.registry import build_tables
from workflow.scripts.report.transcripts import to_json

MARKUP = "<script>document.title='owned'</script><img src=x onerror=alert(1)>"
FORMULA = "=cmd|' /C calc'!A0"
BIDI = "safe\u202egnp.exe\u2066"
ANSI = "\x1b[2J\x1b]0;owned\x07\x9b31m"
LATEX = r"\input{/etc/passwd}$\frac$ %&#_{}~^"  # not even mathematics
LINK = "[click](javascript:alert(1)) https://evil.invalid ![x](y) `code` ~~gone~~"
LONG = "z" * 1_000_000
ALL = [MARKUP, FORMULA, BIDI, ANSI, LATEX, LINK, LONG]


@pytest.fixture(scope="module")
def report(
    experiment: dict[str, Any],
    make_scores: Any,
    build: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """A report in which every text that a config, a judge or a training may write is hostile."""
    files = make_scores(tmp_path_factory.mktemp("hostile"), failed=("lrm/tiny/seed2",))
    report = build(experiment, files)
    names = {"refuse": f"{FORMULA}{MARKUP}{ANSI}", "reason": f"{BIDI}{LATEX}{LINK}"}
    for row in report["rows"]:
        row["alignment"] = names.get(row["alignment"], row["alignment"])
        row["status_reason"] = "\n".join(ALL)
    for one in report["alignments"]:
        one["first"], one["second"] = names[one["first"]], names[one["second"]]
    for frontier in report["frontier"]:
        for method in frontier["methods"]:
            method["alignment"] = names.get(method["alignment"], method["alignment"])
            method["dominated_by"] = list(names.values())
        for test in frontier["tests"]:
            test["first"], test["second"] = (
                names.get(test[k], test[k]) for k in ("first", "second")
            )
    report["durability"] = [
        {**row, "attack": f"{FORMULA}{MARKUP}{ANSI}", "step": row["epoch"]}
        for row in report["rows"]
        if row["role"] == "aligned" and row["seed"] == "mean"
    ]
    report["description"] = report["headline"] = report["caveats"] = " ".join(ALL)
    report["limits"] = ALL
    report["judges"] = {MARKUP + ANSI: {"type": FORMULA}}
    adopted = [{"name": MARKUP, "from": LINK, "by": FORMULA, "when": BIDI, "reason": ANSI}]
    report["origins"] = {"adopted": adopted}
    return report


def acting(text: str) -> set[str]:
    """Characters that a terminal or the reading order obeys."""
    return {c for c in text if c in "\u202e\u2066" or (ord(c) < 32 and c not in "\n\t")} & set(text)


def test_csv_holds_no_formula_and_no_mark_that_acts(report: dict[str, Any]) -> None:
    text = to_csv(report["rows"])
    assert not acting(text) and "\x9b" not in text
    for row in csv.reader(io.StringIO(text)):
        for cell in row:
            assert cell[:1] not in "=@+\t\r" or not cell
            assert not cell.startswith("-") or float(cell) <= 0


def test_markdown_has_no_markup_of_its_own(report: dict[str, Any]) -> None:
    text = to_markdown(report, build_tables(report))
    assert not acting(text)
    assert "<script" not in text.replace(r"\<", "") and r"\<script\>" in text
    assert "](javascript" not in text.replace(r"\]", "") and "https://" not in text
    widths = {line.replace(r"\|", "").count("|") for line in text.split("\n") if line[:1] == "|"}
    assert len(widths) < 8  # rows kept their columns
    assert max(map(len, text.split("\n"))) < 20_000


def test_latex_has_no_command_of_theirs(report: dict[str, Any]) -> None:
    text = to_latex(report, build_tables(report))
    assert r"\input" not in text and r"\frac" not in text and not acting(text)
    assert r"\textbackslash{}input\{/etc/passwd\}" in text
    assert text.split("\n", 1)[0].startswith("% ") and "\\begin{table}" in text.split("\n\n")[1]


def test_page_holds_it_as_text(report: dict[str, Any]) -> None:
    page = make_page.render(report, None)
    assert "<script>document" not in page and "<img src=x" not in page
    assert page.count("</script>") == 2 and not acting(page.split("<script")[0])


def test_figures_are_well_formed_and_read_no_formulas(
    report: dict[str, Any], tmp_path: Path
) -> None:
    draw_figures(report, tmp_path)
    for name in FIGURES:
        ElementTree.parse(tmp_path / f"{name}.svg")
        assert "<script" not in (tmp_path / f"{name}.svg").read_text()
        for line in (tmp_path / f"{name}.csv").read_text().splitlines():
            assert not line.startswith("=") and ",=" not in line and '"=' not in line


def test_what_is_printed_on_a_terminal_acts_on_nothing(
    tmp_path: Path,
    make_score: Any,
    make_inputs: Any,
    experiment: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [{"item_id": "q", "repeat": 0, "state": "ok", "valid": True, "correct": True}]
    name = "\x1b[31m\u202e"
    sides = []
    for side in ("a", "b"):
        run = f"lrm/{name}/seed1"
        file = make_score(tmp_path / side, run, "sums", "reasoning", {"final": rows})
        sides.append(str(make_inputs({**experiment, "lrms": {name: {}}}, [file]).parent))
    compare_reports.main(sides)
    printed = capsys.readouterr().out
    assert not acting(printed) and "⟨U+001B⟩" in printed


def test_samples_pass_into_the_shards_unchanged_and_inert() -> None:
    text = to_json({"answer": "".join(ALL)})
    assert not set("<>\u2028\u2029") & set(text)
    assert json.loads(text)["answer"] == "".join(ALL)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3", "'-2+3"),
        ("-2.5", "-2.5"),
        ("a=b", "a=b"),
        ("\t=1", "'\t=1"),
    ],
)
def test_formulas_get_a_quote_and_numbers_stay(text: str, cell: str) -> None:
    assert csv_cell(text) == cell
    assert csv_cell(-2.5) == -2.5 and csv_cell(None) is None


def test_marks_are_spelled_out_and_scripts_of_the_world_stay() -> None:
    assert visible("a\u202eb\x1b\x9bc") == "a⟨U+202E⟩b⟨U+001B⟩⟨U+009B⟩c"
    kept = "日本語 العربية עברית \u200d 👩\u200d🔬\n\t"
    assert visible(kept) == kept
    assert escape_markdown("- item") == r"\- item" and escape_latex("x\x00") != "x\x00"
