"""The collector deletes what nobody refers to, and never anything else."""

from __future__ import annotations

import io
import os
import shutil
import time
from pathlib import Path

import pytest

from workflow.scripts.cluster.driver import Work, claim_experiment, declare_work
from workflow.scripts.common.errors import InputError
from workflow.scripts.graph.adopt import main as adopt
from workflow.scripts.graph.collect import find_garbage, freed_bytes, main
from workflow.scripts.graph.view import update_view

LRM = "models/lrm/tiny/seed1"
MODEL = "models/aligned/tiny/safechain/seed1"


def collect(*arguments: str) -> None:
    main(["--yes", *arguments])


def new_rate(experiment) -> None:
    experiment["recipes"]["safety"].update(learning_rate=1e-4)


def make_folder(project, name: str, age_days: float, complete: bool = False) -> Path:
    """Make a folder of the store that no experiment asks for."""
    folder = project.root / "results/store" / f"{name}-{'0' * 16}"
    (folder / "state").mkdir(parents=True)
    files = [folder / "state/step-10", *([folder / "result.json"] if complete else [])]
    for path in files:
        path.write_text("{}")
    for path in (*files, folder / "state", folder):
        then = time.time() - age_days * 86400
        os.utime(path, (then, then))
    return folder


def test_after_a_run_there_is_nothing_to_collect(project, capsys):
    project.make_up()
    files = project.files()
    collect()
    assert capsys.readouterr().out == "nothing to collect\n"
    assert project.files() - {"results/.store.lock"} == files


def test_after_a_changed_setting_and_a_run_exactly_the_old_results_go(project):
    before = project.make_up()
    old = {before.folder(name) for name in before.results}
    project.edit(new_rate)
    after = project.make_up()
    update_view(after)
    collect()
    kept = {after.folder(name) for name in after.results}
    assert len(old - kept) == 2 * (1 + 3 + 3) + 1  # of both alignments, and the report
    for folder in old - kept:
        assert not (project.root / folder).exists()
    assert project.read().states() == dict.fromkeys(after.results, "done")
    jobs = {
        str(path.relative_to(project.root)) for path in _files(project.root / "results/store/jobs")
    }
    now = {job.output for job in after.jobs.values() if len(job.results) > 1}
    assert {path for path in jobs if path.endswith(".json")} == now
    links = [path for path in (project.root / "results/tiny").rglob("*") if path.is_symlink()]
    assert links and all(path.exists() for path in links)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_report_that_is_shown_stays_until_the_next_is_complete(project):
    before = project.make_up()
    project.edit(new_rate)
    update_view(project.read())
    collect()
    assert (project.root / before.folder("report/tiny")).exists()
    assert (project.root / "results/tiny/report/tradeoff.json").exists()
    assert not (project.root / before.folder(MODEL)).exists()
    assert not (project.root / before.link(MODEL)).is_symlink()


def test_a_dry_run_shows_sizes_and_the_sum_and_deletes_nothing(project, capsys):
    before = project.make_up()
    weights = project.root / before.folder(MODEL) / "model.safetensors"
    weights.write_bytes(bytes(2_000_000))
    project.edit(new_rate)
    project.make_up()
    files = project.files()
    main(["--dry-run"])
    lines = capsys.readouterr().out.splitlines()
    (line,) = (line for line in lines if before.folder(MODEL) in line)
    assert line.split()[:2] == ["2", "MB"] and "(finished 2026-01-01)" in line
    assert lines[-1].split()[1:] == ["MB", "in", "all"]
    assert 2 <= float(lines[-1].split()[0]) < 2.1
    assert project.files() - {"results/.store.lock"} == files


def test_without_a_terminal_it_asks_for_yes_and_deletes_nothing(project, monkeypatch):
    project.make_up()
    project.edit(new_rate)
    files = project.files()
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    with pytest.raises(InputError, match="no terminal to ask at, expected --yes or --dry-run"):
        main([])
    assert project.files() - {"results/.store.lock"} == files


@pytest.mark.parametrize(("answer", "deleted"), [("yes", True), ("y", False), ("", False)])
def test_at_a_terminal_it_asks_first(project, monkeypatch, answer, deleted):
    before = project.make_up()
    project.edit(new_rate)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    main([])
    assert (project.root / before.folder(MODEL)).exists() != deleted


def test_what_another_experiment_asks_for_stays(project):
    before = project.make_up()
    project.edit(lambda experiment: None, "copy")
    project.edit(new_rate)
    collect()
    assert (project.root / before.folder(MODEL)).exists()
    (project.root / "experiments/copy.yaml").unlink()
    collect()
    assert not (project.root / before.folder(MODEL)).exists()


def test_an_experiment_that_cannot_be_read_is_named_and_nothing_goes(project):
    before = project.make_up()
    project.edit(new_rate)
    (project.root / "experiments/broken.yaml").write_text("seeds: [1")
    with pytest.raises(InputError, match=r"^experiments/broken.yaml.*; nothing was deleted"):
        collect()
    assert (project.root / before.folder(MODEL)).exists()


def test_without_a_file_that_an_experiment_reads_all_that_may_be_its_results_stay(project):
    """A fresh clone has no data of `smollm`; other experiments' results are collected."""
    rows = project.root / "rows.jsonl"
    rows.write_text('{"question": "q", "response": "a"}\n')

    def local(experiment) -> None:
        source = {"source": {"path": "rows.jsonl"}, "constant_thinking": "Hm."}
        fields = {"fields": {"prompt": "question", "answer": "response"}}
        experiment["data"]["safechain"] = {"prepare": {**source, **fields}}

    project.edit(local, "local")
    other = project.make_up(experiment="local")
    before = project.make_up()
    rows.unlink()
    project.edit(new_rate)
    project.make_up()
    collect()
    assert not (project.root / before.folder(MODEL)).exists()
    for name in ("data/records/safechain", MODEL, "data/overlap", "report/local"):
        assert (project.root / other.folder(name)).exists(), name
    # a setting that tells them apart
    project.edit(lambda e: e["recipes"]["safety"].update(learning_rate=2e-4), "local")
    collect()
    assert (project.root / other.folder("data/records/safechain")).exists()
    assert not (project.root / other.folder(MODEL)).exists()


def test_what_a_running_driver_refers_to_stays_whatever_the_experiment_says_by_now(project):
    before = project.make_up()
    makes = before.folder(MODEL)
    receipt = next(job.output for job in before.jobs.values() if len(job.results) > 1)
    old = before.folder(LRM)
    driver = claim_experiment("tiny", project.root)
    declare_work(driver, project.root, Work((makes,), (old, receipt)))
    shutil.rmtree(project.root / "experiments")
    (project.root / "experiments").mkdir()
    collect()
    assert (project.root / makes).exists() and (project.root / old).exists()
    assert (project.root / receipt).exists()
    assert not (project.root / before.folder("data/overlap")).exists()
    driver.close()
    collect()
    assert not _files(project.root / "results/store")
    assert not list((project.root / "results/store").iterdir())


def test_what_the_keep_list_names_stays_with_its_log(project):
    before = project.make_up()
    config = project.root / "config.yaml"
    kept = "generate/aligned/tiny/safechain/seed1/benign"
    text = config.read_text()
    config.write_text(text.replace("keep: []", "keep: ['models/*/safechain/*', '*/seed1/benign']"))
    assert config.read_text() != text
    project.edit(new_rate)
    collect()
    assert (project.root / before.folder(MODEL)).exists()
    assert (project.root / before.folder(kept)).exists()
    assert (project.root / before.job_of[kept].log).exists()
    assert not (project.root / before.folder("models/aligned/tiny/directrefusal/seed1")).exists()
    assert not (project.root / before.folder(kept.replace("benign", "harmful"))).exists()


def test_a_wrong_keep_list_is_refused(project):
    project.make_up()
    config = project.root / "config.yaml"
    config.write_text(config.read_text().replace("keep: []", "keep: models/*"))
    with pytest.raises(InputError, match=r"^config.yaml: keep"):
        collect()


def test_unfinished_results_stay_for_a_week_and_those_of_today_always(project, capsys):
    graph = project.make_up()
    young = make_folder(project, "models/lrm/tiny/seed1", 6)
    old = make_folder(project, "models/lrm/tiny/seed2", 8)
    mine = project.root / graph.folder(LRM)
    (mine / "result.json").unlink()
    (mine / "state").mkdir()
    (mine / "state/step-10").write_text("")
    for path in (*mine.rglob("*"), mine):
        os.utime(path, (0, 0))
    collect()
    assert "(unfinished, written 8 days ago)" in capsys.readouterr().out
    assert young.exists() and (mine / "state/step-10").exists() and not old.exists()
    collect("--older-than", "5")
    assert not young.exists() and (mine / "state/step-10").exists()


def test_a_complete_result_that_nobody_asks_for_goes_at_once(project):
    project.make_up()
    folder = make_folder(project, "models/lrm/tiny/seed1", 0, complete=True)
    collect()
    assert not folder.exists()


def test_logs_that_belong_to_no_job_go_and_those_of_kept_results_stay(project):
    """A new benchmark makes another job of a run's samples; those that were there keep its log."""
    before = project.make_up()
    name = "generate/base/tiny/seed1/benign"
    log = project.root / before.job_of[name].log
    stray = log.with_name(f"hf-{'0' * 16}.log")
    stray.write_text("")
    foreign = log.with_name("notes.txt")
    foreign.write_text("")
    project.edit(lambda e: e["benchmarks"].update(more={**e["benchmarks"]["benign"], "n": 4}))
    after = project.make_up()
    assert after.job_of[name].key != before.job_of[name].key
    collect()
    assert log.exists() and foreign.exists() and not stray.exists()


def test_links_to_nothing_go_and_what_is_no_link_into_the_store_stays(project):
    graph = project.make_up()
    view = project.root / "results/tiny"
    mine = view / "elsewhere"
    mine.symlink_to("/nowhere")
    (view / "notes.txt").write_text("")
    shutil.rmtree(project.root / graph.folder(LRM))
    collect()
    assert not (project.root / graph.link(LRM)).is_symlink()
    assert not (project.root / graph.link(LRM)).parent.exists()  # empty now
    assert mine.is_symlink() and (view / "notes.txt").exists()
    assert (project.root / graph.link(MODEL)).exists()


def test_a_folder_of_the_store_that_is_a_link_stays(project, tmp_path):
    """Somebody moved results to another disk."""
    project.make_up()
    link = project.root / "results/store/models" / f"moved-{'0' * 16}"
    (tmp_path / "weights").write_text("")
    link.symlink_to(tmp_path)
    collect()
    assert link.is_symlink() and (tmp_path / "weights").exists()


def test_a_name_that_ends_like_a_key_is_no_result(project):
    name = f"safechain-{'0' * 16}"
    project.edit(lambda e: e["alignments"].update({name: e["alignments"].pop("safechain")}))
    graph = project.make_up()
    collect()
    assert project.read().states() == dict.fromkeys(graph.results, "done")


def test_files_that_an_adopted_result_shares_free_nothing(project):
    before = project.make_up()
    weights = project.root / before.folder(LRM) / "model.safetensors"
    weights.write_bytes(bytes(1_000_000))
    project.add_code("models.trainer")
    adopt(["--experiment", "tiny", "--reason", "x", "models/*"])
    garbage = find_garbage(project.root)
    assert before.folder(LRM) in garbage.folders
    assert freed_bytes(project.root, garbage) < 1_000_000
    collect()
    after = project.read()
    assert (project.root / after.folder(LRM) / "model.safetensors").stat().st_size == 1_000_000
    assert not weights.exists()
