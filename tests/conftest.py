"""Fixtures that more than one test file uses."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real maps, picks and sub-tomograms, kept beside the checkout and not part of it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real maps and picks (shared/data) are not beside this checkout")
    return SHARED_DATA
