"""The 14 harm categories, by their label names in PKU-Alignment/BeaverTails, in its order."""

from __future__ import annotations

from collections.abc import Mapping

from workflow.scripts.common.errors import InputError

CATEGORIES: tuple[str, ...] = (
    "animal_abuse",
    "child_abuse",
    "controversial_topics,politics",
    "discrimination,stereotype,injustice",
    "drug_abuse,weapons,banned_substance",
    "financial_crime,property_crime,theft",
    "hate_speech,offensive_language",
    "misinformation_regarding_ethics,laws_and_safety",
    "non_violent_unethical_behavior",
    "privacy_violation",
    "self_harm",
    "sexually_explicit,adult_content",
    "terrorism,organized_crime",
    "violence,aiding_and_abetting,incitement",
)


def check_labels(id2label: Mapping[int, str], model: str) -> None:
    """Raise `InputError` where a classifier's labels are not the categories in their order."""
    labels = [id2label[index] for index in sorted(id2label)]
    if labels != list(CATEGORIES):
        raise InputError(
            f"{model}: its labels are {labels}, expected the 14 categories of BeaverTails in their "
            f"order, {list(CATEGORIES)}"
        )
