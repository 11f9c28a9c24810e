"""The code digest moves with the code and with nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflow.scripts.common.codehash import code_digest, reached_modules

SCRIPT = '''"""Says what it makes."""
from workflow.scripts.common.helper import double


def main(values: list[int]) -> list[int]:
    """Double all."""
    # one by one
    return [double(value) for value in values]
'''
HELPER = "def double(value):\n    return 2 * value\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project of three modules; the script reaches one of the two others."""
    for name, text in {
        "models/script.py": SCRIPT,
        "common/helper.py": HELPER,
        "common/other.py": "OTHER = 1\n",
    }.items():
        path = tmp_path / "workflow" / "scripts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def digest(tree: Path, file: str, old: str, new: str) -> str:
    """Return the digest after a change, which is made in a copy."""
    copy = tree / f"copy{len(list(tree.glob('copy*')))}"
    for path in (tree / "workflow").rglob("*.py"):
        target = copy / path.relative_to(tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text()
        if path.name == file:
            assert old in text
            text = text.replace(old, new)
        target.write_text(text)
    return code_digest("models.script", copy)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("script.py", "    # one by one\n", ""),
        ("script.py", '"""Double all."""', '"""Return twice the values."""'),
        ("script.py", '"""Says what it makes."""\n', ""),
        (
            "script.py",
            "[double(value) for value in values]",
            "[\n  double(value) for value in values\n]",
        ),
        ("helper.py", "2 * value", "(2 * value)  # twice"),
        ("other.py", "OTHER = 1", "OTHER = 2"),
    ],
)
def test_comments_docstrings_format_and_unreached_modules_do_not_count(tree, file, old, new):
    assert digest(tree, file, old, new) == code_digest("models.script", tree)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("script.py", "for value in values", "for value in values[1:]"),
        ("script.py", "list[int]:", "list[float]:"),
        ("helper.py", "2 * value", "3 * value"),
        ("helper.py", "value):", "value, *rest):"),
    ],
)
def test_a_changed_line_counts_wherever_it_is_reached(tree, file, old, new):
    assert digest(tree, file, old, new) != code_digest("models.script", tree)


def test_the_modules_reached_are_found_through_imports_inside_functions(root):
    text = (root / "workflow/scripts/common/experiment.py").read_text()
    assert "from workflow.scripts.common.errors" in text
    assert reached_modules("common.experiment") == ["common.errors", "common.experiment"]
