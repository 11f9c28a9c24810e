"""The headline: one sentence that names each price, with its uncertainty."""

from __future__ import annotations

from typing import Any

from workflow.scripts.report.headline import headline


def share(value: float) -> dict[str, float]:
    return {"estimate": value}


def row(alignment: str | None, harmful: float, refused: float, tax: float = 0.0) -> dict[str, Any]:
    """Return an aligned model's row, or that of its LRM; the tax has an interval of ± 0.1."""
    points = {"estimate": tax, "low": tax - 0.1, "high": tax + 0.1, "all_low": None}
    return {
        "lrm": "tiny",
        "role": "aligned" if alignment else "lrm",
        "alignment": alignment,
        "final": True,
        "seed": "mean",
        "n_seeds": 1,
        "metrics": {"harmful_score": share(harmful), "over_refusal": share(refused)},
        "tax": {"points": points} if alignment else {},
        "change": {"reasoning_accuracy": {"p_holm": 0.001}} if alignment else {},
    }


def test_each_price_is_named_with_its_alignment() -> None:
    rows = [row(None, 0.993, 0.0), row("a", 0.0, 1.0, 0.5), row("b", 0.014, 0.95, 0.2)]
    assert headline(rows) == (
        "On tiny (1 training seed) safety alignment cost points of reasoning accuracy (95 % "
        "intervals): 50.0 (40.0 to 60.0) with a and 20.0 (10.0 to 30.0) with b; the harmful score "
        "went from 99.3 % to 0.0 % with a and 1.4 % with b, over-refusal from 0.0 % to 100.0 % "
        "with a and 95.0 % with b."
    )


def test_what_is_the_same_for_all_is_said_once() -> None:
    rows = [
        row(None, 0.5, 0.0),
        *(row(name, 0.0, refused, 0.5) for name, refused in [("a", 0.2), ("b", 0.2), ("c", 0.3)]),
    ]
    assert headline(rows).endswith(
        "went from 50.0 % to 0.0 % with each, over-refusal from 0.0 % to 20.0 % with a and b and "
        "30.0 % with c."
    )


def test_a_judge_that_is_missing_leaves_the_tax() -> None:
    rows = [row(None, 0.5, 0.0), row("a", 0.0, 0.2, 0.5)]
    del rows[1]["metrics"]["harmful_score"]
    assert headline(rows).endswith(
        "50.0 (40.0 to 60.0) with a; harm was not measured for all, over-refusal went from 0.0 % "
        "to 20.0 %."
    )
    del rows[0]["metrics"]["harmful_score"]
    assert "; harm was not measured, over-refusal went from" in headline(rows)
