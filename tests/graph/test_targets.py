"""Targets of the command line: what is no file of a rule ends in a line that says what to type."""

from __future__ import annotations

import shutil

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.graph.targets import check_targets


@pytest.fixture
def graph(project):
    shutil.copy(project.root / "experiments/tiny.yaml", project.root / "experiments/other.yaml")
    return project.read()


def test_rules_results_and_models_to_publish_can_be_named(graph):
    outputs = [job.output for job in graph.jobs.values()]
    folder = graph.folder("report/tiny")
    more = ["scores", f"{folder}/index.html", "results/tiny/publish/lrm/tiny/seed1.json"]
    check_targets([*outputs, *more], graph)


@pytest.mark.parametrize(
    ("target", "instead"),
    [
        (
            "results/tiny/models/lrm/tiny/seed1",
            "a rule, or results by name: `--config experiment=tiny only='models/lrm/tiny/seed1'`",
        ),
        ("results/tiny/report/index.html", "`--config experiment=tiny only='report/tiny'`"),
        ("score/lrm", "`--config experiment=tiny only='score/lrm'`"),
        (
            "results/other/report",
            "one of tiny: add `--config experiment=other only='report/other'`",
        ),
        (
            "results/store/models/lrm/tiny/seed1-0123456789abcdef/result.json",
            "a result that tiny asks for; `--config experiment=NAME` chooses another",
        ),
    ],
)
def test_any_other_file_is_one_line_that_says_what_to_type(graph, target, instead):
    with pytest.raises(InputError) as error:
        check_targets([target], graph)
    said = str(error.value)
    assert said.startswith(f"{target}: no file that a rule makes, expected ")
    assert said.endswith(instead)
