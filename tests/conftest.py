"""What every test may use."""

import os
import signal
from pathlib import Path

import pytest

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # some tests import it before ours

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So a shell starts what runs in its background, and every child of ours would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real weights and labelled images beside the checkout; skips where they are absent."""
    if not (SHARED / "datasets").is_dir():
        pytest.skip("real images and weights are not beside this checkout (../shared)")
    return SHARED
