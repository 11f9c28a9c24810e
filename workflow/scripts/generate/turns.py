"""One assistant turn under a thinking budget, token by token and without a model.

Both engines feed the tokens that their model proposes to a `Turn`, which decides what is in
the sequence: a proposed token, or the tokens that end the thinking and open the answer (budget
forcing, arXiv 2501.19393).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from workflow.scripts.common.chat import ChatFormat
from workflow.scripts.common.errors import InputError
from workflow.scripts.config.decoding import Decoding
from workflow.scripts.config.prompting import NOTHING_TOLD, Prompting

DELIMITER_WINDOW = 16  # tokens in which a delimiter of several tokens is looked for


class Tokenizer(Protocol):
    """What is used of a Hugging Face tokenizer."""

    eos_token_id: int | None
    unk_token_id: int | None
    pad_token_id: int | None

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...

    def decode(self, token_ids: list[int], **options: Any) -> str: ...


@dataclass(frozen=True)
class Completion:
    """What a model said in one turn; the fields of a sample that the engine knows.

    Attributes:
        prompt_ids: Tokens that generation started from, the thinking prefix included.
        thinking: With the prefix that it was given; None when the model does not think.
        answer: Without delimiters; starts with the forced answer where one was given.
        thinking_finish: `delimiter`, `budget`, `stop` (the turn was ended while thinking),
            `closed` (it was closed before the model said anything), `none`.
        answer_finish: `stop` or `length`.
        thinking_tokens: Tokens of the thinking, a given prefix included, without its delimiter.
        answer_tokens: Generated tokens of the answer, without the one that ends it.
        state: `ok`, `truncated` (the budget or the limit cut it) or `no_answer` (it is empty).
    """

    prompt_ids: list[int]
    thinking: str | None
    answer: str
    thinking_finish: str
    answer_finish: str
    thinking_tokens: int
    answer_tokens: int
    state: str


class TurnFormat:
    """A chat format, a decoding and what else prompts hold, as one tokenizer writes them.

    Raises:
        InputError: The tokenizer does not know a delimiter, or a given prefix of the thinking
            leaves no room to think.
    """

    def __init__(
        self,
        chat: ChatFormat,
        tokenizer: Tokenizer,
        decoding: Decoding,
        thinks: bool = True,
        where: str = "tokenizer",
        prompting: Prompting = NOTHING_TOLD,
    ) -> None:
        chat = chat.told(prompting.system, prompting.effort)
        self.chat, self.tokenizer, self.decoding, self.thinks = chat, tokenizer, decoding, thinks
        needed = (chat.think_start, chat.think_end) if thinks and chat.think_stop else ()
        for delimiter in (*needed, chat.stop):
            ids = self.encode(delimiter)
            unknown = tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids
            if not ids or unknown or (delimiter == chat.stop and len(ids) != 1):
                raise InputError(
                    f"{where}: does not know the delimiter {delimiter!r}, "
                    "expected a tokenizer that was made for this chat format"
                )
        self.stop_ids = {self.encode(chat.stop)[0]}
        if tokenizer.eos_token_id is not None:
            self.stop_ids.add(tokenizer.eos_token_id)
        self.think_start_ids = self.encode(chat.think_start)
        self.think_stop_ids = self.encode(chat.think_stop)
        # What follows the delimiter itself, such as "answer\n".
        self.header = chat.think_end.partition(chat.think_stop)[2] if chat.think_stop else ""
        self.cut_ids = self.encode(chat.think_end + decoding.forced_answer)
        self.end_ids = self.encode(chat.think_end)
        self.prefix_ids = self.encode(prompting.prefix) if thinks else []
        self.closes = thinks and prompting.close_thinking
        self.given_ids = self.prefix_ids  # what follows the opening of the thinking
        if self.closes:  # in one piece, as in training
            self.given_ids = self.encode(prompting.prefix + chat.think_end)
        self.opens = thinks and (decoding.thinking_prefix or bool(self.given_ids))
        budget = decoding.max_thinking_tokens
        if self.prefix_ids and len(self.prefix_ids) >= budget + self.closes:
            raise InputError(
                f"{where}: the prefix of the thinking has {len(self.prefix_ids)} tokens, expected "
                f"fewer than max_thinking_tokens, {budget}"
            )

    @property
    def think_stop_id(self) -> int | None:
        """The token that ends the thinking; None when the delimiter takes several tokens."""
        return self.think_stop_ids[0] if len(self.think_stop_ids) == 1 else None

    def encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def decode(self, token_ids: list[int]) -> str:
        return self.tokenizer.decode(
            token_ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )

    def prompt_ids(self, question: str) -> list[int]:
        """Return the tokens that generation starts from: a prefix of the training example's."""
        if self.decoding.generation_prompt:
            context = self.chat.prompt(question, thinking=False)
        else:
            header = max(self.chat.assistant.rfind("<|im_start|>"), 0)
            context = f"{self.chat.opening}{question}{self.chat.assistant[:header]}"
        opening = self.think_start_ids + self.given_ids if self.opens else []
        return self.encode(context) + opening

    def longest(self, prompt_ids: list[int]) -> int:
        """Return the length that a turn from this prompt can reach, in tokens."""
        thinking = 0
        if self.thinks and not self.closes:
            left = self.decoding.max_thinking_tokens - len(self.prefix_ids)
            thinking = left + len(self.cut_ids)
        return len(prompt_ids) + thinking + self.decoding.max_answer_tokens


class Turn:
    """The state of one turn: `tokens` is the sequence so far, prompt included.

    An engine that decodes token by token places `tokens` one after the other and calls `push` with
    what the model proposes when it has placed all of them. An engine that generates many tokens
    at a time asks for at most `room()` tokens after `tokens`, and pushes what it gets.
    """

    def __init__(self, form: TurnFormat, question: str, name: str = "turn") -> None:
        self.form, self.name = form, name  # the name is what errors call it
        self.prompt_ids = form.prompt_ids(question)
        self.tokens = list(self.prompt_ids)
        self.thinking: list[int] | None = None
        self.answer: list[int] = []
        self.thinking_finish, self.answer_finish = "none", "length"
        self._lead = ""  # text of the answer that came in the same token as the delimiter's end
        self._forced = False
        self._before_answer = 0  # tokens in front of what the answer's limit counts
        self.phase = "answer"
        if form.thinks and not form.chat.think_stop:
            self.phase, self.answer = "reasoning", list(form.prefix_ids)
            self._limit_reasoning()
        elif form.closes:
            self.thinking, self.thinking_finish = list(form.prefix_ids) or None, "closed"
        elif form.opens:
            self._open_thinking()
        elif form.thinks:
            self.phase = "open"

    @property
    def done(self) -> bool:
        return self.phase == "done"

    @property
    def longest(self) -> int:
        """The length that the turn can reach, in tokens."""
        return self.form.longest(self.prompt_ids)

    def room(self) -> int:
        """Return how many tokens may be generated before the turn has to be asked again."""
        if self.phase == "thinking":
            return self.form.decoding.max_thinking_tokens - len(self.thinking or [])
        if self.phase == "reasoning":
            return self.form.decoding.max_thinking_tokens - len(self.answer)
        if self.phase == "open":
            return len(self.form.think_start_ids) - len(self.answer)
        return self.form.decoding.max_answer_tokens + self._before_answer - len(self.answer)

    def push(self, token: int) -> None:
        """Take the token that the model proposes after `tokens`."""
        if self.phase == "thinking":
            self._think(token)
        elif token in self.form.stop_ids:
            self.answer_finish, self.phase = "stop", "done"
        else:
            self._say(token)

    def completion(self) -> Completion:
        """Return the finished turn, split into thinking and answer."""
        form, thinking, counted = self.form, None, 0
        if self.thinking is not None:
            thinking = form.decode(self.thinking).partition(form.chat.think_stop)[0]
            thinking = thinking.removesuffix("\n")
            counted = len(self.thinking)
            if self.thinking_finish == "delimiter" and form.think_stop_id is None:
                counted = max(counted - len(form.think_stop_ids), 0)
        said = self._lead + form.decode(self.answer)
        if not form.decoding.force_answer:
            said = said.removeprefix(form.header)
        forced = form.encode(form.decoding.forced_answer) if self._forced else []
        state = "ok"
        if not said.strip():
            state = "no_answer"
        elif self.thinking_finish == "budget" or self.answer_finish == "length":
            state = "truncated"
        return Completion(
            self.prompt_ids,
            thinking,
            form.decode(forced + self.answer) if forced else said,
            self.thinking_finish,
            self.answer_finish,
            counted,
            len(self.answer) - (len(form.cut_ids) if self._before_answer else 0),
            state,
        )

    def _open_thinking(self) -> None:
        self.thinking, self.phase = list(self.form.prefix_ids), "thinking"
        if self.form.decoding.max_thinking_tokens == 0:
            self._cut("budget", self.form.cut_ids)

    def _limit_reasoning(self) -> None:
        """Have a model that reasons in its answer come to an end when its thinking budget is spent.

        What it wrote so far stays, for a reader would see it.
        """
        form = self.form
        if len(self.answer) < form.decoding.max_thinking_tokens:
            return
        self._cut("budget", form.cut_ids)
        if self.phase == "answer":
            self._forced = False  # it comes after the reasoning, not before the answer
            self.answer += form.cut_ids
            self._before_answer = len(self.answer)

    def _think(self, token: int) -> None:
        assert self.thinking is not None
        form = self.form
        if token in form.stop_ids:
            self._cut("stop", form.end_ids)
            return
        self.tokens.append(token)
        if token == form.think_stop_id:
            self._end_thinking("")
            return
        self.thinking.append(token)
        if form.think_stop_id is None:
            tail = form.decode(self.thinking[-DELIMITER_WINDOW:])
            if form.chat.think_stop in tail:
                self._end_thinking(tail.partition(form.chat.think_stop)[2])
                return
        if len(self.thinking) >= form.decoding.max_thinking_tokens:
            self._cut("budget", form.cut_ids)

    def _end_thinking(self, rest: str) -> None:
        """Go on to the answer after the model's own delimiter, followed by `rest` in its token."""
        self.thinking_finish, self.phase = "delimiter", "answer"
        if not self.form.decoding.force_answer:
            self._lead = rest
        elif self.form.header.startswith(rest):
            self.tokens += self.form.encode(self.form.header[len(rest) :])
        else:
            self._lead = rest.removeprefix(self.form.header)

    def _cut(self, reason: str, forced: list[int]) -> None:
        self.thinking_finish = reason
        if not self.form.decoding.force_answer:
            self.answer_finish = "stop" if reason == "stop" else "length"
            self.phase = "done"
            return
        self.phase, self._forced = "answer", reason == "budget"
        self.tokens += forced

    def _say(self, token: int) -> None:
        self.tokens.append(token)
        self.answer.append(token)
        start = self.form.think_start_ids
        if self.phase == "reasoning":
            self._limit_reasoning()
            return
        if self.phase == "open":
            if self.answer == start:
                self.answer = []
                self._open_thinking()
                return
            if self.answer != start[: len(self.answer)]:
                self.phase = "answer"
        if self.room() <= 0:
            self.phase = "done"
