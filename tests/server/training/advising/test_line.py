"""Who waits, and whose turn is next."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from icecore.server.errors import Overloaded
from icecore.server.training.advising.line import MOST_WAITING, Line


async def held(line: Line, tenant_id: str, came: list[str], until: asyncio.Event) -> None:
    async with line.turn(tenant_id):
        came.append(tenant_id)
        await until.wait()


async def a_moment() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_is_in_at_a_time_and_tenants_take_turns() -> None:
    line, came, until = Line(1), list[str](), asyncio.Event()
    waiting = [
        asyncio.create_task(held(line, tenant_id, came, until)) for tenant_id in ("a", "a", "b")
    ]
    await a_moment()
    assert came == ["a"]
    until.set()
    await asyncio.gather(*waiting)
    assert came == ["a", "b", "a"], "not all of the first tenant's before the other's"


async def test_who_leaves_while_waiting_gives_its_place_up() -> None:
    line, came, until = Line(1), list[str](), asyncio.Event()
    first = asyncio.create_task(held(line, "a", came, until))
    await a_moment()
    second = asyncio.create_task(held(line, "b", came, until))
    third = asyncio.create_task(held(line, "c", came, until))
    await a_moment()
    second.cancel()
    until.set()
    await asyncio.gather(first, third)
    assert came == ["a", "c"]
    assert second.cancelled()


async def test_who_leaves_as_its_turn_comes_hands_it_on() -> None:
    line, came, until = Line(1), list[str](), asyncio.Event()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(line.turn("a"))
        second = asyncio.create_task(held(line, "b", came, until))
        third = asyncio.create_task(held(line, "c", came, until))
        await a_moment()
    second.cancel()  # its future is set, but it has not run since
    until.set()
    await third
    assert came == ["c"]


async def test_too_many_are_refused_with_a_time_to_come_again() -> None:
    line, until = Line(1), asyncio.Event()
    tasks = [asyncio.create_task(held(line, "a", [], until)) for _ in range(MOST_WAITING + 1)]
    await a_moment()
    with pytest.raises(Overloaded, match="16 collections wait to be judged") as caught:
        async with line.turn("b"):
            pass
    assert caught.value.retry_after_s
    until.set()
    await asyncio.gather(*tasks)
    async with line.turn("b"):
        pass
