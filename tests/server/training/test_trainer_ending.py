"""Jobs cancelled, and forgotten with what they were for.

The workers are stand-ins: what is tested here does not hang on a solver.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from icecore.server.errors import ProbeNotFound, VersionNotFound
from icecore.server.storage.records import VersionState
from icecore.server.training.trainer import TrainRequest
from stand_in_worker import stand_in
from toy_store import put_toy_backbone
from trainer_house import REQUEST, TENANT, House, housed, last, until


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async for house in housed(tmp_path):
        yield house


# Cancelling.


async def test_cancelling_kills_the_worker_within_a_second(house: House) -> None:
    house.collect()
    trainer = await house.trainer(stand_in("compute"))
    await trainer.train(TENANT, REQUEST)
    await until(trainer, "choosing")
    async with asyncio.timeout(1):
        record = await trainer.cancel(TENANT, "ants-bees", 1)
    assert record.state is VersionState.CANCELLED
    assert not trainer.busy
    assert house.version().state is VersionState.CANCELLED
    again = await trainer.cancel(TENANT, "ants-bees", 1)
    assert again.state is VersionState.CANCELLED


async def test_a_waiting_job_is_cancelled_before_its_turn(house: House) -> None:
    house.collect()
    trainer = await house.trainer(stand_in("wait"))
    await trainer.train(TENANT, REQUEST)
    await trainer.train(TENANT, TrainRequest("waiting", "insects"))
    await until(trainer, "waiting", "waiting")
    await trainer.cancel(TENANT, "waiting", 1)
    assert (await last(trainer, "waiting")).version.state is VersionState.CANCELLED
    assert trainer.busy, "the other job was ended too"


async def test_a_ready_version_stays_ready_when_cancelled(house: House) -> None:
    house.collect()
    trainer = await house.trainer(stand_in("answer"))
    await trainer.train(TENANT, REQUEST)
    await last(trainer)
    assert (await trainer.cancel(TENANT, "ants-bees", 1)).state is VersionState.READY


# Deleting, and making again.


async def test_a_deleted_probe_ends_its_job_and_watchers(house: House) -> None:
    house.collect()
    trainer = await house.trainer(stand_in("wait"))
    await trainer.train(TENANT, REQUEST)
    watcher = asyncio.create_task(last(trainer))
    await until(trainer, "choosing")
    house.store.tenant(TENANT).delete_probe("ants-bees")
    async with asyncio.timeout(1):
        await trainer.forget(TENANT, "ants-bees")
    with pytest.raises(ProbeNotFound):
        await watcher
    assert not trainer.busy


async def test_a_deleted_tenant_ends_its_jobs_and_no_others(house: House) -> None:
    house.store.create_tenant("other")
    house.collect()
    house.collect(tenant_id="other")
    trainer = await house.trainer(stand_in("wait"), workers=2)
    await trainer.train(TENANT, REQUEST)
    await trainer.train("other", REQUEST)
    await until(trainer, "choosing")
    house.store.delete_tenant("other")
    await trainer.forget("other")
    assert trainer.busy
    assert house.version().state is VersionState.TRAINING


async def test_forgetting_kills_nothing_that_is_there(house: House) -> None:
    """A probe made again under a name just deleted is another's business."""
    house.collect()
    trainer = await house.trainer(stand_in("wait"))
    record = await trainer.train(TENANT, REQUEST)
    await until(trainer, "choosing")
    job = trainer._roster.job_of(TENANT, record)
    assert job is not None
    await trainer.forget(TENANT, "ants-bees")
    assert trainer._roster.job_of(TENANT, record) is job
    assert job.feed.latest.stage == "choosing"


async def test_a_probe_made_again_is_not_given_an_old_workers_weights(house: House) -> None:
    house.collect()
    trainer = await house.trainer(stand_in("wait"))
    await trainer.train(TENANT, REQUEST)
    await until(trainer, "choosing")
    old = asyncio.create_task(last(trainer))
    await until(trainer, "choosing")
    house.store.tenant(TENANT).delete_probe("ants-bees")
    record = await trainer.train(TENANT, REQUEST)
    assert record.version == 1
    with pytest.raises(ProbeNotFound):
        await old
    await trainer.forget(TENANT, "ants-bees")
    await until(trainer, "choosing")
    assert house.version().state is VersionState.TRAINING


async def test_late_results_never_become_a_new_probes(house: House) -> None:
    """Version 1 of the probe made again is not version 1 of the one deleted."""
    house.collect()
    store = house.store.tenant(TENANT)
    kept = {"kind": "svm", "collection_id": "insects", "request": REQUEST.to_json()}
    old = store.start_training("ants-bees", **kept)  # type: ignore[arg-type]
    store.delete_probe("ants-bees")
    store.start_training("ants-bees", **kept)  # type: ignore[arg-type]
    with pytest.raises(VersionNotFound):
        store.finish_training(
            "ants-bees",
            1,
            create_time=old.create_time,
            result={},
            file=b"old",
            seconds=1.0,
            promote=True,
        )
    with pytest.raises(VersionNotFound):
        store.fail_training(
            "ants-bees", 1, create_time=old.create_time, reason="R", message="m", seconds=1.0
        )
    assert house.version().state is VersionState.TRAINING


async def test_a_collection_made_anew_over_another_backbone_fails_the_version(
    house: House,
) -> None:
    """The version pins the first backbone, and must not read codes of one that it does not pin."""
    house.collect()
    house.collect(collection_id="moved")
    trainer = await house.trainer(stand_in("wait"))
    await trainer.train(TENANT, REQUEST)
    record = await trainer.train(TENANT, TrainRequest("moved", "moved"))
    assert record.digest == house.backbone.digest
    house.store.tenant(TENANT).delete_collection("moved")
    house.backbone = put_toy_backbone(house.store, seed=1, name="other")
    house.collect(collection_id="moved")
    await until(trainer, "choosing")
    await trainer.cancel(TENANT, "ants-bees", 1)
    end = await last(trainer, "moved")
    assert end.version.state is VersionState.FAILED
    assert end.version.failure_reason == "COLLECTION_NOT_FOUND"
    assert "over another backbone" in end.version.failure_message


async def test_a_collection_deleted_before_its_turn_fails_the_version(house: House) -> None:
    house.collect()
    house.collect(collection_id="gone")
    trainer = await house.trainer(stand_in("wait"))
    await trainer.train(TENANT, REQUEST)
    await until(trainer, "choosing")
    await trainer.train(TENANT, TrainRequest("late", "gone"))
    house.store.tenant(TENANT).delete_collection("gone")
    await trainer.cancel(TENANT, "ants-bees", 1)
    end = (await last(trainer, "late")).version
    assert end.state is VersionState.FAILED
    assert end.failure_reason == "COLLECTION_NOT_FOUND"
