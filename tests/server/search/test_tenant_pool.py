"""Tenants share a few threads by time; order and bills by a clock that stands still."""

import asyncio
import threading
import weakref
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
    """A pool of one thread or more, each held until `go`, and what ran in it."""

    def __init__(self, threads: int = 1) -> None:
        self.clock = Clock()
        self.pool = TenantPool(threads, name="test", clock=self.clock)
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

    async def until(self, n: int) -> list[str]:
        """Return what ran once that are so many."""
        while len(self.ran) < n:  # noqa: ASYNC110 - threads
            await asyncio.sleep(0)
        return self.ran

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


@pytest_asyncio.fixture
async def wide_house() -> AsyncIterator[House]:
    """Of two threads."""
    house = House(threads=2)
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


async def test_turns_go_round_also_while_nothing_takes_any_time(house: House) -> None:
    """Of those with the same tag the one is next that had its turn longest ago."""
    await house.held("x")
    for name in "abc":
        await house.bring(name, 3, took_s=0.0)
    assert "".join(await house.go()) == "abcabcabc"


async def test_a_piece_that_runs_is_paid_for_before_it_ends(wide_house: House) -> None:
    """Or whose pieces are dear would have a second thread too before any of them is counted."""
    house = wide_house
    first = await house.held("x")
    for task in await house.bring("dear", took_s=10.0) + await house.bring("cheap", 10):
        await task
    await house.held("dear")
    await house.bring("dear")
    await house.bring("cheap", 3)
    house.ran.clear()
    first.set()
    assert await house.until(4) == ["cheap"] * 3 + ["dear"]


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


async def test_of_who_left_nothing_is_kept_while_others_stand_before_them(house: House) -> None:
    """Codes of a whole collection are in what an index is made by."""

    class Codes:
        """Something that a weak reference can be held to."""

        def work(self, *_: object) -> None:
            raise AssertionError("its caller left")

    await house.held("a")
    await house.bring("a")
    kept = []
    for _ in range(3):
        codes = Codes()
        kept.append(weakref.ref(codes))
        left = asyncio.create_task(house.pool.run("a", codes.work, when_begun=codes.work))
        del codes
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.wait([left])
        del left
    assert [one() for one in kept] == [None] * 3
    assert await house.go() == ["a"]


class NoThreads:
    """Threads cannot be started as long as it is so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_so = True
        start = threading.Thread.start

        def started(thread: threading.Thread) -> None:
            if self.is_so:
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", started)


async def test_where_no_thread_can_be_started_that_is_told_and_the_next_one_has_one(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_threads = NoThreads(monkeypatch)
    for _ in range(3):
        (task,) = await house.bring("a")
        with pytest.raises(RuntimeError, match="can't start new thread"):
            await task
    no_threads.is_so = False
    for task in await house.bring("b", 2) + await house.bring("a"):
        await asyncio.wait_for(task, 60)
    assert house.ran == ["b", "b", "a"], "what was refused is not done later"
    assert house.pool._n_free == 1


async def test_what_could_have_no_second_thread_is_not_done_by_the_first(
    wide_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = wide_house
    first = await house.held("a")
    no_threads = NoThreads(monkeypatch)
    (refused,) = await house.bring("b")
    with pytest.raises(RuntimeError, match="can't start new thread"):
        await refused
    no_threads.is_so = False
    first.set()
    await house.bring("c", 2)
    assert await house.go() == ["c", "c"]
    assert house.pool._n_free == 2


async def test_who_is_served_when_another_ends_is_told_that_there_is_no_thread(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All who wait are served from there, and none of them stands in the way of the next."""
    first = await house.held("a")
    waiting = await house.bring("b") + await house.bring("c")

    def full(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(house.pool._pool, "submit", full)
        first.set()
        told = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 60)
    assert [type(one) for one in told] == [MemoryError] * 2
    await house.bring("d")
    assert await house.go() == ["d"]


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
