"""Two experiments side by side: paired by item, and honest about what does not match."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.report.conftest import repeated, write_inputs
from workflow.scripts.common.errors import InputError
from workflow.scripts.report import compare_reports


def answers(right: list[bool]) -> list[dict[str, Any]]:
    same = {"repeat": 0, "state": "ok", "valid": True}
    return [{"item_id": f"q{k}", **same, "correct": hit} for k, hit in enumerate(right)]


EXPERIMENT = {
    "bases": {"tiny": {}, "big": {}},
    "lrms": {"tiny": {}, "big": {}},
    "alignments": {},
    "benchmarks": {"sums": {"scorers": ["rules", "strict"]}},
}


def note(folder: Path, groups: list[list[str]] | None = None) -> None:
    """Write what a report of everything that was scored below a folder is made from."""
    files = sorted(folder.rglob("score.json"))
    overlap = repeated(sums=groups) if groups else None
    (folder / "report").mkdir(exist_ok=True)
    write_inputs(folder / "report", EXPERIMENT, files, overlap=overlap)


@pytest.fixture
def folders(tmp_path: Path, make_score: Any) -> list[Path]:
    run = "lrm/tiny/seed1"
    old, new = tmp_path / "old", tmp_path / "new"
    make_score(old, run, "sums", "reasoning", {"final": answers([True] * 12 + [False] * 8)})
    # Two items right that were wrong, eight wrong that were right, and one that is new.
    changed = [False] * 8 + [True] * 4 + [True] * 2 + [False] * 6 + [True]
    make_score(new, run, "sums", "reasoning", {"final": answers(changed)})
    make_score(old, "base/tiny/seed1", "sums", "reasoning", {"final": answers([True])})
    note(old)
    note(new)
    return [old, new]


def test_items_are_paired_and_the_test_is_mcnemars(folders: list[Path], tmp_path: Path) -> None:
    compare_reports.main([*map(str, folders), "--out", str(tmp_path / "out")])
    found = json.loads((tmp_path / "out" / "comparison.json").read_text())
    row = found["rows"][0]
    assert (row["rose"], row["fell"], row["items"], row["items_second"]) == (2, 8, 20, 21)
    assert row["change"]["estimate"] == pytest.approx(-6 / 20)
    assert row["p"] == pytest.approx(2 * (1 + 10 + 45) / 2**10)  # McNemar's, exact: 2 of 10
    assert found["only_first"] == ["base/tiny sums rules"]


def test_every_format_is_written_and_the_table_is_printed(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compare_reports.main([*map(str, folders), "--out", str(tmp_path / "out")])
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "out" / "comparison.md").read_text()
    assert "new against old" in printed and "-30.0 (" in printed
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"comparison.{ending}" for ending in ("csv", "json", "md", "tex")]


def test_models_of_other_names_are_paired_by_hand(folders: list[Path], make_score: Any) -> None:
    make_score(folders[1], "base/big/seed1", "sums", "reasoning", {"final": answers([False])})
    note(folders[1])
    sides = [compare_reports.read_side(folder) for folder in folders]
    found = compare_reports.compare(*sides, {"base/tiny": "base/big"})
    assert {row["other_model"] for row in found["rows"]} == {"lrm/tiny", "base/big"}
    assert not found["only_first"] and not found["only_second"]


def test_an_experiment_against_itself_has_no_difference(folders: list[Path]) -> None:
    side = compare_reports.read_side(folders[0])
    rows = compare_reports.compare(side, side)["rows"]
    assert [row["change"]["estimate"] for row in rows] == [0, 0]
    assert [row["p"] for row in rows] == [1, 1]


def test_repeated_prompts_are_one_cluster_as_in_the_report(folders: list[Path]) -> None:
    alone = compare_reports.compare(*map(compare_reports.read_side, folders))["rows"][0]
    groups = [[f"q{4 * k + one}" for one in range(4)] for k in range(5)]
    for folder in folders:
        note(folder, groups)
    row = compare_reports.compare(*map(compare_reports.read_side, folders))["rows"][0]
    widths = [one["first"]["high"] - one["first"]["low"] for one in (alone, row)]
    assert widths[1] > 1.5 * widths[0] and row["p"] > alone["p"]


def test_holm_counts_no_result_twice_and_no_further_scorer(
    folders: list[Path], make_score: Any
) -> None:
    old, new = folders
    half = answers([True, False] * 10)
    for folder, right in ((old, half), (new, answers([False] * 20))):
        make_score(folder, "lrm/tiny/seed1", "sums", "reasoning", {"final": right}, "strict")
        path = make_score(folder, "lrm/big/seed1", "sums", "reasoning", {"final": half})
        path.with_name("result.json").write_text(json.dumps({"key": "same"}))
        note(folder)
    rows = compare_reports.compare(*map(compare_reports.read_side, folders))["rows"]
    by_name = {(row["model"], row["scorer"]): row for row in rows}
    counted = by_name["lrm/tiny", "rules"]
    assert (counted["family"], counted["p_holm"]) == (1, counted["p"])
    assert "p_holm" not in by_name["lrm/tiny", "strict"]
    assert (
        by_name["lrm/big", "rules"]["same_result"] and "p_holm" not in by_name["lrm/big", "rules"]
    )


@pytest.mark.parametrize(
    ("extra", "message"),
    [(["--pair", "lrm/tiny"], "expected FIRST=SECOND"), (["--pair", "x=y"], "of base/tiny, lrm")],
)
def test_a_wrong_pair_is_a_one_line_error(
    folders: list[Path], extra: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        compare_reports.main([*map(str, folders), *extra])


def test_a_folder_without_scores_is_a_one_line_error(folders: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no report .inputs.json., expected a finished"):
        compare_reports.main([str(folders[0]), str(tmp_path / "nothing")])
