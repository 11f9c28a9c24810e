"""Make the report of an experiment from its scores: tables, figures, page, model cards.

`tradeoff.json` holds everything (fractions), `tradeoff.csv` every number (percent, full precision),
`tradeoff.md` and `.tex` the tables (percent, one decimal). The same inputs give the same bytes.

python -m workflow.scripts.report.make_report --inputs inputs.json --out results/micro/report
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from workflow.scripts.common.errors import run


def make_report(inputs_file: Path, out: Path) -> None:
    """Make the whole report in a folder.

    Raises:
        InputError: An input is absent or wrong.
    """
    from workflow.scripts.common.io import write_json, write_text
    from workflow.scripts.report.build_report import build_report, read_report
    from workflow.scripts.report.draw_figures import draw_figures
    from workflow.scripts.report.inputs import FILE, read_inputs
    from workflow.scripts.report.make_page import write_page
    from workflow.scripts.report.render import to_csv, to_latex, to_markdown, write_tables
    from workflow.scripts.report.tables.registry import build_tables
    from workflow.scripts.report.write_cards import write_cards

    inputs = read_inputs(inputs_file)
    report = build_report(inputs)
    tables = build_tables(report)
    write_text(out / "tradeoff.csv", to_csv(report["rows"]))
    write_text(out / "tradeoff.md", to_markdown(report, tables))
    write_text(out / "tradeoff.tex", to_latex(report, tables))
    write_tables(tables, out)
    write_json(out / "tradeoff.json", report)
    report = read_report(out / "tradeoff.json")  # as whoever draws it again reads it
    draw_figures(report, out)
    write_cards(report, inputs, out)
    write_page(report, inputs, out)
    write_text(out / FILE, json.dumps(inputs.without_defaults(), indent=1) + "\n")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--inputs", type=Path, required=True, help="inputs.json, or /dev/stdin")
    parser.add_argument("--out", type=Path, required=True, help="the report's folder")
    parser.add_argument("--result", type=json.loads, help="what the report is made from, as JSON")
    args = parser.parse_args(argv)
    from workflow.scripts.common.result import making

    with making(args.out, args.result):
        make_report(args.inputs, args.out)


if __name__ == "__main__":
    run(main)
