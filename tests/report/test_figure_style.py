"""How figures look: colours that everyone tells apart, text that is text, the right size."""

from __future__ import annotations

import itertools
import re
import zlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from workflow.scripts.report.draw_figures import draw_figures
from workflow.scripts.report.figures import style
from workflow.scripts.report.figures.registry import FIGURES, title_of

# Machado, Oliveira & Fernandes (2009), severity 1.0, on linear RGB.
SEEN = {
    "everyone": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)  # sRGB, D65


def linear(color: str) -> Any:
    values = np.array([int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: Any) -> Any:
    """CIE L*a*b* of linear RGB."""
    xyz = TO_XYZ @ np.clip(rgb, 0, 1) / (TO_XYZ @ np.ones(3))
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(first: str, second: str) -> float:
    """WCAG 2's contrast ratio."""
    low, high = sorted(float(TO_XYZ[1] @ linear(color)) for color in (first, second))
    return (high + 0.05) / (low + 0.05)


DARK = [style.DARK[color] for color in style.COLORS]


@pytest.mark.parametrize("eye", SEEN)
@pytest.mark.parametrize("colors", [style.COLORS, DARK], ids=["light", "dark"])
def test_every_two_of_the_colours_differ_for_every_eye(eye: str, colors: list[str]) -> None:
    seen = [lab(SEEN[eye] @ linear(color)) for color in colors]
    least = min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))
    assert least > 14  # "perceptible at a glance" begins at 10


def test_marks_have_the_contrast_that_wcag_asks_of_graphics() -> None:
    assert all(contrast(color, "#ffffff") >= 3 for color in (*style.COLORS, style.BASE[0]))
    light, dark = style.DARK, style.DARK_PAGE
    assert all(contrast(light[color], dark) >= 3 for color in (*style.COLORS, style.BASE[0]))
    assert contrast(style.FAINT, "#ffffff") >= 4.5 <= contrast(light[style.FAINT], dark)


def test_the_first_eight_are_told_apart_in_grey_by_marker_and_two_neighbours_by_stroke() -> None:
    assert len({style.series_style(k)[1] for k in range(8)}) == 8
    assert all(style.stroke_of(k) != style.stroke_of(k + 1) for k in range(8))


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    experiment: dict[str, Any],
    score_files: list[Path],
    build: Any,
) -> Path:
    folder = tmp_path_factory.mktemp("figures")
    draw_figures(build(experiment, score_files), folder)
    return folder


def test_text_of_vector_files_is_text_of_a_size_that_can_be_read(folder: Path) -> None:
    for name in FIGURES:
        root = ElementTree.parse(folder / f"{name}.svg").getroot()
        texts = list(root.iter("{http://www.w3.org/2000/svg}text"))
        assert texts, name
        sizes = re.findall(r"font-size: ([\d.]+)px", (folder / f"{name}.svg").read_text())
        assert min(map(float, sizes)) >= 6.5, name
    words = " ".join(t.text or "" for t in root.iter("{http://www.w3.org/2000/svg}text"))
    assert "not measured" in words  # judges, the last figure
    pdf = (folder / "plane.pdf").read_bytes()
    assert b"/Subtype /Type0" in pdf or b"/Type /Font" in pdf
    assert b"CreationDate" not in pdf
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    assert any(b" Tj" in found or b" TJ" in found for found in map(inflate, streams))


def inflate(stream: bytes) -> bytes:
    try:
        return zlib.decompress(stream)
    except zlib.error:
        return stream


def test_a_figure_is_one_or_two_columns_of_a_paper_wide(folder: Path) -> None:
    widths = {
        name: float(ElementTree.parse(folder / f"{name}.svg").getroot().attrib["width"][:-2]) / 72
        for name in FIGURES
    }
    assert set(widths.values()) <= {3.5, 7.0} and widths["plane"] == 7.0


def test_colours_are_the_alignments_alone_and_the_same_in_every_figure(folder: Path) -> None:
    first, second = (color.lower() for color in style.COLORS[:2])
    for name in FIGURES:
        found = (folder / f"{name}.svg").read_text()
        others = [color.lower() for color in style.COLORS[2:]]
        assert not any(color in found for color in others), name
        if name not in ("judges", "categories", "durability"):  # the last: nothing is attacked
            assert first in found and second in found, name


def test_titles_and_captions_stand_alone(folder: Path) -> None:
    latex = (folder / "figures.tex").read_text()
    for name, module in FIGURES.items():
        assert f"{{{name}.pdf}}" in latex
        assert len(module.CAPTION) > 80 and module.CAPTION.endswith(".")
        assert title_of(name) != name
    assert latex.count(r"\begin{figure}") == latex.count(r"\end{figure}") == len(FIGURES)


def test_a_figure_without_a_title_has_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(FIGURES["length_effect"], "TITLE")
    assert title_of("length_effect") == "Length effect"
