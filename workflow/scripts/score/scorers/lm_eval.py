"""The scores of a task of lm-eval: its own filters and metrics read the answers.

Each answer is one response of lm-eval, without the thinking and cut at the task's `until`. What the
main metric says of it is the verdict: true or false, or a number from 0 to 1.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json, read_jsonl
from workflow.scripts.config.kinds import REASONING
from workflow.scripts.data.tasks import Task, find_task, open_task
from workflow.scripts.score.scorer import (
    AnswerVerdict,
    Place,
    Sample,
    Scored,
    Scorer,
    ScorerSection,
    TaskScore,
)

if TYPE_CHECKING:
    from workflow.scripts.data.task_items import TaskRow


class LmEval(ScorerSection):
    """lm-eval's own filters and metrics, for a benchmark that is one of its tasks."""

    kinds: ClassVar[tuple[str, ...]] = (REASONING,)
    reads: ClassVar[str | None] = "task"
    type: Literal["lm_eval"]
    metric: str | None = None
    """What models are compared by, as METRIC or METRIC,FILTER; default, the task's first"""

    def benchmark_error(self, kind: str, values: tuple[str, ...] | None) -> str | None:
        if values is None:
            return "scores tasks of lm-eval, this benchmark has no task"
        if not values:
            return "needs a metric that is a mean over samples, of which this task has none"
        if self.choose(values) is None:
            return f"has metric {self.metric!r}, expected one of {' or '.join(values)}"
        return super().benchmark_error(kind, values)

    def choose(self, values: Sequence[str]) -> str | None:
        """Return the metric that models are compared by, of a task's `METRIC,FILTER`."""
        fitting = (one for one in values if self.metric in (None, one, one.partition(",")[0]))
        return next(fitting, None)

    def metrics(self, kind: str) -> dict[str, str]:
        return {"accuracy": "correct"}

    def load(self, place: Place) -> Scorer:
        items = place.items()
        section = read_json(items / "report.json")["section"]
        task = find_task(section["task"], section.get("include_path"))
        if error := self.benchmark_error(REASONING, task.values):
            raise InputError(f"{place.where} {error}")
        rows = (cast("TaskRow", row) for row in read_jsonl(items / "rows.jsonl"))
        docs = {row["item_id"]: row["doc"] for row in rows}
        return TaskScorer(task, str(self.choose(task.values)), docs)


class Rows(list[dict[str, Any]]):
    """Rows in the place of a data set: lm-eval asks for the names of its fields, too."""

    @property
    def features(self) -> dict[str, Any]:
        return self[0]


class TaskScorer:
    """Scores answers to a task.

    Args:
        task: The task.
        main: The metric that models are compared by, as `METRIC,FILTER`.
        docs: The task's rows by item.
    """

    def __init__(self, task: Task, main: str, docs: Mapping[str, dict[str, Any]]) -> None:
        self._task, self._main, self._docs = task, main, docs
        self._filter = main.partition(",")[2]

    def score(self, samples: Sequence[Sample]) -> Scored:
        task = self._open(samples)
        until = task.config.generation_kwargs["until"]
        answers = [cut_answer(sample, until) for sample in samples]
        # lm-eval makes a request of each row, is given its response, and filters it.
        task.build_all_requests()
        for request, answer in zip(task.instances, answers, strict=True):
            request.resps = [answer]
        task.apply_filters()
        results, errors = [], []
        for request in task.instances:
            try:
                results.append(_results(task, request))
            except Exception as error:  # whatever a task's own code raises on an odd answer
                results.append({})
                errors.append(f"{type(error).__name__}: {error}")
        values = [self._value(sample, one) for sample, one in zip(samples, results, strict=True)]
        if all(value is None for value in values):
            reason = errors[0] if errors else "no sample has a number, expected one"
            raise InputError(f"task {self._task.name}: {self._main}: {reason}")
        graded = any(value not in (None, 0, 1) for value in values)
        verdicts: list[AnswerVerdict] = [
            {
                "state": "judge_error" if value is None else state_of(sample, answer),
                "valid": value is not None,
                "correct": value if graded or value is None else bool(value),
                "extracted": _as_text(request.filtered_resps[self._filter]),
                "metrics": _numbers(result),
            }
            for sample, answer, request, result, value in zip(
                samples, answers, task.instances, results, values, strict=True
            )
        ]
        return Scored(verdicts, {}, self._aggregate(task, samples, results))

    def _open(self, samples: Sequence[Sample]) -> Any:
        """Return lm-eval's task with a row for each sample in place of its data set."""
        for sample in samples:
            if sample["item_id"] not in self._docs:
                raise InputError(f"item {sample['item_id']}: no item of task {self._task.name}")
        rows = Rows(deepcopy(self._docs[sample["item_id"]]) for sample in samples)
        return open_task(
            self._task,
            custom_dataset=lambda **_: {"test": rows},
            test_split="test",
            doc_to_text=lambda _: "",  # nothing is asked, and the rows are as they were when it was
            **dict.fromkeys(("description", "process_docs", "training_split", "validation_split")),
            **dict.fromkeys(("fewshot_split", "fewshot_config", "num_fewshot", "dataset_kwargs")),
        )

    def _value(self, sample: Sample, result: Mapping[str, Any]) -> float | None:
        """Return a sample's value of the main metric; None where the task gave none."""
        value = _number(result.get(self._main))
        if value is not None and not 0 <= value <= 1:
            raise InputError(
                f"item {sample['item_id']}: {self._main} is {value:g}, expected 0 to 1: name "
                f"another metric of task {self._task.name}"
            )
        return value

    def _aggregate(
        self, task: Any, samples: Sequence[Sample], results: Sequence[Mapping[str, Any]]
    ) -> dict[str, TaskScore]:
        """Return {checkpoint: the task's metrics over its samples, as lm-eval aggregates them}."""
        from lm_eval.api.metrics import mean

        gathered: dict[str, dict[str, list[Any]]] = {}
        for sample, result in zip(samples, results, strict=True):
            lists = gathered.setdefault(sample["checkpoint"], defaultdict(list))
            for key, value in result.items():
                lists[key].append(value)
        return {
            checkpoint: {
                "name": self._task.name,
                "version": task.VERSION,
                "main": self._main,
                "metrics": {
                    key: _number(task.aggregation().get(key.rpartition(",")[0], mean)(values))
                    for key, values in lists.items()
                },
            }
            for checkpoint, lists in gathered.items()
        }


def cut_answer(sample: Sample, until: str | Sequence[str]) -> str:
    """Return the answer up to the first of the task's stop strings, as lm-eval would have it.

    After a thinking the white space in front of it is no part of it.
    """
    answer: str = sample["answer"] if sample["thinking"] is None else sample["answer"].lstrip()
    for stop in [until] if isinstance(until, str) else until:
        answer = answer.partition(stop)[0] if stop else answer
    return answer


def state_of(sample: Sample, answer: str) -> str:
    """Return a sample's state: an answer that a stop string ends before its limit is whole."""
    if not answer.strip():
        return "no_answer" if sample["state"] == "ok" else sample["state"]
    ended = len(answer) < len(sample["answer"].strip()) and sample["thinking_finish"] != "budget"
    return "ok" if ended and sample["state"] == "truncated" else sample["state"]


def _results(task: Any, request: Any) -> dict[str, Any]:
    """Return {`METRIC,FILTER`: value} of a request."""
    return {
        f"{metric},{name}": value
        for name, response in request.filtered_resps.items()
        for metric, value in task.process_results(request.doc, [response]).items()
    }


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    found = {key: _number(value) for key, value in values.items()}
    return {key: number for key, number in found.items() if number is not None}


def _number(value: Any) -> float | None:
    """Return a finite number, numpy's too; None for all else."""
    value = value.item() if hasattr(value, "item") else value
    number = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if number else None


def _as_text(response: Any) -> str:
    return response if isinstance(response, str) else json.dumps(response, default=str)
