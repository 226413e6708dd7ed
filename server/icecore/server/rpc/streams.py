"""Streams of requests answered one for one, in the order sent."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from icecore.server.rpc import answer_room
from icecore.server.rpc.answer_room import AnswerRoom

Request = TypeVar("Request")
Answer = TypeVar("Answer")

AHEAD = 2
"""Requests of one stream worked on at once: while one computes, the next decodes."""


async def in_order(
    requests: AsyncIterator[Request], act: Callable[[Request], Awaitable[Answer]]
) -> AsyncIterator[Answer]:
    """Yield the answer to each request as soon as it is its turn.

    Works on at most AHEAD of them, so it is not for what changes something: the
    next may be done when one fails. A request that fails, or cannot be read,
    ends the stream after the answers before it. Room that was taken for an answer is let
    go when the next is asked for.
    """
    rooms = answer_room.in_turn()
    taken: deque[AnswerRoom] = deque()
    work: deque[asyncio.Task[Answer]] = deque()
    reading: asyncio.Task[Request] | None = None
    end: BaseException | None = None
    try:
        while True:
            if end is None and reading is None and len(work) < AHEAD:
                reading = asyncio.create_task(_next(requests))
            waiting: set[asyncio.Task[Any]] = {*list(work)[:1], *([reading] if reading else [])}
            if not waiting:
                break
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if reading is not None and reading.done():
                end = reading.exception()
                if end is None:
                    taken.append(next(rooms))
                    work.append(asyncio.create_task(_run(act, reading.result(), taken[-1])))
                reading = None
            while work and work[0].done():
                yield work.popleft().result()
                taken.popleft().let_go()
        if end is not None and not isinstance(end, StopAsyncIteration):
            raise end
    finally:
        left = [*work, *([reading] if reading else [])]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for room in taken:
            room.let_go()


async def _next(requests: AsyncIterator[Request]) -> Request:
    return await anext(requests)


async def _run(
    act: Callable[[Request], Awaitable[Answer]], request: Request, room: AnswerRoom
) -> Answer:
    room.begin()
    return await act(request)
