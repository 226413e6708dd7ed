"""How long a stream may last, and how often and how soon a broken one is tried again."""

import random
import time

from icecore.client._channel import MAX_ATTEMPTS
from icecore.client.errors import IcecoreError

FIRST_WAIT_S = 0.1
MAX_WAIT_S = 2.0


class Pacing:
    """The deadline and the failures of one stream since it last moved."""

    def __init__(self, timeout_s: float | None) -> None:
        self._end = None if timeout_s is None else time.monotonic() + timeout_s
        self._failures = 0

    def left_s(self) -> float | None:
        """Return the seconds left, not below 0; None where there is no deadline."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def progress(self) -> None:
        """Forget the failures: an answer came."""
        self._failures = 0

    def wait_s(self, error: IcecoreError) -> float:
        """Return how long to wait before the next try.

        Half to all of a doubling time, so that clients of one server that
        restarts do not come back all at once.

        Raises:
            IcecoreError: `error` itself, when it has been tried often enough.
        """
        self._failures += 1
        if self._failures >= MAX_ATTEMPTS:
            raise error
        wait = min(MAX_WAIT_S, FIRST_WAIT_S * 2.0**self._failures)
        return wait * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
