"""Titles: people read them everywhere, files and links keep the names."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.load import check_experiment
from workflow.scripts.report.draw_figures import draw_figures
from workflow.scripts.report.make_page import render
from workflow.scripts.report.render import to_csv, to_latex, to_markdown
from workflow.scripts.report.tables.registry import build_tables
from workflow.scripts.report.titles import with_titles

TITLES = {"tiny": "A tiny model", "refuse": "Plain refusals", "sums": "Adding up"}


@pytest.fixture(scope="module")
def titled(experiment: dict[str, Any]) -> dict[str, Any]:
    sections = ("lrms", "alignments", "benchmarks")
    changed = json.loads(json.dumps(experiment))
    for section in sections:
        for name, entry in changed[section].items():
            if name in TITLES:
                entry["title"] = TITLES[name]
    published = {"model": "aligned/tiny/refuse", "metric": "reasoning_accuracy/sums", "value": 40}
    return {**changed, "report": {"published": [published]}}


@pytest.fixture(scope="module")
def report(
    titled: dict[str, Any], score_files: list[Path], build: Any, overlap_report: dict[str, Any]
) -> dict[str, Any]:
    found: dict[str, Any] = build(titled, score_files, overlap=overlap_report)
    return found


def test_every_text_for_people_has_the_titles(report: dict[str, Any]) -> None:
    tables = build_tables(report)
    for text in (
        report["headline"],
        to_markdown(report, tables).split("## Limits")[0],
        to_latex(report, tables),
        render(report, None).split('<section id="tables"')[0],
    ):
        assert "Plain refusals" in text and "with refuse" not in text
    cells = {cell for table in tables for row in table.rows for cell in row}
    assert {"Plain refusals", "A tiny model", "Adding up"} <= cells
    assert not cells & {"refuse", "tiny", "sums"}
    assert "aligned/A tiny model/Plain refusals" in cells


def test_figures_have_the_titles(report: dict[str, Any], tmp_path: Path) -> None:
    draw_figures(report, tmp_path)
    with open(tmp_path / "plane.csv", newline="") as file:
        assert {row["model"] for row in csv.DictReader(file)} >= {"Plain refusals", "reason"}
    with open(tmp_path / "thinking_length.csv", newline="") as file:
        assert {row["series"] for row in csv.DictReader(file)} == {"Adding up", "harm", "kind"}


def test_json_and_csv_keep_the_names(report: dict[str, Any]) -> None:
    assert {row["alignment"] for row in report["rows"]} == {None, "refuse", "reason"}
    header, *rows = csv.reader(to_csv(report["rows"]).splitlines())
    assert "reasoning_accuracy/sums.estimate" in header
    assert {row[header.index("lrm")] for row in rows} == {"tiny"}


def test_a_report_without_titles_is_as_it_was(
    experiment: dict[str, Any], score_files: list[Path], build: Any
) -> None:
    report = build(experiment, score_files)
    assert with_titles(report) == report


@pytest.mark.parametrize(
    ("place", "title", "message"),
    [
        (("alignments", "safechain"), "directrefusal", "than that of alignments.directrefusal"),
        (("alignments", "safechain"), "LRM", "than what the report calls other models"),
        (("benchmarks", "benign"), "a/b", "one line of at most 60 characters, without / and @"),
        (("lrms", "tiny"), "", "one line of at most 60 characters"),
    ],
)
def test_a_title_that_two_have_or_that_is_no_line_is_refused(
    root: Path, place: tuple[str, str], title: str, message: str
) -> None:
    experiment = yaml.safe_load((root / "tests/experiments/tiny.yaml").read_text())
    section, name = place
    experiment[section][name]["title"] = title
    with pytest.raises(InputError, match=f"{section}.{name}.title is {title!r}.*{message}"):
        check_experiment(experiment, "tiny.yaml")
