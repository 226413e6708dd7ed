"""Jobs as they are watched.

The workers are stand-ins: what is tested here does not hang on a solver.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from icecore.server.errors import ProbeNotFound, TenantNotFound, VersionNotFound
from icecore.server.storage.records import VersionState
from stand_in_worker import stand_in
from trainer_house import REQUEST, TENANT, House, housed, last, until


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async for house in housed(tmp_path):
        yield house


async def test_many_watchers_see_the_end_and_one_may_leave(house: House) -> None:
    house.collect()
    trainer = await house.trainer(stand_in("wait"))
    await trainer.train(TENANT, REQUEST)
    watchers = [asyncio.create_task(last(trainer)) for _ in range(20)]
    await until(trainer, "choosing")  # this watcher leaves
    watchers[0].cancel()
    await trainer.cancel(TENANT, "ants-bees", 1)
    ends = await asyncio.gather(*watchers[1:])
    assert {end.version.state for end in ends} == {VersionState.CANCELLED}


async def test_an_ended_version_can_be_watched(house: House) -> None:
    house.collect()
    trainer = await house.trainer(stand_in("answer"))
    await trainer.train(TENANT, REQUEST)
    await last(trainer)
    seen = [now async for now in trainer.watch(TENANT, "ants-bees", 1)]
    assert [now.stage for now in seen] == ["done"]


@pytest.mark.parametrize(
    ("tenant_id", "probe_id", "version", "error"),
    [
        (TENANT, "nothing", 0, ProbeNotFound),
        (TENANT, "ants-bees", 2, VersionNotFound),
        ("other", "ants-bees", 1, ProbeNotFound),
        ("nobody", "ants-bees", 1, TenantNotFound),
    ],
)
async def test_what_is_not_there_cannot_be_watched_nor_cancelled(
    house: House, tenant_id: str, probe_id: str, version: int, error: type[Exception]
) -> None:
    house.store.create_tenant("other")
    house.collect()
    trainer = await house.trainer(stand_in("wait"))
    await trainer.train(TENANT, REQUEST)
    with pytest.raises(error):
        await anext(trainer.watch(tenant_id, probe_id, version))
    with pytest.raises(error):
        await trainer.cancel(tenant_id, probe_id, version or 1)
