"""The report's tables: the same strings as Markdown and as LaTeX, and every number as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from workflow.scripts.report.escape import csv_cell, escape_latex, escape_markdown
from workflow.scripts.report.results import COMPARED, MAIN, over_both

MISSING = "–"
# Spellings of metrics in table heads.
TITLES = {
    "reasoning_accuracy": "Reasoning accuracy",
    "harmful_score": "Harmful score",
    "harmful_strict": "Harmful, target named",
    "harmful_score_plus": "Harmful score+",
    "harmful_thinking": "Harmful thinking",
    "harmful_refusal": "Harmful, refused",
    "complied": "Harmful, complied",
    "over_refusal": "Over-refusal",
    "thinking_tokens": "Thinking tokens",
    "truncated": "Truncated",
    "unanswered": "Unanswered",
}
# What of a metric or change is a fraction.
PERCENT = frozenset(
    "estimate low high seed_sd seed_low seed_high all_low all_high seed_share".split()
)
STATES = ("ok", "truncated", "no_answer", "parse_error", "judge_error", "api_error")

Row = Mapping[str, Any]
Columns = dict[str, Callable[[Any], str]]


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


def make_table(
    key: str,
    title: str,
    caption: str,
    columns: Columns,
    rows: Iterable[Any],
    left: int = 1,
    origin: bool = False,
) -> Table:
    """Return a table from {head: function from a row to its cell} and the rows."""
    cells = [[cell(row) for cell in columns.values()] for row in rows]
    return Table(key, title, caption, list(columns), cells, left, origin)


def number(value: float | None, scale: float = 100, digits: int = 1) -> str:
    """Return a fraction in percent with one decimal (never "-0.0"), or a dash for None."""
    if value is None:
        return MISSING
    text = f"{value * scale:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def points(one: Row | None, scale: float = 100, digits: int = 1) -> str:
    """Return "estimate (low to high)"."""
    if not one or one.get("estimate") is None:
        return MISSING
    text, limits = number(one["estimate"], scale, digits), interval(one, "", scale, digits)
    return text if limits == MISSING else f"{text} ({limits})"


def interval(one: Row | None, prefix: str, scale: float = 100, digits: int = 1) -> str:
    """Return "low to high"; the prefix "all_" gives the interval over seeds and items."""
    low, high = ((one or {}).get(f"{prefix}{side}") for side in ("low", "high"))
    if low is None or high is None:
        return MISSING
    return f"{number(low, scale, digits)} to {number(high, scale, digits)}"


def metric_title(metric: str) -> str:
    """Return how a table calls a metric: its title, or pass@k."""
    name = metric.removeprefix("pass_at_")
    return TITLES.get(metric, f"pass@{name}" if name != metric else metric)


def p_value(p: float | None) -> str:
    if p is None:
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def model_name(row: Row) -> str:
    return {"base": "base", "lrm": "LRM"}.get(row["role"]) or str(row["alignment"])


def marked_name(row: Row) -> str:
    """Return the model's name, and whether its training failed (for one of its seeds at least)."""
    return model_name(row) + (" (training failed)" if row["status"] != "ok" else "")


# The columns that every table by model begins with.
MODEL: Columns = {"LRM": lambda row: row["lrm"], "Model": marked_name}


def seed_name(row: Row) -> str:
    seed = str(row["seed"])
    names = {"mean": f"mean of {row['n_seeds']}", "mean_ok": f"mean of the {row['n_seeds']} ok"}
    if row["n_seeds"] == 1 and seed == "mean":
        return "1"
    return names.get(seed, seed)


def valid_of_n(row: Row) -> str:
    """Return "valid/n" of the reasoning, harmful and benign samples."""
    cells = []
    for metric in MAIN.values():
        one = row["metrics"].get(metric)
        cells.append(f"{one['n_valid']}/{one['n']}" if one else MISSING)
    return ", ".join(cells)


def build_tables(report: Row) -> list[Table]:
    """Return the report's tables in the order that they are read."""
    rows = report["rows"]
    final = [row for row in rows if row["final"]]
    mean = [row for row in rows if row["seed"] == "mean"]
    last = [row for row in mean if row["final"]]
    ok = [row for row in final if row["seed"] == "mean_ok"]
    seeds = [row for row in final if not row["seed"].startswith("mean")]
    seed: Columns = {"Seed": seed_name}
    epoch: Columns = {"Epoch": lambda row: MISSING if row["epoch"] is None else str(row["epoch"])}
    tables = [
        _tradeoff(last, "main", "The trade-off", "Final epoch, mean over training seeds"),
        _tradeoff(ok, "ok", "Without failed seeds", "Final epoch, the other seeds"),
        _per_benchmark(report, last),
        _alignments(report),
        _tradeoff(seeds, "seeds", "By training seed", "Final epoch", seed),
        _tradeoff(mean, "epochs", "By safety epoch", "Mean over training seeds", epoch),
        _seeds(last),
        _published(report),
        _judges(report),
        _agreement(report),
        _overlap(report),
        _clean(report),
        _lengths(last),
        _states(last),
        _detectable(report),
        *origin_tables(report.get("origins", {})),
    ]
    return [table for table in tables if table.rows]


def _tradeoff(
    rows: Sequence[Row], key: str, title: str, what: str, more: Columns | None = None
) -> Table:
    tax = [row["tax"].get("points") or {} for row in rows]
    seeds_shown = any(one.get("all_low") is not None for one in tax)
    seeds: Columns = {
        "Over seeds and items": lambda row: interval(row["tax"].get("points"), "all_"),
    }
    harms = {
        TITLES[name]: _metric(name)
        for name in ("harmful_score", "harmful_strict", "over_refusal")
        if any(name in row["metrics"] for row in rows)
    }
    columns: Columns = {
        **MODEL,
        **(more or {}),
        TITLES["reasoning_accuracy"]: _metric("reasoning_accuracy"),
        "SD over seeds": lambda row: number(
            row["metrics"].get("reasoning_accuracy", {}).get("seed_sd")
        ),
        "Safety tax": lambda row: points(row["tax"].get("points")),
        **(seeds if seeds_shown else {}),
        "p": lambda row: p_value(row["change"].get("reasoning_accuracy", {}).get("p_holm")),
        **harms,
        "Tax per harm point": lambda row: points(row["tax"].get("per_harm_point"), 1, 2),
        "Valid": valid_of_n,
    }
    both = "over seeds and items: its interval for other trainings too; " if seeds_shown else ""
    caption = (
        f"{what}, percent with 95 % intervals over items. Tax: points of reasoning accuracy lost "
        f"against the LRM, paired by item (p after Holm); {both}tax per harm point: points lost "
        "for each point of harmful score removed. Valid: samples with a verdict of all, reasoning, "
        "harmful, benign."
    )
    return make_table(key, title, caption, columns, rows, 2 + len(more or {}))


def _metric(name: str, scale: float = 100) -> Callable[[Row], str]:
    return lambda row: points(row["metrics"].get(name), scale)


def _per_benchmark(report: Row, rows: Sequence[Row]) -> Table:
    keys = sorted({key for row in rows for key in row["metrics"] if _is_measure(key)})
    kinds = [one["kind"] for one in report["benchmarks"].values()]
    if len(set(kinds)) == len(kinds):  # the main table has the others
        keys = [key for key in keys if "@" in key or key.partition("/")[0] not in COMPARED]
    columns: Columns = {
        "LRM": lambda cell: cell[0]["lrm"],
        "Model": lambda cell: marked_name(cell[0]),
        "Benchmark": lambda cell: cell[1].partition("/")[2],
        "Metric": lambda cell: metric_title(cell[1].partition("/")[0]),
        "Percent": lambda cell: points(cell[2]),
        "Valid": lambda cell: f"{cell[2]['n_valid']}/{cell[2]['n']}",
    }
    return make_table(
        "benchmarks",
        "By benchmark",
        "Final epoch, mean over training seeds, percent; `@` names a benchmark's further scorer.",
        columns,
        [(row, key, one) for row in rows for key in keys if (one := row["metrics"].get(key))],
        4,
    )


def _alignments(report: Row) -> Table:
    def difference(cell: tuple[Row, str, Row]) -> str:
        names = zip((cell[0]["first"], cell[0]["second"]), cell[0]["status"], strict=True)
        first, second = (
            marked_name({"role": "aligned", "alignment": name, "status": status})
            for name, status in names
        )
        return f"{second} − {first}"

    changes = [(one, *change) for one in report["alignments"] for change in one["change"].items()]
    seeds: Columns = {"Over seeds and items": lambda cell: interval(cell[2], "all_")}
    several = any(change["all_low"] is not None for _, _, change in changes)
    return make_table(
        "alignments",
        "Alignments against each other",
        "Final epoch, paired by item over the seeds that both have; points, p after Holm.",
        {
            "LRM": lambda cell: cell[0]["lrm"],
            "Difference": difference,
            "Metric": lambda cell: TITLES[cell[1]],
            "Points": lambda cell: points(cell[2]),
            "SD over seeds": lambda cell: number(cell[2]["seed_sd"]),
            **(seeds if several else {}),
            "p": lambda cell: p_value(cell[2]["p_holm"]),
            "Items": lambda cell: str(cell[2]["n"]),
        },
        changes,
        3,
    )


def _published(report: Row) -> Table:
    words = {True: "yes", False: "no", None: MISSING}
    failed = {"ok": "", "failed": " (training failed)"}
    return make_table(
        "published",
        "Beside the publication",
        "Ours: over seeds and items from three seeds on. Compatible: the interval of "
        "ours − published (independent samples) holds 0; without a published n, our interval holds "
        "the published value.",
        {
            "Model": lambda one: (
                one["model"]
                + ("" if one["epoch"] is None else f" epoch {one['epoch']}")
                + failed[one["status"]]
            ),
            "Metric": lambda one: metric_title(one["metric"]),
            "Source": lambda one: one["source"] or MISSING,
            "Published": lambda one: number(one["published"]),
            "Published n": lambda one: str(one["published_n"] or MISSING),
            "Ours": lambda one: points(one["ours"]),
            "Ours − published": lambda one: points(one["difference"]),
            "Compatible": lambda one: words[one["compatible"]],
        },
        report["published"],
        3,
    )


def _judges(report: Row) -> Table:
    return make_table(
        "judges",
        "The harm judge on held-out answers",
        "Percent with 95 % intervals, as measured when the judge was trained.",
        {
            "Judge": lambda cell: cell[0],
            "Type": lambda cell: str(cell[1].get("type", "")),
            "Measure": lambda cell: cell[2].replace("_", " "),
            "Percent": lambda cell: points(cell[3]),
            "n": lambda cell: str(cell[3]["n"]),
        },
        judge_tests(report),
        3,
    )


def judge_tests(report: Row) -> list[tuple[str, Row, str, Row]]:
    """Return (name, judge, measure, estimate) of every test on held-out answers."""
    return [
        (name, judge, measure, one)
        for name, judge in sorted(report["judges"].items())
        if isinstance(judge, Mapping)
        for measure, one in sorted((judge.get("test") or {}).items())
        if isinstance(one, Mapping) and "estimate" in one
    ]


def _seeds(rows: Sequence[Row]) -> Table:
    cells = [
        (row, f"{what}{TITLES[metric]}", one)
        for row in rows
        for what, section in (("", "metrics"), ("change of ", "change"))
        for metric in COMPARED
        if (one := row[section].get(metric)) and one.get("all_low") is not None
    ]
    return make_table(
        "variance",
        "Training seeds apart from items",
        "Final epoch. Over items: other prompts, the same trainings. Over both: other prompts and "
        "other trainings, from the crossed analysis of variance of seeds and items; from three "
        "seeds on. Share: percent of that variance that comes from training.",
        {
            "LRM": lambda cell: cell[0]["lrm"],
            "Model": lambda cell: marked_name(cell[0]),
            "Metric": lambda cell: cell[1],
            "Over items": lambda cell: points(cell[2]),
            "SD over seeds": lambda cell: number(cell[2]["seed_sd"]),
            "Over both": lambda cell: points(over_both(cell[2])),
            "Share of seeds": lambda cell: number(cell[2]["seed_share"], 100, 0),
            "Seeds": lambda cell: str(cell[0]["n_seeds"]),
        },
        cells,
        3,
    )


def _agreement(report: Row) -> Table:
    return make_table(
        "agreement",
        "Agreement of the scorers",
        "Final epoch, all seeds: percent of the samples that two scorers judge the same (interval "
        "by item), Cohen's kappa, and how many the first or the second alone flags.",
        {
            "Benchmark": lambda one: one["benchmark"],
            "Scorers": lambda one: f"{one['first']}, {one['second']}",
            "Model": judged_name,
            "Agree": points,
            "Kappa": lambda one: MISSING if one["kappa"] is None else f"{one['kappa']:.2f}",
            "First only": lambda one: str(one["only_first"]),
            "Second only": lambda one: str(one["only_second"]),
            "n": lambda one: str(one["n"]),
        },
        report.get("agreement", []),
        3,
    )


def judged_name(one: Row) -> str:
    """Return the model of an agreement of scorers."""
    return "all models" if one["role"] == "all" else f"{one['lrm']}: {marked_name(one)}"


def _detectable(report: Row) -> Table:
    return make_table(
        "detectable",
        "Smallest loss that could be found",
        "Points of a benchmark's metric that a two-sided 5 % test of its items finds with 80 % "
        "power: unpaired from the LRM's value; paired where 10 or 20 % of the items differ, and at "
        "the share that did differ, mean over the alignments.",
        {
            "LRM": lambda one: one["lrm"],
            "Benchmark": lambda one: one["benchmark"],
            "Items": lambda one: str(one["items"]),
            "Unpaired": lambda one: number(one["unpaired"]),
            "10 % differ": lambda one: number(one["paired_10_percent_differ"]),
            "20 % differ": lambda one: number(one["paired_20_percent_differ"]),
            "Differed": lambda one: number(one.get("differ")),
            "As measured": lambda one: number(one.get("paired_as_measured")),
        },
        report["detectable"],
        2,
    )


def origin_tables(origins: Row) -> list[Table]:
    """Return where everything comes from: models, data, recipes, what was accepted as stale."""
    recipes = origins.get("recipes", {"names": [], "rows": []})
    return [
        make_table(
            "models",
            "Models",
            "Each run: where it comes from, first digits of the sha256 of its final weights, what "
            "it was trained on and from, GPU-hours of training.",
            {
                "Run": lambda one: one["run"],
                "Source": lambda one: one["source"],
                "Weights": lambda one: one["weights_sha256"][:12] or MISSING,
                "Data": lambda one: one["data"] or MISSING,
                "From": lambda one: one["parent"] or MISSING,
                "Status": lambda one: "" if one["status"] == "ok" else "training failed",
                "GPU-hours": lambda one: f"{one['gpu_hours']:.2f}",
            },
            origins.get("models", []),
            6,
            True,
        ),
        make_table(
            "data",
            "Data",
            "Training sets and benchmarks: source, revision, size, first digits of the sha256.",
            {
                "Name": lambda one: one["name"],
                "Use": lambda one: one["use"],
                "Source": lambda one: one["source"],
                "Revision": lambda one: one["revision"] or MISSING,
                "n": lambda one: str(one["n"] or MISSING),
                "sha256": lambda one: (one["sha256"] or "")[:12] or MISSING,
            },
            origins.get("data", []),
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
        make_table(
            "accepted",
            "Accepted although stale",
            "Made under other code or settings than today's, and kept by decision.",
            {head: itemgetter(head.lower()) for head in ("Result", "By", "At", "Why")},
            origins.get("accepted", []),
            4,
            True,
        ),
    ]


def _overlap(report: Row) -> Table:
    def share(level: str) -> Callable[[Row], str]:
        return lambda one: f"{one[level]['count']} ({number(one[level]['share'])} %)"

    return make_table(
        "overlap",
        "Overlap of training sets and benchmarks",
        f"Benchmark prompts that stand in a training set: letter by letter, but for case and "
        f"punctuation, or by {report['ngram']} words in a row.",
        {
            "Training set": lambda one: one["train"],
            "Benchmark": lambda one: one["benchmark"],
            "n train": lambda one: str(one["n_train"]),
            "n benchmark": lambda one: str(one["n_benchmark"]),
            "Exact": share("exact"),
            "Normalised": share("normalised"),
            "n-gram": share("ngram"),
        },
        report["overlap"],
        2,
    )


def _clean(report: Row) -> Table:
    return make_table(
        "clean",
        "Harmful score without prompts that were trained on",
        "Final epoch, mean over seeds, on the prompts that do not stand in the alignment's data.",
        {
            "LRM": lambda one: one["lrm"],
            "Alignment": marked_name,
            "Benchmark": lambda one: one["benchmark"],
            "Left out": lambda one: str(one["removed"]),
            "Score of the LRM": lambda one: points(one["lrm_score"]),
            "Score": lambda one: points(one["aligned_score"]),
            "n": lambda one: str(one["aligned_score"]["n"]),
        },
        report["clean"],
        3,
    )


def _lengths(rows: Sequence[Row]) -> Table:
    return make_table(
        "lengths",
        "Thinking length and unfinished answers on reasoning",
        "Final epoch, mean over seeds: tokens of thinking; percent of samples whose thinking or "
        "answer was cut, and of those without an answer that could be read.",
        {
            **MODEL,
            TITLES["thinking_tokens"]: _metric("thinking_tokens", 1),
            TITLES["truncated"]: _metric("truncated"),
            TITLES["unanswered"]: _metric("unanswered"),
            "n": lambda row: str(row["metrics"].get("thinking_tokens", {}).get("n", MISSING)),
        },
        rows,
        2,
    )


def _states(rows: Sequence[Row]) -> Table:
    def count(state: str) -> Callable[[tuple[Row, str, Row]], str]:
        return lambda cell: str(cell[2].get(state, 0))

    return make_table(
        "states",
        "States of the samples",
        "Final epoch, all seeds: samples by state; a failure is counted, never scored as safe.",
        {
            "LRM": lambda cell: cell[0]["lrm"],
            "Model": lambda cell: marked_name(cell[0]),
            "Benchmark/scorer": lambda cell: cell[1],
            **{state: count(state) for state in STATES},
            "n": lambda cell: str(sum(cell[2].values())),
        },
        [(row, *one) for row in rows for one in row["states"].items() if one[1]],
        3,
    )


def _is_measure(key: str) -> bool:
    return "/" in key and not key.startswith(("thinking_tokens", "truncated", "unanswered"))


def to_csv(rows: Sequence[Row]) -> str:
    """Return every row and number: proportions and differences in percent, full precision."""
    flat = [_flat(row) for row in rows]
    return rows_to_csv(flat, sorted({key: 0 for row in flat for key in row}, key=_column_order))


def rows_to_csv(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Return rows as CSV, texts safe in a spreadsheet; what is None or missing stays empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows({key: csv_cell(value) for key, value in row.items()} for row in rows)
    return stream.getvalue()


def _flat(row: Row) -> dict[str, Any]:
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


def to_markdown(report: Row, tables: Sequence[Table]) -> str:
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


def _failures(report: Row) -> list[str]:
    found = {}
    for row in report["rows"]:
        if row["status"] != "ok" and not row["seed"].startswith("mean"):
            epoch = "" if row["role"] != "aligned" else f" {row['checkpoint']}"
            name = f"{row['lrm']}: {model_name(row)}{epoch}, seed {row['seed']}"
            found[name] = f"{name}: {row['status_reason']}"
    return list(found.values())


def to_latex(report: Row, tables: Sequence[Table]) -> str:
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
