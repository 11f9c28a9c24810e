"""The figures: all of them, their numbers beside them, the same bytes each time."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workflow.scripts.report.build_report import read_report
from workflow.scripts.report.draw_figures import draw_figures
from workflow.scripts.report.figures import frontier, plane, points, style
from workflow.scripts.report.figures.registry import FIGURES


@pytest.fixture(scope="module")
def report(
    tmp_path_factory: pytest.TempPathFactory,
    experiment: dict[str, Any],
    score_files: list[Path],
    build: Any,
) -> Path:
    categories = {"harm": {f"harm-{k:04d}": f"category_{k % 14}" for k in range(84)}}
    one = {"estimate": 0.9, "low": 0.85, "high": 0.93, "n": 200}
    judges = {"ngram": {"type": "ngram", "test": {"flag_accuracy": one}}}
    built = build(experiment, score_files, categories=categories, judges=judges)
    path = tmp_path_factory.mktemp("report") / "tradeoff.json"
    path.write_text(json.dumps(built))
    return path


@pytest.fixture(scope="module")
def folder(report: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("figures")
    draw_figures(read_report(report), folder)
    return folder


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_every_figure_has_an_image_in_both_formats_and_its_numbers(folder: Path) -> None:
    for name in FIGURES:
        assert (folder / f"{name}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        svg = (folder / f"{name}.svg").read_text()
        assert "</svg>" in svg and "<dc:date>" not in svg
        assert read(folder / f"{name}.csv") or name == "durability"  # nothing is attacked here


def test_epochs_start_at_the_lrm(folder: Path, report: Path) -> None:
    points = read(folder / "epochs.csv")
    lrm = next(
        row
        for row in json.loads(report.read_text())["rows"]
        if row["role"] == "lrm" and row["seed"] == "mean"
    )
    for alignment in ("refuse", "reason"):
        for metric in ("reasoning_accuracy", "harmful_score"):
            mine = [
                p
                for p in points
                if (p["alignment"], p["metric"], p["seed"]) == (alignment, metric, "mean")
            ]
            assert [p["epoch"] for p in mine] == ["0", "1", "2", "3", "4", "5"]
            assert float(mine[0]["percent"]) == lrm["metrics"][metric]["estimate"] * 100


def test_categories_are_all_fourteen_for_every_model(folder: Path) -> None:
    points = read(folder / "categories.csv")
    assert len({p["category"] for p in points}) == 14
    assert len(points) == 14 * 4


@pytest.mark.slow
def test_figures_are_the_same_bytes_in_another_process(
    folder: Path, report: Path, tmp_path: Path, root: Path
) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from workflow.scripts.report.build_report import read_report\n"
        "from workflow.scripts.report.draw_figures import draw_figures\n"
        "draw_figures(read_report(sys.argv[1]), Path(sys.argv[2]))"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(report), str(tmp_path)],
        cwd=root,
        env={**os.environ, "PYTHONHASHSEED": "3"},
        check=True,
    )
    for path in sorted(folder.iterdir()):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_an_experiment_without_harm_or_epochs_is_still_drawn(
    tmp_path: Path, experiment: dict[str, Any], make_score: Any, build: Any
) -> None:
    verdicts = [
        {"item_id": f"q{k}", "repeat": 0, "state": "ok", "valid": True, "correct": True}
        for k in range(5)
    ]
    file = make_score(tmp_path, "lrm/tiny/hub", "sums", "reasoning", {"final": verdicts})
    draw_figures(build(experiment, [file]), tmp_path)
    assert all((tmp_path / f"{name}.png").stat().st_size > 1000 for name in FIGURES)


def test_length_and_effect_stand_side_by_side_for_every_model_and_epoch(
    folder: Path, report: Path
) -> None:
    points = read(folder / "length_effect.csv")
    assert len(points) == 2 * 12  # metrics; base, LRM, two alignments with five epochs
    row = next(
        row
        for row in json.loads(report.read_text())["rows"]
        if (row["alignment"], row["epoch"], row["seed"]) == ("refuse", 5, "mean")
    )
    point = next(
        p
        for p in points
        if (p["model"], p["epoch"], p["metric"]) == ("refuse", "5", "harmful_score")
    )
    assert float(point["percent"]) == row["metrics"]["harmful_score"]["estimate"] * 100
    assert float(point["tokens"]) == row["metrics"]["thinking_tokens/harm"]["estimate"]


def test_more_than_eight_alignments_are_still_told_apart() -> None:
    rows = [{"role": "aligned", "alignment": f"m{k}"} for k in range(30)]
    styles = style.style_of({"rows": rows})
    assert len(set(styles.values())) == len(styles)


def test_series_of_a_figure_are_told_apart_however_many() -> None:
    assert len({style.series_style(k) for k in range(60)}) == 60


def test_bands_are_over_seeds_and_items_and_missing_limits_stay_missing(
    folder: Path, report: Path
) -> None:
    rows = json.loads(report.read_text())["rows"]
    row = next(r for r in rows if (r["alignment"], r["epoch"], r["seed"]) == ("refuse", 5, "mean"))
    accuracy = row["metrics"]["reasoning_accuracy"]
    for name, metric in (("epochs", "reasoning_accuracy"), ("plane", None)):
        point = next(
            p
            for p in read(folder / f"{name}.csv")
            if (p.get("metric"), p["seed"]) == (metric, "mean")
            and "refuse" in (p.get("alignment"), p.get("model"))
            and p.get("epoch", "5") == "5"
        )
        found = float(point["low"]), float(point["high"])
        assert found == pytest.approx((100 * accuracy["all_low"], 100 * accuracy["all_high"]))
    unknown = {"truncated": {"estimate": 0.5, "low": None, "high": None}}
    assert points.percent(unknown, "truncated") == (50.0, None, None)


ABSENT = ("judges", "durability")  # of which the figures below have nothing to show


def texts(figure: Any) -> str:
    import matplotlib.text

    found = [one.get_text() for one in figure.findobj(matplotlib.text.Text)]
    return "\n".join(found).replace("\xa0", " ")


@pytest.fixture(scope="module")
def drawn(
    tmp_path_factory: pytest.TempPathFactory,
    experiment: dict[str, Any],
    make_scores: Any,
    build: Any,
) -> dict[str, Any]:
    """Figures of an experiment in which the training of one seed failed."""
    files = make_scores(tmp_path_factory.mktemp("f"), failed=("aligned/tiny/refuse/seed2",))
    categories = {"harm": {f"harm-{k:04d}": f"category_{k % 14}" for k in range(84)}}
    report = build(experiment, files, categories=categories)
    return {name: module.draw(report)[0] for name, module in FIGURES.items()}


def test_every_figure_says_how_many_items_and_seeds_it_rests_on(drawn: dict[str, Any]) -> None:
    for name, figure in drawn.items():
        if name not in ABSENT:
            assert "2 training seeds" in texts(figure), name
    assert "n = 120 sums, 84 harm, 50 kind; " in texts(drawn["epochs"])
    assert "95 % intervals over seeds and items" in texts(drawn["plane"])
    assert "95 % intervals over items" in texts(drawn["thinking_length"])
    assert "6 prompts a category" in texts(drawn["categories"])
    assert "Harmful score on harm (%)" in texts(drawn["categories"])


def test_the_name_of_a_long_benchmark_stays_on_the_figure(report: Path) -> None:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    told = json.loads(report.read_text())
    for one in told["categories"]:
        one["benchmark"] = "Harmful requests of strangers, revised"
    with matplotlib.rc_context(style.STYLE):
        figure, _ = FIGURES["categories"].draw(told)
        FigureCanvasAgg(figure).draw()
        (label,) = {axis.xaxis.label for axis in figure.axes if axis.xaxis.label.get_text()}
        box = label.get_window_extent()
    assert "revised" in label.get_text()
    assert 0 <= box.x0 and box.x1 <= figure.bbox.width


def test_failed_training_is_marked_in_every_figure(drawn: dict[str, Any]) -> None:
    for name, figure in drawn.items():
        if name not in ABSENT:
            text = " ".join(texts(figure).split())
            assert "refuse (training failed)" in text and "reason (training" not in text, name


def test_the_frontier_stands_last_in_the_legend(drawn: dict[str, Any]) -> None:
    names = [text.get_text() for text in drawn["plane"].legends[0].get_texts()]
    assert names == ["base", "LRM", "refuse (training failed)", "reason", "frontier"]


def test_the_frontiers_legend_has_the_share_of_each_method(drawn: dict[str, Any]) -> None:
    names = [text.get_text() for text in drawn["frontier"].legends[0].get_texts()]
    assert len(names) == 3 and all(re.fullmatch(r".+, \d+ %", name) for name in names)


def test_of_several_lrms_each_has_its_share_in_the_legend(report: Path) -> None:
    built = json.loads(report.read_text())
    (one,) = built["frontier"]
    built["frontier"].append({**one, "lrm": "other", "methods": one["methods"][:-1]})
    figure, _ = frontier.draw(built)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(figure.axes) == 4 and len(names) == 3
    assert all(re.fullmatch(r".+, (\d+) / \1 %", name) for name in names[:-1])
    assert re.fullmatch(r".+, \d+ / – %", names[-1])


def test_over_refusal_is_drawn_where_harm_was_not_measured(report: Path) -> None:
    built = json.loads(report.read_text())
    for row in built["rows"]:
        del row["metrics"]["harmful_score"]
    figure, drawn = plane.draw(built)
    (axis,) = figure.axes
    assert axis.get_xlabel() == "Over-refusal (%), lower is more helpful"
    assert drawn and all("harmful_score" not in point for point in drawn)
    assert {"over_refusal", "accuracy_n"} <= drawn[0].keys()


def test_a_model_that_failed_on_one_lrm_has_one_name_that_says_which() -> None:
    same = {"role": "aligned", "alignment": "refuse", "seed": "mean"}
    rows = [{**same, "lrm": "big", "status": "failed"}, {**same, "lrm": "small", "status": "ok"}]
    names = style.shown_names({"rows": rows})
    assert names["refuse"] == "refuse (training failed: big)"


def test_listing_the_figures_imports_neither_matplotlib_nor_pandas(root: Path) -> None:
    script = (
        "import sys; from workflow.scripts.report.figures.registry import FIGURES\n"
        "assert all(one.CAPTION and callable(one.draw) for one in FIGURES.values())\n"
        "print(sorted({'matplotlib', 'pandas', 'scipy', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
