"""Mixtures of training sets: counts, provenance, seeds, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.records import Record, read_records, write_records
from workflow.scripts.data.mix_records import main

SIZES = {"refusals": 40, "reasoning": 100, "chains": 7}


@pytest.fixture
def sets(tmp_path: Path) -> dict[str, Path]:
    """Files of records whose prompt tells set and row; an id stands in all of them."""
    paths = {}
    for name, n in SIZES.items():
        rows = [
            Record(f"id-{i}", f"{name} {i}?", f"thought {i}", f"answer {i}", f"hub/{name} row {i}")
            for i in range(n)
        ]
        paths[name] = tmp_path / f"{name}.jsonl"
        write_records(paths[name], rows)
    return paths


def mix(
    sets: dict[str, Path], tmp_path: Path, mix: list[dict[str, Any]], seed: int = 0
) -> tuple[list[Record], dict[str, Any]]:
    out = tmp_path / "out"
    section = json.dumps({"mix": mix, "seed": seed})
    files = [str(sets[part["set"]]) for part in mix]
    main(["--mixture", section, "--sets", *files, "--name", "mine", "--out", str(out)])
    return read_records(out / "records.jsonl"), json.loads((out / "report.json").read_text())


def counted(records: list[Record]) -> dict[str, int]:
    names = [record.prompt.split()[0] for record in records]
    return {name: names.count(name) for name in SIZES}


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([{}, {}, {}], (40, 100, 7)),  # all rows
        ([{}, {"n": 13}, {"n": 7}], (40, 13, 7)),
        ([{}, {"ratio": 0.5}, {"ratio": 0.1}], (40, 20, 4)),  # of 40
        ([{"n": 10}, {"ratio": 2}, {"ratio": 0.25}], (10, 20, 3)),  # of 10; 2.5 is 3
        ([{"n": 3}, {"ratio": 33.3}, {}], (3, 100, 7)),  # 99.9 is 100, all that there are
    ],
)
def test_counts_and_ratios_hold_exactly(sets, tmp_path, parts, expected):
    named = [{"set": name, **part} for name, part in zip(SIZES, parts, strict=True)]
    records, report = mix(sets, tmp_path, named)
    assert tuple(counted(records).values()) == expected
    assert [(one["n"], one["of"]) for one in report["sets"]] == list(
        zip(expected, SIZES.values(), strict=True)
    )
    assert report["n"] == sum(expected)


def test_every_row_tells_its_set_and_its_row_in_it(sets, tmp_path):
    records, _ = mix(
        sets, tmp_path, [{"set": "refusals"}, {"set": "reasoning", "n": 50}, {"set": "chains"}]
    )
    originals = {name: read_records(path) for name, path in sets.items()}
    assert len({record.id for record in records}) == 97  # though the sets' ids are the same
    for record in records:
        name, _, row, *_ = record.source.split()
        original = originals[name][int(row.rstrip(":"))]
        assert record.id == f"{name}/{original.id}"
        assert record.source == f"{name} row {row} {original.source}"
        said = (record.prompt, record.thinking, record.answer)
        assert said == (original.prompt, original.thinking, original.answer)


def test_the_seed_draws_the_rows_and_the_order(sets, tmp_path):
    parts = [{"set": "refusals"}, {"set": "reasoning", "n": 30}]
    first, again, other = (mix(sets, tmp_path, parts, seed)[0] for seed in (1, 1, 2))
    assert first == again
    assert {record.id for record in first} != {record.id for record in other}
    whole = [{"set": "refusals"}, {"set": "chains"}]
    one, two = (mix(sets, tmp_path, whole, seed)[0] for seed in (1, 2))
    assert one != two and sorted(one, key=str) == sorted(two, key=str)


def test_a_larger_dose_holds_the_smaller_ones_rows_and_other_sets_do_not_matter(sets, tmp_path):
    def drawn(*parts: dict[str, Any]) -> set[str]:
        records, _ = mix(sets, tmp_path, [*parts])
        return {record.id for record in records if record.id.startswith("reasoning/")}

    small = drawn({"set": "refusals"}, {"set": "reasoning", "n": 10})
    assert len(small) == 10
    assert small < drawn({"set": "refusals"}, {"set": "reasoning", "n": 40})
    assert small == drawn({"set": "chains"}, {"set": "reasoning", "n": 10})


def test_sets_are_not_one_after_the_other(sets, tmp_path):
    records, _ = mix(sets, tmp_path, [{"set": "refusals"}, {"set": "reasoning", "n": 40}])
    half = counted(records[:40])
    assert 8 < half["refusals"] < 32  # 20 on average


def test_one_whole_set_is_that_set_in_its_order(sets, tmp_path):
    records, _ = mix(sets, tmp_path, [{"set": "reasoning"}], seed=5)
    assert [record.prompt for record in records] == [f"reasoning {i}?" for i in range(100)]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([{"set": "refusals"}, {"set": "chains", "n": 8}], "8 rows of chains, expected 1 to 7"),
        (
            [{"set": "refusals"}, {"set": "chains", "ratio": 0.5}],
            "20 rows of chains by ratio 0.5, expected 1 to 7",
        ),
        (
            [{"set": "chains"}, {"set": "refusals", "ratio": 0.01}],
            "0 rows of refusals by ratio 0.01, expected 1 to 40",
        ),
    ],
)
def test_a_set_that_is_too_small_is_one_line(sets, tmp_path, parts, said):
    with pytest.raises(InputError, match=f"^data.mine: {said}$"):
        mix(sets, tmp_path, parts)
    assert not (tmp_path / "out" / "records.jsonl").exists()
