"""The code digest moves with the code and with nothing else."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from workflow.scripts.common.codehash import (
    code_digest,
    code_version,
    forget_files,
    reached_modules,
    read_codes,
)
from workflow.scripts.common.errors import InputError

SCRIPT = '''"""Says what it makes."""
import argparse
import logging
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workflow.scripts.common.helper import double

if TYPE_CHECKING:
    from workflow.scripts.common.hints import Hint


@dataclass
class Options:
    twice: bool = False

    def read(self, line: str) -> None:
        self.twice = line == "twice"


def main(values: list[int]) -> list[int]:
    """Double all."""
    parser = argparse.ArgumentParser(description="Doubles.", epilog="Bye.")
    parser.add_argument("--twice", default=1, help="again", metavar="N")
    # one by one
    found: list[int] = [double(value) for value in values]
    assert found, "nothing"
    print("working", file=sys.stderr)
    print("result")
    logging.getLogger("x").setLevel(logging.ERROR)
    logging.warning("slow")
    warnings.warn("old", stacklevel=2)
    if not found:
        parser.error("no values")
        raise ValueError(f"found {found}, expected some")
    return found
'''
HELPER = "def double(value):\n    return 2 * value\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project of three modules; the script reaches one of the two others."""
    for name, text in {
        "models/script.py": SCRIPT,
        "common/helper.py": HELPER,
        "common/other.py": "OTHER = 1\n",
        "common/hints.py": "Hint = 1\n",
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
        # what is told
        ("script.py", 'f"found {found}, expected some"', '"nothing found", len(found)'),
        ("script.py", '"Doubles.", epilog="Bye."', '"Doubles all."'),
        ("script.py", 'help="again", metavar="N"', 'help="once more"'),
        ("script.py", '"nothing"', '"no value"'),
        ("script.py", '"working"', '"at work", 1'),
        ("script.py", '    print("working", file=sys.stderr)\n', ""),
        ("script.py", '"slow"', '"slowly"'),
        ("script.py", '"old"', '"deprecated"'),
        ("script.py", '"no values"', '"expected values"'),
        # type hints of functions and variables
        ("script.py", "values: list[int]) -> list[int]", "values) -> Any"),
        ("script.py", "found: list[int] =", "found ="),
        ("script.py", "line: str", "line: bytes"),
        ("script.py", "CHECKING, Any", "CHECKING, Any, TypeVar"),
        ("script.py", "import Hint", "import Hint, Other"),
        ("hints.py", "Hint = 1", "Hint = 2"),
        ("other.py", "OTHER = 1", "OTHER = 2"),
    ],
)
def test_what_cannot_change_a_result_does_not_count(tree, file, old, new):
    assert digest(tree, file, old, new) == code_digest("models.script", tree)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("script.py", "for value in values", "for value in values[1:]"),
        ("helper.py", "2 * value", "3 * value"),
        ("helper.py", "value):", "value, *rest):"),
        ("script.py", "raise ValueError", "raise KeyError"),
        ("script.py", "default=1", "default=2"),
        ("script.py", '"--twice"', '"--again"'),
        ("script.py", 'print("result")', 'print("the result")'),
        ("script.py", "logging.ERROR", "logging.INFO"),
        ("script.py", "assert found", "assert not found"),
        ("script.py", "twice: bool = False", "twice: int = False"),  # a field
        ("script.py", "@dataclass\n", "@dataclass(frozen=True)\n"),
    ],
)
def test_a_changed_line_counts_wherever_it_is_reached(tree, file, old, new):
    assert digest(tree, file, old, new) != code_digest("models.script", tree)


def test_the_modules_reached_are_found_through_imports_inside_functions(root):
    text = (root / "workflow/scripts/config/llm.py").read_text()
    assert "from workflow.scripts.config.section" in text
    assert reached_modules("config.llm") == ["common.errors", "config.llm", "config.section"]


def told(tree: ast.AST) -> list[ast.Constant]:
    """Return the strings of a module that it only tells: errors, help, stderr, warnings."""
    found: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            found += node.exc.args
        elif isinstance(node, ast.Call):
            files = [ast.unparse(one.value) for one in node.keywords if one.arg == "file"]
            if files and files[0].endswith("stderr"):
                found += node.args
            found += [one.value for one in node.keywords if one.arg == "help"]
    strings = [inner for node in found for inner in ast.walk(node)]
    return [one for one in strings if isinstance(one, ast.Constant) and isinstance(one.value, str)]


def test_rewording_every_message_of_every_module_changes_no_digest(root, tmp_path):
    """Each message, help text and progress line gets another word in the file itself."""
    shutil.copytree(root / "workflow", tmp_path / "workflow")
    modules, reworded = [], 0
    for path in sorted((tmp_path / "workflow/scripts").rglob("*.py")):
        name = str(path.relative_to(tmp_path / "workflow/scripts").with_suffix(""))
        modules.append(name.replace("/", "."))
        lines = path.read_bytes().splitlines(keepends=True)
        plain = [one for one in told(ast.parse(path.read_bytes())) if one.end_lineno == one.lineno]
        for one in sorted(plain, key=lambda one: (one.lineno, one.end_col_offset), reverse=True):
            line, end = lines[one.lineno - 1], one.end_col_offset
            if line[end - 1 : end] in (b'"', b"'"):  # not a part of an f-string
                lines[one.lineno - 1] = line[: end - 1] + b" REWORDED" + line[end - 1 :]
                reworded += 1
        path.write_bytes(b"".join(lines))
    assert reworded > 100
    forget_files()
    assert {name: code_digest(name, tmp_path) for name in modules} == {
        name: code_digest(name, root) for name in modules
    }


def lock(tree: Path, *lines: str) -> None:
    (tree / "codes.lock").write_text("# a remark\n" + "".join(f"{line}\n" for line in lines))
    forget_files()


def test_a_recorded_digest_has_the_version_that_it_is_said_to_equal(tree):
    digest = code_digest("models.script", tree)
    assert code_version("models.script", tree) == digest  # nothing is recorded
    lock(tree, f"models.script {digest} 0123456789abcdef a clearer message")
    assert code_version("models.script", tree) == "0123456789abcdef"
    lock(tree, f"models.script {digest} new the first", f"models.other {digest} {'0' * 16} why")
    assert code_version("models.script", tree) == digest


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["models.script 0123456789abcdef new"], "codes.lock:2: expected"),
        (["models.script 0123 new why"], "codes.lock:2: expected"),
        (["<<<<<<< HEAD"], "codes.lock:2: expected"),
        (
            [f"models.script {'1' * 16} {version} why" for version in ("new", "2" * 16)],
            "codes.lock:3: models.script 1111111111111111 has two versions",
        ),
    ],
)
def test_a_lock_that_cannot_be_read_is_refused(tree, lines, said):
    lock(tree, *lines)
    with pytest.raises(InputError, match=said):
        read_codes(tree)
