"""A feed tells any number of watchers the latest, and never waits for one."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from icecore.server.errors import ProbeNotFound
from icecore.server.storage.records import VersionRecord, VersionState
from icecore.server.training.progress import Feed, Progress

RECORD = VersionRecord(
    probe_id="ants",
    version=1,
    state=VersionState.TRAINING,
    kind="svm",
    collection_id="ants",
    request={},
    create_time=datetime(2024, 1, 1, tzinfo=UTC),
)
READY = replace(RECORD, state=VersionState.READY)


def feed() -> Feed:
    return Feed(Progress(RECORD, "waiting", 0.0))


async def stages(feed: Feed) -> list[str]:
    return [progress.stage async for progress in feed.follow()]


async def test_every_watcher_sees_the_end() -> None:
    told = feed()
    watchers = [asyncio.create_task(stages(told)) for _ in range(50)]
    await asyncio.sleep(0)
    told.publish(Progress(RECORD, "codes", 0.1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    told.publish(Progress(READY, "done", 1.0))
    for seen in await asyncio.gather(*watchers):
        assert seen == ["waiting", "codes", "done"], f"a watcher saw {seen}"


async def test_a_slow_watcher_gets_the_latest_and_is_owed_nothing() -> None:
    told = feed()
    async with aclosing(told.follow()) as changes:
        assert (await anext(changes)).stage == "waiting"
        for step in range(1000):
            told.publish(Progress(RECORD, "choosing", step / 1000))
        assert (await anext(changes)).progress == 0.999


async def test_a_watcher_who_comes_after_the_end_sees_the_end() -> None:
    told = feed()
    told.publish(Progress(READY, "done", 1.0))
    assert await stages(told) == ["done"]


async def test_nothing_is_told_after_the_end() -> None:
    told = feed()
    told.publish(Progress(READY, "done", 1.0))
    told.publish(Progress(RECORD, "codes", 0.1))
    told.fail(ProbeNotFound("late"))
    assert await stages(told) == ["done"]


async def test_a_watcher_who_leaves_harms_nobody() -> None:
    told = feed()
    leaver = asyncio.create_task(stages(told))
    stayer = asyncio.create_task(stages(told))
    await asyncio.sleep(0)
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    told.publish(Progress(READY, "done", 1.0))
    assert (await stayer)[-1] == "done"


async def test_a_failing_feed_tells_every_watcher_why() -> None:
    told = feed()
    watchers = [asyncio.create_task(stages(told)) for _ in range(3)]
    await asyncio.sleep(0)
    told.fail(ProbeNotFound("probe 'ants' was deleted"))
    for answer in await asyncio.gather(*watchers, return_exceptions=True):
        assert isinstance(answer, ProbeNotFound), f"a watcher got {answer!r}"
