"""What a model's status is called: ok, its training failed, or its selection missed its limits."""

from __future__ import annotations

from collections.abc import Iterable

MISSED = "no candidate has"  # so begins the reason of a selection without a candidate in its limits
INHERITED = "parent failed: "  # and so that of what is made from it
WORDS = {"ok": "", "failed": "training failed", "missed": "missed its limits"}


def status_of(reasons: Iterable[str | None]) -> str:
    """Return one of `WORDS`, of the reasons why models failed; None is of one that did not."""
    failed = [reason for reason in reasons if reason is not None]
    if not failed:
        return "ok"
    return (
        "missed"
        if all(reason.replace(INHERITED, "").startswith(MISSED) for reason in failed)
        else "failed"
    )


def in_brackets(status: str) -> str:
    """Return what went wrong with a model, to stand behind its name; "" where nothing did."""
    return f" ({WORDS[status]})" if WORDS[status] else ""
