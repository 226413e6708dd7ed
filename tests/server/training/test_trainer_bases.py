"""Jobs that go on from a version: it may be deleted, or of another backbone.

The workers are stand-ins: what is tested here does not hang on a solver.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from icecore.server.errors import TapMismatch
from icecore.server.storage.records import VersionState
from icecore.server.training.base import Base
from icecore.server.training.trainer import TrainRequest
from stand_in_worker import stand_in
from trainer_house import REQUEST, TENANT, House, housed, last, until


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async for house in housed(tmp_path):
        yield house


async def test_a_base_that_is_deleted_meanwhile_fails_what_goes_on_from_it(house: House) -> None:
    house.collect()
    answering = await house.trainer(stand_in("answer"))
    await answering.train(TENANT, TrainRequest("ants-bees", "insects", "svm", promote=False))
    await last(answering)
    await answering.close()
    waiting = await house.trainer(stand_in("wait"))
    await waiting.train(TENANT, TrainRequest("other", "insects"))
    await until(waiting, "choosing", "other")
    begun = await waiting.train(TENANT, TrainRequest("ants-bees", "insects", base_version=1))
    assert (begun.version, begun.kind) == (2, "svm"), "the base's kind"
    house.store.tenant(TENANT).delete_version("ants-bees", 1)
    await waiting.cancel(TENANT, "other", 1)
    end = (await last(waiting)).version
    assert (end.state, end.failure_reason) == (VersionState.FAILED, "VERSION_NOT_FOUND")
    assert "which this training goes on from, was deleted meanwhile" in end.failure_message


async def test_a_training_that_goes_on_is_taken_up_by_the_next_server(house: House) -> None:
    house.collect()
    answering = await house.trainer(stand_in("answer"))
    await answering.train(TENANT, REQUEST)
    await last(answering)
    await answering.close()
    waiting = await house.trainer(stand_in("wait"))
    await waiting.train(TENANT, TrainRequest("ants-bees", "insects", base_version=1))
    await until(waiting, "choosing")
    await waiting.close()
    after = await house.trainer(stand_in("answer"))
    end = await last(after)
    assert (end.version.version, end.version.state) == (2, VersionState.READY)
    assert end.version.request["base_version"] == 1


async def test_a_version_of_another_backbone_is_not_gone_on_from(house: House) -> None:
    house.collect()
    trainer = await house.trainer(stand_in("answer"))
    await trainer.train(TENANT, REQUEST)
    await last(trainer)
    base = Base.of(house.store.tenant(TENANT), "ants-bees", 1)
    other = replace(base, taps=(replace(base.taps[0], digest="ab" * 32),))
    collection = house.store.tenant(TENANT).collection("insects")
    with pytest.raises(TapMismatch, match=r"version 1 of probe 'ants-bees' reads .*abababab.*"):
        other.candidates(house.backbone, collection)
    assert base.candidates(house.backbone, collection).taps == base.taps
