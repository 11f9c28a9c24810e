"""What a report is made from: one JSON file that names every folder it reads.

`inputs.json` lies beside the report, so that two reports can be compared later. Paths are relative
to the folder in which the commands run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import AliasChoices, Field, field_validator

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json
from workflow.scripts.config.section import Section, read_section
from workflow.scripts.report.experiment import Experiment

FILE = "inputs.json"


class Score(Section):
    """A benchmark's samples of one run, as one scorer judged them."""

    run: str
    """base/NAME/seedK, lrm/NAME/seedK, aligned/LRM/ALIGNMENT/seedK; `hub` for a ready-made model"""
    benchmark: str
    scorer: str
    folder: Path
    """Holds verdicts.jsonl and score.json"""
    samples: Path | None = None
    """Holds samples.jsonl and manifest.json"""


class Missing(Section):
    """A score that the experiment asks for and that is not there."""

    run: str
    """As in `scores`"""
    benchmark: str
    scorer: str
    why: str
    """One line"""


class Adopted(Section):
    """A result that was taken over from older code or settings, by decision."""

    name: str
    # reports of before 2026-11-30 say from_
    from_: str = Field(validation_alias=AliasChoices("from", "from_"), serialization_alias="from")
    by: str
    when: str
    reason: str


class Inputs(Section):
    """Everything that a report reads."""

    experiment: dict[str, Any]
    """The experiment's sections, without those that say how and where to run; see `sections`"""
    scores: Annotated[tuple[Score, ...], Field(min_length=1)]
    models: dict[str, Path] = Field({})
    """Run -> folder with manifest.json"""
    sampled: dict[str, tuple[Path, ...]] = Field({})
    """Run -> folders of its LRM's own samples that it is trained on"""
    prompts: dict[str, Path] = Field({})
    """Harmful benchmark -> its items, for their categories"""
    overlap: Path | None = None
    """overlap.json of the data stage"""
    judges: dict[str, Path] = Field({})
    """Judge -> folder with judge.json"""
    adopted: tuple[Adopted, ...] = ()
    missing: tuple[Missing, ...] = ()
    """Of a run that is not finished"""
    transcripts: bool = False
    """Put what the models wrote beside the page"""

    @property
    def sections(self) -> Experiment:
        """The experiment, with the keys that the report reads."""
        return cast(Experiment, self.experiment)

    @field_validator("experiment")
    @classmethod
    def _has_sections(cls, experiment: dict[str, Any]) -> dict[str, Any]:
        for section in ("bases", "lrms", "alignments", "benchmarks"):
            if not isinstance(experiment.get(section), dict):
                raise ValueError(f"has no section {section}, expected a JSON object in it")
        return experiment


def read_inputs(path: str | Path) -> Inputs:
    """Read an `inputs.json`.

    Raises:
        InputError: The file is absent or no JSON, or a key is wrong; one line.
    """
    return read_section(Inputs, read_json(path), str(path))


def find_manifest(folder: Path | None) -> Any:
    """Return the manifest of a model or of samples in a folder; None where it was deleted."""
    path = folder / "manifest.json" if folder else None
    if path is None or not path.exists():
        return None
    found = read_json(path)
    if not isinstance(found, dict):
        raise InputError(f"{path}: expected a JSON object")
    return found
