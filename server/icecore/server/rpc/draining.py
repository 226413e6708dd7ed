"""A server that is about to end takes no more calls, nor messages of streams that are open.

A stream of many requests could go on for ever. So it is ended between two of them: what
was taken is answered, then the caller is told UNAVAILABLE (SHUTTING_DOWN), and sends the
rest to whoever serves next. Calls of one request go on to their end.

New calls are told so too, until none have come for a moment. gRPC ends those with CANCELLED
that reach it between its own end and the news of that at the client: under load every
second client saw it. Our client repeats those of one request; others repeat none, since what
is CANCELLED is usually what somebody gave up.
"""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any, Final, TypeVar

from icecore.server.errors import ShuttingDown

T = TypeVar("T")

QUIET_S: Final = 0.05
"""Longer than a call is on its way; shorter than clients wait before they try again."""

MAX_QUIET_S: Final = 1.0
"""For clients that try again at once and for ever."""

_TOLD: Final = "the server is shutting down: what has no answer yet is to be sent again"


class Draining:
    """Begins once. Lives on one event loop."""

    def __init__(self) -> None:
        self._begun: asyncio.Future[None] | None = None
        self._is_on = False
        self._last_at = 0.0

    @property
    def is_on(self) -> bool:
        return self._is_on

    def begin(self) -> None:
        self._is_on = True
        self._last_at = monotonic()
        if self._begun is not None and not self._begun.done():
            self._begun.set_result(None)

    def let_in(self) -> None:
        """Raises ShuttingDown: for a new call it is too late."""
        if self._is_on:
            self._last_at = monotonic()
            raise ShuttingDown(_TOLD)

    async def quiet(self) -> None:
        """Return once no call came for a moment; not before `begin`."""
        end = self._last_at + MAX_QUIET_S
        while True:
            left = min(self._last_at + QUIET_S, end) - monotonic()
            if left <= 0:
                return
            await asyncio.sleep(left)

    async def each(self, messages: AsyncIterator[T]) -> AsyncIterator[T]:
        """Yield the messages as they come.

        Raises:
            ShuttingDown: in place of the next one, once the draining has begun.
        """
        while True:
            reading = asyncio.ensure_future(_next(messages))
            either: set[asyncio.Future[Any]] = {reading, self._beginning()}
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                reading.cancel()
                raise
            if self._is_on:
                # Left to itself: it ends with the call. To cancel it would pull a buffer away
                # that gRPC may be writing into.
                reading.add_done_callback(_seen)
                raise ShuttingDown(_TOLD)
            message = reading.result()
            if message is _END:
                return
            yield message

    def _beginning(self) -> "asyncio.Future[None]":
        if self._begun is None:
            self._begun = asyncio.get_running_loop().create_future()
            if self._is_on:
                self._begun.set_result(None)
        return self._begun


_END: Any = object()


async def _next(messages: AsyncIterator[T]) -> T:
    try:
        return await anext(messages)
    except StopAsyncIteration:
        end: T = _END
        return end


def _seen(reading: "asyncio.Future[Any]") -> None:
    if not reading.cancelled():
        reading.exception()
