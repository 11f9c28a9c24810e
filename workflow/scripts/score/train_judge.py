"""Train the n-gram harm judge and measure it on held-out rows.

Reads judge rows {"prompt", "answer", "labels"} and writes into the folder `weights.npz`, then
`judge.json`: accuracy with 95 % intervals, sha256 of the weights, categories, recipe, versions.
The same rows and recipe give the same bytes.

python -m workflow.scripts.score.train_judge --train judge_train.jsonl --test judge_test.jsonl \
    --recipe '{"n_features": 8192}' --seed 1 --out results/micro/judges/ngram
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from workflow.scripts.common.categories import CATEGORIES
from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.intervals import proportion
from workflow.scripts.common.io import (
    read_jsonl,
    sha256_file,
    write_bytes,
    write_json,
)
from workflow.scripts.common.kernels import pin_kernels
from workflow.scripts.common.manifest import git_commit, versions
from workflow.scripts.common.result import making
from workflow.scripts.config.ngram_training import NgramTraining
from workflow.scripts.config.section import parse_section
from workflow.scripts.score.ngram_judge import (
    FORMAT,
    WEIGHTS,
    CountedShare,
    Evaluation,
    NgramJudge,
    TrainedJudge,
    hash_features,
)

if TYPE_CHECKING:
    from workflow.scripts.data.micro.judge_data import JudgeRow


def read_rows(path: Path) -> list[JudgeRow]:
    """Read judge rows.

    Raises:
        InputError: With file and row, for a missing field, one of a wrong type or an unknown label.
    """
    rows = []
    for number, row in enumerate(read_jsonl(path), 1):
        where = f"{path}: row {number}"
        for name, kind in (("prompt", str), ("answer", str), ("labels", list)):
            if not isinstance(row.get(name), kind):
                raise InputError(f"{where}: {name} is {row.get(name)!r}, expected {kind.__name__}")
        unknown = set(row["labels"]) - set(CATEGORIES)
        if unknown:
            raise InputError(f"{where}: labels {sorted(unknown)}, expected BeaverTails categories")
        rows.append(cast("JudgeRow", row))
    return rows


def train(rows: list[JudgeRow], recipe: NgramTraining, seed: int) -> tuple[Any, Any]:
    """Fit one logistic regression per category.

    Returns:
        Weights (14, n_features) and intercepts (14,), float32.
    """
    import numpy as np
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

    found = [hash_features(row["prompt"], row["answer"], recipe.n_features) for row in rows]
    starts = np.cumsum([0, *map(len, found)])
    columns = np.concatenate([np.array(features, dtype=np.int64) for features in found])
    shape = (len(rows), recipe.n_features)
    matrix = csr_matrix((np.ones(len(columns)), columns, starts), shape=shape)
    weights = np.zeros((len(CATEGORIES), recipe.n_features), dtype=np.float32)
    intercepts = np.zeros(len(CATEGORIES), dtype=np.float32)
    for index, category in enumerate(CATEGORIES):
        labels = np.array([category in row["labels"] for row in rows])
        if not labels.any() or labels.all():
            raise InputError(
                f"judge rows: {int(labels.sum())} of {len(rows)} carry the label {category}, "
                "expected some with it and some without"
            )
        model = LogisticRegression(
            solver="liblinear",
            C=recipe.inverse_penalty,
            max_iter=recipe.max_iterations,
            random_state=seed,
        )
        model.fit(matrix, labels)
        weights[index], intercepts[index] = model.coef_[0], model.intercept_[0]
    return weights, intercepts


def _share(outcomes: list[bool]) -> CountedShare:
    found = proportion(sum(outcomes), len(outcomes))
    return {
        "successes": sum(outcomes),
        "n": found.n,
        "estimate": found.estimate,
        "low": found.low,
        "high": found.high,
    }


def evaluate(judge: NgramJudge, rows: list[JudgeRow]) -> Evaluation:
    """Measure flags and categories on rows with known labels.

    Category accuracy is over the rows that carry labels: their likeliest category is one of them.
    """
    verdicts = judge.judge([row["prompt"] for row in rows], [row["answer"] for row in rows])
    pairs = [(bool(row["labels"]), v.flagged) for row, v in zip(rows, verdicts, strict=True)]
    likeliest = [max(v.probabilities, key=v.probabilities.__getitem__) for v in verdicts]
    named = [
        best in row["labels"] for best, row in zip(likeliest, rows, strict=True) if row["labels"]
    ]
    empty = judge.judge([row["prompt"] for row in rows], [""] * len(rows))
    return {
        "flag_accuracy": _share([truth == flag for truth, flag in pairs]),
        "miss_rate": _share([not flag for truth, flag in pairs if truth]),
        "false_alarm_rate": _share([bool(flag) for truth, flag in pairs if not truth]),
        "category_accuracy": _share(named),
        "flagged_when_answer_is_empty": _share([bool(v.flagged) for v in empty]),
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--train", required=True, type=Path, help="judge rows to learn from")
    parser.add_argument("--test", required=True, type=Path, help="judge rows to measure on")
    parser.add_argument("--recipe", default="{}", help="JSON, see NgramTraining")
    parser.add_argument(
        "--seed", required=True, type=int, help="recorded; the solver draws nothing"
    )
    parser.add_argument("--out", required=True, type=Path, help="folder of the judge")
    parser.add_argument("--result", type=json.loads, help="what it is made from, as JSON")
    args = parser.parse_args(argv)
    recipe = parse_section(NgramTraining, args.recipe, "--recipe")
    rows, test = read_rows(args.train), read_rows(args.test)

    pin_kernels()
    with making(args.out, args.result):
        weights, intercepts = train(rows, recipe, args.seed)
        (args.out / "judge.json").unlink(missing_ok=True)
        write_weights(args.out / WEIGHTS, weights, intercepts)
        judge = NgramJudge(weights, intercepts, threshold=0.5)
        about: TrainedJudge = {
            "format": FORMAT,
            "type": "ngram",
            "categories": list(CATEGORIES),
            "weights_sha256": sha256_file(args.out / WEIGHTS),
            "recipe": recipe.with_defaults(),
            "seed": args.seed,
            "train": {"n": len(rows), "sha256": sha256_file(args.train)},
            "test": {"n": len(test), "sha256": sha256_file(args.test), **evaluate(judge, test)},
            "versions": versions(),
            "git_commit": git_commit(),
        }
        write_json(args.out / "judge.json", about)


def write_weights(path: Path, weights: Any, intercepts: Any) -> None:
    """Write the arrays of a judge, see `train`, as npz without pickle."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, weights=weights, intercepts=intercepts)
    write_bytes(path, buffer.getvalue())


if __name__ == "__main__":
    run(main)
