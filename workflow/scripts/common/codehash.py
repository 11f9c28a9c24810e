"""A digest of the code that a script reaches, deaf to comments, docstrings and formatting.

The script and every project module it imports, anywhere in the file, are parsed; what is
hashed is the syntax tree. Empty fields are skipped, so the digest is the same under Python
versions that added optional fields to a node.
"""

from __future__ import annotations

import ast
import hashlib
import re
from functools import cache
from pathlib import Path

from workflow.scripts.common.errors import InputError

ROOT = Path(__file__).parents[3]
PACKAGE = "workflow.scripts."


@cache
def code_digest(module: str, root: Path = ROOT) -> str:
    """Return the digest of a module such as `models.train_sft` and of all it reaches."""
    found = _reach(module, root)
    lines = (f"{name} {digest}\n" for name, digest in sorted(found.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def reached_modules(module: str, root: Path = ROOT) -> list[str]:
    """Return the names, without the package, of `module` and all modules that it reaches."""
    return sorted(name.removeprefix(PACKAGE) for name in _reach(module, root))


def shell_digest(rule: str, root: Path = ROOT) -> str:
    """Return the digest of a rule's shell command, deaf to white space."""
    command = _shells(root).get(rule, "")
    return hashlib.sha256(" ".join(command.split()).encode()).hexdigest()[:16]


@cache
def _shells(root: Path) -> dict[str, str]:
    """Return the shell command of every rule; a rule that is made from another has the other's."""
    shells: dict[str, str] = {}
    for path in sorted((root / "rules").glob("*.smk")):
        text = path.read_text()
        for block in re.split(r"^(?=rule |use rule )", text, flags=re.M):
            if made := re.match(r"use rule (\w+) as (\w+) with:", block):
                shells[made[2]] = shells.get(made[1], "")
            elif rule := re.match(r"rule (\w+):", block):
                command = re.search(r'shell:\s*r?"""(.*?)"""', block, re.S)
                shells[rule[1]] = command[1] if command else ""
    return shells


def forget_files() -> None:
    """Read every file anew from here on."""
    code_digest.cache_clear()
    _read.cache_clear()
    _shells.cache_clear()


def _reach(module: str, root: Path) -> dict[str, str]:
    """Return the digest of each module that `module` reaches, itself included."""
    reached: dict[str, str] = {}
    waiting = [PACKAGE + module]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            path = root / (name.replace(".", "/") + ".py")
            reached[name], imported = _parse(_read(path), path, root)
            waiting.extend(imported)
    return reached


@cache
def _read(path: Path) -> bytes:
    return path.read_bytes()


@cache
def _parse(source: bytes, path: Path, root: Path) -> tuple[str, tuple[str, ...]]:
    """Return (digest of the syntax tree, project modules imported) of one file's text."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise InputError(f"{path}:{error.lineno}: {error.msg}, expected Python 3.11") from None
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from package import module` and `from module import name` look alike
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        imported |= {
            name
            for name in names
            if name.startswith(PACKAGE) and (root / (name.replace(".", "/") + ".py")).is_file()
        }
    return hashlib.sha256(_canonical(tree).encode()).hexdigest(), tuple(sorted(imported))


def _canonical(node: object) -> str:
    if isinstance(node, list):
        return f"[{','.join(map(_canonical, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = []
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(
            node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ):
            value = _without_docstring(value)
        if value is not None and value != [] and name not in ("ctx", "kind", "type_comment"):
            fields.append(f"{name}={_canonical(value)}")
    return f"{type(node).__name__}({','.join(fields)})"


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        return body[1:]
    return body
