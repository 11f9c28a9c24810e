"""The view of an experiment: links with plain names to what its file asks for."""

from __future__ import annotations

import shutil

from workflow.scripts.graph.jobs import read_graph
from workflow.scripts.graph.view import update_view

LRM = "models/lrm/tiny/seed1"
MODEL = "models/aligned/tiny/safechain/seed1"


def links(project) -> dict[str, str]:
    """Return where each link of the view leads, by its name in the view."""
    view = project.root / "results/tiny"
    return {
        str(path.relative_to(view)): str(path.resolve().relative_to(project.root.resolve()))
        for path in view.rglob("*")
        if path.is_symlink()
    }


def new_rate(experiment) -> None:
    experiment["recipes"]["safety"].update(learning_rate=1e-4)


def test_every_complete_result_is_shown_under_its_plain_name(project):
    graph = project.make_up()
    shutil.rmtree(project.root / "results/tiny")
    update_view(graph)
    names = {"report" if name.startswith("report/") else name for name in graph.results}
    assert set(links(project)) == names
    assert links(project)[MODEL] == graph.folder(MODEL)
    samples = project.root / "results/tiny/generate/lrm/tiny/seed1/benign/samples.jsonl"
    assert samples.read_text() == "content of generate/lrm/tiny/seed1/benign\n"
    assert (project.root / "results/tiny/report/tradeoff.json").exists()


def test_a_view_can_be_moved_with_its_store(project, tmp_path):
    graph = project.make_up()
    update_view(graph)
    shutil.copytree(project.root / "results", tmp_path / "results", symlinks=True)
    moved = tmp_path / "results/tiny" / LRM / "manifest.json"
    assert moved.resolve().is_relative_to(tmp_path)
    assert moved.read_text() == f"content of {LRM}\n"


def test_links_follow_the_experiment_and_the_report_waits_for_the_next(project):
    before = project.make_up()
    update_view(before)
    project.edit(new_rate)
    update_view(project.read())
    assert MODEL not in links(project) and links(project)[LRM] == before.folder(LRM)
    assert links(project)["report"] == before.folder("report/tiny")
    after = project.make_up()
    update_view(after)
    assert links(project)[MODEL] == after.folder(MODEL) != before.folder(MODEL)
    assert links(project)["report"] == after.folder("report/tiny")


def test_folders_that_become_empty_go_and_what_is_no_link_stays(project):
    update_view(project.make_up())
    view = project.root / "results/tiny"
    (view / "logs").mkdir()
    (view / "notes.txt").write_text("mine")
    project.edit(lambda e: e["alignments"].pop("safechain"))
    update_view(project.read())
    assert not (view / "models/aligned/tiny/safechain").exists()
    assert (view / "models/aligned/tiny/directrefusal/seed1").is_symlink()
    assert (view / "logs").is_dir() and (view / "notes.txt").read_text() == "mine"


def test_a_run_of_some_results_leaves_the_links_to_the_others(project):
    update_view(project.make_up())
    before = links(project)
    update_view(read_graph("tiny", project.root, LRM))
    assert links(project) == before


def test_a_link_to_a_deleted_result_goes(project):
    graph = project.make_up()
    update_view(graph)
    for name in (LRM, "report/tiny"):
        shutil.rmtree(project.root / graph.folder(name))
    update_view(project.read())
    assert LRM not in links(project) and "report" not in links(project)


def test_a_copy_of_a_result_in_the_place_of_its_link_gives_way(project):
    """`cp -r` follows links."""
    graph = project.make_up()
    update_view(graph)
    path = project.root / graph.link(LRM)
    path.unlink()
    shutil.copytree(project.root / graph.folder(LRM), path)
    update_view(graph)
    assert path.is_symlink()
