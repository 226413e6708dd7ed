"""Lanes and room: turns, cancellation, refusal, without any images."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator

import pytest

from icecore.server.embedding.scheduling import Lane, Room
from icecore.server.errors import Overloaded, ShuttingDown


class Gate:
    """Work that waits until it is let through, and a list of what ran."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.began = threading.Event()
        self.may_end = threading.Event()

    def blocking(self) -> None:
        self.began.set()
        assert self.may_end.wait(30), "nobody opened the gate"

    def work(self, name: str) -> Callable[[], None]:
        return lambda: self.ran.append(name)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.may_end.set()


async def begun(lane: Lane, gate: Gate) -> "asyncio.Task[object]":
    """Occupy the lane's only thread."""
    task: asyncio.Task[object] = asyncio.create_task(lane.run(gate.blocking, tenant_id="first"))
    await asyncio.to_thread(gate.began.wait, 30)
    return task


async def test_work_gives_its_value_and_its_times() -> None:
    lane = Lane("test", threads=2)
    done = await lane.run(lambda: 42, tenant_id="t")
    assert done.value == 42
    assert done.queue_ms >= 0
    assert done.work_ms >= 0
    lane.close()


async def test_an_error_of_the_work_is_the_callers() -> None:
    lane = Lane("test", threads=1)
    with pytest.raises(ZeroDivisionError):
        await lane.run(lambda: 1 // 0, tenant_id="t")
    assert (await lane.run(lambda: 1, tenant_id="t")).value == 1, "the lane goes on"
    lane.close()


async def test_tenants_take_turns(gate: Gate) -> None:
    """Who comes later with little does not wait for all of who came first with much."""
    lane = Lane("test", threads=1)
    tasks = [await begun(lane, gate)]
    for name in ("a1", "a2", "a3", "b1", "c1", "b2"):
        work = gate.work(name)
        tasks.append(asyncio.create_task(lane.run(work, tenant_id=name[0])))
        await asyncio.sleep(0)
    gate.may_end.set()
    await asyncio.gather(*tasks)
    assert gate.ran == ["a1", "b1", "c1", "a2", "b2", "a3"]
    lane.close()


async def test_cancelled_work_never_starts(gate: Gate) -> None:
    lane = Lane("test", threads=1)
    first = await begun(lane, gate)
    left = asyncio.create_task(lane.run(gate.work("left"), tenant_id="t"))
    stays = asyncio.create_task(lane.run(gate.work("stays"), tenant_id="t"))
    await asyncio.sleep(0)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    gate.may_end.set()
    await asyncio.gather(first, stays)
    assert gate.ran == ["stays"]
    lane.close()


async def test_cancelled_work_is_let_go_at_once(gate: Gate) -> None:
    """Else callers who come and leave would fill the memory with their images."""
    lane = Lane("test", threads=1)
    first = await begun(lane, gate)
    work = gate.work("left")
    held = weakref.ref(work)
    left = asyncio.create_task(lane.run(work, tenant_id="t"))
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    del work, left
    await asyncio.sleep(0)  # the loop itself holds the future that it just woke us for
    gc.collect()
    assert held() is None
    gate.may_end.set()
    await first
    lane.close()


async def test_cancelling_running_work_keeps_its_thread_busy_until_it_ends(gate: Gate) -> None:
    """Else cancelled calls could start more work than there are threads."""
    lane = Lane("test", threads=1)
    first = await begun(lane, gate)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    second = asyncio.create_task(lane.run(gate.work("second"), tenant_id="t"))
    await asyncio.sleep(0)
    assert gate.ran == []
    gate.may_end.set()
    await second
    assert gate.ran == ["second"]
    lane.close()


async def test_a_closed_lane_refuses_what_waits_and_what_comes(gate: Gate) -> None:
    lane = Lane("test", threads=1)
    first = await begun(lane, gate)
    waiting = asyncio.create_task(lane.run(gate.work("waiting"), tenant_id="t"))
    await asyncio.sleep(0)
    gate.may_end.set()
    lane.close()
    lane.close()
    with pytest.raises(ShuttingDown):
        await waiting
    with pytest.raises(ShuttingDown):
        await lane.run(gate.work("late"), tenant_id="t")
    await first
    assert gate.ran == []


def test_room_is_given_back_also_after_an_error() -> None:
    room = Room(10)
    with pytest.raises(RuntimeError), room.take(10):
        raise RuntimeError
    too_much = pytest.raises(Overloaded, match="10 images are waiting and 1 more would pass")
    with room.take(6), room.take(4), too_much, room.take(1):
        pass
    with room.take(10):
        pass
