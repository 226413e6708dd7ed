"""Work whose progress a caller hears of while it runs; it ends with the caller."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")


@asynccontextmanager
async def followed(
    work: "asyncio.Task[Any]", told: "asyncio.Queue[T]"
) -> AsyncIterator[AsyncIterator[T]]:
    """Give what the work tells, until it ends, well or not; leaving earlier cancels the work."""
    ended = object()
    queue: asyncio.Queue[Any] = told
    work.add_done_callback(lambda _: queue.put_nowait(ended))

    async def tell() -> AsyncIterator[T]:
        while (now := await queue.get()) is not ended:
            yield now

    try:
        yield tell()
    finally:
        work.cancel()
        await asyncio.wait([work])
