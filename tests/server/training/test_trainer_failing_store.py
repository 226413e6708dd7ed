"""Jobs over a full disk, and worse.

The workers are stand-ins: what is tested here does not hang on a solver.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from icecore.server.errors import Internal, StorageCorrupt, StorageFull
from icecore.server.storage.promise import Store
from icecore.server.storage.records import VersionState
from stand_in_worker import stand_in
from trainer_house import REQUEST, TENANT, House, housed, last

FULL = StorageFull("the disk is full")
CORRUPT = StorageCorrupt("a checksum is wrong")


class FailingStore:
    """A store that raises `error` for some methods of its tenants."""

    def __init__(self, store: Store, error: Exception, *methods: str) -> None:
        self._store = store
        self.error = error
        self.methods = set(methods)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def tenant(self, tenant_id: str) -> Any:
        return FailingTenant(self._store.tenant(tenant_id), self)


class FailingTenant:
    def __init__(self, tenant: Any, failing: FailingStore) -> None:
        self._tenant = tenant
        self._failing = failing

    def __getattr__(self, name: str) -> Any:
        return self._raise if name in self._failing.methods else getattr(self._tenant, name)

    def _raise(self, *args: object, **fields: object) -> None:
        raise self._failing.error


def failing(house: House, error: Exception, *methods: str) -> FailingStore:
    store = FailingStore(house.store, error, *methods)
    house.store = store
    return store


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async for house in housed(tmp_path):
        yield house


async def test_a_probe_file_that_does_not_fit_fails_the_version(house: House) -> None:
    house.collect()
    failing(house, FULL, "finish_training")
    trainer = await house.trainer(stand_in("answer"))
    await trainer.train(TENANT, REQUEST)
    end = (await last(trainer)).version
    assert end.state is VersionState.FAILED
    assert (end.failure_reason, end.failure_message) == ("STORAGE_FULL", "the disk is full")


async def test_an_end_that_cannot_be_written_is_taken_up_by_the_next_watch(house: House) -> None:
    house.collect()
    store = failing(house, FULL, "finish_training", "fail_training")
    trainer = await house.trainer(stand_in("answer"))
    await trainer.train(TENANT, REQUEST)
    with pytest.raises(StorageFull):
        await last(trainer)
    assert house.version().state is VersionState.TRAINING
    store.methods.clear()
    assert (await last(trainer)).version.state is VersionState.READY


async def test_a_training_that_cannot_be_begun_is_refused(house: House) -> None:
    house.collect()
    failing(house, FULL, "start_training")
    trainer = await house.trainer(stand_in("answer"))
    with pytest.raises(StorageFull):
        await trainer.train(TENANT, REQUEST)
    assert not trainer.busy


@pytest.mark.parametrize(
    ("error", "reason"), [(RuntimeError("unforeseen"), "INTERNAL"), (CORRUPT, "STORAGE_CORRUPT")]
)
async def test_what_breaks_inside_ends_failed_without_detail(
    house: House, error: Exception, reason: str
) -> None:
    house.collect()
    failing(house, error, "snapshot")
    trainer = await house.trainer(stand_in("answer"))
    await trainer.train(TENANT, REQUEST)
    end = (await last(trainer)).version
    assert end.state is VersionState.FAILED
    assert end.failure_reason == reason
    assert end.failure_message == "training failed inside the server; its log says more"


@pytest.mark.parametrize(
    ("error", "told"), [(RuntimeError("unforeseen"), Internal), (CORRUPT, StorageCorrupt)]
)
async def test_a_store_that_cannot_be_read_ends_the_watch(
    house: House, error: Exception, told: type[Exception]
) -> None:
    house.collect()
    store = failing(house, error)
    store.tenant(TENANT).start_training(
        "ants-bees", kind="svm", collection_id="insects", request=REQUEST.to_json()
    )
    store.methods.add("probe_version")
    trainer = await house.trainer(stand_in("answer"))
    with pytest.raises(told):
        await last(trainer)
    store.methods.clear()
    assert (await last(trainer)).version.state is VersionState.READY
