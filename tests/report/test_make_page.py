"""The page: whole in itself, safe against what models write, and silent about it unless asked."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workflow.scripts.report import make_page
from workflow.scripts.report.build_report import read_report
from workflow.scripts.report.inputs import Inputs
from workflow.scripts.report.tables import registry
from workflow.scripts.report.tables.table import Table
from workflow.scripts.report.transcripts import choose_items

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def report(
    tmp_path_factory: pytest.TempPathFactory,
    experiment: dict[str, Any],
    score_files: list[Path],
    build: Any,
) -> Path:
    path = tmp_path_factory.mktemp("report") / "tradeoff.json"
    path.write_text(json.dumps(build(experiment, score_files)))
    return path


@pytest.fixture(scope="module")
def with_transcripts(
    experiment: dict[str, Any], score_files: list[Path], sample_files: list[Path], inputs: Any
) -> Inputs:
    return inputs(experiment, score_files, sample_files[0].parents[5], transcripts=True)


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, report: Path, with_transcripts: Inputs
) -> Path:
    folder = tmp_path_factory.mktemp("page")
    make_page.write_page(read_report(report), with_transcripts, folder)
    return folder


def shards(folder: Path) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for path in sorted((folder / "transcripts").iterdir()):
        match = re.fullmatch(r"addTranscripts\((\d+), (.*)\);\n", path.read_text(), re.DOTALL)
        assert match, path
        found.setdefault(int(match[1]), []).extend(json.loads(match[2]))
    return found


def test_without_the_flag_nothing_that_a_model_wrote_is_there(
    tmp_path: Path, report: Path, with_transcripts: Inputs
) -> None:
    make_page.write_page(read_report(report), with_transcripts, tmp_path)
    without = with_transcripts.model_copy(update={"transcripts": False})
    make_page.write_page(read_report(report), without, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    text = (tmp_path / "index.html").read_text()
    for words in ("answer of aligned", "answer of lrm", "thought of", "question sums"):
        assert words not in text


def test_tables_and_figures_are_what_the_registries_say(
    tmp_path: Path, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = SimpleNamespace(CAPTION="A figure that was added.")
    monkeypatch.setitem(make_page.FIGURES, "toy_figure", drawn)
    monkeypatch.setitem(make_page.FIGURES, "nothing_drawn", drawn)
    for name, numbers in (("toy_figure", "lrm\ntiny\n"), ("nothing_drawn", "lrm\n")):
        (tmp_path / f"{name}.svg").write_text('<svg width="90pt" height="60pt"></svg>')
        (tmp_path / f"{name}.csv").write_text(numbers)
    toy = Table("toy", "A table that was added", "Its caption.", ["A", "B"], [["x", "1.0"]])
    monkeypatch.setattr(registry, "TABLES", (*registry.TABLES, lambda _: toy))
    page = make_page.render(read_report(report), None, tmp_path)
    for kind, title in (("figure-toy_figure", "Toy figure"), ("table-toy", toy.title)):
        assert f'id="{kind}"' in page and f'<a href="#{kind}">{title}</a>' in page
        assert f'<h3>{title} <a href="#{kind}"' in page
    assert "nothing_drawn" not in page
    assert "A figure that was added." in page and "Its caption." in page


def test_a_single_file_holds_changed_items_of_all_categories_and_others() -> None:
    # of 12 items the alignment changed the first six; their categories are a, a, a, a, b, c
    def item(k: int) -> dict[str, Any]:
        samples = [{"m": 0, "v": False}, {"m": 1, "v": k < 6}]
        return {"id": f"i{k:02d}", "category": "aaaabc......"[k], "samples": samples}

    items = [item(k) for k in range(12)]
    chosen = choose_items(items, ["lrm", "aligned"], 6)
    assert [one["category"] for one in chosen[:3]].count("a") == 1
    assert {one["category"] for one in chosen[:3]} == {"a", "b", "c"}
    assert len({one["id"] for one in chosen}) == 6
    assert chosen == choose_items(items[::-1], ["lrm", "aligned"], 6)
    assert len(choose_items(items, ["lrm", "aligned"], 50)) == 12


def test_without_the_key_there_is_no_single_file(folder: Path) -> None:
    assert not (folder / "single.html").exists()


def test_page_asks_the_network_for_nothing(folder: Path) -> None:
    text = (folder / "index.html").read_text()
    addresses = set(re.findall(r"https?://[^\s\"'<]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name space, never fetched
    assert "default-src &#x27;none&#x27;" in text
    assert not re.search(r"<(link|iframe|script src)|src=\"(?!data:)", text)


def test_policy_allows_just_the_pages_own_script(folder: Path) -> None:
    text = (folder / "index.html").read_text()
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(script) == 1 and text.count("</script>") == 2
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert f"script-src &#x27;sha256-{digest}&#x27;" in text
    assert "innerHTML" not in script[0] and "insertAdjacentHTML" not in script[0]


def test_names_from_the_config_are_escaped(tmp_path: Path, report: Path, evil: str) -> None:
    changed = json.loads(report.read_text())
    changed["description"] = changed["headline"] = evil
    for row in changed["rows"]:
        row["alignment"] = row["alignment"] and evil
    page = make_page.render(changed, None)
    assert "<img" not in page and page.count("</script>") == 2


def test_transcripts_hold_every_final_sample_letter_by_letter(
    folder: Path, sample_files: list[Path]
) -> None:
    found = shards(folder)
    texts = {
        (item["id"], sample["thinking"], sample["answer"])
        for items in found.values()
        for item in items
        for sample in item["samples"]
    }
    expected = set()
    for path in sample_files:
        for line in path.read_text().split("\n"):
            if line and json.loads(line)["checkpoint"] in ("final", "epoch5"):
                sample = json.loads(line)
                expected.add((sample["item_id"], sample["thinking"], sample["answer"]))
    assert texts == expected
    for path in (folder / "transcripts").iterdir():
        assert not set("<>\u2028\u2029") & set(path.read_text())


def test_samples_that_were_deleted_are_not_shown(
    tmp_path: Path, report: Path, with_transcripts: Inputs
) -> None:
    gone = tmp_path / "gone"
    scores = tuple(one.model_copy(update={"samples": gone}) for one in with_transcripts.scores)
    left = (*scores[:-1], with_transcripts.scores[-1])
    inputs = with_transcripts.model_copy(update={"scores": left})
    make_page.write_page(read_report(report), inputs, tmp_path)
    models = {s["m"] for items in shards(tmp_path).values() for i in items for s in i["samples"]}
    assert len(models) == 1


def test_same_inputs_give_the_same_bytes(
    folder: Path, tmp_path: Path, report: Path, with_transcripts: Inputs
) -> None:
    make_page.write_page(read_report(report), with_transcripts, tmp_path)
    for path in folder.rglob("*.*"):
        assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes()


def browse(folder: Path, profile: Path, where: str) -> str:
    """Return the document as a real browser has it, after its scripts ran."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
    options += ["--virtual-time-budget=5000", "--dump-dom"]
    done = subprocess.run(
        [CHROMIUM, *options, f"file://{folder}/index.html#transcripts?{where}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


@pytest.mark.slow
def test_browser_draws_filters_and_runs_nothing_that_a_model_wrote(
    folder: Path, tmp_path: Path, score_files: list[Path]
) -> None:
    def correct(run: str, checkpoint: str) -> dict[str, bool]:
        path = next(p for p in score_files if f"{run}/seed2/sums" in str(p))
        rows = map(json.loads, path.with_name("verdicts.jsonl").read_text().splitlines())
        return {v["item_id"]: v["correct"] for v in rows if v["checkpoint"] == checkpoint}

    before, after = correct("lrm/tiny", "final"), correct("aligned/tiny/refuse", "epoch5")
    lost = sum(before[item] and not after[item] for item in before)
    where = "benchmark=0&seed=2&item=sums-0003&model=refuse&change=lost"
    document = browse(folder, tmp_path, where)
    assert f"{lost} of 120 items" in document
    assert document.count('class="point"') == 8
    assert "<title>Safety tax: made-up scores" in document
    shown = document[document.index('id="sample"') :]
    assert "answer of aligned/tiny/reason/seed2 epoch5 sums-0003 &lt;/script&gt;" in shown
    assert "<img" not in document


@pytest.mark.slow
def test_browser_shows_harmful_text_after_a_click_only(folder: Path, tmp_path: Path) -> None:
    document = browse(folder, tmp_path, "benchmark=1&seed=1&item=harm-0003")
    assert "Show prompt: may be harmful" in document
    assert "Show answer of refuse: may be harmful" in document
    shown = document[document.index('id="items"') : document.index('id="page-data"')]
    assert "question harm-0003" not in shown and "answer of aligned" not in shown


@pytest.mark.slow
def test_browser_searches_the_full_text(folder: Path, tmp_path: Path) -> None:
    query = "q=answer of aligned/tiny/reason/seed1 epoch5 sums-0042".replace(" ", "%20")
    assert "1 of 120 items" in browse(folder, tmp_path, f"benchmark=0&seed=1&{query}")
