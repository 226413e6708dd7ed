"""How much may wait: the door refuses more, by how long it would wait. Lives on one event loop.

A call is taken in when the images of its tenant that are served before its last one take
no longer than the bound, at the tenant's share of the processor. So the queue of one
tenant never fills that of another, and a tenant with nothing in the house is always taken,
with as many images as a call may have. What counts is images, not calls.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from time import monotonic
from typing import Final

from icecore.server.embedding.scheduling.backlogs import Backlog
from icecore.server.embedding.scheduling.pace import Pace
from icecore.server.embedding.scheduling.pieces import Priority, Stay
from icecore.server.errors import Overloaded

MAX_QUEUE_MS: Final = 1000.0
"""What a person waits without losing the thread; a program that can wait longer comes again."""

AIM: Final = 0.75
"""Of the bound: what is foreseen may be wrong by a third before it is passed."""

LEAST: Final = 0.25
"""Of the bound: what any call may wait that was taken in."""

_A_LITTLE: Final = 1024
"""Images of a tenant."""

_LONGEST_AWAY: Final = 5.0
"""Bounds: nobody is sent away for longer, since load ends too."""

_SHORTEST_AWAY_S: Final = 0.01

_JITTER: Final = 0.25
"""Callers sent away together come back within this part of their time, not all at once."""


class Bounds:
    """Holds the images in the house to what can be answered in time.

    Args:
        threads: images worked on at once.
        max_queue_ms: what a call may wait.
        max_images, max_bytes: of all tenants. Each may have as much as is left free, so that
            with k who want all there is room for one more (Choudhury and Hahne 1998).
        clock: as `time.monotonic`, of which deadlines are.
    """

    def __init__(
        self,
        *,
        threads: int,
        max_queue_ms: float = MAX_QUEUE_MS,
        max_images: int = 16_384,
        max_bytes: int = 1 << 30,
        clock: Callable[[], float] = monotonic,
        random: Random | None = None,
    ) -> None:
        self._max_queue_ms = max_queue_ms
        self._max_images = max_images
        self._max_bytes = max_bytes
        self._clock = clock
        self._random = Random() if random is None else random  # noqa: S311 - spreads callers
        self._threads = threads
        self._tenants: dict[str, Backlog] = {}
        self._pace = Pace(float(threads), max_queue_ms / 2e3)
        self.n_images = 0
        self.n_bytes = 0

    @contextmanager
    def admit(
        self,
        tenant_id: str,
        n_images: int,
        *,
        cost_ms: float,
        n_bytes: int = 0,
        weight: float = 1.0,
        priority: Priority = Priority.INTERACTIVE,
        may_wait: bool = False,
        deadline: float | None = None,
    ) -> Iterator[Stay]:
        """Have a call in the house.

        Args:
            cost_ms: of one of its images, by estimate.
            n_bytes: that its images hold.
            may_wait: refused only where there is no room, and a little is always taken: for
                those who send one batch at a time.
            deadline: of the clock.

        Raises:
            Overloaded: it would wait too long, or past its deadline; `retry_after_s` says when
                there will be room.
        """
        now = self._clock()
        stay = Stay(tenant_id, priority, weight, cost_ms, n_images)
        backlog = self._tenants.get(tenant_id)
        if not may_wait or (backlog is not None and backlog.n_images > _A_LITTLE):
            self._check_room(backlog, n_images, n_bytes, now)
        if not may_wait and backlog is not None:
            wait_ms = self._check_wait(backlog, stay, deadline, now)
            left_ms = self._max_queue_ms - cost_ms / AIM
            # As late as was foreseen is not too late, however much one image costs.
            stay.late_at = now + max(left_ms, wait_ms / AIM, self._max_queue_ms * LEAST) / 1e3
        if backlog is None:
            backlog = self._tenants[tenant_id] = Backlog(self._pace.enter(weight, now))
        elif backlog.part.weight != weight:
            self._pace.weigh(backlog.part, weight, now)
        backlog.add(stay, n_bytes)
        self.n_images += n_images
        self.n_bytes += n_bytes
        try:
            yield stay
        finally:
            self.n_images -= stay.n_left
            self.n_bytes -= n_bytes
            backlog.remove(stay, n_bytes)
            if not backlog.n_calls:
                self._pace.leave(backlog.part, self._clock())
                del self._tenants[tenant_id]

    def away_s(self, tenant_id: str) -> float | None:
        """Return when to come again, where nothing of a tenant would be taken now; None else.

        For before anything is known of a call but whose it is: any call would be refused,
        with however many images, of whatever priority.
        """
        backlog = self._tenants.get(tenant_id)
        if backlog is None:
            return None
        lane = backlog.lanes[Priority.INTERACTIVE]
        now = self._clock()
        speed = self._pace.of(backlog.part, now)
        over_ms = lane.round_ms - AIM * self._max_queue_ms * speed
        if over_ms <= 0:
            return None
        cost_ms = lane.round_ms / lane.n_calls
        away_ms = over_ms + cost_ms + self._promised_ms(backlog, cost_ms, speed, now)
        return self._away_s(away_ms, speed)

    def ended(self, stay: Stay) -> None:
        """Count one image of a call as answered, from the cache perhaps: the call has started."""
        stay.has_started = True
        self._tenants[stay.tenant_id].ended(stay)
        self.n_images -= 1

    def served(self, cpu_ms: float) -> None:
        """Learn how fast work is done from a piece that has ended."""
        self._pace.served(cpu_ms, self._clock(), is_full=self.n_images > self._threads)

    def wait_ms(self, tenant_id: str, n_images: int = 1) -> float:
        """Return what an interactive call would wait that came now."""
        backlog = self._tenants.get(tenant_id)
        if backlog is None:
            return 0.0
        before_ms = backlog.before_ms(Priority.INTERACTIVE, n_images)
        return before_ms / self._pace.of(backlog.part, self._clock())

    def _check_room(self, backlog: Backlog | None, n_images: int, n_bytes: int, now: float) -> None:
        images, held = (backlog.n_images, backlog.n_bytes) if backlog else (0, 0)
        if images + n_images > self._max_images - self.n_images:
            what = f"{images:,} of its images are waiting and {n_images:,} more"
        elif held + n_bytes > self._max_bytes - self.n_bytes:
            what = f"{held:,} bytes of its images are waiting and {n_bytes:,} more"
        else:
            return
        before_ms = backlog.before_ms(Priority.BULK, 1) if backlog else 0.0
        speed = self._pace.of(backlog.part, now) if backlog else self._pace.speed
        raise Overloaded(
            f"{what} would be more than this tenant's share of the room; try again later or send "
            "fewer at once",
            retry_after_s=self._away_s(before_ms, speed),
        )

    def _check_wait(
        self, backlog: Backlog, stay: Stay, deadline: float | None, now: float
    ) -> float:
        """Return the milliseconds that a call will wait. Raises Overloaded: too many."""
        before_ms = backlog.before_ms(stay.priority, stay.n_left)
        if not before_ms:
            return 0.0
        speed = self._pace.of(backlog.part, now)
        wait_ms = before_ms / speed
        most_ms = AIM * self._max_queue_ms
        if wait_ms > most_ms:
            what = f"and {most_ms:,.0f} ms is the most that a call may wait"
        elif deadline is not None and now + (wait_ms + stay.cost_ms) / 1e3 > deadline:
            what = "which is past the call's deadline"
        else:
            return wait_ms
        away_ms = max(0.0, before_ms - most_ms * speed) + stay.cost_ms
        away_ms += self._promised_ms(backlog, stay.n_left * stay.cost_ms, speed, now)
        raise Overloaded(
            f"the images of this tenant that come first take {wait_ms:,.0f} ms, {what}; "
            "try again later",
            retry_after_s=self._away_s(away_ms, speed),
        )

    def _promised_ms(self, backlog: Backlog, work_ms: float, speed: float, now: float) -> float:
        """What those sent away before this one come back with; no more than is ever told."""
        most_ms = _LONGEST_AWAY * self._max_queue_ms * speed
        return backlog.promise(work_ms, speed, now, most_ms=most_ms)

    def _away_s(self, work_ms: float, speed: float) -> float:
        """When so much work will be done, a little later for some than for others."""
        longest_s = _LONGEST_AWAY * self._max_queue_ms / 1e3
        away_s = max(_SHORTEST_AWAY_S, min(longest_s, work_ms / speed / 1e3))
        return away_s * (1 + _JITTER * self._random.random())
