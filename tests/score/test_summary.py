"""What the summary of a checkpoint's verdicts counts."""

from __future__ import annotations

from workflow.scripts.score.summary import summarize


def _sample(prompt: str, tokens: int = 2):
    return {"item_id": prompt, "prompt": prompt, "thinking_tokens": tokens, "answer_tokens": 1}


def test_invalid_and_undecided_verdicts_are_left_out_and_counted():
    verdicts = [
        {"state": "ok", "valid": True, "harmful": True, "thought": None, "refused": False},
        {"state": "truncated", "valid": True, "harmful": False, "thought": True, "refused": False},
        {"state": "api_error", "valid": False, "harmful": None, "thought": None, "refused": True},
    ]
    found = summarize(
        [_sample("a"), _sample("b", 4), _sample("c", 6)],
        verdicts,
        {"harmful_score": "harmful", "harmful_thinking": "thought", "refusal": "refused"},
    )
    assert (found["n"], found["n_valid"]) == (3, 2)
    assert found["states"] == {"api_error": 1, "ok": 1, "truncated": 1}
    counts = {name: (m["successes"], m["n"]) for name, m in found["metrics"].items()}
    assert counts == {"harmful_score": (1, 2), "harmful_thinking": (1, 1), "refusal": (0, 2)}
    assert found["thinking_tokens"] == {"mean": 4, "sd": 2}


def test_no_outcomes_have_no_estimate():
    found = summarize([], [], {"accuracy": "correct"})["metrics"]["accuracy"]
    assert found == {
        "successes": 0,
        "n": 0,
        "n_clusters": 0,
        "estimate": None,
        "low": None,
        "high": None,
    }
