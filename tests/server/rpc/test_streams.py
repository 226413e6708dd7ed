"""Streams answered in order, a little ahead."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from icecore.server.rpc.streams import AHEAD, in_order


async def _stream(*numbers: int) -> AsyncIterator[int]:
    for number in numbers:
        yield number


async def _follow(answers: AsyncIterator[int], got: list[int]) -> None:
    async for answer in answers:
        got.append(answer)  # noqa: PERF401 - kept also where the stream fails


async def test_answers_keep_the_order_of_requests_whoever_is_first_done() -> None:
    ended = {number: asyncio.Event() for number in range(4)}

    async def act(number: int) -> int:
        if number % 2 == 0:
            await ended[number + 1].wait()  # the later one is done first
        ended[number].set()
        return number * 10

    assert [answer async for answer in in_order(_stream(0, 1, 2, 3), act)] == [0, 10, 20, 30]


async def test_a_caller_who_waits_for_each_answer_gets_it() -> None:
    answered = asyncio.Event()

    async def ask() -> AsyncIterator[int]:
        for number in range(3):
            yield number
            await asyncio.wait_for(answered.wait(), 5)
            answered.clear()

    async def act(number: int) -> int:
        return number

    got = []
    async for answer in in_order(ask(), act):
        got.append(answer)
        answered.set()
    assert got == [0, 1, 2]


async def test_no_more_than_a_few_are_worked_on_at_once() -> None:
    running = peak = 0

    async def act(number: int) -> int:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        for _ in range(50):
            await asyncio.sleep(0)
        running -= 1
        return number

    assert len([answer async for answer in in_order(_stream(*range(20)), act)]) == 20
    assert peak == AHEAD


async def test_a_failure_comes_after_the_answers_before_it_and_ends_the_stream() -> None:
    acted = []

    async def act(number: int) -> int:
        acted.append(number)
        if number == 2:
            raise ValueError("two")
        await asyncio.sleep(0)
        return number

    got: list[int] = []
    with pytest.raises(ValueError, match="two"):
        await _follow(in_order(_stream(*range(10)), act), got)
    assert got == [0, 1]
    assert max(acted) <= 2 + AHEAD


async def test_a_request_that_cannot_be_read_ends_the_stream_after_the_answers_before_it() -> None:
    async def broken() -> AsyncIterator[int]:
        yield 1
        raise ValueError("unreadable")

    async def act(number: int) -> int:
        await asyncio.sleep(0)
        return number

    got: list[int] = []
    with pytest.raises(ValueError, match="unreadable"):
        await _follow(in_order(broken(), act), got)
    assert got == [1]


async def test_who_leaves_leaves_no_work_behind() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def act(number: int) -> int:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return number

    async def follow() -> None:
        async for _ in in_order(_stream(1), act):
            pass

    task = asyncio.create_task(follow())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled.is_set()
