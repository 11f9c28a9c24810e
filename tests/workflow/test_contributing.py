"""The walk-throughs of CONTRIBUTING.md, followed to the letter in a copy of the project.

Each addition writes just the files that its walk-through names, and generated ones; then it works.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.workflow.driving import edit, planned

pytestmark = pytest.mark.slow

GENERATED = {"docs/config.md", "workflow/experiment.schema.json", "codes.lock"}
MOST_FILES = {
    "recipe key": 2,
    "alignment method": 3,
    "engine": 2,
    "chat format": 1,
    "kind of benchmark": 3,
    "figure": 2,
    "metric of the report": 1,
    "table of the report": 2,
}  # without the test and the entry of every_key.yaml that some of them name, too

METHOD = '''"""A placebo: the LRM itself, under another name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from workflow.scripts.models.alignment import Alignment, Variant

if TYPE_CHECKING:
    from workflow.scripts.config.experiment import Experiment
    from workflow.scripts.config.planning import Runtime
    from workflow.scripts.config.recipe import Recipe
    from workflow.scripts.graph.runs import Run
    from workflow.scripts.models.memory import Shape

SCRIPT = "models.copy_model"
TRAINS = False


class Placebo(Alignment):
    """The LRM's own weights."""

    method: Literal["placebo"]
    """A copy of the LRM"""


ALIGNMENT = Placebo


def list_variants(alignment: Placebo, experiment: Experiment) -> list[Variant]:
    return [Variant()]


def inputs(run: Run, experiment: Experiment) -> dict[str, tuple[str, str]]:
    return {"parent": ("run", str(run.parent))}


def sections(run: Run, experiment: Experiment) -> dict[str, Any]:
    return {"chat_format": run.chat_format, "seed": run.seed}


def arguments(run: Run, experiment: Experiment) -> list[str]:
    return []


def estimate_memory(shape: Shape, recipe: Recipe, runtime: Runtime, world: int) -> dict[str, float]:
    return {"total": 0.0}
'''
SCRIPT = '''"""Copy a model."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from workflow.scripts.common.errors import run
from workflow.scripts.common.manifest import load_checkpoint, write_manifest
from workflow.scripts.common.result import making
from workflow.scripts.models.lineage import describe_parent, hash_parents


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Copy a model.")
    parser.add_argument("--parent", type=Path)
    parser.add_argument("--run")
    parser.add_argument("--role")
    parser.add_argument("--chat-format")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--result", type=json.loads)
    args = parser.parse_args(argv)
    with making(args.out, args.result):
        parent = load_checkpoint(args.parent)
        shutil.copytree(parent, args.out / "final", dirs_exist_ok=True)
        write_manifest(
            args.out,
            ["final"],
            run=args.run,
            role=args.role,
            chat_format=args.chat_format,
            thinking=True,
            status="ok",
            status_reason=None,
            seed=args.seed,
            recipe={"method": "placebo"},
            lineage={"base": describe_parent(args.parent, parent.name), "data": None},
            parents=hash_parents({"parent": args.parent}),
            train=None,
        )


if __name__ == "__main__":
    run(main)
'''
FIGURE = '''"""How many results there are of each model."""

from __future__ import annotations

from typing import Any

CAPTION = "Rows of the report by model."


def draw(report: Any) -> tuple[Any, list[dict[str, Any]]]:
    from matplotlib.figure import Figure

    counts: dict[str, int] = {}
    for row in report["rows"]:
        counts[row["role"]] = counts.get(row["role"], 0) + 1
    figure = Figure()
    figure.subplots().bar(list(counts), list(counts.values()))
    return figure, [{"role": role, "rows": n} for role, n in counts.items()]
'''
TABLE = '''"""Which models there are."""

from __future__ import annotations

from workflow.scripts.report.schema import Report
from workflow.scripts.report.tables.table import Table, make_table


def roles(report: Report) -> Table:
    """Return the models' roles."""
    columns = {"Role": lambda row: row["role"], "Seed": lambda row: str(row["seed"])}
    rows = [row for row in report["rows"] if row["final"] and row["seed"] != "mean"]
    return make_table("roles", "Each model", "One line each.", columns, rows)
'''
ENGINE = '''"""Engine `silent`: says nothing, at once."""

from __future__ import annotations

from workflow.scripts.generate.hf_engine import Engine as HfEngine


class Engine(HfEngine):
    """The engine `hf` under another name."""
'''


@pytest.fixture
def clone(again: Path) -> Path:
    """Return a finished copy of the project as a git repository."""
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "before"]):
        git(again, *command)
    return again


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def walkthrough(root: Path, what: str) -> str:
    """Return the section of CONTRIBUTING.md on adding something."""
    text = (root / "CONTRIBUTING.md").read_text()
    found = re.search(rf"^## Add an? {what}\n(.*?)(?=^## )", text, re.M | re.S)
    assert found, what
    return found[1]


def named(section: str, name: str) -> set[str]:
    """Return the files that a walk-through names, with `name` for its placeholders."""
    found = re.findall(r"`((?:workflow|tests)/[\w/<>.]+\.(?:py|yaml))`", section)
    return {file.replace("<name>", name) for file in found}


def changed(folder: Path) -> set[str]:
    lines = git(folder, "status", "--porcelain", "--untracked-files=all").splitlines()
    found = {line[3:] for line in lines}
    return {path for path in found if not path.startswith(("results/", "experiments/", "."))}


def write(folder: Path, file: str, text: str) -> None:
    assert not (folder / file).exists()
    (folder / file).write_text(text)


def insert(folder: Path, file: str, after: str, line: str) -> None:
    path = folder / file
    text = path.read_text()
    assert text.count(after) == 1, (file, after)
    path.write_text(text.replace(after, after + line))


def python(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def add_method(folder: Path) -> None:
    write(folder, "workflow/scripts/models/methods/placebo.py", METHOD)
    write(folder, "workflow/scripts/models/copy_model.py", SCRIPT)
    edit(folder, lambda e: e["alignments"].update(placebo={"method": "placebo"}))


def add_figure(folder: Path) -> None:
    write(folder, "workflow/scripts/report/figures/counts.py", FIGURE)
    registry = "workflow/scripts/report/figures/registry.py"
    insert(folder, registry, "figures import (\n    categories,\n", "    counts,\n")
    insert(folder, registry, "MODULES: tuple[ModuleType, ...] = (\n", "    counts,\n")


def add_table(folder: Path) -> None:
    write(folder, "workflow/scripts/report/tables/roles.py", TABLE)
    registry = "workflow/scripts/report/tables/registry.py"
    insert(folder, registry, "    published,\n    samples,\n", "    roles,\n")
    insert(folder, registry, "    origins.models,\n", "    roles.roles,\n")


def add_metric(folder: Path) -> None:
    entry = '        Metric("ended_late", "Ended late", "reasoning", states=("truncated",)),\n'
    file = "workflow/scripts/report/metrics.py"
    after = '        Metric("truncated", "Truncated", "reasoning", states=("truncated",)),\n'
    insert(folder, file, after, entry)


def add_kind(folder: Path) -> None:
    insert(
        folder,
        "workflow/scripts/config/kinds.py",
        "    BENIGN: Kind(),\n",
        '    "advice": Kind(),\n',
    )
    insert(
        folder,
        "workflow/scripts/report/metrics.py",
        '"Unanswered", "reasoning", states=("no_answer", "parse_error")),\n',
        '        Metric("no_advice", "No advice", "advice", ("refused",), main=True),\n',
    )
    scorer = folder / "workflow/scripts/score/scorers/refusal.py"
    scorer.write_text(
        scorer.read_text().replace("(BENIGN, HARMFUL)", '(BENIGN, HARMFUL, "advice")')
    )

    def ask(experiment: dict[str, Any]) -> None:
        benign = experiment["benchmarks"]["benign"]
        experiment["benchmarks"]["advice"] = {**benign, "kind": "advice"}

    edit(folder, ask)


@pytest.mark.parametrize(
    ("what", "name", "add"),
    [
        ("alignment method", "placebo", add_method),
        ("kind of benchmark", "", add_kind),
        ("figure", "counts", add_figure),
        ("table of the report", "roles", add_table),
        ("metric of the report", "ended_late", add_metric),
    ],
)
def test_an_addition_touches_the_files_that_its_walk_through_names(clone, root, what, name, add):
    add(clone)
    touched = changed(clone) - GENERATED
    allowed = named(walkthrough(root, what), name)
    if what == "alignment method":
        allowed.add("workflow/scripts/models/copy_model.py")  # "the script, such as …"
    assert touched <= allowed, (touched, allowed)
    assert len(touched) <= MOST_FILES[what]


def test_what_was_added_is_in_the_report_of_the_next_run(clone, snakemake):
    for add in (add_method, add_kind, add_figure, add_table, add_metric):
        add(clone)
    counts = planned(snakemake(clone, "-n"))
    # no model and no samples that were there are made again
    assert counts == {
        "derive_model": 1,
        "generate_samples": 5,  # all models on the new benchmark, and the new one
        "score_samples": 5,
        "measure_overlap": 1,
        "make_report": 1,
    }
    done = snakemake(clone, "-c2")
    assert done.returncode == 0, done.stdout + done.stderr
    report = clone / "results/tiny/report"
    rows = (report / "tradeoff.csv").read_text().splitlines()
    assert "ended_late" in rows[0] and "no_advice/advice" in rows[0]
    assert any("placebo" in row for row in rows)
    assert (report / "counts.svg").is_file()
    assert "Each model" in (report / "tradeoff.md").read_text()


def test_a_recipe_key_reaches_the_trainer_and_stales_no_model(clone, root, snakemake):
    insert(
        clone,
        "workflow/scripts/config/recipe.py",
        '    optimizer: Literal["adamw_torch"] = "adamw_torch"\n',
        '    """Which"""\n    adam_epsilon: float = 1e-8\n',
    )
    path = clone / "workflow/scripts/models/recipe.py"
    fixed, chosen = '"adam_epsilon": 1e-8', '"adam_epsilon": recipe.adam_epsilon'
    path.write_text(path.read_text().replace(fixed, chosen))
    assert changed(clone) <= named(walkthrough(root, "recipe key"), "") | GENERATED
    python(
        clone,
        "workflow.scripts.graph.record_code",
        *("--same", "--reason", "a key", "--since", "HEAD"),
    )
    python(clone, "workflow.scripts.config.document", "docs/config.md")
    assert "adam_epsilon" in (clone / "docs/config.md").read_text()
    recipe = '{"learning_rate": 1e-4, "epochs": 1, "global_batch": 4, "precision": "fp32", %s}'
    shown = python(
        clone,
        "workflow.scripts.models.train_sft",
        *("--print-config", "--seed", "1", "--recipe", recipe % '"adam_epsilon": 1e-6'),
    )
    assert '"adam_epsilon": 1e-06' in shown
    assert not planned(snakemake(clone, "-n"))
    edit(clone, lambda e: e["recipes"]["safety"].update(adam_epsilon=1e-6))
    assert planned(snakemake(clone, "-n"))["safety_sft"] == 2


def test_an_engine_is_its_module_and_a_line(clone, root, snakemake):
    write(clone, "workflow/scripts/generate/silent_engine.py", ENGINE)
    insert(clone, "workflow/scripts/config/engines.py", '"vllm": "vllm"', ', "silent": "train"')
    assert changed(clone) <= named(walkthrough(root, "engine"), "silent")
    edit(clone, lambda e: [one.update(engine="silent") for one in e["benchmarks"].values()])
    only = "only=generate/lrm/*"
    done = snakemake(clone, "-c2", "--config", "experiment=tiny", only)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_chat_format_is_an_entry(clone, root, snakemake):
    file = "workflow/scripts/common/chat.py"
    first = re.search(r"^CHAT_FORMATS.*?= \{\n", (clone / file).read_text(), re.M)
    assert first
    insert(clone, file, first[0], '    "mine": _chatml("You are mine."),\n')
    assert changed(clone) <= named(walkthrough(root, "chat format"), "mine")
    edit(clone, lambda e: e["bases"]["tiny"].update(chat_format="mine"))
    assert planned(snakemake(clone, "-n"))["pretrain_base"] == 1
