"""Manifests: what is in a model run's folder, and what it was made from.

A manifest is written after everything it names. Whoever reads a model goes through
`load_checkpoint`, which compares sizes and hashes first.

Files are hashed once. The size, times and inode that a file had when its hash was computed are kept
in a hidden file of the run's folder, and the hash is taken from there as long as they are the same:
who writes to a file changes them, even with the old modification time put back. What this cannot
see is a bit that flips on the disk itself; delete `.*.hashed.json` to have all files read again.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict, Unpack

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json, sha256_file, write_json

if TYPE_CHECKING:
    from workflow.scripts.common.hardware import Hardware

FORMAT = 1
SETTLED_NS = 2 * 10**9  # the coarsest clock of a file system
PACKAGES = (
    "torch transformers trl accelerate peft datasets lm_eval vllm math-verify openai numpy scipy "
    "scikit-learn statsmodels pandas tokenizers safetensors"
).split()


class FileHash(TypedDict):
    """A file of a checkpoint."""

    sha256: str
    bytes: int


class TrainingData(TypedDict):
    """A file of training data."""

    name: str
    sha256: str
    n: int
    """Rows"""
    n_truncated: NotRequired[int]
    """Examples that were longer than the recipe's block size"""


class Checkpoint(TypedDict):
    """Weights of a run."""

    run: str
    checkpoint: str


class Parent(Checkpoint):
    """The weights that a model starts from."""

    sha256: str
    """Of the manifest's entry of the checkpoint, as canonical JSON"""
    status: Literal["ok", "failed"]
    lineage: Lineage | None
    """The parent's own, down to the base"""
    scale: NotRequired[float]
    """Of a model that was merged: what its difference was multiplied with"""


class Package(TypedDict):
    """A file of an installed package."""

    name: str
    file: str


class ModelSource(TypedDict, total=False):
    """Where a ready-made model comes from: exactly one of hub, path and package."""

    hub: str
    revision: str
    """The commit, of a model of the hub"""
    path: str
    package: Package


class ScoredCheckpoint(Checkpoint):
    """Weights that could be chosen."""

    origin: NotRequired[str]
    """The alignment whose settings it was trained with, where it was promoted"""
    figures: dict[str, float | None]
    """Metric to percent; None where it was not measured"""


class Selection(TypedDict):
    """A choice among models by their scores on development benchmarks."""

    rule: str
    """In words"""
    chosen: Checkpoint
    candidates: list[ScoredCheckpoint]


class Promotion(Selection):
    """A choice of settings that a model is trained with again, for longer."""

    rank: int
    """Of the chosen one; 1 is the best"""
    origin: str
    """The alignment whose settings they are"""


class Lineage(TypedDict):
    """What a model is made from."""

    base: Parent | None
    """None where it starts from no other"""
    data: TrainingData | None
    """None where nothing was trained"""
    retain: NotRequired[TrainingData]
    """Records that were trained beside primers (SafePath)"""
    rejected: NotRequired[TrainingData]
    """Worse answers than those of `data`"""
    pairs: NotRequired[dict[str, int]]
    """`n`, of a chosen and a rejected answer to the same prompt"""
    reasoning: NotRequired[TrainingData]
    """Problems that were asked beside the prompts of `data`"""
    judge: NotRequired[str | None]
    """The sha256 of the trained judge that rewarded answers; None where another one did"""
    others: NotRequired[dict[str, Parent]]
    """Further models, by the name of the input: a teacher, or those that were merged"""
    source: NotRequired[ModelSource]
    selection: NotRequired[Selection]
    promotion: NotRequired[Promotion]


class Training(TypedDict):
    """How a training went; tokens and steps are those of all rounds."""

    tokens: int
    target_tokens: int
    """Those with a loss"""
    steps: int
    """Of the optimizer"""
    tokens_per_s: float
    peak_memory_mb: float
    """MiB of the first process: on its GPU, or resident on the CPU"""
    attention: NotRequired[str]
    """Implementation of transformers"""
    wall_s: float
    """Of training, since its last start"""
    rounds: NotRequired[int]
    """One, or behind a skill gate several"""
    resumed_at_step: NotRequired[int]
    """Step of the last round that a preempted run went on from; 0: it was not preempted"""
    loss_history: list[dict[str, float]]
    """What was logged of a step: `step`, `loss`, and what else the trainer keeps"""
    probe_accuracy: NotRequired[list[float]]
    """Share of the probe problems that was solved, each time that they were asked"""


class RunFields(TypedDict):
    """What the script that makes a model says of it in the manifest."""

    run: str
    """Its name, such as lrm/tiny/seed1"""
    role: str
    """base, lrm, aligned or attacked"""
    chat_format: str
    thinking: bool
    """Whether it thinks before it answers"""
    status: Literal["ok", "failed"]
    status_reason: str | None
    """Why it failed"""
    seed: int | None
    recipe: dict[str, Any]
    """Whatever settings made it, as the method names them"""
    render: NotRequired[dict[str, bool | str]]
    """How the training data were written: of `Render` and, where another one, `chat_format`"""
    lineage: Lineage
    parents: dict[str, str]
    """The sha256 of parents' manifests, by the name of the input"""
    train: Training | None
    """None where nothing was trained"""
    hardware: NotRequired[Hardware]


class Manifest(RunFields):
    """`manifest.json` of a model run's folder."""

    format: int
    checkpoints: dict[str, dict[str, FileHash]]
    """By name; the files of each by their relative names"""
    final: str
    """The name of the last checkpoint"""
    versions: dict[str, str]
    """Of packages"""
    git_commit: str | None


def describe_files(folder: str | Path, record: str | Path | None = None) -> dict[str, FileHash]:
    """Return every file below `folder` by its relative name.

    Args:
        folder: Its hidden files do not count.
        record: Remembers the hashes, see `hash_files`.
    """
    folder = Path(folder)
    paths = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    ]
    names = [str(path.relative_to(folder)) for path in paths]
    hashes = hash_files(folder, names, record)
    return {
        name: {"sha256": hashes[name], "bytes": path.stat().st_size}
        for name, path in zip(names, paths, strict=True)
    }


def hash_files(
    folder: Path, names: Iterable[str], record: str | Path | None = None
) -> dict[str, str]:
    """Return the sha256 of files by name, reading in threads those that are not in the record.

    Args:
        folder: Holds the files.
        names: Relative to it.
        record: JSON file {name: [sha256, size, modification time, change time, inode]}, made on
            first use and kept up to date where it can be written.
    """
    try:
        known = read_json(record) if record else {}
    except InputError:
        known = {}

    def look(name: str) -> list[Any]:
        before = _state(folder / name)
        if name in known and known[name][1:] == before:
            return known[name]
        return [sha256_file(folder / name), *before]

    names = sorted(names, key=lambda name: -(folder / name).stat().st_size)  # the largest first
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found = dict(zip(names, pool.map(look, names), strict=True))
    settled = {
        name: entry for name, entry in found.items() if _is_settled(folder / name, entry[1:])
    }
    if record and settled != known:
        try:
            write_json(record, settled)
        except OSError:
            pass  # somebody else's models, read-only: hashed at every start
    return {name: entry[0] for name, entry in found.items()}


def _state(path: Path) -> list[int]:
    """Return what changes when a file is written: size, modification and change time, inode."""
    state = path.stat()
    return [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]


def _is_settled(path: Path, state: list[int]) -> bool:
    """Tell whether a later write would be seen: not within the same tick of the clock."""
    return _state(path) == state and time.time_ns() - state[2] > SETTLED_NS


def hash_record(run_folder: Path, checkpoint: str) -> Path:
    """Return where the hashes of a checkpoint are remembered: not among its own files."""
    return run_folder / f".{checkpoint}.hashed.json"


def write_manifest(
    run_folder: str | Path, checkpoints: list[str], **fields: Unpack[RunFields]
) -> None:
    """Hash the checkpoints of a finished run and write `manifest.json` beside them.

    Args:
        run_folder: The run's folder.
        checkpoints: Names of its checkpoint folders, the final one last.
        **fields: The other fields of the manifest.
    """
    run_folder = Path(run_folder)
    files = {
        name: describe_files(run_folder / name, hash_record(run_folder, name))
        for name in checkpoints
    }
    write_json(
        run_folder / "manifest.json",
        {
            "format": FORMAT,
            "checkpoints": files,
            "final": checkpoints[-1],
            "versions": versions(),
            "git_commit": git_commit(),
            **fields,
        },
    )


def read_manifest(path: str | Path) -> Manifest:
    """Read a run's manifest, given as the file or its folder.

    Raises:
        InputError: There is no manifest, or it is of another format.
    """
    path = Path(path)
    path = path if path.name == "manifest.json" else path / "manifest.json"
    if not path.exists():
        raise InputError(f"{path.parent}: no manifest.json, expected a complete model run")
    manifest: Manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{path}: expected a manifest of format {FORMAT}")
    return manifest


def load_checkpoint(path: str | Path, checkpoint: str | None = None, checked: bool = False) -> Path:
    """Return the folder of a checkpoint (default: the final one) after checking every file.

    Args:
        path: The run's folder, or its manifest.
        checkpoint: Its name.
        checked: The content has been checked, or will be before it is used: only look for the
            files and their sizes.

    Raises:
        InputError: Naming the first file that is missing or differs from the manifest.
    """
    manifest = read_manifest(path)
    run_folder = Path(path).parent if Path(path).name == "manifest.json" else Path(path)
    name = checkpoint or manifest["final"]
    if name not in manifest["checkpoints"]:
        known = ", ".join(manifest["checkpoints"])
        raise InputError(f"{run_folder}: no checkpoint {name!r}, expected one of {known}")
    folder, files = run_folder / name, manifest["checkpoints"][name]
    for file, expected in files.items():
        if not (folder / file).exists():
            raise InputError(f"{folder / file}: missing, though the manifest names it")
        if (folder / file).stat().st_size != expected["bytes"]:
            raise InputError(
                f"{folder / file}: differs from the manifest, expected {expected['bytes']} bytes"
            )
    hashes = {} if checked else hash_files(folder, files, hash_record(run_folder, name))
    for file, found in hashes.items():
        if found != files[file]["sha256"]:
            raise InputError(
                f"{folder / file}: differs from the manifest, "
                f"expected sha256 {files[file]['sha256']}, found {found}"
            )
    return folder


def versions() -> dict[str, str]:
    """Return the installed versions of the packages that can change a result."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """Return the checked-out commit, with `-dirty` when files differ; None outside git."""
    try:
        text = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return text.stdout.strip()
