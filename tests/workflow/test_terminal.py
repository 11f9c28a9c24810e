"""What a user sees in a terminal of 80 and of 120 columns: progress, the result, a failure."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from benchmarks.record_terminal import play
from tests.workflow.driving import edit

pytestmark = pytest.mark.slow
LEFT = r"\d+ s gone, (about|at least) \d+ (s|min) left\."


@pytest.fixture
def clone(again: Path, root: Path) -> Path:
    """A copy in which the test experiment has run, with the environment that `make` wants."""
    if not (again / ".venv").exists():
        (again / ".venv").symlink_to(root / ".venv")
    return again


def look(
    clone: Path, environment: dict[str, str], columns: int, *command: str
) -> tuple[list[str], int]:
    """Return all that a terminal showed one after the other, and the command's exit status."""
    environment = {**environment, "TERM": "xterm-256color"}
    environment.pop("COLUMNS", None)
    *shown, status = play(command, columns, environment, str(clone))
    assert isinstance(status, int)
    return [text for text in shown if isinstance(text, str)], status


def view_of(text: str, experiment: str = "tiny") -> list[str]:
    """Return the lines of the live view and what follows; Snakemake's first lines are its own."""
    begin = re.search(rf"^{experiment}: \d+ of \d+ jobs done", text, re.M)
    return text[begin.start() :].splitlines() if begin else []


def test_make_shows_how_far_it_is_and_then_the_result_in_80_columns(clone, shell_environment):
    edit(clone, lambda e: e["alignments"]["safechain"].update(epochs=[2]))
    edit(clone, lambda e: e["benchmarks"]["benign"]["decoding"].update(max_answer_tokens=9))
    shown, status = look(clone, shell_environment, 80, "make", "EXPERIMENT=tiny", "CORES=2")
    assert status == 0, shown[-1]
    views = [view for text in shown if (view := view_of(text))]
    assert len(views) > 10
    assert not [line for view in views for line in view if len(line) > 80]
    texts = ["\n".join(view) for view in views]
    assert any(re.search(LEFT, text) for text in texts)
    assert any(re.search(r"^generate +━+.* \d of 4  \d running", text, re.M) for text in texts)
    assert any(re.search(r"^generate_samples .* \d+ s", text, re.M) for text in texts)
    # the last view stays, and the result stands below it
    end = texts[-1]
    assert re.search(r"^tiny: 16 of 16 jobs done\.$", end, re.M)
    assert re.search(r"^report +━+ +1 of 1$", end, re.M)
    assert re.search(r"^tiny +Reasoning +Harmful score +Over-refusal +Safety tax$", end, re.M)
    assert re.search(r"^safechain +[\d.]+ +[\d.]+ +[\d.]+ +-?[\d.]+$", end, re.M)
    assert end.rstrip().endswith("Open results/tiny/report/index.html")
    # nothing of Snakemake's own in between
    assert "Select jobs" not in shown[-1] and "Finished jobid" not in shown[-1]


def test_a_run_that_fails_says_what_why_where_and_how_to_go_on_in_120_columns(
    clone, shell_environment
):
    edit(clone, lambda e: e["benchmarks"]["benign"].update(engine="vllm"))
    config = ("--config", "experiment=tiny", "vllm_python=/no/python")
    command = ("snakemake", "-c1", "--quiet", "host", "progress", *config)
    shown, status = look(clone, shell_environment, 120, *command)
    assert status != 0
    views = [view_of(text.partition("\nerror: ")[0]) for text in shown]
    assert not [line for view in views for line in view if len(line) > 120]
    errors = [line for line in shown[-1].splitlines() if line.startswith("error: ")]
    (error,) = errors
    assert error.startswith("error: generate_samples ") and "/no/python" in error
    log, stay, again, report = shown[-1].rstrip().splitlines()[-4:]
    assert log.startswith("    log: results/store/jobs/generate_samples/")
    assert (clone / log.removeprefix("    log: ")).is_file()
    assert re.fullmatch(
        r"\d+ of \d+ jobs are done and stay\. When that is mended, the same .* there:", stay
    )
    assert again == "    snakemake -c1 --quiet host progress --config " + " ".join(config[1:])
    assert report.endswith("make report EXPERIMENT=tiny")


def test_a_run_that_goes_to_a_file_writes_dated_lines(clone, snakemake):
    shutil.rmtree((clone / "results/tiny/report").resolve())
    done = snakemake(clone, "-c2")
    assert done.returncode == 0
    dated = [line for line in done.stderr.splitlines() if re.match(r"\d{4}-\d\d-\d\d \d\d:", line)]
    assert "tiny: 15 of 16 jobs done" in dated[0]
    assert "tiny: 16 of 16 jobs done." in dated[-1] and dated[-1].endswith("Done: report/tiny")
    assert "\x1b" not in done.stderr and "rule make_report" not in done.stderr
    (snakemakes_own,) = sorted((clone / ".snakemake/log").glob("*.log"))[-1:]
    assert "rule make_report" in snakemakes_own.read_text()


def test_a_report_of_what_is_there_names_what_failed(clone, shell_environment):
    """One judge that failed does not withhold the other results."""
    for link in (clone / "results/tiny/score").rglob("ngram"):
        shutil.rmtree(link.resolve())
    shutil.rmtree((clone / "results/tiny/report").resolve())
    for log in (clone / "results/store/jobs/score_samples").rglob("*.log"):
        log.write_text("loading\nerror: no such judge\n")
    shown, status = look(clone, shell_environment, 80, "make", "report", "EXPERIMENT=tiny")
    assert status == 0, shown[-1]
    text = " ".join(shown[-1].split())
    assert "Partial: made of 8 of 12 scores, the others are missing." in text
    assert "- harmful by ngram of every model: failed: error: no such judge" in text
    for path in ("tradeoff.md", "index.html"):
        page = (clone / "results/tiny/partial" / path).read_text()
        assert "made of 8 of 12 scores" in page and "no such judge" in page
    assert not (clone / "results/tiny/report/index.html").exists()
    # what was measured is there: accuracy, over-refusal and the tax
    assert re.search(r"^safechain +[\d.]+ +[\d.]+ +-?[\d.]+$", shown[-1], re.M)
    assert "harm was not measured, over-refusal went from" in text
