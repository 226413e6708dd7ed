"""How long many images wait for a server that is away, and how long for one that is full."""

import random
import threading
import time
from collections.abc import Callable

from icecore.client._pacing import Met
from icecore.client.errors import DeadlineExceeded, IcecoreError, ResourceExhausted

PATIENCE_S = 60.0
"""A server that has answered before is waited for so long: a restart, an update."""

FIRST_WAIT_S = 0.2
MAX_WAIT_S = 5.0

LEAST_WAIT_S = 0.02
"""For a server that is full, whatever it says: it is asked until it takes the images."""


class Patience:
    """Shared by all batches of one run, from any thread."""

    def __init__(
        self,
        timeout_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        met: Met | None = None,
    ) -> None:
        """Take the seconds that the whole run may last, and who hears of waits.

        `timeout_s` None does not bound it.
        """
        self._met = met or Met()
        self._clock = clock
        self._end = None if timeout_s is None else clock() + timeout_s
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._has_answered = False
        self._away_since: float | None = None

    def left_s(self) -> float | None:
        """Return the seconds left of the whole run; None where nothing bounds it.

        Raises:
            DeadlineExceeded: there are none.
        """
        if self._end is None:
            return None
        left = self._end - self._clock()
        if left <= 0:
            raise DeadlineExceeded(
                f"the images have no codes after {self._timeout_s:g} s; timeout_s gives them more"
            )
        return left

    def answered(self) -> None:
        """Hear that the server is there: codes, or an error of its own."""
        with self._lock:
            self._has_answered, self._away_since = True, None

    def while_away_s(self, error: IcecoreError, n_failures: int) -> float:
        """Return how long to wait for a server that is not there.

        Raises:
            IcecoreError: `error` itself: it never was there, or is away for too long.
        """
        with self._lock:
            now = self._clock()
            if self._away_since is None:
                self._away_since = now
            if not self._has_answered or now - self._away_since > PATIENCE_S:
                raise error
            most = self._away_since + PATIENCE_S - now
        wait = min(MAX_WAIT_S, FIRST_WAIT_S * 2.0 ** min(n_failures, 16))
        wait = self._within(wait * _spread(0.5, 1.0))
        self._met.waits(error, wait, self._within(most))
        return wait

    def while_full_s(self, error: ResourceExhausted) -> float:
        """Return how long to wait for a server that is full: as long as it says, and a bit more.

        Raises:
            ResourceExhausted: `error` itself, where waiting is of no use.
        """
        if error.retry_after_s is None:
            raise error
        wait = self._within(max(LEAST_WAIT_S, error.retry_after_s) * _spread(1.0, 1.25))
        self._met.waits(error, wait, None)
        return wait

    def _within(self, wait_s: float) -> float:
        left = self.left_s()
        return wait_s if left is None else min(wait_s, left)


def _spread(low: float, high: float) -> float:
    """Batches that were refused together do not come back together."""
    return random.uniform(low, high)  # noqa: S311 - spreads load, guards nothing
