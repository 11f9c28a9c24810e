"""The reason of each job, in words."""

from __future__ import annotations

from workflow.scripts.graph import reasons
from workflow.scripts.graph.reasons import describe


def keys(graph, *rules: str) -> set[str]:
    return {key for key, job in graph.jobs.items() if not rules or job.rule in rules}


def change(project):
    """Return the graph after a changed recipe; what the two trainings need is there."""
    project.finish()
    project.edit(lambda e: e["recipes"]["safety"].update(learning_rate=1e-4))
    return project.read()


def test_each_job_says_what_changed_or_that_it_was_never_made(project):
    graph = change(project)
    project.edit(lambda e: e["alignments"].update(new={**e["alignments"]["safechain"]}))
    graph = project.read()
    said = describe(graph, keys(graph, "safety_sft", "make_report"))
    assert said[0] == "Why these jobs run:"
    assert "  models/aligned/tiny/safechain/seed1: recipe.learning_rate: 0.0004 -> 0.0001" in said
    assert "  models/aligned/tiny/new/seed1: not made yet" in said
    (report,) = (line for line in said if line.startswith("  report/tiny: "))
    assert "experiment.recipes.safety.learning_rate: 0.0004 -> 0.0001" in report
    assert said[-1] == "What it takes: make plan EXPERIMENT=tiny"


def test_what_follows_names_the_input_that_changed(project):
    graph = change(project)
    said = describe(graph, keys(graph, "generate_samples"))
    changed = "its input models/aligned/tiny/safechain/seed1 has changed"
    assert f"  generate_samples aligned/tiny/safechain/seed1/hf: {changed}" in said
    assert len(said) == 2 + 2  # of the four jobs two are done


def test_many_jobs_are_counted(project, monkeypatch):
    monkeypatch.setattr(reasons, "MOST", 1)
    graph = change(project)
    said = describe(graph, keys(graph, "safety_sft"))
    assert said[1:-1] == ["  2 safety_sft: recipe.learning_rate: 0.0004 -> 0.0001"]


def test_nothing_to_do_says_nothing(project):
    project.finish()
    graph = project.read()
    assert describe(graph, keys(graph)) == []
