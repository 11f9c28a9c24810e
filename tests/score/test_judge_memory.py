"""What memory a local judge takes: of its files where they are here, else of its parameters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.score.judge_memory import check_judge, judge_gb, machine_gb
from workflow.scripts.score.registry import read_scorer


def test_the_size_is_that_of_the_files_else_that_of_the_type(tmp_path: Path) -> None:
    hub = {"type": "hf_classifier", "model": {"hub": "PKU-Alignment/beaver-dam-7b"}}
    scorer = read_scorer(hub, "scorers.beaver")
    assert judge_gb(scorer, None) == 14  # 7 billion parameters of 2 bytes
    assert judge_gb(read_scorer({**hub, "dtype": "float32"}, "scorers.beaver"), None) == 28
    sizes = {"a.bin": 3_000_000_000, "b.bin": 1_000_000_000, "tokenizer.model": 500_000_000}
    (tmp_path / "fetched.json").write_text(json.dumps({"files_bytes": sizes}))
    assert judge_gb(scorer, tmp_path) == 4
    (tmp_path / "model.safetensors").write_bytes(b"0" * 2_000_000)
    local = {"type": "hf_classifier", "model": {"path": str(tmp_path)}}
    assert judge_gb(read_scorer(local, "scorers.mine"), None) == 0.002


def test_a_scorer_without_a_model_takes_none() -> None:
    assert judge_gb(read_scorer({"type": "refusal"}, "scorers.refusal"), None) == 0


def test_what_does_not_fit_is_refused_in_a_line_unless_there_is_a_gpu() -> None:
    said = "scorers.beaver: its judge takes about 14.0 GB of memory; this machine has 16.0 GB"
    assert check_judge("beaver", 14, 16, gpu=False) == said
    assert check_judge("beaver", 14, 4, gpu=True).endswith("this machine has 4.0 GB")
    with pytest.raises(InputError, match=r"about 14\.0 GB of memory, this machine has 4\.0 GB and"):
        check_judge("beaver", 14, 4, gpu=False)


def test_the_memory_of_this_machine_is_that_of_the_kernel() -> None:
    (total,) = (
        line.split()[1]
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemTotal:")
    )
    assert machine_gb() == pytest.approx(int(total) * 1024 / 1e9, rel=0.1)
