"""What a quota may say."""

import math
from typing import Any

import pytest

from icecore.server.errors import QuotaInvalid
from icecore.server.quotas import MAX_COUNT, NO_LIMITS, Quota


def test_nothing_said_means_no_limits() -> None:
    assert Quota() == NO_LIMITS
    assert NO_LIMITS.weight == 1.0


@pytest.mark.parametrize(
    "fields",
    [
        {"images_per_second": -1.0},
        {"images_per_second": math.nan},
        {"images_per_second": math.inf},
        {"images_per_second": 1e-7},
        {"images_per_second": 1e10},
        {"weight": 0.0},
        {"weight": -1.0},
        {"weight": math.nan},
        {"weight": math.inf},
        {"weight": 0.001},
        {"weight": 1e6},
        {"burst_images": -1, "images_per_second": 1.0},
        {"max_images_in_flight": -1},
        {"storage_bytes": -1},
        {"storage_bytes": MAX_COUNT + 1},
        {"burst_images": 5},
    ],
)
def test_what_is_no_quota_is_refused_by_name(fields: dict[str, Any]) -> None:
    with pytest.raises(QuotaInvalid, match=next(iter(fields))):
        Quota(**fields)


def test_the_burst_is_that_of_one_second_unless_it_is_said() -> None:
    assert Quota(images_per_second=12.5).burst == 13
    assert Quota(images_per_second=0.1).burst == 1, "at least one, or none would ever be taken"
    assert Quota(images_per_second=12.5, burst_images=100).burst == 100
