"""The folders of the store: earlier results of a name, and receipts that are true."""

from __future__ import annotations

import json

from workflow.scripts.graph.store import (
    earlier_results,
    folder_of,
    forget_listings,
    remove_false_receipts,
)

NAME = "models/lrm/tiny/seed1"


def make(root, name: str, key: str, record: object) -> None:
    folder = root / folder_of(name, key)
    folder.mkdir(parents=True)
    if record is not None:
        text = record if isinstance(record, str) else json.dumps(record)
        (folder / "result.json").write_text(text)


def test_earlier_results_come_latest_first_and_an_adopted_one_counts_from_its_adoption(tmp_path):
    make(tmp_path, NAME, "a" * 16, {"finished": "2026-01-01"})
    make(tmp_path, NAME, "b" * 16, {"finished": "2026-03-01"})
    make(tmp_path, NAME, "c" * 16, {"finished": "2026-01-01", "adopted": {"at": "2026-04-01"}})
    forget_listings()
    assert [key[0] for key, _ in earlier_results(NAME, tmp_path)] == ["c", "b", "a"]


def test_only_complete_results_of_this_very_name_count(tmp_path):
    make(tmp_path, NAME, "a" * 16, None)  # a job was killed
    make(tmp_path, NAME, "b" * 16, "{")  # a disk was full
    make(tmp_path, f"{NAME}-epochs2", "c" * 16, {})
    make(tmp_path, f"{NAME}0", "d" * 16, {})
    make(tmp_path, NAME, "not-a-key", {})
    forget_listings()
    assert earlier_results(NAME, tmp_path) == []
    assert earlier_results("models/lrm/other/seed1", tmp_path) == []


def test_a_receipt_goes_when_one_of_its_results_is_no_longer_there(project):
    graph = project.make_up()
    receipts = {job.output for job in graph.jobs.values() if len(job.results) > 1}
    remove_false_receipts(project.read())
    assert all((project.root / path).exists() for path in receipts)
    name = "generate/base/tiny/seed1/benign"
    (project.root / graph.folder(name) / "result.json").unlink()
    remove_false_receipts(project.read())
    gone = {path for path in receipts if not (project.root / path).exists()}
    assert gone == {graph.job_of[name].output}
    assert (project.root / graph.folder("generate/base/tiny/seed1/harmful")).exists()
