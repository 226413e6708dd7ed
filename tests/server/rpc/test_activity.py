"""When all is quiet."""

import asyncio

import pytest

from icecore.server.rpc.activity import Activity


async def test_it_is_quiet_some_time_after_the_last_call_ended() -> None:
    activity = Activity()
    loop = asyncio.get_running_loop()
    activity.begin()
    waiting = asyncio.create_task(activity.wait_until_idle(0.05, lambda: False))
    await asyncio.sleep(0.1)  # longer than it would wait if nobody called
    assert not waiting.done(), "a call is in flight"
    activity.end("/a/B", "OK")
    ended = loop.time()
    await asyncio.wait_for(waiting, 10)
    assert loop.time() - ended >= 0.045  # the clock's own grain
    assert activity.ended == {("/a/B", "OK"): 1}


async def test_nobody_ever_calling_is_quiet_too() -> None:
    await asyncio.wait_for(Activity().wait_until_idle(0.01, lambda: False), 10)


async def test_a_call_begins_the_wait_anew() -> None:
    activity = Activity()
    waiting = asyncio.create_task(activity.wait_until_idle(0.2, lambda: False))
    for _ in range(5):
        await asyncio.sleep(0.06)
        activity.begin()
        activity.end("/a/B", "OK")
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_work_without_a_caller_is_no_quiet() -> None:
    busy = [True, True, True, False]
    activity = Activity()
    await asyncio.wait_for(
        activity.wait_until_idle(0.01, lambda: busy.pop(0) if busy else False), 10
    )
    assert busy == []
