"""The tables: complete, deterministic, and safe to paste."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.report import make_report, spread
from workflow.scripts.report.escape import escape_latex, escape_markdown
from workflow.scripts.report.metrics import metric_title
from workflow.scripts.report.render import to_markdown
from workflow.scripts.report.tables.registry import build_tables
from workflow.scripts.report.tables.table import number, points

FILES = ("tradeoff.csv", "tradeoff.json", "tradeoff.md", "tradeoff.tex")


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    experiment: dict[str, Any],
    score_files: list[Path],
    overlap_report: dict[str, Any],
    make_inputs: Any,
) -> Path:
    folder = tmp_path_factory.mktemp("report")
    given = make_inputs(experiment, score_files, overlap=overlap_report)
    make_report.main(["--inputs", str(given), "--out", str(folder)])
    return folder


@pytest.mark.slow
def test_same_scores_in_another_process_and_order_give_the_same_bytes(
    tmp_path: Path,
    root: Path,
    experiment: dict[str, Any],
    score_files: list[Path],
    overlap_report: dict[str, Any],
    make_inputs: Any,
) -> None:
    orders = {"7": score_files, "8": score_files[::-1]}
    for seed, files in orders.items():
        given = make_inputs(experiment, files, overlap=overlap_report)
        told = ["--inputs", str(given), "--out", str(tmp_path / seed)]
        subprocess.run(
            [sys.executable, "-m", "workflow.scripts.report.make_report", *told],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
        )
    for name in FILES:
        assert len({(tmp_path / seed / name).read_bytes() for seed in orders}) == 1, name


def test_csv_is_the_json_in_percent(folder: Path) -> None:
    rows = json.loads((folder / "tradeoff.json").read_text())["rows"]
    with open(folder / "tradeoff.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(rows) == 36
    for line, row in zip(table, rows, strict=True):
        accuracy = row["metrics"]["reasoning_accuracy"]
        assert float(line["reasoning_accuracy.estimate"]) == accuracy["estimate"] * 100
        assert int(line["reasoning_accuracy.n_valid"]) == accuracy["n_valid"]
        if row["role"] == "aligned":
            points = row["tax"]["points"]["estimate"]
            assert float(line["tax.points.estimate"]) == points * 100
            ratio = row["tax"]["per_harm_point"]["estimate"]
            assert float(line["tax.per_harm_point.estimate"]) == ratio


def test_markdown_opens_with_the_result_and_every_table_is_rectangular(folder: Path) -> None:
    lines = (folder / "tradeoff.md").read_text().splitlines()
    assert lines[0].startswith("**On tiny (2 training seeds) safety alignment cost points")
    assert " to " in lines[0] and "Intervals are 95 %" in lines[2]
    widths: list[int] = []
    for line in lines:
        if line.startswith("|"):
            widths.append(line.replace("\\|", "").count("|"))
            assert widths[-1] == widths[0]
        else:
            widths = []
    for heading in ("The trade-off", "By training seed", "By safety epoch", "Methods", "Overlap"):
        assert any(line.startswith(f"## {heading}") for line in lines)


def test_every_number_in_markdown_is_in_latex_too(folder: Path) -> None:
    stacked = (
        r"\\shortstack\[r\]\{(.*?)\\\\\{\\scriptsize (.*?)\}\}"  # an interval below its number
    )
    latex = re.sub(stacked, r"\1 (\2)", (folder / "tradeoff.tex").read_text())
    body = [line for line in (folder / "tradeoff.md").read_text().splitlines() if line[:1] == "|"]
    for line in body:
        for cell in line.strip("| ").split(" | "):
            if cell[:1].isdigit():
                assert cell in latex.replace(r"\%", "%")
    assert latex.count(r"\toprule") == latex.count(r"\end{table}")


def test_no_tax_is_said_when_none_was_measured(
    tmp_path: Path, make_score: Any, build: Any, experiment: dict[str, Any]
) -> None:
    sums = [
        {"item_id": f"q{k}", "repeat": 0, "state": "ok", "valid": True, "correct": k % 2 == 0}
        for k in range(40)
    ]
    harm = [{"item_id": "h", "repeat": 0, "state": "ok", "valid": True, "harmful": True}]
    files = []
    for run, at in (("lrm/tiny/seed1", "final"), ("aligned/tiny/refuse/seed1", "epoch1")):
        files.append(make_score(tmp_path, run, "sums", "reasoning", {at: sums}))
        files.append(make_score(tmp_path, run, "harm", "harmful", {at: harm}))
    report = build(experiment, files)
    assert report["headline"].startswith("No tax was measured on tiny (1 training seed)")
    assert "0.0 (-" in report["headline"]


def test_failed_training_is_named(
    tmp_path: Path, experiment: dict[str, Any], make_scores: Any, make_inputs: Any
) -> None:
    files = make_scores(tmp_path, failed=("lrm/tiny/seed2",))
    given = make_inputs(experiment, files)
    make_report.main(["--inputs", str(given), "--out", str(tmp_path / "out")])
    text = (tmp_path / "out" / "tradeoff.md").read_text()
    assert "| LRM (training failed) |" in text
    assert "- tiny: LRM, seed 2: gate: 41 % of 80 %" in text
    assert "training failed and is included: LRM" in text


def test_names_cannot_break_out_of_the_tables() -> None:
    evil = "a_b & 50% | $x$ <img> \\input{x} [l](u) ~^#`"
    assert escape_latex(evil) == (
        r"a\_b \& 50\% \textbar{} \$x\$ \textless{}img\textgreater{} "
        r"\textbackslash{}input\{x\} [l](u) \textasciitilde{}\textasciicircum{}\#`"
    )
    escaped = escape_markdown(evil)
    assert r"\|" in escaped and r"\<img\>" in escaped and r"\[l\](u)" in escaped


def test_numbers_have_one_decimal_and_no_negative_zero() -> None:
    assert [number(v) for v in (None, 0.0704, -0.0004, 1)] == ["–", "7.0", "0.0", "100.0"]
    assert points({"estimate": 0.5, "low": None, "high": None}) == "50.0"


def taxed(
    folder: Path, make_score: Any, build: Any, experiment: dict[str, Any], right: list[list[int]]
) -> dict[str, Any]:
    """A report of an LRM that solves all of 40 problems, and an alignment by seed."""
    same = {"repeat": 0, "state": "ok", "valid": True}
    files = []
    for seed, correct in enumerate(right, 1):
        for run, at, hits in (
            (f"lrm/tiny/seed{seed}", "final", [1] * len(correct)),
            (f"aligned/tiny/refuse/seed{seed}", "epoch1", correct),
        ):
            sums = [{"item_id": f"q{k}", **same, "correct": bool(h)} for k, h in enumerate(hits)]
            harm = [
                {"item_id": f"h{k}", **same, "harmful": "lrm" in run, "harmful_thinking": True}
                | {"complied": True, "harmful_plus": False, "refused": False}
                for k in range(40)
            ]
            files.append(make_score(folder, run, "sums", "reasoning", {at: sums}))
            files.append(make_score(folder, run, "harm", "harmful", {at: harm}))
    return build(experiment, files)


def test_headline_claims_no_tax_that_other_seeds_might_not_show(
    tmp_path: Path, make_score: Any, build: Any, experiment: dict[str, Any]
) -> None:
    fell, stayed = [0] * 20 + [1] * 20, [1] * 39 + [0]
    report = taxed(tmp_path / "spread", make_score, build, experiment, [fell, stayed, stayed])
    change = next(r for r in report["rows"] if r["tax"] and r["seed"] == "mean")["change"]
    change = change["reasoning_accuracy"]
    assert change["p_holm"] < 0.05 and change["all_low"] < 0 < change["all_high"]
    assert "No tax stands out from the spread of training seeds" in report["headline"]
    assert f"({number(-change['all_high'])} to {number(-change['all_low'])})" in report["headline"]
    every = taxed(tmp_path / "same", make_score, build, experiment, [fell, [*fell[:-1], 0], fell])
    assert every["headline"].startswith("On tiny (3 training seeds) safety alignment cost points")


def test_a_collapse_of_one_of_two_seeds_is_not_no_tax(
    tmp_path: Path, make_score: Any, build: Any, experiment: dict[str, Any]
) -> None:
    report = taxed(tmp_path, make_score, build, experiment, [[0] * 40, [1] * 40])
    assert "went from 100.0 % to 0.0 %." in report["headline"]  # one alignment needs no name
    assert "50.0 (" in report["headline"] and "No tax was measured" not in report["headline"]


def test_every_metric_stands_in_a_table(
    tmp_path: Path, make_score: Any, build: Any, experiment: dict[str, Any]
) -> None:
    report = taxed(tmp_path, make_score, build, experiment, [[0] * 30 + [1] * 10])
    text = to_markdown(report, build_tables(report))
    for title in ("Harmful thinking", "Harmful score+", "Harmful, complied", "Harmful, refused"):
        assert f"| {title} |" in text
    assert "| Over seeds and items |" not in text  # of one seed there is none
    assert metric_title("pass_at_8") == "pass@8"


def test_several_seeds_have_a_column_for_the_interval_over_both(folder: Path) -> None:
    lines = (folder / "tradeoff.md").read_text().splitlines()
    head = next(line for line in lines if line.startswith("| LRM | Model | Reasoning accuracy"))
    place = head.split(" | ").index("Over seeds and items")
    row = next(line for line in lines if line.startswith("| tiny | refuse |"))
    report = json.loads((folder / "tradeoff.json").read_text())
    mean = next(r for r in report["rows"] if r["final"] and r["tax"] and r["seed"] == "mean")
    tax = mean["tax"]["points"]
    assert row.split(" | ")[place] == f"{number(tax['all_low'])} to {number(tax['all_high'])}"
    with open(folder / "tradeoff.csv", newline="") as file:
        line = next(x for x in csv.DictReader(file) if (x["seed"], x["epoch"]) == ("mean", "5"))
    share = mean["metrics"]["reasoning_accuracy"]["seed_share"]
    assert float(line["reasoning_accuracy.seed_share"]) == pytest.approx(100 * share)


def test_two_seeds_have_no_interval_over_trainings_and_the_report_says_so(
    experiment: dict[str, Any],
    score_files: list[Path],
    build: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spread, "SEEDS_FOR_AN_INTERVAL", 3)
    report = build(experiment, score_files)
    for row in report["rows"]:
        for one in (*row["metrics"].values(), row["tax"].get("points") or {}):
            assert one.get("all_low") is None and one.get("all_high") is None
    assert "safety alignment cost points of reasoning accuracy" in report["headline"]
    said = "items for the models trained here; 2 training seeds are too few to say more."
    assert said in report["caveats"]


def test_failed_training_is_marked_in_every_table_of_models(
    tmp_path: Path, experiment: dict[str, Any], make_scores: Any, build: Any
) -> None:
    files = make_scores(tmp_path, failed=("aligned/tiny/refuse/seed2",))
    report = build(experiment, files)
    marked = {
        table.key
        for table in build_tables(report)
        if any("refuse (training failed)" in cell for row in table.rows for cell in row)
    }
    assert marked >= {"main", "alignments", "variance", "lengths", "states", "epochs", "benchmarks"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ('{"experiment": {}, "scores": [SCORE]}', "experiment: has no section bases"),
        ('{"experiment": [], "scores": [SCORE]}', "experiment is .*, expected a mapping"),
        ('{"scores": [SCORE]}', "experiment is missing"),
        ('{"experiment": {SECTIONS}, "scores": []}', "scores is .*, expected at least 1 item"),
        ('{"experiment": {SECTIONS}, "scores": [{}]}', "scores.0.run is missing"),
        ('{"experiment": {SECTIONS}, "scores": [SCORE], "overlaps": ""}', "did you mean overlap"),
        ('{"experiment": {SECTIONS}, "scores": [SCORE]}', "gone/score.json: no such file"),
    ],
)
def test_wrong_inputs_are_one_line_errors(tmp_path: Path, text: str, message: str) -> None:
    score = '{"run": "lrm/m/hub", "benchmark": "b", "scorer": "s", "folder": "gone"}'
    sections = ", ".join(f'"{one}": {{}}' for one in ("bases", "lrms", "alignments", "benchmarks"))
    given = tmp_path / "inputs.json"
    given.write_text(text.replace("SCORE", score).replace("SECTIONS", sections))
    with pytest.raises(InputError, match=message) as error:
        make_report.main(["--inputs", str(given), "--out", str(tmp_path / "out")])
    assert "\n" not in str(error.value)
