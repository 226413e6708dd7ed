"""That the server was asked to end, and whether it is to hurry; also while it still starts.

Nothing heavy is imported here: signals are taken before the server's parts are.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any


class AskedToEnd(Exception):
    """The server was asked to end before it served."""


class Ending:
    """Lives on one event loop."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._hurried = asyncio.Event()

    @property
    def is_asked(self) -> bool:
        return self._asked.is_set()

    def ask(self) -> None:
        """End in order; asked again, calls in flight get no more time."""
        if self._asked.is_set():
            self._hurried.set()
        self._asked.set()

    def check(self) -> None:
        """Raises AskedToEnd."""
        if self._asked.is_set():
            raise AskedToEnd

    async def asked(self) -> None:
        """Return once the server was asked to end."""
        await self._asked.wait()

    async def hurried(self) -> None:
        """Return once it was asked again."""
        await self._hurried.wait()

    async def unless_asked(self, work: Coroutine[Any, Any, None]) -> None:
        """Return when the work is done.

        Raises:
            AskedToEnd: before that; the work is cancelled.
        """
        working = asyncio.create_task(work)
        asked = asyncio.create_task(self.asked())
        try:
            await asyncio.wait({working, asked}, return_when=asyncio.FIRST_COMPLETED)
            self.check()
            await working
        finally:
            for task in (working, asked):
                task.cancel()
            await asyncio.wait({working, asked})
