"""Sizes of public benchmarks and training sets: what a plan knows before anything is fetched.

`resolve_pins` writes the row counts that a data set's own page states into the lock; they come
first. What was prepared, generated or trained comes before both, see `graph/estimate.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workflow.scripts.config.dataset import Dataset
    from workflow.scripts.config.experiment import Benchmark
    from workflow.scripts.config.source import Source

UNKNOWN_ROWS = 1000
GYM_TOKENS = 130  # of a worked solution of reasoning-gym
UNKNOWN_TOKENS = 12_000  # of a training record; above the longest reasoning set here

# Hub name -> rows by part: "FIELD=VALUE" of a `where`, a config, a split, or "" for all of it.
ROWS: dict[str, dict[str, int]] = {
    # Benchmarks.
    "simplescaling/aime24_nofigures": {"": 30},  # AIME 2024 I and II have 15 problems each
    "HuggingFaceH4/MATH-500": {"": 500},  # the 500 test problems of openai/prm800k
    # arXiv 2311.12022
    "Idavidrein/gpqa": {"gpqa_diamond": 198, "gpqa_main": 448, "gpqa_extended": 546},
    # arXiv 2308.01263: 250 safe prompts, 200 unsafe contrasts
    "walledai/XSTest": {"": 450, "label=safe": 250, "label=unsafe": 200},
    # Its card. How many are unsafe is not stated there; the published code takes 1,000 of them.
    "PKU-Alignment/BeaverTails": {"30k_test": 3021},
    # Training sets.
    "simplescaling/s1K-1.1": {"": 1000},  # arXiv 2501.19393
    "GAIR/LIMO": {"": 817},  # arXiv 2502.03387, version 1
    "TianshengHuang/DirectRefusal": {"": 1000},  # git-disl/Safety-Tax selects 1,000 rows
    "TianshengHuang/Small_SafeChain": {"": 1000},  # the hub says "< 1K"; 1,000 before it drops some
    "UWNSL/SafeChain": {"": 40_000},  # arXiv 2502.12025
    "UCSC-VLAA/STAR-1": {"": 1000},  # arXiv 2504.01903
    "UCSC-VLAA/STAR-benign-915": {"": 915},  # its name and the card of STAR-1
    "Yeonjun/R1-Act-train": {"": 1000},  # arXiv 2508.00324
}

# Hub name -> tokens of a training record on average: question, thinking and answer.
RECORD_TOKENS: dict[str, int] = {
    "simplescaling/s1K-1.1": 10_000,  # assumption: what DeepSeek-R1 writes on such problems
    "GAIR/LIMO": 10_000,  # assumption: as s1K-1.1; LIMO itself was trained with 16,384 at most
    "UWNSL/SafeChain": 1400,  # the size that its card states, by 40,000 rows
    "TianshengHuang/Small_SafeChain": 1400,  # rows of SafeChain
    "TianshengHuang/DirectRefusal": 200,  # assumption: question, one fixed sentence, short refusal
    "anonymous4486/repnoise_beavertail": 200,  # what DirectRefusal was made from
    "UCSC-VLAA/STAR-1": 600,  # 1,940 characters a record (counted), and the chat format
    "UCSC-VLAA/STAR-benign-915": 600,  # assumption: as STAR-1
    "Yeonjun/R1-Act-train": 600,  # assumption: as STAR-1
}

# Hub name -> (thinking, answer): tokens that a 32B LRM would write on average without a limit. The
# same for every checkpoint, though models trained to refuse write less.
ANSWER_TOKENS: dict[str, tuple[int, int]] = {
    "simplescaling/aime24_nofigures": (10_000, 500),  # assumption: as the traces of s1K-1.1
    "HuggingFaceH4/MATH-500": (2000, 500),  # assumption: far easier than AIME
    "Idavidrein/gpqa": (5000, 500),  # assumption: between the two
    # SafeChain's records are DeepSeek-R1's replies to such prompts: 1,400 tokens
    "PKU-Alignment/BeaverTails": (900, 500),
    "walledai/XSTest": (900, 500),
}


def known_rows(
    source: Source,
    where: Mapping[str, Any],
    pinned: Mapping[str, Mapping[str, int]] | None = None,
) -> int | None:
    """Return how many rows of a hub data set a section can use, at most; None when unknown.

    Args:
        source: The data set.
        where: Field to value or values of the rows that are kept.
        pinned: Hub name -> "CONFIG/SPLIT" -> rows, from the experiment's lock.
    """
    hub, config, split = str(source.hub), source.config, source.split
    facts = ROWS.get(hub, {})
    for field, value in where.items():
        if (rows := facts.get(f"{field}={value}")) is not None:
            return rows
    if rows := (pinned or {}).get(hub, {}).get(f"{config or 'default'}/{split}"):
        return rows
    return next((facts[part] for part in (config, split, "") if part in facts), None)


def record_tokens(dataset: Dataset) -> int:
    """Return the tokens of a training record on average, prompt included."""
    if dataset.reasoning_gym:
        return GYM_TOKENS
    source = dataset.source
    return RECORD_TOKENS.get((source and source.hub) or "", UNKNOWN_TOKENS)


def answer_tokens(benchmark: Benchmark, budget_share: float) -> int:
    """Return the tokens that a sample of a benchmark is expected to have.

    Args:
        benchmark: Its section; the budgets of its `decoding` cut the known lengths.
        budget_share: Share of the budgets that a sample of an unknown benchmark uses.
    """
    decoding, source = benchmark.decoding, benchmark.source
    budgets = (decoding.max_thinking_tokens, decoding.max_answer_tokens)
    known = ANSWER_TOKENS.get((source and source.hub) or "")
    if known is None:
        return round(budget_share * sum(budgets))
    return sum(map(min, known, budgets))
