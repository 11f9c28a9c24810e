"""GPQA-diamond: a question, its answer and three wrong ones, rendered as choices A) to D)."""

import hashlib
import random
import re

ANSWERS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")


def process_docs(dataset, choice_order="hash"):
    """Return the items with their choices in an order of their own.

    Args:
        choice_order: `hash` seeds each question's order with the hash of its text, so it does not
            depend on which questions are asked. `random` draws them one after the other from one
            generator, as upstream does (there unseeded, here from 0).
    """
    shared = random.Random(0)

    def item(row):
        question = row["Question"].strip()
        own = random.Random(hashlib.sha256(question.encode()).hexdigest())
        choices = [_clean(row[name]) for name in ANSWERS]
        order = [0, 1, 2, 3]
        (own if choice_order == "hash" else shared).shuffle(order)
        lines = [f"{letter}) {choices[i]}" for letter, i in zip("ABCD", order, strict=True)]
        return {
            "item_id": row.get("Record ID") or hashlib.sha256(question.encode()).hexdigest()[:16],
            "prompt": "\n".join([question, "", *lines]),
            "target": "ABCD"[order.index(0)],
            "category": row.get("High-level domain") or "",
        }

    return dataset.map(item, remove_columns=dataset.column_names, load_from_cache_file=False)


def _clean(choice):
    """Drop the markup that some choices carry, as the usual GPQA loaders do."""
    choice = choice.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", choice).replace("  ", " ")
