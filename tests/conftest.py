"""What every test may use."""

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real weights and labelled images beside the checkout; skips where they are absent."""
    if not (SHARED / "datasets").is_dir():
        pytest.skip("real images and weights are not beside this checkout (../shared)")
    return SHARED
