"""How long a call may last, and how often and how soon it is tried again.

gRPC itself repeats what is UNAVAILABLE for about two seconds. What is here goes on where
that ends, for a server that starts anew, and waits for one that is full. The latter is not
left to gRPC: it would wait past the caller's deadline and then hide the reason, send a
message five times that is too large for any server, and let all who were refused at once
come back at once.
"""

import random
import time
from collections.abc import Callable

from icecore.client._channel import MAX_ATTEMPTS
from icecore.client.errors import IcecoreError, ResourceExhausted, Unavailable
from icecore.client.waiting import OnWait, Waiting

FIRST_WAIT_S = 0.1
MAX_WAIT_S = 2.0

RESTART_S = 60.0
"""A server that has answered this client before is waited for so long: a restart, an update.
One that never did is more likely an address mistyped, of which people hear at once."""


class Met:
    """Whether the server has ever answered, and who hears of waits; shared by all calls."""

    def __init__(self, on_wait: OnWait | None = None) -> None:
        self.has_answered = False
        self._on_wait = on_wait

    def waits(self, error: IcecoreError, seconds: float, most_s: float | None) -> None:
        """Tell that a call waits: for a server that is away, `most_s` at the longest."""
        if self._on_wait is not None:
            self._on_wait(Waiting(error.reason, error.message, seconds, most_s))


class Pacing:
    """The deadline of one call or stream, and its failures since it last moved."""

    def __init__(
        self,
        timeout_s: float | None,
        met: Met | None = None,
        *,
        strange_attempts: int = MAX_ATTEMPTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the seconds it may last in all; None: any number.

        `strange_attempts`: how often a server is tried that has not answered yet.
        """
        self._clock = clock
        self._end = None if timeout_s is None else clock() + timeout_s
        self._met = met or Met()
        self._strange_attempts = strange_attempts
        self._failures = 0
        self._away_since: float | None = None

    def left_s(self) -> float | None:
        """Return the seconds left, not below 0; None where there is no deadline."""
        return None if self._end is None else max(0.0, self._end - self._clock())

    def progress(self) -> None:
        """Forget the failures: an answer came."""
        self._met.has_answered = True
        self._failures = 0
        self._away_since = None

    def wait_s(self, error: Unavailable | ResourceExhausted) -> float:
        """Return how long to wait before the next try.

        For a server that is away, half to all of a doubling time; for one that is
        full, what it says and up to a quarter more: so that clients of one server do
        not come back all at once.

        Raises:
            IcecoreError: `error` itself, when it has been tried often or long enough, or
                would be past the deadline.
        """
        self._failures += 1
        if isinstance(error, ResourceExhausted):
            wait = self._while_full(error)
        else:
            wait = self._while_away(error)
        left = self.left_s()
        if left is not None and wait >= left:
            raise error
        if self._met.has_answered:
            self._met.waits(error, wait, self._most_s(left))
        return wait

    def _most_s(self, left_s: float | None) -> float | None:
        """How long the server that is away is waited for yet."""
        if self._away_since is None:
            return None
        most = self._away_since + RESTART_S - self._clock()
        return most if left_s is None else min(most, left_s)

    def _while_away(self, error: IcecoreError) -> float:
        now = self._clock()
        if self._away_since is None:
            self._away_since = now
        if self._met.has_answered:
            is_enough = now - self._away_since > RESTART_S
        else:
            is_enough = self._failures >= self._strange_attempts
        if is_enough:
            raise error
        wait = min(MAX_WAIT_S, FIRST_WAIT_S * 2.0 ** min(self._failures, 16))
        return wait * _spread(0.5, 1.0)

    def _while_full(self, error: ResourceExhausted) -> float:
        self._met.has_answered, self._away_since = True, None
        if error.retry_after_s is None or self._failures >= MAX_ATTEMPTS:
            raise error
        return error.retry_after_s * _spread(1.0, 1.25)


def _spread(low: float, high: float) -> float:
    return random.uniform(low, high)  # noqa: S311 - spreads load, guards nothing
