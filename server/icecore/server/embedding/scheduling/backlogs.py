"""What one tenant has in the house, so that the wait of one more call can be foreseen."""

from typing import Final

from icecore.server.embedding.scheduling.lines import BULK_SHARE
from icecore.server.embedding.scheduling.pace import Part
from icecore.server.embedding.scheduling.pieces import Priority, Stay

_SIZES: Final = 12
"""Calls are counted by the power of two of their images left: up to 2047 images."""


class Lane:
    """The calls of one priority, which take turns image by image."""

    def __init__(self) -> None:
        self.cost_ms = 0.0
        self.round_ms = 0.0
        """One image of each call."""
        self.n_calls = 0
        # By size: all of those calls, and one image of each.
        self._all_ms = [0.0] * _SIZES
        self._round_ms = [0.0] * _SIZES

    def add(self, stay: Stay, sign: int = 1) -> None:
        """Count a call with the images it has left; with `sign` -1 no more."""
        size = min(stay.n_left.bit_length(), _SIZES - 1)
        cost_ms = stay.n_left * stay.cost_ms
        self._all_ms[size] += sign * cost_ms
        self._round_ms[size] += sign * stay.cost_ms
        self.cost_ms += sign * cost_ms
        self.round_ms += sign * stay.cost_ms
        self.n_calls += sign
        if not self.n_calls:  # nothing is left of rounding
            self.__init__()  # type: ignore[misc]

    def before_ms(self, n_images: int) -> float:
        """Return what is served before the last image of a call that comes now.

        Of every call at most as many images as that one has itself.
        """
        if not self.n_calls:
            return 0.0
        rounds = zip(self._all_ms, self._round_ms, strict=True)
        return sum(min(one, n_images * each) for one, each in rounds if one)


class Backlog:
    """The images of one tenant that were taken in and have no answer yet."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.n_images = 0
        self.n_bytes = 0
        self.n_calls = 0
        self.lanes = {priority: Lane() for priority in Priority}
        self._promised_ms = 0.0
        self._promised_at = part.at

    def add(self, stay: Stay, n_bytes: int) -> None:
        self.lanes[stay.priority].add(stay)
        self.n_images += stay.n_left
        self.n_bytes += n_bytes
        self.n_calls += 1

    def ended(self, stay: Stay) -> None:
        """Count one image of a call as answered."""
        lane = self.lanes[stay.priority]
        lane.add(stay, -1)
        stay.n_left -= 1
        self.n_images -= 1
        if stay.n_left:
            lane.add(stay)

    def remove(self, stay: Stay, n_bytes: int) -> None:
        """Let a call go, with the images that have no answer."""
        if stay.n_left:
            self.lanes[stay.priority].add(stay, -1)
        self.n_images -= stay.n_left
        self.n_bytes -= n_bytes
        self.n_calls -= 1
        stay.n_left = 0

    def promise(self, work_ms: float, speed: float, now: float, *, most_ms: float) -> float:
        """Count the work of a caller sent away; return that of those sent away before it.

        They come back one after another, as fast as their work could be done, or never: so
        no more than `most_ms` is held against those who come later.
        """
        done_ms = (now - self._promised_at) * 1e3 * speed
        before_ms = max(0.0, self._promised_ms - done_ms)
        self._promised_ms, self._promised_at = min(before_ms + work_ms, most_ms), now
        return before_ms

    def before_ms(self, priority: Priority, n_images: int) -> float:
        """Return the tenant's own work that goes before the last of so many images."""
        interactive, bulk = self.lanes[Priority.INTERACTIVE], self.lanes[Priority.BULK]
        if priority is Priority.BULK:
            return interactive.cost_ms + bulk.before_ms(n_images)
        before = interactive.before_ms(n_images)
        return before * (1 + BULK_SHARE) if bulk.n_calls else before
