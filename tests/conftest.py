"""Fixtures that every stage's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data sets that are not part of the project; skips where they are absent."""
    folder = Path(os.environ.get("SAFETY_TAX_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set SAFETY_TAX_TEST_DATA to a folder that has them")
    return folder
