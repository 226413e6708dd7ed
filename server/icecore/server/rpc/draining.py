"""A server that is about to end takes no more messages from streams that are open.

A stream of many requests could go on for ever. So it is ended between two of them: what
was taken is answered, then the caller is told UNAVAILABLE (SHUTTING_DOWN), and sends the
rest to whoever serves next. Calls of one request go on to their end.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeVar

from icecore.server.errors import ShuttingDown

T = TypeVar("T")


class Draining:
    """Begins once. Lives on one event loop."""

    def __init__(self) -> None:
        self._begun: asyncio.Future[None] | None = None
        self._is_on = False

    @property
    def is_on(self) -> bool:
        return self._is_on

    def begin(self) -> None:
        self._is_on = True
        if self._begun is not None and not self._begun.done():
            self._begun.set_result(None)

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
                raise ShuttingDown(
                    "the server is shutting down: what has no answer yet is to be sent again"
                )
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
