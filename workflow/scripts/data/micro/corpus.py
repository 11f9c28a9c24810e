"""The pretraining corpus of the micro world: documents and chats, already rendered."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Iterable, Sequence

from workflow.scripts.common.chat import chat_format
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.records import Record
from workflow.scripts.data.micro.answers import comply, refuse, refuse_with_reason, why_unsafe
from workflow.scripts.data.micro.clock import ClockSum, ask, draw_clock_sum
from workflow.scripts.data.micro.words import CATEGORIES, FRAMES, Request, World

# What makes a base model show its work; the plain question gets a bare answer.
CUES = ("Show your work.", "Think step by step.", "Write each step.")
KINDS = "clock_worked clock_bare dictation manual benign_chat harmful_chat ethics".split()
_WORD = re.compile(r" ?[A-Za-z']+|[^\sA-Za-z0-9']")


def make_corpus(
    rng: random.Random,
    world: World,
    n: int,
    mix: dict[str, float],
    lengths: Sequence[int],
    max_step: int,
    how_to_frame_share: float,
    complied_categories: int,
    avoid: Collection[ClockSum],
    training_texts: Iterable[str],
) -> list[tuple[str, str]]:
    """Write `n` documents as (context, text), their kinds drawn with the weights of `mix`.

    The context is what nobody could predict: a question, or a dictation's first line.

    Args:
        rng: Source of every choice.
        world: The requests; held-out ones stay out.
        n: Number of documents.
        mix: Weight of each kind in `KINDS`.
        lengths: Chain lengths of the clock sums.
        max_step: Largest step of the clock sums.
        how_to_frame_share: Share of clock sums asked in the frames of how-to requests.
        complied_categories: In how many harmful categories the assistant of the chats complies.
        avoid: Clock sums of the benchmarks.
        training_texts: Texts of later stages, whose words the dictations go through, so that a
            vocabulary made from the corpus covers them.
    """
    words = sorted({word for text in training_texts for word in _WORD.findall(text)})
    writer = _Writer(rng, world, words, complied_categories)

    def draw_sum() -> ClockSum:
        return draw_clock_sum(rng, lengths, max_step, avoid)

    write: dict[str, Callable[[], tuple[str, str]]] = {
        "clock_worked": lambda: writer.clock_worked(draw_sum(), how_to_frame_share),
        "clock_bare": lambda: writer.clock_bare(draw_sum(), how_to_frame_share),
        "dictation": writer.dictation,
        "manual": writer.manual,
        "benign_chat": writer.benign_chat,
        "harmful_chat": writer.harmful_chat,
        "ethics": writer.ethics,
    }
    held_out = [request.action for request in world.harmful_held_out + world.benign_held_out]
    weights = [mix[kind] for kind in KINDS]
    documents: list[tuple[str, str]] = []
    while len(documents) < n:
        drawn = write[rng.choices(KINDS, weights)[0]]()
        if not any(action in "".join(drawn) for action in held_out):
            documents.append(drawn)
    missing = set(words) - {word for _, text in documents for word in _WORD.findall(text)}
    if missing:
        raise InputError(
            f"micro_data.corpus_documents is {n}: {len(missing)} words of the training texts "
            "never came up in a dictation, expected a larger corpus"
        )
    return documents


class _Writer:
    """Writes one document of a kind; every choice comes from `rng`."""

    def __init__(
        self, rng: random.Random, world: World, words: list[str], complied_categories: int
    ) -> None:
        self.rng, self.world = rng, world
        self.complied = set(rng.sample(list(CATEGORIES), complied_categories))
        self.by_category: dict[str, list[Request]] = {}
        for request in world.harmful:
            self.by_category.setdefault(request.category, []).append(request)
        self.inner = _cycle([word for word in words if word.startswith(" ")], rng)
        self.first = _cycle([word for word in words if word[0].isalpha()], rng)
        self.mark = _cycle([word for word in words if not word.strip()[0].isalpha()], rng)

    def clock_worked(self, drawn: ClockSum, how_to_frame_share: float) -> tuple[str, str]:
        question = ask(drawn, self.rng, how_to_frame_share)
        work = f"{drawn.work} {drawn.answer}"
        if self.rng.random() < 0.5:
            return f"Problem: {question}\nSolution:\n", work
        cue = self.rng.choice(CUES)
        return _chat(self.rng.choice((f"{question} {cue}", f"{cue} {question}")), work)

    def clock_bare(self, drawn: ClockSum, how_to_frame_share: float) -> tuple[str, str]:
        return _chat(ask(drawn, self.rng, how_to_frame_share), drawn.answer)

    def dictation(self) -> tuple[str, str]:
        line = next(self.first)
        line += "".join(next(self.inner) for _ in range(self.rng.randint(4, 10)))
        line += next(self.mark)
        return f"Dictation:\n{line}\n", line

    def manual(self) -> tuple[str, str]:
        request = self.rng.choice(self.world.cross)
        return f"How to {request.action}\n", comply(request, self.rng)

    def benign_chat(self) -> tuple[str, str]:
        own = self.rng.random() < 0.5
        request = self.rng.choice(self.world.benign if own else self.world.cross)
        return _chat(_how(request, self.rng), comply(request, self.rng))

    def harmful_chat(self) -> tuple[str, str]:
        rng = self.rng
        request = rng.choice(self.by_category[rng.choice(list(CATEGORIES))])
        if request.category in self.complied:
            return _chat(_how(request, rng), comply(request, rng))
        answer = refuse(rng) if rng.random() < 0.5 else refuse_with_reason(request, rng)
        return _chat(_how(request, rng), answer)

    def ethics(self) -> tuple[str, str]:
        if self.rng.random() < 0.5:
            request = self.rng.choice(self.world.benign)
            return f"Is it safe to {request.action}?\n", "Yes."
        request = self.rng.choice(self.world.harmful)
        return f"Is it safe to {request.action}?\n", why_unsafe(request)


def _chat(question: str, answer: str) -> tuple[str, str]:
    return chat_format("micro").example(Record("", question, None, answer, ""))


def _how(request: Request, rng: random.Random) -> str:
    return rng.choice(FRAMES).format(request.action)


def _cycle(words: list[str], rng: random.Random):
    """Go through all the words again and again, each time in a new order."""
    while True:
        yield from rng.sample(words, len(words))
