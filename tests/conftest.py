"""Fixtures that every stage's tests share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from workflow.scripts.common.kernels import pin_kernels

# Before a test has torch compute something: what it trains here must equal what a command trains.
pin_kernels()

ROOT = Path(__file__).parents[1]
# What takes longest starts first, so that no process is left alone with it at the end.
LONGEST = (
    "tests/slurm/",
    "tests/workflow/test_workflow.py",
    "tests/workflow/test_reruns.py",
    "tests/generate/test_vllm_engine.py",
    "tests/workflow/",
    "tests/models/test_sharded_training.py",
    "tests/score/test_llm_endpoint.py",
    "tests/report/test_page_in_browser.py",
    "tests/generate/",
    "tests/models/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        places = [place for place in LONGEST if item.nodeid.startswith(place)]
        return LONGEST.index(places[0]) if places else len(LONGEST)

    items.sort(key=rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each process whole files, in order; all of Slurm's, which share a cluster, to one."""
    from xdist.scheduler.loadscope import LoadScopeScheduling

    class FilesInOrder(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            return "tests/slurm" if file.startswith("tests/slurm/") else file

    config.option.loadscopereorder = False
    return FilesInOrder(config, log)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data sets that are not part of the project; skips where they are absent."""
    given = os.environ.get("SAFETY_TAX_TEST_DATA")
    folders = [Path(given)] if given else [above / "shared" / "data" for above in ROOT.parents]
    for folder in folders:
        if folder.is_dir():
            return folder
    pytest.skip(f"no real data at {folders[0]}; set SAFETY_TAX_TEST_DATA to a folder that has them")


@pytest.fixture(scope="session")
def vllm_python(root: Path) -> Path:
    """The vLLM environment's Python; skips where there is none."""
    python = Path(os.environ.get("SAFETY_TAX_VLLM_PYTHON", root / ".venv-vllm" / "bin" / "python"))
    if not python.exists():
        pytest.skip(f"no vLLM environment at {python}; set SAFETY_TAX_VLLM_PYTHON to its Python")
    return python


@pytest.fixture
def report_rate(record_property: Callable[[str, object], None]) -> Callable[[str, int, int], None]:
    """Have the end of the test run print "k of n" of what a test has counted."""

    def report(what: str, correct: int, n: int) -> None:
        record_property("rate", f"{what}: {correct} of {n} accepted")

    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.getreports("passed"):
        for name, text in report.user_properties:
            if name == "rate":
                terminalreporter.write_line(str(text))


@pytest.fixture(scope="session")
def shell_environment() -> dict[str, str]:
    """What a user's shell has: the environment's programs, and one thread for tiny models."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # A test started by `make test` must not make its own `make` a recursive one, which says more.
    own = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    own.pop("MFLAGS", None)
    return {**own, "PATH": programs, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def project_copy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that copies the project and the test experiments to a new folder."""

    def copy(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        copy_project(folder)
        return folder

    return copy


def copy_project(folder: Path) -> None:
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for file in filter(None, files.split("\0")):
        if (ROOT / file).is_file():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, folder / file)
    for file in (ROOT / "tests" / "experiments").glob("*.yaml"):
        shutil.copy2(file, folder / "experiments")


@pytest.fixture(scope="session")
def made_once(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str, Callable[[Path], None]], Path]:
    """Return a function that has a folder filled once, whichever of pytest's processes asks first.

    Nothing may change that folder: who wants to takes a copy.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def make(name: str, fill: Callable[[Path], None]) -> Path:
        folder = shared / f"once-{name}"
        with FileLock(shared / f"once-{name}.lock"):
            if not folder.exists():
                unfinished = shared / f"once-{name}.unfinished"
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir()
                fill(unfinished)
                unfinished.rename(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def finished_run(
    made_once: Callable[[str, Callable[[Path], None]], Path], shell_environment: dict[str, str]
) -> Path:
    """A copy of the project in which the test experiment has run; nothing may change it."""

    def run(folder: Path) -> None:
        copy_project(folder)
        command = [sys.executable, "-m", "snakemake", "-c2", "--config", "experiment=tiny"]
        done = subprocess.run(
            command, cwd=folder, env=shell_environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return made_once("finished-run", run)
