"""What `snakemake --report` opens with: the experiment, and the headline of its report."""

from __future__ import annotations

from pathlib import Path

from workflow.scripts.report.escape import escape_markdown


def describe_experiment(name: str, description: str, report: Path) -> str:
    """Return reStructuredText; in a paragraph it escapes characters as Markdown does.

    Args:
        name: The experiment.
        description: Its sentence.
        report: The report's folder; the headline is the first line of its `tradeoff.md`.
    """
    table = report / "tradeoff.md"
    lines = table.read_text().split("\n", 3)[:3] if table.exists() else ["The report is not made."]
    text = "\n\n".join(
        [
            f"{escape_markdown(description)} (experiment ``{name}``).",
            *filter(None, lines),
            "Start with the category *Page*: the whole report in one page. Tables and figures are "
            "beside it, and every file shows the job that made it.",
        ]
    )
    return f"{{% raw %}}{text}\n{{% endraw %}}\n"
