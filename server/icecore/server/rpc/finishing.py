"""Changes that go on to their end when the caller leaves.

A call that is cancelled leaves a thread behind that still commits. What has to
follow the commit (caches and keys forgotten, jobs ended) must not run before it,
nor be left out: a revoked key that was looked up in between would be kept.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_under_way: set[asyncio.Task[Any]] = set()
"""The loop itself keeps only weak references."""


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Return what the work gives; it is not cancelled when this is."""
    task = asyncio.create_task(work)
    _under_way.add(task)
    task.add_done_callback(_ended)
    return await asyncio.shield(task)


async def in_thread(work: Callable[[], T], *, when_left: Callable[[], object] = lambda: None) -> T:
    """Return what blocking work gives; a caller who leaves goes on only when it has ended.

    So what it works with (a file, a turn) is not taken away under its hands. `when_left` is
    called where the caller leaves, to hurry it.
    """
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        when_left()
        while not running.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        _ended(running)
        raise


def _ended(task: asyncio.Future[Any]) -> None:
    _under_way.discard(task)
    if not task.cancelled():
        task.exception()  # seen: a caller who left does not wait for it
