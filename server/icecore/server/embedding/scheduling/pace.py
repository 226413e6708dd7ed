"""How fast the house works, and what part of that each tenant has had of late.

Both are measured, since neither is known: threads share their cores with what else runs
there, and a tenant shares the threads with whoever else is in the house at the time.
"""

from dataclasses import dataclass
from math import exp


@dataclass(slots=True)
class Part:
    """A tenant's part of the house: its weight against those of all who were there with it."""

    weight: float
    value: float
    at: float
    rounds: float


class Pace:
    """Means over the last `memory_s` seconds; forgetting is exponential.

    Times are seconds of one clock; speeds are CPU-milliseconds in a millisecond.
    """

    def __init__(self, speed: float, memory_s: float) -> None:
        self.speed = speed
        self._memory_s = memory_s
        self._weights = 0.0
        self._n_inside = 0
        self._rounds = 0.0
        """Each gives everybody in the house its weight, in seconds of the whole house."""
        self._at = 0.0
        self._served_at: float | None = None

    def enter(self, weight: float, now: float) -> Part:
        """Count a tenant in; its part begins as what is its due beside those inside."""
        self._turn(now)
        self._weights += weight
        self._n_inside += 1
        return Part(weight, weight / self._weights, now, self._rounds)

    def weigh(self, part: Part, weight: float, now: float) -> None:
        """Give a tenant inside another weight; its part becomes what is its due."""
        self.of(part, now)
        self._weights += weight - part.weight
        part.weight = weight
        part.value = weight / self._weights

    def leave(self, part: Part, now: float) -> None:
        self._turn(now)
        self._weights -= part.weight
        self._n_inside -= 1
        if not self._n_inside:
            self._weights = 0.0

    def of(self, part: Part, now: float) -> float:
        """Return the speed at which a tenant's work is done."""
        self._turn(now)
        passed = now - part.at
        if passed > 0:
            keep = exp(-passed / self._memory_s)
            lately = part.weight * (self._rounds - part.rounds) / passed
            part.value = part.value * keep + lately * (1 - keep)
            part.at, part.rounds = now, self._rounds
        return self.speed * part.value

    def served(self, cpu_ms: float, now: float, *, is_full: bool) -> None:
        """Learn from a piece that has ended.

        `is_full`: all threads had work meanwhile; else it says nothing of what they can do.
        """
        if is_full and self._served_at is not None:
            passed = max(1e-6, now - self._served_at)
            keep = exp(-passed / self._memory_s)
            self.speed = max(0.01, self.speed * keep + cpu_ms / 1e3 / passed * (1 - keep))
        self._served_at = now if is_full else None

    def _turn(self, now: float) -> None:
        if self._weights:
            self._rounds += (now - self._at) / self._weights
        self._at = now
