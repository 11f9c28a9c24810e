"""Chat formats: how a model family writes a question, its thinking and its answer.

One object renders training examples, opens generation and splits completions, so that the
tokens a model was trained on and the tokens it is asked with are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.records import Record


@dataclass(frozen=True)
class ChatFormat:
    """The delimiters of one model family.

    Attributes:
        begin: Text before the system turn; `{effort}` in it is the level of effort.
        system: The system text; without one there is no system turn.
        system_turn: Text before and after the system text.
        user: Text between the system turn and the question.
        assistant: Text between the question and the assistant's turn. Loss starts after it.
        think_start: Opens the thinking; part of the generation prompt and of the training target.
        think_end: Closes the thinking and opens the answer. Appended when thinking is cut.
        think_stop: First occurrence in generated text ends the thinking. Empty for a family that
            reasons in its answer: all that it writes is the answer, and what is appended when the
            budget cuts it is part of the answer, too.
        end_of_turn: Closes the assistant's turn in training.
        stop: Text of the token that ends generation.
        efforts: Levels of effort that the family was trained with; most know none.
        effort: The level that is asked for.
    """

    begin: str
    system: str
    system_turn: tuple[str, str]
    user: str
    assistant: str
    think_start: str
    think_end: str
    think_stop: str
    end_of_turn: str
    stop: str
    efforts: tuple[str, ...] = ()
    effort: str = ""

    @property
    def opening(self) -> str:
        """Text before the user's question: begin-of-text, system turn, user header."""
        before, after = self.system_turn
        system = f"{before}{self.system}{after}" if self.system else ""
        return f"{self.begin.replace('{effort}', self.effort)}{system}{self.user}"

    def told(self, system: str | None = None, effort: str | None = None) -> ChatFormat:
        """Return the format with another system text or level of effort; None keeps its own."""
        return replace(
            self,
            system=self.system if system is None else system,
            effort=effort or self.effort,
        )

    def prompt(self, question: str, thinking: bool = True) -> str:
        """Return the text that generation starts from."""
        return f"{self.opening}{question}{self.assistant}{self.think_start if thinking else ''}"

    def example(self, record: Record, newline_before_answer: bool = True) -> tuple[str, str]:
        """Return (context, target) of a training example; the loss is on the target alone.

        Args:
            record: The example.
            newline_before_answer: False leaves out the line break in front of the answer
                delimiter, as the published DirectRefusal data do.
        """
        context = self.prompt(record.prompt, thinking=False)
        if record.thinking is None:
            return context, record.answer + self.end_of_turn
        think_end = self.think_end if newline_before_answer else self.think_end.lstrip("\n")
        return context, (
            f"{self.think_start}{record.thinking}{think_end}{record.answer}{self.end_of_turn}"
        )

    def split(self, completion: str) -> tuple[str, str | None]:
        """Split text that follows `think_start` into (thinking, answer); None when unfinished.

        Without delimiters there is no thinking, and the answer is all of the text.
        """
        if not self.think_stop:
            return "", completion.partition(self.stop)[0]
        thinking, stop, rest = completion.partition(self.think_stop)
        if not stop:
            return thinking, None
        header = self.think_end.partition(self.think_stop)[2]
        answer = rest.removeprefix(header) if rest.startswith(header) else rest.lstrip()
        return thinking.removesuffix("\n"), answer.partition(self.stop)[0]


CHATML_SYSTEM = ("<|im_start|>system\n", "<|im_end|>\n")


def _chatml(
    system: str = "",
    end_of_turn: str = "<|im_end|>\n",
    think: tuple[str, str, str] = ("<|im_start|>think\n", "\n<|im_start|>answer\n", "<|im_start|>"),
) -> ChatFormat:
    return ChatFormat(
        begin="",
        system=system,
        system_turn=CHATML_SYSTEM,
        user="<|im_start|>user\n",
        assistant="<|im_end|>\n<|im_start|>assistant\n",
        think_start=think[0],
        think_end=think[1],
        think_stop=think[2],
        end_of_turn=end_of_turn,
        stop="<|im_end|>",
    )


CHAT_FORMATS = {
    # The models trained from scratch here: s1's delimiters without a system prompt.
    "micro": _chatml(end_of_turn="<|im_end|>"),
    # Qwen2.5 and s1 (arXiv 2501.19393): ChatML with Qwen's default system prompt.
    "s1": _chatml("You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
    # LIMO (arXiv 2502.03387): Qwen's ChatML with the system prompt that it was trained and is
    # evaluated with (GAIR-NLP/LIMO). It reasons in its answer, whose last box counts.
    "limo": _chatml(
        "Please reason step by step, and put your final answer within \\boxed{}.",
        think=("", "\n\n", ""),
    ),
    # ChatML with thinking in <think> tags, for chat models such as SmolLM2.
    "chatml": ChatFormat(
        begin="",
        system="",
        system_turn=CHATML_SYSTEM,
        user="<|im_start|>user\n",
        assistant="<|im_end|>\n<|im_start|>assistant\n",
        think_start="<think>\n",
        think_end="\n</think>\n\n",
        think_stop="</think>",
        end_of_turn="<|im_end|>\n",
        stop="<|im_end|>",
    ),
    # DeepSeek-R1 and its distilled models: their own template.
    "deepseek-r1": ChatFormat(
        begin="<｜begin▁of▁sentence｜>",
        system="",
        system_turn=("", ""),
        user="<｜User｜>",
        assistant="<｜Assistant｜>",
        think_start="<think>\n",
        think_end="\n</think>\n\n",
        think_stop="</think>",
        end_of_turn="<｜end▁of▁sentence｜>",
        stop="<｜end▁of▁sentence｜>",
    ),
    # gpt-oss: channels of OpenAI's harmony format, without the date, which would change a prompt by
    # the day. A system text is the developer's message, as in the model's own template.
    "gpt-oss": ChatFormat(
        begin="<|start|>system<|message|>You are ChatGPT, a large language model trained by "
        "OpenAI.\nKnowledge cutoff: 2024-06\n\nReasoning: {effort}\n\n# Valid channels: analysis, "
        "commentary, final. Channel must be included for every message.<|end|>",
        system="",
        system_turn=("<|start|>developer<|message|># Instructions\n\n", "\n\n<|end|>"),
        user="<|start|>user<|message|>",
        assistant="<|end|><|start|>assistant",
        think_start="<|channel|>analysis<|message|>",
        think_end="<|end|><|start|>assistant<|channel|>final<|message|>",
        think_stop="<|end|>",
        end_of_turn="<|return|>",
        stop="<|return|>",
        efforts=("low", "medium", "high"),
        effort="medium",
    ),
}


def chat_format(name: str) -> ChatFormat:
    """Return the chat format of that name; `InputError` lists the known ones."""
    try:
        return CHAT_FORMATS[name]
    except KeyError:
        known = ", ".join(sorted(CHAT_FORMATS))
        raise InputError(f"chat format {name!r} is unknown, expected one of {known}") from None
