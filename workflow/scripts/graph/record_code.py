"""Record in `codes.lock` whether changed code gives the same results as before.

A script whose code changed has a new version, and its results are stale, unless its author says
that the change cannot alter a result. One line per script and digest:

    models.train_sft 5b1f3a… 0c94d2…  memory: a clearer message

says that code 5b1f3a… gives the same results as version 0c94d2…; `new` in its place says that it
is a version of its own.

    python -m workflow.scripts.graph.record_code --check
    python -m workflow.scripts.graph.record_code --same --reason "memory: a clearer message"
    python -m workflow.scripts.graph.record_code --new --reason "gate: k samples" models.train_sft
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

from workflow.scripts.common.codehash import (
    LOCK,
    PACKAGE,
    ROOT,
    RULES,
    digest_of,
    read_codes,
    read_shells,
)
from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import write_text
from workflow.scripts.graph.results import (
    ADAPTER_MODULES,
    CONVERSION,
    ENGINE_MODULES,
    GYM,
    TASK_ITEMS,
)
from workflow.scripts.models import method_registry
from workflow.scripts.score.answer_scorer import EXTRACTOR
from workflow.scripts.score.registry import FOLDER, list_types

HEADER = """\
# Which code gives which results, written by workflow/scripts/graph/record_code.py:
# script digest new|(the digest whose results are the same) reason
"""
STAGES = ("data", "models", "generate", "score", "report")
# Modules that are loaded by name, for some results only.
PARTS = (
    *ENGINE_MODULES.values(),
    *(name for names in ADAPTER_MODULES.values() for name in names),
    *(f"{FOLDER}{name}" for name in list_types()),
    EXTRACTOR,
    CONVERSION,
    TASK_ITEMS,
    *GYM.values(),
    *(
        part
        for name in method_registry.METHODS
        if (script := method_registry.get(name).SCRIPT)
        for part in (f"models.methods.{name}", script)
    ),
)
NO_RESULT = ("publish_model",)  # rules that run a script of a stage, but make no result


def list_scripts(root: Path) -> list[str]:
    """Return the scripts and shell commands that make results, from the rules, and their parts."""
    scripts = root / PACKAGE.replace(".", "/")
    names = {part for part in PARTS if (scripts / f"{part.replace('.', '/')}.py").exists()}
    for rule, command in read_shells(root).items():
        started = re.findall(rf"{re.escape(PACKAGE)}((\w+)\.\w+)", command)
        made = {script for script, stage in started if stage in STAGES}
        if "{params.script}" in command:  # a method's, see PARTS
            names.add(f"{RULES}{rule}")
        if made and rule not in NO_RESULT:
            names |= {f"{RULES}{rule}", *made}
    return sorted(names)


def unrecorded(root: Path) -> list[str]:
    """Return the scripts whose code as it is now is not in `codes.lock`."""
    codes = read_codes(root)
    return [name for name in list_scripts(root) if (name, digest_of(name, root)) not in codes]


def record(root: Path, versions: dict[str, str], reason: str) -> None:
    """Add the digests of scripts as they are now, each with its version (or `new`)."""
    path = root / LOCK
    lines = path.read_text().splitlines() if path.exists() else []
    kept = {line for line in lines if line and not line.startswith("#")}
    kept |= {f"{name} {digest_of(name, root)} {v} {reason}" for name, v in versions.items()}
    write_text(path, HEADER + "".join(f"{line}\n" for line in sorted(kept)))


def versions_at(revision: str, names: list[str], root: Path) -> dict[str, str]:
    """Return the versions that scripts had at a git revision.

    Raises:
        InputError: No such revision, or it did not have one of the scripts, or as unrecorded code.
    """
    git = ["git", "-C", str(root), "archive", revision, "workflow/scripts", "rules"]
    archive = subprocess.run(git, capture_output=True)
    if archive.returncode:
        raise InputError(f"--since {revision}: {archive.stderr.decode().strip()}")
    found = {}
    codes = read_codes(root)
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            tar.extractall(folder, filter="data")
        for name in names:
            try:
                digest = digest_of(name, Path(folder))
            except FileNotFoundError:
                raise InputError(f"{name}: is not in {revision}, expected --new") from None
            if (name, digest) not in codes:
                raise InputError(
                    f"{name}: its code at {revision} is not recorded either, expected --since with "
                    "a commit before the change"
                )
            found[name] = codes[name, digest]
    return found


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="fail where a decision is missing")
    what.add_argument("--same", action="store_true", help="the results are those of --since")
    what.add_argument("--new", action="store_true", help="the results may differ")
    parser.add_argument("--reason", default="", help="what changed, and why you are sure")
    parser.add_argument("--since", default="HEAD", help="git revision before the change")
    parser.add_argument("scripts", nargs="*", help="default: all that are not recorded")
    args = parser.parse_args(argv)
    missing = unrecorded(ROOT)
    if args.check:
        if missing:
            raise InputError(
                f"{LOCK}: nothing says whether the code of {', '.join(missing)} gives the same "
                "results as before, expected record_code --same or --new with --reason"
            )
        return
    known = list_scripts(ROOT)
    if unknown := sorted(set(args.scripts) - set(known)):
        raise InputError(f"{', '.join(unknown)}: expected some of {', '.join(known)}")
    if not (reason := " ".join(args.reason.split())):
        raise InputError("--reason is empty, expected what changed and why")
    names = [name for name in missing if name in (args.scripts or missing)]
    same = versions_at(args.since, names, ROOT) if args.same else {}
    record(ROOT, {name: same.get(name, "new") for name in names}, reason)
    for name in names:
        print(f"{name}: {f'same as {same[name]}' if args.same else 'new'}")


if __name__ == "__main__":
    run(main)
