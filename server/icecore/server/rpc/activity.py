"""What goes on at the door: calls in flight, calls ended, and when all is quiet."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Final

_LOOK_EVERY_S: Final = 1.0


class Activity:
    """Counts calls. Lives on one event loop."""

    def __init__(self) -> None:
        self.n_in_flight = 0
        self.ended: Counter[tuple[str, str]] = Counter()
        self._changed = asyncio.Event()

    def begin(self) -> None:
        self.n_in_flight += 1
        self._changed.set()

    def end(self, method: str, status: str) -> None:
        self.n_in_flight -= 1
        self.ended[method, status] += 1
        self._changed.set()

    async def wait_until_idle(self, seconds: float, is_busy: Callable[[], bool]) -> None:
        """Return once no call was in flight and nothing busy for so long.

        A watched health is a call in flight, so an embedded client that only
        thinks keeps the server.
        """
        loop = asyncio.get_running_loop()
        since = loop.time()
        while True:
            self._changed.clear()
            if self.n_in_flight or is_busy():
                since = loop.time()
            left = since + seconds - loop.time()
            if left <= 0:
                return
            quiet = None if self.n_in_flight else min(left, _LOOK_EVERY_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(quiet):
                    await self._changed.wait()
                    since = loop.time()
