"""Jobs: durable, exactly-once, each in its turn; what cannot be done makes none.

The workers are stand-ins: what is tested here does not hang on a solver.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from icecore.server.errors import (
    ClassesTooFew,
    ClassTooSmall,
    CollectionEmpty,
    CollectionNotFound,
    ImagesNotKept,
    LayerNotFound,
    ProbeNotFound,
)
from icecore.server.storage.records import Mutation, VersionState
from icecore.server.training.facts import VersionFacts
from icecore.server.training.trainer import Trainer, TrainRequest
from icecore.wire.taps import Pooling, PoolingKind
from stand_in_worker import stand_in
from trainer_house import REQUEST, TENANT, House, housed, last, until


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async for house in housed(tmp_path):
        yield house


async def idle(trainer: Trainer) -> None:
    """Wait until the last job has left; its end is told just before."""
    if running := trainer._roster._running:
        await asyncio.wait(running)
    assert not trainer.busy


def mutation(request_id: str, fingerprint: str = "0" * 64) -> Mutation:
    return Mutation(request_id, "TrainProbe", fingerprint)


async def test_a_training_ends_ready_and_promoted(house: House) -> None:
    house.collect()
    trainer = await house.trainer(stand_in("answer"))
    record = await trainer.train(TENANT, REQUEST)
    assert record.state is VersionState.TRAINING
    assert (record.version, record.kind, record.collection_id) == (1, "svm", "insects")
    end = await last(trainer)
    assert (end.stage, end.progress) == ("done", 1.0)
    assert end.version.state is VersionState.READY
    assert end.version.is_promoted
    facts = VersionFacts.of(house.version())
    assert facts is not None
    assert facts.digest == house.backbone.digest
    assert facts.n_images == 4
    assert house.store.tenant(TENANT).probe_file("ants-bees", 1) == b"a probe file"
    await idle(trainer)


async def test_a_probe_may_be_left_unpromoted(house: House) -> None:
    house.collect()
    trainer = await house.trainer(stand_in("answer"))
    await trainer.train(TENANT, TrainRequest("ants-bees", "insects", promote=False))
    assert not (await last(trainer)).version.is_promoted
    assert house.store.tenant(TENANT).probe("ants-bees").promoted_version == 0


async def test_progress_only_grows(house: House) -> None:
    house.collect()
    trainer = await house.trainer(stand_in("answer"))
    await trainer.train(TENANT, REQUEST)
    seen = [now async for now in trainer.watch(TENANT, "ants-bees")]
    shares = [now.progress for now in seen]
    assert shares == sorted(shares), f"it went back: {shares}"
    assert seen[-1].stage == "done"


async def test_tenants_take_turns(house: House) -> None:
    house.store.create_tenant("other")
    house.collect()
    house.collect(tenant_id="other")
    trainer = await house.trainer(stand_in("wait"))
    for name in ("first", "second", "third"):
        await trainer.train(TENANT, TrainRequest(name, "insects"))
    await trainer.train("other", REQUEST)
    await until(trainer, "choosing", "first")
    await trainer.cancel(TENANT, "first", 1)
    async with asyncio.timeout(30):
        async for now in trainer.watch("other", "ants-bees"):
            if now.stage == "choosing":
                break
    assert (await anext(trainer.watch(TENANT, "second"))).stage == "waiting"


# Callers that leave, and retries.


async def test_a_caller_who_leaves_loses_nothing(house: House) -> None:
    house.collect()
    trainer = await house.trainer(stand_in("answer"))
    calling = asyncio.create_task(trainer.train(TENANT, REQUEST))
    await asyncio.sleep(0)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await asyncio.wait(trainer._changing)
    assert (await last(trainer)).version.state is VersionState.READY


async def test_a_retry_gets_the_first_answer(house: House) -> None:
    house.collect()
    trainer = await house.trainer(stand_in("answer"))
    answers = await asyncio.gather(
        *(trainer.train(TENANT, REQUEST, mutation=mutation("one")) for _ in range(5))
    )
    assert {answer.version for answer in answers} == {1}, "a retry made another version"
    await last(trainer)
    house.store.tenant(TENANT).delete_collection("insects")
    late = await trainer.train(TENANT, REQUEST, mutation=mutation("one"))
    assert late.version == 1
    assert len(house.store.tenant(TENANT).probe("ants-bees").versions) == 1
    assert (await last(trainer)).version.state is VersionState.READY


# The caller's mistakes.


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        ([], CollectionEmpty, "collection 'insects' is empty"),
        (["ant", "ant"], ClassesTooFew, "one class only, 'ant'"),
        (["", ""], ClassesTooFew, "2 images but no labels"),
        (["ant", "ant", "bee"], ClassTooSmall, "one image only of class 'bee'"),
        (["ant", "ant", "bee", ""], ClassTooSmall, "one image only of class 'bee'"),
    ],
)
async def test_labels_that_teach_nothing_make_no_version(
    house: House, labels: list[str], error: type[Exception], words: str
) -> None:
    house.collect(labels)
    trainer = await house.trainer(stand_in("answer"))
    with pytest.raises(error, match=words):
        await trainer.train(TENANT, REQUEST)
    with pytest.raises(ProbeNotFound):
        house.store.tenant(TENANT).probe("ants-bees")


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        (TrainRequest("p", "nothing"), CollectionNotFound, "'nothing'"),
        (TrainRequest("p", "insects", layers=("9",)), LayerNotFound, "9"),
        (TrainRequest("p", "insects", layers=("1", "tow")), LayerNotFound, "'tow'.*two"),
        (
            TrainRequest("p", "insects", pooling=Pooling(PoolingKind.MAX)),
            ImagesNotKept,
            "keeps no images.*max",
        ),
    ],
)
async def test_what_cannot_be_done_makes_no_version(
    house: House, request_: TrainRequest, error: type[Exception], words: str
) -> None:
    house.collect()
    trainer = await house.trainer(stand_in("answer"))
    with pytest.raises(error, match=words):
        await trainer.train(TENANT, request_)
    assert list(house.store.tenant(TENANT).probes()) == []
    assert not trainer.busy


async def test_a_refusal_of_the_solver_ends_failed_with_its_reason(house: House) -> None:
    house.collect()
    trainer = await house.trainer(stand_in("refuse"))
    await trainer.train(TENANT, REQUEST)
    end = (await last(trainer)).version
    assert end.state is VersionState.FAILED
    assert (end.failure_reason, end.failure_message) == ("CLASS_TOO_SMALL", "too small")
