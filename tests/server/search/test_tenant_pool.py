"""Tenants share a few threads by time; order and bills by a clock that stands still."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from icecore.server.errors import ShuttingDown
from icecore.server.search.tenant_pool import TenantPool


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class House:
    """A pool of one thread, which is held until `go`, and what ran in it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.pool = TenantPool(1, name="test", clock=self.clock)
        self.ran: list[str] = []
        self._holds: list[threading.Event] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def held(self, name: str, *, after: threading.Event | None = None) -> threading.Event:
        """Bring a piece that holds the thread; return what lets it end, once it has it."""
        begun, may_end = asyncio.Event(), threading.Event()
        self._holds.append(may_end)
        piece = self.pool.run(name, partial(_wait, may_end), when_begun=begun.set)
        self._tasks.append(asyncio.create_task(piece))
        if after is not None:
            await asyncio.sleep(0)
            after.set()
        await begun.wait()
        return may_end

    async def bring(self, name: str, n: int = 1, took_s: float = 1.0) -> list["asyncio.Task[None]"]:
        def work() -> None:
            self.ran.append(name)
            self.clock.now += took_s

        tasks = [asyncio.create_task(self.pool.run(name, work)) for _ in range(n)]
        self._tasks += tasks
        await asyncio.sleep(0)
        return tasks

    async def go(self) -> list[str]:
        for may_end in self._holds:
            may_end.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return self.ran


@pytest_asyncio.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    yield house
    await house.go()
    house.pool.close()


async def test_tenants_take_turns_whoever_brings_more(house: House) -> None:
    await house.held("a")
    await house.bring("a", 10)
    await house.bring("b", 2)
    await house.bring("c")
    assert "".join(await house.go())[:7] == "abcabaa"


async def test_turns_are_by_time_and_not_by_number(house: House) -> None:
    """Whose pieces take ten times as long has a tenth of them."""
    await house.held("x")
    await house.bring("large", 20, took_s=10.0)
    await house.bring("small", 100, took_s=1.0)
    ran = await house.go()
    assert 8 <= ran[:99].count("large") <= 10


async def test_who_was_idle_has_saved_nothing_up(house: House) -> None:
    """Twenty seconds went to another meanwhile; now it is one and one all the same."""
    first = await house.held("busy")
    await house.bring("busy", 20)
    await house.held("busy", after=first)
    await house.bring("busy", 5)
    await house.bring("late", 5)
    ran = await house.go()
    assert ran[:20] == ["busy"] * 20
    assert ran[20:28].count("late") == 4


async def test_who_was_idle_beside_one_with_dear_pieces_has_saved_nothing_up(
    house: House,
) -> None:
    """Also where it is still known from before: its second of then is no longer cheap."""
    first = await house.held("x")
    await house.bring("late", took_s=1.0)
    await house.bring("dear", took_s=10.0)
    await house.held("dear", after=first)
    await house.bring("dear", 5, took_s=10.0)
    await house.bring("late", 20, took_s=1.0)
    ran = await house.go()
    assert "dear" in ran[2:5]


async def test_who_left_before_the_turn_costs_nothing(house: House) -> None:
    await house.held("a")
    left = await house.bring("b", 30)
    await house.bring("c")
    for task in left:
        task.cancel()
    assert await house.go() == ["c"]


async def test_what_has_begun_holds_its_thread_also_when_nobody_waits() -> None:
    pool = TenantPool(1, name="test")
    may_end, begun = threading.Event(), asyncio.Event()
    ran: list[str] = []
    one = asyncio.create_task(pool.run("a", may_end.wait, when_begun=begun.set))
    await begun.wait()
    one.cancel()
    two = asyncio.create_task(pool.run("a", lambda: ran.append("two")))
    with pytest.raises(asyncio.CancelledError):
        await one
    assert ran == []
    assert pool._n_free == 0
    may_end.set()
    await two
    assert ran == ["two"]
    pool.close()


async def test_an_error_is_the_callers_and_the_thread_goes_on(house: House) -> None:
    def broken() -> None:
        raise OSError("no disk")

    for _ in range(3):
        with pytest.raises(OSError, match="no disk"):
            await house.pool.run("a", broken)
    await house.bring("a")
    assert await house.go() == ["a"]


async def test_what_waits_is_refused_when_it_is_closed(house: House) -> None:
    await house.held("a")
    (waiting,) = await house.bring("b")
    house.pool.close(is_waited_for=False)
    with pytest.raises(ShuttingDown):
        await waiting
    with pytest.raises(ShuttingDown):
        await house.pool.run("c", lambda: None)
    assert await house.go() == []


async def test_tenants_that_are_gone_are_forgotten(house: House) -> None:
    for number in range(50):
        await house.bring(f"t{number}")
    await house.go()
    await _settled(lambda: house.pool.run("last", lambda: None))
    assert len(house.pool._tenants) <= 1


def _wait(until: threading.Event) -> None:
    until.wait()


async def _settled(last: Callable[[], Coroutine[Any, Any, None]]) -> None:
    await last()
    await asyncio.sleep(0)
