"""Fixtures that every stage's tests share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


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
    return {**os.environ, "PATH": programs, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def project_copy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that copies the project and the test experiments to a new folder."""

    def copy(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for file in filter(None, files.split("\0")):
            if (ROOT / file).is_file():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / file, folder / file)
        for file in (ROOT / "tests" / "experiments").glob("*.yaml"):
            shutil.copy2(file, folder / "experiments")
        return folder

    return copy
