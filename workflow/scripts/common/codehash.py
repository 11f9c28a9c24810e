"""The version of the code that a script reaches: what changes when its results may change.

The script and every project module it imports, anywhere in the file, are parsed; what is hashed is
the syntax tree without what cannot change a result: comments, docstrings, formatting, the text of
errors, warnings, logs, progress and help, and type hints. Empty fields are skipped, so the digest
is the same under Python versions that added optional fields to a node.

`codes.lock` records for which digests of a script the results are the same; see
`graph/record_code.py`.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import write_json

ROOT = Path(__file__).parents[3]
PACKAGE = "workflow.scripts."
LOCK = "codes.lock"
KEPT = ".cache/code_digests.json"
MOST_KEPT = 1000  # files; about a hundred are read
RULES = "rules."  # before the name of a rule: its shell command
HELP = {"help", "description", "epilog", "metavar", "usage"}
ARGPARSE = {"ArgumentParser", "add_argument", "add_argument_group", "add_parser", "add_subparsers"}
LOGGING = {"debug", "info", "warning", "warn", "error", "exception", "critical", "log"}
TELLERS = {"logging", "logger", "log", "warnings", "parser"}


def code_version(name: str, root: Path = ROOT) -> str:
    """Return the version of a script, or of a rule's shell command (`rules.NAME`).

    That is the digest under which its results were first made, where `codes.lock` says that they
    are the same; a digest that is not recorded is a version of its own.
    """
    digest = digest_of(name, root)
    return read_codes(root).get((name, digest), digest)


def digest_of(name: str, root: Path = ROOT) -> str:
    """Return the digest of a script such as `models.train_sft`, or of a rule's shell command."""
    if name.startswith(RULES):
        return shell_digest(name.removeprefix(RULES), root)
    return code_digest(name, root)


@cache
def read_codes(root: Path = ROOT) -> dict[tuple[str, str], str]:
    """Return {(script, digest): version} of `codes.lock`; empty where there is none.

    Raises:
        InputError: A line that is no record, or two that contradict each other.
    """
    path = root / LOCK
    codes: dict[tuple[str, str], str] = {}
    for number, line in enumerate(path.read_text().splitlines() if path.exists() else (), 1):
        if not line or line.startswith("#"):
            continue
        record = re.fullmatch(r"(\S+) +([0-9a-f]{16}) +(new|[0-9a-f]{16}) +\S.*", line)
        if record is None:
            raise InputError(f"{LOCK}:{number}: expected: script digest new|digest reason")
        name, digest, version = record[1], record[2], record[3]
        version = digest if version == "new" else version
        if codes.setdefault((name, digest), version) != version:
            raise InputError(f"{LOCK}:{number}: {name} {digest} has two versions, expected one")
    return codes


@cache
def code_digest(module: str, root: Path = ROOT) -> str:
    """Return the digest of a module such as `models.train_sft` and of all it reaches."""
    found = _reach(module, root)
    lines = (f"{name} {digest}\n" for name, (digest, _) in sorted(found.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def reached_modules(module: str, root: Path = ROOT) -> list[str]:
    """Return the names, without the package, of `module` and all modules that it reaches."""
    return sorted(name.removeprefix(PACKAGE) for name in _reach(module, root))


def reached_packages(module: str, root: Path = ROOT) -> set[str]:
    """Return the top-level names that `module`, and all it reaches, import from elsewhere."""
    return set().union(*(packages for _, packages in _reach(module, root).values()))


def shell_digest(rule: str, root: Path = ROOT) -> str:
    """Return the digest of a rule's shell command; white space does not change it."""
    command = read_shells(root).get(rule, "")
    return hashlib.sha256(" ".join(command.split()).encode()).hexdigest()[:16]


@cache
def read_shells(root: Path) -> dict[str, str]:
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
    """Read every file again from here on."""
    for function in (code_digest, read_codes, read_shells, _reach, _read):
        function.cache_clear()


def keep_digests(root: Path = ROOT) -> None:
    """Keep the digests of the files that were read, for the next process; see `_known`."""
    known, used = _known(root), _used[root]
    if not used.keys() <= known.keys():
        before = known if len(known) < MOST_KEPT else {}
        with suppress(OSError):  # a clone that cannot be written to
            write_json(root / KEPT, {**before, **used})


@cache
def _reach(module: str, root: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Return (digest, packages) of each module that `module` reaches, itself included."""
    reached: dict[str, tuple[str, frozenset[str]]] = {}
    waiting = [PACKAGE + module]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            path = root / (name.replace(".", "/") + ".py")
            digest, packages, modules = _parse(_read(path), path, root)
            reached[name] = digest, packages
            waiting.extend(modules)
    return reached


@cache
def _read(path: Path) -> bytes:
    return path.read_bytes()


@cache
def _parse(source: bytes, path: Path, root: Path) -> tuple[str, frozenset[str], tuple[str, ...]]:
    """Return (digest of the syntax tree, packages and project modules imported) of a file."""
    digest, imports = _digest(source, path, root)
    modules = {
        name
        for name in imports
        if name.startswith(PACKAGE) and (root / (name.replace(".", "/") + ".py")).is_file()
    }
    packages = {name.partition(".")[0] for name in imports}
    packages -= {*sys.stdlib_module_names, PACKAGE.partition(".")[0]}
    return digest, frozenset(packages), tuple(sorted(modules))


def _digest(source: bytes, path: Path, root: Path) -> tuple[str, list[str]]:
    """Return (digest of the syntax tree, names imported) of a file, as kept or from its tree."""
    key = hashlib.sha256(_walker() + source).hexdigest()
    found = _known(root).get(key)
    if found is None:
        try:
            tree = ast.parse(source)
        except SyntaxError as error:
            raise InputError(f"{path}:{error.lineno}: {error.msg}, expected Python 3.11") from None
        imports: set[str] = set()
        text = _text_of(tree, imports)
        found = hashlib.sha256(text.encode()).hexdigest(), sorted(imports)
    _used[root][key] = found
    return found


# By clone: what was read of `KEPT` or would be written there.
_used: dict[Path, dict[str, tuple[str, list[str]]]] = defaultdict(dict)


@cache
def _known(root: Path) -> dict[str, tuple[str, list[str]]]:
    """Return (digest, imports) of files by their content and this module's, as kept before.

    To parse every module takes a fifth of the time that a dry-run takes.
    """
    try:
        kept = dict(json.loads((root / KEPT).read_bytes()))
        return {key: (digest, imports) for key, (digest, imports) in kept.items()}
    except (OSError, ValueError):
        return {}


@cache
def _walker() -> bytes:
    """Return what a digest depends on besides the file: this module, and Python's grammar."""
    return f"{sys.version_info[:2]}".encode() + hashlib.sha256(Path(__file__).read_bytes()).digest()


def _text_of(node: object, imports: set[str]) -> str:
    """Return a syntax tree as text, without what cannot change a result; gather its imports."""
    if isinstance(node, list):
        return f"[{','.join(filter(None, (_text_of(one, imports) for one in node)))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    if type(node) in _STRIPPED:
        kept = _strip(node)
        if kept is None:
            return ""
        node = kept
    if isinstance(node, ast.Import):
        imports.update(alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        # `from package import module` and `from module import name` look alike
        imports.update([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
    elif isinstance(node, ast.List):
        imports.update(_command(node))
    fields = [
        f"{name}={_text_of(value, imports)}"
        for name in node._fields
        if (value := getattr(node, name, None)) is not None
        and value != []
        and name not in ("ctx", "kind", "type_comment")
    ]
    return f"{type(node).__name__}({','.join(fields)})"


_STRIPPED = {
    *(ast.Expr, ast.ImportFrom, ast.AnnAssign, ast.Raise, ast.Assert, ast.Call, ast.If),
    *(ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef),
}


def _strip(node: ast.AST) -> ast.AST | None:
    """Return a node without what cannot change a result; None where nothing is left of it."""
    match node:
        case ast.Expr(value=ast.Constant()):  # a docstring
            return None
        case ast.Expr(value=ast.Call() as call) if _tells(call):
            return None
        case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=[]):  # imports for type hints
            return None
        case ast.ImportFrom(module="__future__" | "typing" | "collections.abc"):
            return None
        case ast.AnnAssign() if not hasattr(node, "is_field"):
            return ast.Assign(targets=[node.target], value=node.value) if node.value else None
        case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            _strip_hints(node)
        case ast.Raise(exc=ast.Call(func=error)):
            node.exc = error
        case ast.Assert():
            node.msg = None
        case ast.Call() if _last_name(node.func) in ARGPARSE:
            node.keywords = [one for one in node.keywords if one.arg not in HELP]
    return node


def _strip_hints(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    """Mark the hints that something may read, and remove the others of a definition."""
    if isinstance(node, ast.ClassDef):  # dataclasses and pydantic read the hints of their fields
        for field in node.body:
            if isinstance(field, ast.AnnAssign):
                field.is_field = True  # type: ignore[attr-defined]
    elif not node.decorator_list:  # a decorator might read the hints
        node.returns = None
        for one in ast.walk(node.args):
            if isinstance(one, ast.arg):
                one.annotation = None


def _command(node: ast.List) -> Iterator[str]:
    """Yield the module that a command such as `[sys.executable, "-m", "accelerate"]` runs."""
    for option, module in pairwise(node.elts):
        match option, module:
            case ast.Constant(value="-m"), ast.Constant(value=str(name)):
                yield name


def _tells(call: ast.Call) -> bool:
    """Tell whether a call does nothing but tell the user something."""
    function, name = call.func, _last_name(call.func)
    if name == "print":
        files = [one.value for one in call.keywords if one.arg == "file"]
        return bool(files) and _last_name(files[0]) == "stderr"
    return (
        isinstance(function, ast.Attribute)
        and name in LOGGING
        and _last_name(function.value) in TELLERS
    )


def _last_name(node: ast.AST) -> str | None:
    """Return the last part of a dotted name."""
    return getattr(node, "attr", getattr(node, "id", None))
