"""How times and JSON stand in a column."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def now() -> int:
    """Return the time in microseconds since 1970."""
    return to_column(datetime.now(UTC))


def to_column(time: datetime) -> int:
    """Return an aware time in microseconds since 1970, exactly."""
    return (time - _EPOCH) // _MICROSECOND


def to_time(column: int) -> datetime:
    return _EPOCH + column * _MICROSECOND


def to_text(value: Mapping[str, object]) -> str:
    """Return JSON that is the same for equal values, and tells 1 from 1.0 and from true.

    Raises:
        ValueError: a number is not finite.
    """
    return json.dumps(
        dict(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def to_mapping(text: str) -> dict[str, Any]:
    # Most metadata is empty, and a snapshot reads very many of them.
    if text == "{}":
        return {}
    value: dict[str, Any] = json.loads(text)
    return value
