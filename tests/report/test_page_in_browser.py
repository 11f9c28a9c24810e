"""The page in a real Chromium, from disk and offline: 1,000 prompts by 12 models.

Needs Chromium, the package playwright that drives it, and axe-playwright-python (it carries axe).
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from workflow.scripts.common.io import write_json
from workflow.scripts.report.build_report import build_report
from workflow.scripts.report.draw_figures import draw_figures
from workflow.scripts.report.figures.registry import FIGURES, title_of
from workflow.scripts.report.make_page import write_page
from workflow.scripts.report.render import write_tables
from workflow.scripts.report.tables.registry import build_tables

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ALIGNMENTS = [f"method-{k}-with-a-rather-long-name" for k in range(10)]
KINDS = {"sums": "reasoning", "harm": "harmful", "kind": "benign"}
ITEMS = {"sums": 1000, "harm": 1000, "kind": 100}
FIELD = {"reasoning": "correct", "harmful": "harmful", "benign": "refused"}
EXPERIMENT: dict[str, Any] = {
    "description": "made-up scores of twelve models",
    "seeds": [1],
    "bases": {"tiny": {}},
    "lrms": {"tiny": {"base": "tiny"}},
    "alignments": {name: {"data": "refusals"} for name in ALIGNMENTS},
    "benchmarks": {name: {"kind": kind, "scorers": ["rules"]} for name, kind in KINDS.items()},
    "report": {
        "transcripts": True,
        "single_file": 10,
        "published": [
            {"model": f"aligned/tiny/{ALIGNMENTS[9]}", "metric": "harmful_score", "value": 12.5}
        ],
    },
}
EXPERIMENT["alignments"][ALIGNMENTS[9]]["title"] = "The ninth"
EXPERIMENT["benchmarks"]["kind"]["title"] = "Benign requests"
# What a hostile model could write: markup, a right-to-left mark, a terminal code.
EVIL = "<img src=x onerror=document.title='owned'> \u202egnp.exe \x1b[31mred"
LIMIT_MS = 1000

pytestmark = pytest.mark.slow


def rate(model: int, kind: str) -> float:
    share = {"reasoning": 0.9 - 0.05 * model, "harmful": 0.6 - 0.05 * model, "benign": 0.02 * model}
    return share[kind]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, make_score: Any, inputs: Any) -> Path:
    """A page of base, LRM and ten alignments; test data, no model wrote any of it."""
    place = tmp_path_factory.mktemp("large")
    runs = ["base/tiny/seed1", "lrm/tiny/seed1"]
    runs += [f"aligned/tiny/{name}/seed1" for name in ALIGNMENTS]
    scores = []
    for model, run in enumerate(runs):
        for benchmark, kind in KINDS.items():
            draw = random.Random(f"{model} {benchmark}")
            verdicts = []
            for item in range(ITEMS[benchmark]):
                hit = draw.random() < rate(model, kind)
                fields = {FIELD[kind]: hit} | ({"refused": not hit} if kind == "harmful" else {})
                name = f"{benchmark}-{item:04d}"
                verdicts.append(
                    {"item_id": name, "repeat": 0, "state": "ok", "valid": True, **fields}
                )
            scores.append(make_score(place, run, benchmark, kind, {"final": verdicts}))
            out = place / "generate" / run / benchmark
            out.mkdir(parents=True)
            with open(out / "samples.jsonl", "w") as file:
                for item, verdict in enumerate(verdicts):
                    long = "x" * 1_000_000 if (run, item) == ("lrm/tiny/seed1", 7) else ""
                    sample = {
                        **{key: verdict[key] for key in ("item_id", "repeat", "state")},
                        "checkpoint": "final",
                        "prompt": f"question {benchmark} {item}: " + "what is it " * 12,
                        "target": "4" if benchmark == "sums" else f"aim of {item}",
                        "category": f"kind {item % 14}",
                        "thinking": f"thought {run} {item} " + "step by step " * 40,
                        "answer": f"{EVIL if item == 3 else ''}answer {run} {item} "
                        + "and so on " * 20
                        + long,
                        "thinking_tokens": 90,
                        "answer_tokens": 40,
                    }
                    file.write(json.dumps(sample) + "\n")
            manifest = {"format": 1, "run": run, "benchmark": benchmark}
            (out / "manifest.json").write_text(json.dumps(manifest))
    out = place / "report"
    given = inputs(EXPERIMENT, scores, place, transcripts=True)
    report = build_report(given)
    write_json(out / "tradeoff.json", report)
    draw_figures(report, out)
    write_tables(build_tables(report), out)
    write_page(report, given, out)
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any, folder: Path) -> Iterator[Any]:
    """Return a function that opens the page offline; it fails on a request or a console error."""
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(120_000)
    troubles: list[str] = []

    def start(
        where: str = "",
        width: int = 1280,
        scheme: str = "light",
        file: Path | None = None,
        height: int = 900,
    ) -> Any:
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=scheme)
        page.on("console", lambda m: troubles.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on(
            "request",
            lambda r: None if r.url.startswith(("file:", "data:")) else troubles.append(r.url),
        )
        page.goto(f"{(file or folder / 'index.html').as_uri()}{where}")
        wait_for(page, "#found", " items")
        return page

    yield start
    context.close()
    assert troubles == []


def wait_for(page: Any, selector: str, text: str) -> None:
    # Not `wait_for_function`: it needs the eval that the page's policy forbids.
    page.locator(selector, has_text=text).wait_for(state="attached")


def number_found(page: Any) -> int:
    return int(re.findall(r"(\d+) of \d+ items; ", page.inner_text("#found"))[0])


# From a changed control until what it changed has been drawn.
CHOOSE = """async ([key, value, event]) => {
    const control = document.querySelector(`[data-key="${key}"]`);
    const drawn = new Promise((done) => addEventListener("hashchange",
        () => requestAnimationFrame(() => setTimeout(done)), { once: true }));
    const start = performance.now();
    control.value = value;
    control.dispatchEvent(new Event(event, { bubbles: true }));
    await drawn;
    return performance.now() - start;
}"""


def choose(page: Any, key: str, value: str, event: str = "change") -> float:
    """Set a control; return the milliseconds it took, the least of three on a busy machine."""
    took = [page.evaluate(CHOOSE, [key, value, event])]
    while min(took) >= LIMIT_MS / 2 and len(took) < 3:
        page.evaluate(CHOOSE, [key, "", event])
        took.append(page.evaluate(CHOOSE, [key, value, event]))
    return float(min(took))


def truth(folder: Path, benchmark: str, run: str) -> dict[str, bool]:
    path = folder.parent / "score" / run / benchmark / "rules" / "verdicts.jsonl"
    rows = map(json.loads, path.read_text().splitlines())
    return {row["item_id"]: row[FIELD[KINDS[benchmark]]] for row in rows}


def test_page_opens_from_disk_offline_without_a_request_or_an_error(
    open_page: Any, folder: Path
) -> None:
    page = open_page()
    assert page.title() == "Safety tax: made-up scores of twelve models"
    assert page.locator("#plane-plot .point").count() == 2 * 12
    # the made-up scores have no category and no judge, and no model is attacked
    shown = [name for name in FIGURES if name not in ("categories", "judges", "durability")]
    ids = [one.get_attribute("id") for one in page.locator("#figures figure").all()]
    assert ids == [f"figure-{name}" for name in shown]
    assert page.locator("#figures img").count() == len(shown)
    broken = "[...document.images].filter((i) => !i.complete || !i.naturalWidth).length"
    assert page.evaluate(broken) == 0
    assert (folder / "index.html").stat().st_size < 1_000_000


def test_filters_by_category_verdict_and_change_are_right_and_fast(
    open_page: Any, folder: Path
) -> None:
    page = open_page("#transcripts?benchmark=0")
    before = truth(folder, "sums", "lrm/tiny/seed1")
    after = truth(folder, "sums", f"aligned/tiny/{ALIGNMENTS[9]}/seed1")
    times = {"category": choose(page, "Category", "kind 3")}
    assert number_found(page) == sum(item % 14 == 3 for item in range(1000))
    choose(page, "Category", "")
    choose(page, "Model", ALIGNMENTS[9])
    times["verdict"] = choose(page, "Verdict", "no")
    assert number_found(page) == sum(not hit for hit in after.values())
    choose(page, "Verdict", "")
    options = page.locator('[data-key="Change from the LRM"] option').all_inner_texts()
    assert options == ["any", "newly wrong", "newly correct", "same"]
    times["newly wrong"] = choose(page, "Change from the LRM", "lost")
    assert number_found(page) == sum(before[item] and not after[item] for item in before)
    times["benchmark"] = choose(page, "Benchmark", "1")
    wait_for(page, "#found", "not harmful")
    options = page.locator('[data-key="Change from the LRM"] option').all_inner_texts()
    assert options[1:5] == [
        "newly harmful",
        "no longer harmful",
        "newly refused",
        "no longer refused",
    ]
    before = truth(folder, "harm", "lrm/tiny/seed1")
    after = truth(folder, "harm", f"aligned/tiny/{ALIGNMENTS[9]}/seed1")
    times["newly harmful"] = choose(page, "Change from the LRM", "gained")
    assert number_found(page) == sum(after[item] and not before[item] for item in before)
    times["newly refused"] = choose(page, "Change from the LRM", "refused")
    assert number_found(page) == sum(before[item] and not after[item] for item in before)
    assert max(times.values()) < LIMIT_MS, times


def test_items_are_ordered_by_how_many_models_have_the_verdict(open_page: Any) -> None:
    page = open_page("#transcripts?benchmark=sums&order=most")
    marks = page.locator("#items .marks").all_inner_texts()
    counts = [text.count("●") for text in marks]
    assert len(counts) == 100 and counts == sorted(counts, reverse=True) and counts[0] > counts[-1]


def test_search_of_all_text_is_right_and_fast(open_page: Any) -> None:
    page = open_page("#transcripts?benchmark=0")
    run = f"aligned/tiny/{ALIGNMENTS[4]}/seed1"
    first = choose(page, "search", f"ANSWER {run} 421 ", "input")
    assert number_found(page) == 1
    second = choose(page, "search", "no such words", "input")
    assert number_found(page) == 0
    assert max(first, second) < LIMIT_MS


def test_one_prompt_stands_side_by_side_and_a_click_reveals_harmful_text_fast(
    open_page: Any,
) -> None:
    page = open_page("#transcripts?benchmark=1")
    shown = """async () => {
        const drawn = new Promise((done) => addEventListener("hashchange",
            () => requestAnimationFrame(() => setTimeout(done)), { once: true }));
        const start = performance.now();
        document.querySelector('[data-key="item harm-0005"]').click();
        await drawn;
        return performance.now() - start;
    }"""
    side_by_side = page.evaluate(shown)
    assert page.locator("#sample article").count() == 12
    text = page.inner_text("#transcripts")
    assert not any(word in text for word in ("question", "aim of", "answer lrm"))
    reveal = """() => {
        const start = performance.now();
        document.querySelector("#sample article:nth-of-type(2) > button").click();
        document.body.offsetHeight;
        return performance.now() - start;
    }"""
    revealed = page.evaluate(reveal)
    text = page.inner_text("#transcripts")
    assert "answer lrm/tiny/seed1 5 " in text and "answer base" not in text
    assert max(side_by_side, revealed) < LIMIT_MS


def test_the_click_on_a_harmful_prompt_shows_its_target_too(open_page: Any) -> None:
    page = open_page("#transcripts?benchmark=harm&item=harm-0005")
    assert page.inner_text("#sample .item-head .caption") == "kind 5"
    page.locator("#sample > button", has_text="Show prompt").click()
    shown = page.inner_text("#sample > pre")
    assert shown.startswith("question harm 5:") and shown.endswith("target: aim of 5")
    other = open_page("#transcripts?benchmark=sums&item=sums-0005")
    assert other.inner_text("#sample .item-head .caption") == "kind 5 · target: 4"
    assert "target" not in other.inner_text("#sample > pre")


def test_links_carry_names_and_those_with_numbers_still_open(open_page: Any) -> None:
    page = open_page("#transcripts?benchmark=2&item=kind-0012")
    assert "kind-0012" in page.inner_text("#sample h3")
    link = page.locator("#sample h3 a").get_attribute("href")
    assert link == "#transcripts?benchmark=kind&lrm=tiny&seed=1&item=kind-0012"
    assert "kind-0012" in open_page(link).inner_text("#sample h3")
    for nowhere in ("gone", "7", "-1", "0.5"):
        page = open_page(f"#transcripts?benchmark={nowhere}")
        assert page.locator('[data-key="Benchmark"] option:checked').inner_text() == "sums"


def test_a_page_without_its_transcripts_folder_says_so(
    browser: Any, folder: Path, tmp_path: Path
) -> None:
    shutil.copy(folder / "index.html", tmp_path)
    page = browser.new_page()
    page.goto((tmp_path / "index.html").as_uri())
    wait_for(page, "#found", "missing")
    lost = "The folder transcripts/ that belongs beside this page is missing or not complete."
    assert page.inner_text("#found") == lost and page.inner_text("#sample") == ""
    (tmp_path / "transcripts").mkdir()
    shards = sorted((folder / "transcripts").glob("0-*.js"))
    assert len(shards) > 1
    shutil.copy(shards[0], tmp_path / "transcripts")
    page.reload()
    wait_for(page, "#found", " items")
    assert page.inner_text("#found").startswith(lost)
    assert 0 < int(page.inner_text("#found").removeprefix(lost).split(" of ")[0]) < 1000
    page.close()


def test_a_sample_has_a_link_that_leads_to_it_alone(open_page: Any) -> None:
    page = open_page("#transcripts?benchmark=sums&item=sums-0012")
    link = page.locator("#sample article").nth(3).locator("h4 a").get_attribute("href")
    other = open_page(link)
    chosen = other.locator("#sample .chosen")
    assert chosen.count() == 1 and ALIGNMENTS[1] in chosen.inner_text()
    visible = "(e) => { const r = e.getBoundingClientRect(); return r.top > -2 && r.top < 900; }"
    assert chosen.evaluate(visible)


def test_hostile_text_acts_on_nothing_and_a_megabyte_in_one_line_is_shown_in_part(
    open_page: Any,
) -> None:
    page = open_page("#transcripts?benchmark=0&item=sums-0003")
    shown = page.inner_text("#sample")
    assert "<img src=x" in shown and "⟨U+202E⟩gnp.exe ⟨U+001B⟩[31mred" in shown
    assert page.locator("#sample img").count() == 0 and page.title().startswith("Safety tax")
    page = open_page("#transcripts?benchmark=0&item=sums-0007")
    more = page.locator("#sample button", has_text="Show all 1,000")
    assert more.count() == 1 and len(page.inner_text("#sample")) < 60_000
    more.click()
    assert len(page.inner_text("#sample")) > 1_000_000
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_tables_sort_fast_by_number_and_missing_values_come_last(open_page: Any) -> None:
    page = open_page()
    sort = """(head) => {
        const start = performance.now();
        head.click();
        document.body.offsetHeight;
        return performance.now() - start;
    }"""
    table = page.locator("#tables table").first
    head = table.locator("th button", has_text="Safety tax")
    took = head.evaluate(sort)
    column = """(t) => { const k = [...t.tHead.rows[0].cells].findIndex((c) =>
        c.textContent.trim() === "Safety tax");
        return [...t.tBodies[0].rows].map((r) => r.cells[k].textContent.trim()); }"""
    texts = table.evaluate(column)
    values = [float(text.split()[0]) for text in texts if text != "–"]
    assert values == sorted(values) and len(values) == 10 and texts[-2:] == ["–", "–"]
    head.evaluate(sort)
    texts = table.evaluate(column)
    assert [float(text.split()[0]) for text in texts[:10]] == values[::-1] and texts[-1] == "–"
    assert took < LIMIT_MS
    assert table.locator("th[aria-sort=descending]").count() == 1


def test_everything_can_be_reached_and_used_with_the_keyboard(open_page: Any) -> None:
    page = open_page("#transcripts?benchmark=0")
    page.evaluate("document.body.tabIndex = -1, document.body.focus(), scrollTo(0, 0)")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#plane-plot .point").first.focus()
    assert "reasoning accuracy" in page.inner_text("#plane-detail")
    page.locator("#items button").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.locator("#sample article").nth(11).wait_for()
    # What was drawn anew keeps the focus.
    assert page.evaluate("document.activeElement.dataset.key") == "item sums-0001"
    page.locator('[data-key="search"]').focus()
    page.keyboard.type("question sums 77:")
    wait_for(page, "#found", "1 of 1000")
    assert page.evaluate("document.activeElement.value") == "question sums 77:"
    page.keyboard.press("!")
    wait_for(page, "#found", "0 of 1000")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious(open_page: Any, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = open_page("#transcripts?benchmark=1&item=harm-0003", width, scheme)
    page.locator("#sample article > button").first.click()
    page.locator("#sample details summary").first.click()
    found = axe.Axe().run(page).response["violations"]
    serious = [
        (one["id"], one["nodes"][0]["html"][:200])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_window_and_no_table_is_cut(
    open_page: Any, width: int, tmp_path: Path
) -> None:
    page = open_page("#transcripts?benchmark=0&item=sums-0003", width)
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cut = "all => all.filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.ariaLabel)"
    assert page.locator(".scroll").evaluate_all(cut) == []
    shots = os.environ.get("SAFETY_TAX_SCREENSHOTS")  # a folder, to look at the page by eye
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=f"{shots or tmp_path}/page{width}.png", full_page=True)


def test_headline_planes_models_and_guide_fill_the_first_screen(
    open_page: Any, folder: Path
) -> None:
    page = open_page("", height=800)
    bottom = "(e) => e.getBoundingClientRect().bottom"
    for part in (".headline", "#plane-plot", "#plane-models", ".guide"):
        assert 0 < page.locator(part).first.evaluate(bottom) <= 800, part
    assert page.locator(".guide").evaluate(bottom) > 700
    headline = page.inner_text(".headline")
    assert headline == json.loads((folder / "tradeoff.json").read_text())["headline"]
    assert "over-refusal" in headline
    heads = page.locator("#plane-models thead th").all_inner_texts()
    assert heads == ["Model", "Reasoning", "Harmful", "Over-refusal"]
    assert page.inner_text(".guide").count(". ") == 1  # two sentences


def test_numbers_beside_the_planes_are_those_of_the_table(open_page: Any) -> None:
    page = open_page()
    numbers = """(table, [name, columns]) => [...table.tBodies[0].rows].map((row) => columns.map(
        (k) => row.cells[k].firstChild.textContent.trim()))"""
    listed = page.locator("#plane-models table").evaluate(numbers, ["", [1, 2, 3]])
    heads = page.locator("#table-main thead th").all_inner_texts()
    names = ("Reasoning accuracy", "Harmful score", "Over-refusal")
    columns = [heads.index(name) for name in names]
    assert page.locator("#table-main table").evaluate(numbers, ["", columns]) == listed


def test_a_chosen_model_stands_out_and_titles_are_shown(open_page: Any) -> None:
    page = open_page()
    page.locator("#plane-models button", has_text="The ninth").click()
    assert page.inner_text("#plane-detail").startswith("The ninth, one seed: reasoning accuracy")
    bright = page.locator("#plane-plot g[data-model]:not(.dim)")
    assert bright.evaluate_all("all => all.map((g) => g.dataset.model)") == ["The ninth"] * 2
    options = page.locator('[data-key="Benchmark"] option').all_inner_texts()
    assert options == ["sums", "harm", "Benign requests"]


def test_the_frontier_follows_what_is_drawn(browser: Any, folder: Path, tmp_path: Path) -> None:
    report = json.loads((folder / "tradeoff.json").read_text())
    last = next(row for row in report["rows"] if row["alignment"] == ALIGNMENTS[0])
    for seed in ("1", "mean"):  # an epoch that was safe and lost nothing
        row = json.loads(json.dumps(last)) | {"epoch": 1, "final": False, "seed": seed}
        row["metrics"]["harmful_score"] |= {"estimate": 0.0, "low": 0.0, "high": 0.1}
        row["metrics"]["reasoning_accuracy"] |= {"estimate": 1.0, "low": 0.9, "high": 1.0}
        report["rows"].append(row)
    write_page(report, None, tmp_path)
    page = browser.new_page()
    page.goto((tmp_path / "index.html").as_uri())
    assert page.locator("#plane-plot .frontier").count() == 1
    page.locator('[data-key="each epoch"]').check()
    assert page.locator("#plane-plot .point").count() == 2 * 13
    assert page.locator("#plane-plot .frontier").count() == 0  # the new point alone
    page.close()


def test_over_refusal_has_its_plane_where_harm_was_not_measured(
    browser: Any, folder: Path, tmp_path: Path
) -> None:
    report = json.loads((folder / "tradeoff.json").read_text())
    for row in report["rows"]:
        del row["metrics"]["harmful_score"]
    write_page(report, None, tmp_path)
    page, errors = browser.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((tmp_path / "index.html").as_uri())
    assert page.locator("#plane-plot svg").count() == 1
    assert page.locator("#plane-plot .point").count() == 12
    heads = page.locator("#plane-models thead th").all_inner_texts()
    assert heads == ["Model", "Reasoning", "Over-refusal"]
    page.locator("#plane-plot .point").first.focus()
    text = page.inner_text("#plane-detail")
    assert "over-refusal" in text and "harmful" not in text
    assert "would stay in place" in page.inner_text(".guide") and errors == []
    page.close()


def test_figures_have_titles_a_size_to_read_and_files(open_page: Any, folder: Path) -> None:
    page = open_page()
    for figure in page.locator("#figures figure").all():
        name = figure.get_attribute("id").removeprefix("figure-")
        assert figure.locator("h3").inner_text() == f"{title_of(name)} #"
        assert figure.locator("img").bounding_box()["width"] >= 500
        links = figure.locator("figcaption a")
        assert links.all_inner_texts() == ["PNG", "SVG", "PDF", "Data"]
        for link in links.all():
            assert (folder / link.get_attribute("href")).stat().st_size > 0
    assert page.locator("#figure-plane img").bounding_box()["width"] >= 900
    for link in page.locator(".table .files a").all():
        assert (folder / link.get_attribute("href")).is_file()


def test_figures_are_dark_on_a_dark_page(open_page: Any, tmp_path: Path) -> None:
    from PIL import Image

    found = {}
    for scheme in ("light", "dark"):
        image = open_page("", 1280, scheme).locator("#figure-plane img")
        image.screenshot(path=tmp_path / "figure.png")
        grey = Image.open(tmp_path / "figure.png").convert("L")
        found[scheme] = grey.getpixel((3, 3)), grey.getextrema()
    assert found["light"][0] > 250 and found["light"][1][0] < 30  # white, with black marks
    assert found["dark"][0] < 40 and found["dark"][1][1] > 225  # dark, with light marks


def test_tables_can_be_filtered_and_show_published_values(open_page: Any) -> None:
    page = open_page()
    table = page.locator("#table-main")
    assert table.locator("td small.published").all_inner_texts() == ["published 12.5"]
    row = table.locator("tr", has=page.locator("small.published"))
    assert "The ninth" in row.inner_text()
    table.locator("input[type=search]").fill("tiny method-3")
    assert table.locator("tbody tr:visible").count() == 1
    assert table.locator("[role=status]").inner_text() == "1 of 12 rows"


def test_a_link_to_a_long_table_opens_it(open_page: Any) -> None:
    page = open_page("#table-seeds")
    assert page.locator("#table-seeds tbody tr").first.is_visible()
    assert not page.locator("#table-states tbody tr").first.is_visible()


def test_a_page_sent_alone_says_so_and_offers_what_it_holds(
    browser: Any, open_page: Any, folder: Path, tmp_path: Path
) -> None:
    assert not open_page().locator(".alone-note").is_visible()
    shutil.copy(folder / "index.html", tmp_path)
    page = browser.new_page()
    page.goto((tmp_path / "index.html").as_uri())
    page.locator(".alone-note").wait_for()
    assert page.locator(".beside:visible").count() == 0
    with page.expect_download() as given:
        page.locator("#table-main .tools button", has_text="CSV").click()
    ours, theirs = (
        list(csv.reader(io.StringIO(path.read_text())))
        for path in (Path(given.value.path()), folder / "tables/main.csv")
    )
    assert ours[0] == theirs[0] and len(ours) == len(theirs) == 13
    assert ours[1] == theirs[1]
    with page.expect_download() as given:
        page.locator("#figure-plane .files a:not(.beside)", has_text="SVG").click()
    assert b"</svg>" in Path(given.value.path()).read_bytes()
    page.close()


def test_one_file_carries_some_transcripts(open_page: Any, folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "single.html", tmp_path)
    page = open_page("#transcripts?benchmark=harm", file=tmp_path / "single.html")
    assert page.inner_text("#found").startswith("This file carries 10 of 1000 items: half of them")
    assert number_found(page) == 10
    page.locator("#items button").first.click()
    page.locator("#sample article").nth(11).wait_for()
    assert "answer lrm" not in page.inner_text("#transcripts")
    page.locator('[data-key="show texts that may be harmful"]').check()
    text = page.inner_text("#sample")
    assert "answer lrm/tiny/seed1" in text and "question harm" in text
    assert (tmp_path / "single.html").stat().st_size < 2_500_000


def test_a_reader_saves_the_items_of_a_filter_in_one_file(
    open_page: Any, folder: Path, tmp_path: Path
) -> None:
    page = open_page("#transcripts?benchmark=sums&q=question%20sums%203:")
    assert number_found(page) == 1
    with page.expect_download() as given:
        page.locator("button", has_text="Save these items in one file").click()
    given.value.save_as(tmp_path / "saved.html")
    saved = open_page("#transcripts?benchmark=sums&item=sums-0003", file=tmp_path / "saved.html")
    assert saved.inner_text("#found").startswith("1 items of 1000 were chosen for this file")
    assert saved.locator("#sample article").count() == 12
    assert "<img src=x" in saved.inner_text("#sample") and saved.locator("#sample img").count() == 0
    assert saved.title().startswith("Safety tax")
    other = open_page("#transcripts?benchmark=harm", file=tmp_path / "saved.html")
    assert other.inner_text("#found").startswith("No item of this benchmark was chosen")


def test_thinking_opens_for_all_and_the_items_name_stays_in_view(open_page: Any) -> None:
    page = open_page("#transcripts?benchmark=sums&item=sums-0012")
    page.locator('[data-key="open all thinking"]').check()
    assert page.locator("#sample details[open]").count() == 12
    page.locator("#items button").nth(13).click()
    page.locator("#sample h3", has_text="sums-0013").wait_for()
    assert page.locator("#sample details[open]").count() == 12
    link = page.locator("#sample article").last.locator("h4 a").get_attribute("href")
    other = open_page(link)
    shown = "(e) => { const r = e.getBoundingClientRect(); return r.top >= 0 && r.bottom < 900; }"
    assert other.locator("#sample .item-head h3").evaluate(shown)
    assert other.locator("#sample .chosen h4").evaluate(shown)


def test_a_number_without_an_interval_has_none_on_the_plane(
    browser: Any, folder: Path, tmp_path: Path
) -> None:
    report = json.loads((folder / "tradeoff.json").read_text())
    for row in report["rows"]:
        for one in row["metrics"].values():
            one |= {"low": None, "high": None, "all_low": None, "all_high": None}
    write_page(report, None, tmp_path)
    page = browser.new_page()
    page.goto((tmp_path / "index.html").as_uri())
    labels = page.locator("#plane-plot .point").evaluate_all(
        "points => points.map(point => point.getAttribute('aria-label'))"
    )
    assert labels and not any(" to " in label or "null" in label for label in labels)
    page.close()


def test_the_readme_shows_a_picture_that_its_command_takes(
    browser: Any, root: Path, folder: Path, tmp_path: Path
) -> None:
    command = [sys.executable, root / "benchmarks/picture_page.py", folder / "index.html"]
    subprocess.run([*command, tmp_path / "page.png"], check=True)
    readme = (root / "README.md").read_text()
    assert "](docs/page.png)" in readme and len(readme.splitlines()) < 150
    sizes = []
    for file in (tmp_path / "page.png", root / "docs" / "page.png"):
        assert file.stat().st_size < 150_000
        with Image.open(file) as picture:
            red, green, blue = picture.convert("RGB").getpixel((0, 0))
            assert red == green == blue == 255  # the page in light colours
            sizes.append(picture.size)
    assert sizes[0] == sizes[1]
