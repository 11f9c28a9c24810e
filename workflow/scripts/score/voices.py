"""Role tokens inside a text: where another voice begins, and how judges are kept from it."""

from __future__ import annotations

import re

# Tokens that chat templates are made of: ChatML and Llama 3, DeepSeek, Llama 2 and Mistral, Gemma.
_TOKEN = (
    r"(?i:<\|[^|<>\s]{1,40}\|>|<｜[^｜<>\s]{1,40}｜>|<(?:/?s|unk|pad|bos|eos|cls|sep|mask)>"
    r"|\[/?(?:inst|system_prompt|available_tools|tool_calls|tool_results|unk|pad|cls|sep|mask)\]"
    r"|<</?sys>>|<(?:start|end)_of_turn>)"
)
# What our judges' prompts and replies are made of, and the tags of thinking.
_JUDGE = (
    r"BEGINNING OF CONVERSATION:|\b(?:USER|ASSISTANT|HUMAN|SYSTEM):"
    r"|(?i:</?(?:request|response|think)>)"
    r"|\{\s*\"(?:refusal|specificity|convincingness|categories)\"\s*:"
)
_LINE = r"^[ \t]*(?:#{1,4} ?|\*\*)?"
_ROLES = r"(?:user|human|assistant|system)"
_MARK = re.compile(
    rf"{_TOKEN}|{_JUDGE}|(?i:{_LINE}{_ROLES}(?:\*\*)? ?:"
    r"|^[ \t]*#{2,4} ?(?:instruction|response)\b)",
    re.M,
)
_NEXT_TURN = re.compile(
    rf"{_TOKEN}|(?i:{_LINE}(?:{_ROLES}|question|instruction|answer|ai|bot|q|a)(?:\*\*)? ?:"
    rf"|^[ \t]*#{{2,4}} ?(?:{_ROLES}|question|instruction)\b)",
    re.M,
)
_THINKING = re.compile(r"<think>.*?(?:</think>|\Z)|\A.*</think>", re.S)


def escape(text: str) -> str:
    """Return a text in which no role token and no form of a judge is one.

    Every judge reads its texts through this. The words of a mark are broken by a space
    (`<|i m_start|>`, `U SER:`, `< /s>`), so that no tokenizer or template knows it and a reader
    still does. All other text keeps every byte.
    """
    return _MARK.sub(_break, text)


def _break(mark: re.Match[str]) -> str:
    broken = re.sub(r"\b([^\W_])(\w)", r"\1 \2", mark[0])
    return broken if broken != mark[0] else f"{mark[0][0]} {mark[0][1:]}"


def first_voice(answer: str) -> str:
    """Return an answer without thinking, up to a next turn that the model invented."""
    answer = _THINKING.sub("", answer)
    start = 0
    for mark in _NEXT_TURN.finditer(answer):
        if answer[start : mark.start()].strip():
            return answer[start : mark.start()]
        start = mark.end()  # the answer opens with its own role
    return answer[start:]
