"""What every test may use."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # some tests import it before ours

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real weights and labelled images beside the checkout; skips where they are absent."""
    if not (SHARED / "datasets").is_dir():
        pytest.skip("real images and weights are not beside this checkout (../shared)")
    return SHARED
