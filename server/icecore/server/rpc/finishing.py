"""Changes that go on to their end when the caller leaves.

A call that is cancelled leaves a thread behind that still commits. What has to
follow the commit (caches and keys forgotten, jobs ended) must not run before it,
nor be left out: a revoked key that was looked up in between would be kept.
"""

import asyncio
from collections.abc import Coroutine
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


def _ended(task: asyncio.Task[Any]) -> None:
    _under_way.discard(task)
    if not task.cancelled():
        task.exception()  # seen: a caller who left does not wait for it
