"""How long work will still take, told from the share that is done and the time it took."""

from typing import Final

SOONEST_SHARE: Final = 0.05
SOONEST_S: Final = 3.0
"""Before so much is done, and so long after the start, any number would be a guess."""


class Pace:
    """Watches a share grow. Time in which nothing was done yet, such as a wait, does not count."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._began = self._last = 0.0
        self._share = 0.0

    def reach(self, share: float, now: float) -> None:
        """Take in that `share` (0..1) is done at the time `now`, in seconds."""
        if self._first is None or share <= self._first:
            self._first, self._began = share, now
        self._share, self._last = share, now

    def left_s(self, now: float) -> float | None:
        """Return the seconds left, None while that cannot be told."""
        if self._first is None:
            return None
        done, spent = self._share - self._first, self._last - self._began
        if done < SOONEST_SHARE or spent < SOONEST_S:
            return None
        return max(0.0, spent * (1.0 - self._share) / done - (now - self._last))


def roughly(seconds: float) -> str:
    """Return such as "about 40 s left", no finer than such a sum can be."""
    if seconds < 5.0:
        return "a few seconds left"
    if seconds < 60.0:
        return f"about {5 * round(seconds / 5)} s left"
    if seconds < 600.0:
        minutes, rest = divmod(10 * round(seconds / 10), 60)
        return f"about {minutes} min {rest} s left" if rest else f"about {minutes} min left"
    if seconds < 5400.0:
        return f"about {round(seconds / 60)} min left"
    return f"about {seconds / 3600:.1f} h left"
