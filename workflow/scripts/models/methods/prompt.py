"""Prompting: the LRM itself, told something. Nothing is trained, and there is no model to make.

ZeroThink and LessThink close the thinking (Jiang et al. 2025, arXiv 2502.12025), zero-shot SafePath
opens it with "Let's think about safety first" (Jeung et al. 2025, arXiv 2505.14667).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from workflow.scripts.common.chat import ChatFormat, chat_format
from workflow.scripts.config.prompting import Prompting
from workflow.scripts.models.alignment import Alignment, Variant

if TYPE_CHECKING:
    from workflow.scripts.config.experiment import Experiment

SCRIPT = None
TRAINS = False


class Prompt(Prompting, Alignment):
    """The LRM with other prompts: how its thinking begins, a system text, a level of effort."""

    makes_model: ClassVar[bool] = False
    method: Literal["prompt"]
    """Other prompts for the same weights"""

    def check(self, key: str, experiment: Experiment) -> None:
        super().check(key, experiment)
        if not self.without_defaults(Prompting.model_fields):
            raise ValueError(
                f"{key} changes nothing, expected some of {', '.join(Prompting.model_fields)}"
            )
        for lrm in self.lrms or experiment.lrms:
            section = experiment.lrms[lrm]
            name = section.chat_format or experiment.bases[section.base or ""].chat_format
            self._check_format(key, f"the chat format {name} of lrms.{lrm}", chat_format(name))
        for name, benchmark in experiment.benchmarks.items():
            if self.prefix and benchmark.decoding.max_thinking_tokens == 0:
                raise ValueError(
                    f"{key}.prefix counts as thinking, but benchmarks.{name}.decoding has a "
                    "max_thinking_tokens of 0"
                )

    def _check_format(self, key: str, where: str, chat: ChatFormat) -> None:
        if self.effort is not None and self.effort not in chat.efforts:
            known = f"expected one of {', '.join(chat.efforts)}" if chat.efforts else "knows none"
            raise ValueError(f"{key}.effort is {self.effort!r}: {where} {known}")
        if self.close_thinking and not chat.think_stop:
            raise ValueError(
                f"{key}.close_thinking: {where} has no thinking that could be closed: it reasons "
                "in its answer"
            )
        for name, text in (("prefix", self.prefix), ("system", self.system or "")):
            for delimiter in filter(None, (chat.think_stop, chat.stop)):
                if delimiter in text:
                    raise ValueError(f"{key}.{name} holds {delimiter!r}, a delimiter of {where}")


ALIGNMENT = Prompt


def list_variants(alignment: Prompt, experiment: Experiment) -> list[Variant]:
    told = alignment.without_defaults(Prompting.model_fields)
    return [Variant(prompting=Prompting(**told))]
