"""The report's tables: the same strings as Markdown and as LaTeX, and every number as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workflow.scripts.report.escape import csv_cell, escape_latex, escape_markdown

MISSING = "–"
COMPARED = ("reasoning_accuracy", "harmful_score", "harmful_strict", "over_refusal")
# Spellings of metrics in table heads.
TITLES = {
    "reasoning_accuracy": "Reasoning accuracy",
    "harmful_score": "Harmful score",
    "harmful_strict": "Harmful, target named",
    "harmful_score_plus": "Harmful score+",
    "over_refusal": "Over-refusal",
    "thinking_tokens": "Thinking tokens",
    "truncated": "Truncated",
    "unanswered": "Unanswered",
}
# What of a metric or change is a fraction.
PERCENT = frozenset("estimate low high seed_sd seed_low seed_high all_low all_high".split())
STATES = ("ok", "truncated", "no_answer", "parse_error", "judge_error", "api_error")


@dataclass(frozen=True)
class Table:
    """A table of ready strings.

    Attributes:
        key: Label in LaTeX.
        title: Heading in Markdown, first words of the caption in LaTeX.
        caption: What the columns are.
        header: Column heads; the columns from `left` on are numbers.
        rows: Cells.
        left: How many leading columns are text.
        origin: Tells where results come from; stands with the page's provenance.
    """

    key: str
    title: str
    caption: str
    header: list[str]
    rows: list[list[str]]
    left: int = 1
    origin: bool = False


def number(value: float | None, scale: float = 100, digits: int = 1) -> str:
    """Return a fraction in percent with one decimal (never "-0.0"), or a dash for None."""
    if value is None:
        return MISSING
    text = f"{value * scale:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def points(one: Mapping[str, Any] | None, scale: float = 100, digits: int = 1) -> str:
    """Return "estimate (low to high)"."""
    if not one or one.get("estimate") is None:
        return MISSING
    text = number(one["estimate"], scale, digits)
    if one.get("low") is None or one.get("high") is None:
        return text
    return f"{text} ({number(one['low'], scale, digits)} to {number(one['high'], scale, digits)})"


def p_value(p: float | None) -> str:
    if p is None:
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def model_name(row: Mapping[str, Any]) -> str:
    return {"base": "base", "lrm": "LRM"}.get(row["role"]) or str(row["alignment"])


def marked_name(row: Mapping[str, Any]) -> str:
    """Return the model's name, and whether its training failed (for one of its seeds at least)."""
    return model_name(row) + (" (training failed)" if row["status"] != "ok" else "")


def seed_name(row: Mapping[str, Any]) -> str:
    seed = str(row["seed"])
    names = {"mean": f"mean of {row['n_seeds']}", "mean_ok": f"mean of the {row['n_seeds']} ok"}
    if row["n_seeds"] == 1 and seed == "mean":
        return "1"
    return names.get(seed, seed)


def valid_of_n(row: Mapping[str, Any]) -> str:
    """Return "valid/n" of the reasoning, harmful and benign samples."""
    cells = []
    for metric in ("reasoning_accuracy", "harmful_score", "over_refusal"):
        one = row["metrics"].get(metric)
        cells.append(f"{one['n_valid']}/{one['n']}" if one else MISSING)
    return ", ".join(cells)


def build_tables(report: Mapping[str, Any]) -> list[Table]:
    """Return the report's tables in the order that they are read."""
    rows = report["rows"]
    final = [row for row in rows if row["final"]]
    mean = [row for row in rows if row["seed"] == "mean"]
    tables = [
        _tradeoff(
            [row for row in final if row["seed"] == "mean"],
            "main",
            "The trade-off",
            "Final epoch, mean over training seeds",
        )
    ]
    ok = [row for row in final if row["seed"] == "mean_ok"]
    if ok:
        tables.append(_tradeoff(ok, "ok", "Without failed seeds", "Final epoch, the other seeds"))
    tables.append(_per_benchmark(report, [row for row in final if row["seed"] == "mean"]))
    tables.append(_alignments(report))
    tables.append(
        _tradeoff(
            [row for row in final if not row["seed"].startswith("mean")],
            "seeds",
            "By training seed",
            "Final epoch",
            "Seed",
        )
    )
    tables.append(_tradeoff(mean, "epochs", "By safety epoch", "Mean over training seeds", "Epoch"))
    tables.append(_seeds([row for row in final if row["seed"] == "mean"]))
    tables.append(_published(report))
    tables.append(_judges(report))
    tables.append(_agreement(report))
    tables.append(_overlap(report))
    tables.append(_clean(report))
    tables.append(_lengths([row for row in final if row["seed"] == "mean"]))
    tables.append(_states([row for row in final if row["seed"] == "mean"]))
    tables.append(_detectable(report))
    tables += origin_tables(report.get("origins", {}))
    return [table for table in tables if table.rows]


def _tradeoff(
    rows: Sequence[Mapping[str, Any]], key: str, title: str, what: str, columns: str = ""
) -> Table:
    known: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "Epoch": lambda row: MISSING if row["epoch"] is None else str(row["epoch"]),
        "Seed": seed_name,
    }
    shown = [(title, cell) for title, cell in known.items() if title == columns]
    metrics = [
        name for name in ("harmful_score", "harmful_strict", "over_refusal") if _has(rows, name)
    ]
    body = []
    for row in rows:
        change = row["change"].get("reasoning_accuracy", {})
        spread = row["metrics"].get("reasoning_accuracy", {}).get("seed_sd")
        body.append(
            [
                row["lrm"],
                marked_name(row),
                *(cell(row) for _, cell in shown),
                points(row["metrics"].get("reasoning_accuracy")),
                number(spread),
                points(row["tax"].get("points")),
                p_value(change.get("p_holm")),
                *(points(row["metrics"].get(name)) for name in metrics),
                points(row["tax"].get("per_harm_point"), 1, 2),
                valid_of_n(row),
            ]
        )
    return Table(
        key,
        title,
        f"{what}, percent with 95 % intervals. Tax: points of reasoning accuracy lost against the "
        "LRM, paired by item (p after Holm); tax per harm point: points lost for each point of "
        "harmful score removed. Valid: samples with a verdict of all, reasoning, harmful, benign.",
        [
            "LRM",
            "Model",
            *(title for title, _ in shown),
            TITLES["reasoning_accuracy"],
            "SD over seeds",
            "Safety tax",
            "p",
            *(TITLES[name] for name in metrics),
            "Tax per harm point",
            "Valid",
        ],
        body,
        2 + len(shown),
    )


def _per_benchmark(report: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Table:
    keys = sorted({key for row in rows for key in row["metrics"] if _is_measure(key)})
    kinds = [one["kind"] for one in report["benchmarks"].values()]
    one_each = len(set(kinds)) == len(kinds)
    keys = [key for key in keys if not one_each or "@" in key or key.startswith("pass_at")]
    body = [
        [
            row["lrm"],
            model_name(row),
            key.partition("/")[2],
            TITLES.get(key.partition("/")[0], key.partition("/")[0]),
            points(one),
            f"{one['n_valid']}/{one['n']}",
        ]
        for row in rows
        for key in keys
        if (one := row["metrics"].get(key))
    ]
    return Table(
        "benchmarks",
        "By benchmark",
        "Final epoch, mean over training seeds, percent; `@` names a benchmark's further scorer.",
        ["LRM", "Model", "Benchmark", "Metric", "Percent", "Valid"],
        body,
        4,
    )


def _alignments(report: Mapping[str, Any]) -> Table:
    body = []
    for pair in report["alignments"]:
        for metric, change in pair["change"].items():
            body.append(
                [
                    pair["lrm"],
                    f"{pair['second']} − {pair['first']}",
                    TITLES[metric],
                    points(change),
                    number(change["seed_sd"]),
                    p_value(change["p_holm"]),
                    str(change["n"]),
                ]
            )
    return Table(
        "alignments",
        "Alignments against each other",
        "Final epoch, paired by item over the seeds that both have; points, p after Holm.",
        ["LRM", "Difference", "Metric", "Points", "SD over seeds", "p", "Items"],
        body,
        3,
    )


def _published(report: Mapping[str, Any]) -> Table:
    words = {True: "yes", False: "no", None: MISSING}
    body = [
        [
            one["model"] + ("" if one["epoch"] is None else f" epoch {one['epoch']}"),
            TITLES.get(one["metric"], one["metric"]),
            one["source"] or MISSING,
            number(one["published"]),
            MISSING if one["published_n"] is None else str(one["published_n"]),
            points(one["ours"]),
            points(one["difference"]),
            words[one["compatible"]],
        ]
        for one in report["published"]
    ]
    return Table(
        "published",
        "Beside the publication",
        "Compatible: the interval of ours − published (independent samples) holds 0; without a "
        "published n, our interval holds the published value.",
        [
            "Model",
            "Metric",
            "Source",
            "Published",
            "Published n",
            "Ours",
            "Ours − published",
            "Compatible",
        ],
        body,
        3,
    )


def _judges(report: Mapping[str, Any]) -> Table:
    body = []
    for name, judge in sorted(report["judges"].items()):
        test = judge.get("test") if isinstance(judge, Mapping) else None
        for metric, one in sorted((test or {}).items()):
            if isinstance(one, Mapping) and "estimate" in one:
                label = metric.replace("_", " ")
                body.append([name, str(judge.get("type", "")), label, points(one), str(one["n"])])
    return Table(
        "judges",
        "The harm judge on held-out answers",
        "Percent with 95 % intervals, as measured when the judge was trained.",
        ["Judge", "Type", "Measure", "Percent", "n"],
        body,
        3,
    )


def _seeds(rows: Sequence[Mapping[str, Any]]) -> Table:
    body = []
    for row in rows:
        for what, section in (("", "metrics"), ("change of ", "change")):
            for metric in COMPARED:
                one = row[section].get(metric)
                if not one or one.get("all_low") is None:
                    continue
                body.append(
                    [
                        row["lrm"],
                        model_name(row),
                        f"{what}{TITLES[metric]}",
                        points(one),
                        number(one["seed_sd"]),
                        points({**one, "low": one["all_low"], "high": one["all_high"]}),
                        number(one["seed_share"], 100, 0),
                        str(row["n_seeds"]),
                    ]
                )
    return Table(
        "variance",
        "Training seeds apart from items",
        "Final epoch. Over items: other prompts, the same trainings. Over both: other prompts and "
        "other trainings, from the crossed analysis of variance of seeds and items; with two seeds "
        "it is wide. Share: percent of that variance that comes from training.",
        [
            "LRM",
            "Model",
            "Metric",
            "Over items",
            "SD over seeds",
            "Over both",
            "Share of seeds",
            "Seeds",
        ],
        body,
        3,
    )


def _agreement(report: Mapping[str, Any]) -> Table:
    body = [
        [
            one["benchmark"],
            f"{one['first']}, {one['second']}",
            "all" if one["role"] == "all" else f"{one['lrm']}: {model_name(one)}",
            points(one),
            MISSING if one["kappa"] is None else f"{one['kappa']:.2f}",
            str(one["only_first"]),
            str(one["only_second"]),
            str(one["n"]),
        ]
        for one in report.get("agreement", [])
    ]
    return Table(
        "agreement",
        "Agreement of the scorers",
        "Final epoch, all seeds: percent of the samples that two scorers judge the same, Cohen's "
        "kappa, and how many the first or the second alone flags.",
        ["Benchmark", "Scorers", "Model", "Agree", "Kappa", "First only", "Second only", "n"],
        body,
        3,
    )


def _detectable(report: Mapping[str, Any]) -> Table:
    body = [
        [
            one["lrm"],
            one["benchmark"],
            str(one["items"]),
            number(one["unpaired"]),
            number(one["paired_10_percent_differ"]),
            number(one["paired_20_percent_differ"]),
            *(
                [number(one["differ"]), number(one["paired_as_measured"])]
                if "differ" in one
                else [MISSING, MISSING]
            ),
        ]
        for one in report["detectable"]
    ]
    return Table(
        "detectable",
        "Smallest loss that could be found",
        "Points of a benchmark's metric that a two-sided 5 % test of its items finds with 80 % "
        "power: unpaired from the LRM's value; paired where 10 or 20 % of the items differ, and at "
        "the share that did differ, mean over the alignments.",
        [
            "LRM",
            "Benchmark",
            "Items",
            "Unpaired",
            "10 % differ",
            "20 % differ",
            "Differed",
            "As measured",
        ],
        body,
        2,
    )


def origin_tables(origins: Mapping[str, Any]) -> list[Table]:
    """Return where everything comes from: models, data, recipes, what was accepted as stale."""
    models = [
        [
            one["run"],
            one["source"],
            one["weights_sha256"][:12] or MISSING,
            one["data"] or MISSING,
            one["parent"] or MISSING,
            "" if one["status"] == "ok" else "training failed",
            f"{one['gpu_hours']:.2f}",
        ]
        for one in origins.get("models", [])
    ]
    data = [
        [
            one["name"],
            one["use"],
            one["source"],
            one["revision"] or MISSING,
            str(one["n"] or MISSING),
            (one["sha256"] or "")[:12] or MISSING,
        ]
        for one in origins.get("data", [])
    ]
    recipes = origins.get("recipes", {"names": [], "rows": []})
    accepted = [
        [one["result"], one["by"], one["at"], one["why"]] for one in origins.get("accepted", [])
    ]
    return [
        Table(
            "models",
            "Models",
            "Each run: where it comes from, first digits of the sha256 of its final weights, what "
            "it was trained on and from, GPU-hours of training.",
            ["Run", "Source", "Weights", "Data", "From", "Status", "GPU-hours"],
            models,
            6,
            True,
        ),
        Table(
            "data",
            "Data",
            "Training sets and benchmarks: source, revision, size, first digits of the sha256.",
            ["Name", "Use", "Source", "Revision", "n", "sha256"],
            data,
            4,
            True,
        ),
        Table(
            "recipes",
            "Where the recipes differ",
            "Keys that are not the same in all recipes of the models shown.",
            ["Key", *recipes["names"]],
            recipes["rows"],
            1 + len(recipes["names"]),
            True,
        ),
        Table(
            "accepted",
            "Accepted although stale",
            "Made under other code or settings than today's, and kept by decision.",
            ["Result", "By", "At", "Why"],
            accepted,
            4,
            True,
        ),
    ]


def _overlap(report: Mapping[str, Any]) -> Table:
    body = [
        [
            one["train"],
            one["benchmark"],
            str(one["n_train"]),
            str(one["n_benchmark"]),
            *(
                f"{one[k]['count']} ({number(one[k]['share'])} %)"
                for k in ("exact", "normalised", "ngram")
            ),
        ]
        for one in report["overlap"]
    ]
    return Table(
        "overlap",
        "Overlap of training sets and benchmarks",
        f"Benchmark prompts that stand in a training set: letter by letter, but for case and "
        f"punctuation, or by {report['ngram']} words in a row.",
        ["Training set", "Benchmark", "n train", "n benchmark", "Exact", "Normalised", "n-gram"],
        body,
        2,
    )


def _clean(report: Mapping[str, Any]) -> Table:
    body = [
        [
            one["lrm"],
            one["alignment"],
            one["benchmark"],
            str(one["removed"]),
            points(one["lrm_score"]),
            points(one["aligned_score"]),
            str(one["aligned_score"]["n"]),
        ]
        for one in report["clean"]
    ]
    return Table(
        "clean",
        "Harmful score without prompts that were trained on",
        "Final epoch, mean over seeds, on the prompts that do not stand in the alignment's data.",
        ["LRM", "Alignment", "Benchmark", "Left out", "LRM", "Aligned", "n"],
        body,
        3,
    )


def _lengths(rows: Sequence[Mapping[str, Any]]) -> Table:
    body = []
    for row in rows:
        tokens = row["metrics"].get("thinking_tokens")
        body.append(
            [
                row["lrm"],
                model_name(row),
                points(tokens, 1),
                points(row["metrics"].get("truncated")),
                points(row["metrics"].get("unanswered")),
                str(tokens["n"]) if tokens else MISSING,
            ]
        )
    return Table(
        "lengths",
        "Thinking length and unfinished answers on reasoning",
        "Final epoch, mean over seeds: tokens of thinking; percent of samples whose thinking or "
        "answer was cut, and of those without an answer that could be read.",
        ["LRM", "Model", TITLES["thinking_tokens"], TITLES["truncated"], TITLES["unanswered"], "n"],
        body,
        2,
    )


def _states(rows: Sequence[Mapping[str, Any]]) -> Table:
    body = []
    for row in rows:
        for benchmark, counts in row["states"].items():
            if counts:
                cells = [str(counts.get(state, 0)) for state in STATES]
                body.append(
                    [row["lrm"], model_name(row), benchmark, *cells, str(sum(counts.values()))]
                )
    return Table(
        "states",
        "States of the samples",
        "Final epoch, all seeds: samples by state; a failure is counted, never scored as safe.",
        ["LRM", "Model", "Benchmark/scorer", *STATES, "n"],
        body,
        3,
    )


def _has(rows: Sequence[Mapping[str, Any]], metric: str) -> bool:
    return any(metric in row["metrics"] for row in rows)


def _is_measure(key: str) -> bool:
    return "/" in key and not key.startswith(
        ("thinking_tokens", "truncated", "unanswered", "harmful_refusal", "complied")
    )


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return every row and number: proportions and differences in percent, full precision."""
    flat = [_flat(row) for row in rows]
    columns = sorted(dict.fromkeys(key for row in flat for key in row), key=_column_order)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows({key: csv_cell(value) for key, value in row.items()} for row in flat)
    return stream.getvalue()


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("lrm", "role", "name", "alignment", "epoch", "checkpoint", "final", "seed", "n_seeds")
    flat = {key: row[key] for key in (*keys, "status", "status_reason")}
    for section, prefix in (("metrics", ""), ("change", "change."), ("tax", "tax.")):
        for name, one in row[section].items():
            ratio = name.startswith("thinking_tokens") or name == "per_harm_point"
            for key, value in one.items():
                percent = key in PERCENT
                if percent and value is not None and not ratio:
                    value = value * 100
                flat[f"{prefix}{name}.{key}"] = value
    return flat


def _column_order(key: str) -> int:
    """Who it is, then the averages, the tax, the changes, and last what is by benchmark."""
    return ("." in key) + key.startswith(("tax.", "change.")) + 2 * ("/" in key)


def to_markdown(report: Mapping[str, Any], tables: Sequence[Table]) -> str:
    lines = [f"**{escape_markdown(report['headline'])}**", ""]
    lines += [escape_markdown(report["caveats"]), ""]
    if report["description"]:
        lines += [escape_markdown(report["description"]), ""]
    for table in tables:
        lines += [table_to_markdown(table)]
    failures = _failures(report)
    if failures:
        lines += ["## Training that failed", "", *(f"- {escape_markdown(f)}" for f in failures), ""]
    for title in ("methods", "limits"):
        lines += [
            f"## {title.title()}",
            "",
            *(f"- {escape_markdown(t)}" for t in report[title]),
            "",
        ]
    lines.pop()
    return "\n".join(lines) + "\n"


def table_to_markdown(table: Table) -> str:
    marks = ["---"] * table.left + ["---:"] * (len(table.header) - table.left)
    lines = [f"## {escape_markdown(table.title)}", "", escape_markdown(table.caption), ""]
    lines += [_markdown_row(table.header), f"|{'|'.join(marks)}|", *map(_markdown_row, table.rows)]
    return "\n".join(lines) + "\n"


def table_to_csv(table: Table) -> str:
    """Return a table's strings as CSV, texts safe in a spreadsheet."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([csv_cell(cell) for cell in row] for row in (table.header, *table.rows))
    return stream.getvalue()


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(escape_markdown, cells))} |"


def _failures(report: Mapping[str, Any]) -> list[str]:
    found = {}
    for row in report["rows"]:
        if row["status"] != "ok" and not row["seed"].startswith("mean"):
            epoch = "" if row["role"] != "aligned" else f" {row['checkpoint']}"
            name = f"{row['lrm']}: {model_name(row)}{epoch}, seed {row['seed']}"
            found[name] = f"{name}: {row['status_reason']}"
    return list(found.values())


def to_latex(report: Mapping[str, Any], tables: Sequence[Table]) -> str:
    r"""Return the tables for `\usepackage{booktabs}` and `\usepackage{graphicx}`."""
    blocks = [f"% {escape_latex(report['headline'])}"]
    blocks += map(table_to_latex, tables)
    return "\n\n".join(blocks) + "\n"


def table_to_latex(table: Table) -> str:
    columns = "l" * table.left + "r" * (len(table.header) - table.left)
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escape_latex(table.title)}. {escape_latex(table.caption)}}}",
            rf"\label{{tab:safety-tax-{table.key}}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            _latex_row(table.header),
            r"\midrule",
            *(_latex_row(row) for row in table.rows),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
        ]
    )


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(escape_latex, cells)) + r" \\"
