"""The page in a real Chromium, from disk and offline: 1,000 prompts by 12 models.

Needs Chromium, the package playwright that drives it, and axe-playwright-python (it carries axe).
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workflow.scripts.common.io import write_json
from workflow.scripts.report.build_report import build_report
from workflow.scripts.report.draw_figures import draw_figures
from workflow.scripts.report.figures.registry import FIGURES
from workflow.scripts.report.make_page import write_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ALIGNMENTS = [f"method-{k}-with-a-rather-long-name" for k in range(10)]
KINDS = {"sums": "reasoning", "harm": "harmful", "kind": "benign"}
ITEMS = {"sums": 1000, "harm": 1000, "kind": 100}
FIELD = {"reasoning": "correct", "harmful": "harmful", "benign": "refused"}
EXPERIMENT = {
    "description": "made-up scores of twelve models",
    "seeds": [1],
    "bases": {"tiny": {}},
    "lrms": {"tiny": {"base": "tiny"}},
    "alignments": {name: {"data": "refusals"} for name in ALIGNMENTS},
    "benchmarks": {name: {"kind": kind, "scorers": ["rules"]} for name, kind in KINDS.items()},
}
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

    def start(where: str = "", width: int = 1280, scheme: str = "light") -> Any:
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        page.on("console", lambda m: troubles.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on(
            "request",
            lambda r: None if r.url.startswith(("file:", "data:")) else troubles.append(r.url),
        )
        page.goto(f"{(folder / 'index.html').as_uri()}{where}")
        wait_for(page, "#found", " items")
        return page

    yield start
    context.close()
    assert troubles == []


def wait_for(page: Any, selector: str, text: str) -> None:
    # Not `wait_for_function`: it needs the eval that the page's policy forbids.
    page.locator(selector, has_text=text).wait_for(state="attached")


def number_found(page: Any) -> int:
    return int(page.inner_text("#found").split(" of ")[0])


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
    assert page.locator("#plane-plot .point").count() == 12
    assert page.locator("#figures img").count() == len(FIGURES)
    broken = "[...document.images].filter((i) => !i.complete || !i.naturalWidth).length"
    assert page.evaluate(broken) == 0
    assert (folder / "index.html").stat().st_size < 5_000_000


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
    assert page.inner_text("#sample > .caption") == "kind 5"
    page.locator("#sample > button", has_text="Show prompt").click()
    shown = page.inner_text("#sample > pre")
    assert shown.startswith("question harm 5:") and shown.endswith("target: aim of 5")
    other = open_page("#transcripts?benchmark=sums&item=sums-0005")
    assert other.inner_text("#sample > .caption") == "kind 5 · target: 4"
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


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "light"), (1280, "dark")])
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
def test_nothing_is_wider_than_the_window(open_page: Any, width: int, tmp_path: Path) -> None:
    page = open_page("#transcripts?benchmark=0&item=sums-0003", width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width == 1280:  # the main table fits without scrolling
        fits = "(e) => e.scrollWidth <= e.clientWidth"
        assert page.locator("#tables .scroll").first.evaluate(fits)
    shots = os.environ.get("SAFETY_TAX_SCREENSHOTS")  # a folder, to look at the page by eye
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=f"{shots or tmp_path}/page{width}.png", full_page=True)


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
