"""Jobs: durable, exactly-once, watched, cancelled and forgotten.

The workers are stand-ins: what is tested here does not hang on a solver.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.catalog import Catalog
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.embedding.collection_codes import CollectionCodes
from icecore.server.embedding.core import core_of
from icecore.server.embedding.embedder import Embedder
from icecore.server.errors import (
    ClassesTooFew,
    ClassTooSmall,
    CollectionEmpty,
    CollectionNotFound,
    ImagesNotKept,
    Internal,
    LayerNotFound,
    ProbeNotFound,
    ShuttingDown,
    StorageCorrupt,
    StorageFull,
    TapMismatch,
    TenantNotFound,
    VersionNotFound,
)
from icecore.server.storage.opening import open_sqlite
from icecore.server.storage.promise import Store
from icecore.server.storage.records import (
    Mutation,
    NewBatch,
    NewExample,
    OnDuplicate,
    VersionRecord,
    VersionState,
)
from icecore.server.training.base import Base
from icecore.server.training.comparing import Comparer
from icecore.server.training.facts import VersionFacts
from icecore.server.training.trainer import Progress, Trainer, TrainRequest
from icecore.wire.taps import Pooling, PoolingKind
from stand_in_worker import stand_in
from toy_store import put_toy_backbone

TENANT = "default"
REQUEST = TrainRequest("ants-bees", "insects", "svm")


@dataclass
class House:
    """A store with the toy backbone, and trainers over it."""

    folder: Path
    store: Store
    backbone: Backbone
    catalog: Catalog
    codes: CollectionCodes
    trainers: list[Trainer] = field(default_factory=list)

    async def trainer(self, command: Sequence[str], *, workers: int = 1) -> Trainer:
        comparer = Comparer(self.catalog, self.codes)
        trainer = Trainer(
            self.store, self.catalog, self.codes, comparer, workers=workers, command=command
        )
        self.trainers.append(trainer)
        await trainer.start()
        return trainer

    def collect(
        self,
        labels: Sequence[str] = ("ant", "ant", "bee", "bee"),
        *,
        collection_id: str = "insects",
        tenant_id: str = TENANT,
        keep_images: bool = False,
    ) -> None:
        """Make a collection of examples with these labels and codes of no meaning."""
        store = self.store.tenant(tenant_id)
        collection = store.create_collection(
            collection_id,
            backbone=self.backbone.name,
            digest=self.backbone.digest,
            keep_images=keep_images,
        )
        if not labels:
            return
        random = np.random.default_rng(0)
        examples = [
            NewExample(f"{n:03d}", label, {}, f"{n:064x}", b"image" if keep_images else None)
            for n, label in enumerate(labels)
        ]
        core = {
            tap.layer: random.random(
                (len(labels), self.backbone.layer_of(tap).channels), dtype=np.float32
            ).astype(np.float16)
            for tap in core_of(self.backbone, collection)
        }
        store.add_examples(collection_id, NewBatch(examples, core), on_duplicate=OnDuplicate.REFUSE)

    def version(self, probe_id: str = "ants-bees", version: int = 1) -> VersionRecord:
        return self.store.tenant(TENANT).probe_version(probe_id, version)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async for house in housed(tmp_path):
        yield house


async def housed(folder: Path) -> AsyncIterator[House]:
    store = open_sqlite(folder)
    backbone = put_toy_backbone(store)
    catalog = Catalog(store, default=backbone.name)
    sessions = Sessions(max_bytes=1 << 24, threads=1)
    embedder = Embedder(sessions, threads=1)
    house = House(folder, store, backbone, catalog, CollectionCodes(catalog, embedder))
    yield house
    for trainer in house.trainers:
        await trainer.close()
    embedder.close()
    sessions.close()
    store.close()


async def last(trainer: Trainer, probe_id: str = "ants-bees", version: int = 0) -> Progress:
    async with asyncio.timeout(30):
        progress = [now async for now in trainer.watch(TENANT, probe_id, version)]
    return progress[-1]


async def until(trainer: Trainer, stage: str, probe_id: str = "ants-bees") -> None:
    """Wait until a job is at a stage."""
    async with asyncio.timeout(30):
        async for now in trainer.watch(TENANT, probe_id):
            if now.stage == stage:
                return
    raise AssertionError(f"{probe_id} ended without the stage {stage!r}")


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


async def test_progress_only_grows(house: House) -> None:
    house.collect()
    trainer = await house.trainer(stand_in("answer"))
    await trainer.train(TENANT, REQUEST)
    seen = [now async for now in trainer.watch(TENANT, "ants-bees")]
    shares = [now.progress for now in seen]
    assert shares == sorted(shares), f"it went back: {shares}"
    assert seen[-1].stage == "done"


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


# Workers that die.


async def test_a_worker_killed_once_is_tried_again(house: House) -> None:
    house.collect()
    trainer = await house.trainer(stand_in("die-once", house.folder / "died"))
    await trainer.train(TENANT, REQUEST)
    assert (await last(trainer)).version.state is VersionState.READY


async def test_a_worker_killed_twice_fails_the_version(house: House) -> None:
    house.collect()
    trainer = await house.trainer(stand_in("die"))
    await trainer.train(TENANT, REQUEST)
    end = (await last(trainer)).version
    assert end.state is VersionState.FAILED
    assert end.failure_reason == "TRAINING_FAILED"
    assert end.failure_message == "the training process was killed by signal 9, 2 times"


# Restarts.


async def test_a_job_goes_on_with_the_next_server(house: House) -> None:
    house.collect()
    first = await house.trainer(stand_in("wait"))
    await first.train(TENANT, REQUEST)
    watcher = asyncio.create_task(last(first))
    await until(first, "choosing")
    async with asyncio.timeout(1):
        await first.close()
    with pytest.raises(ShuttingDown, match="goes on when it is back"):
        await watcher
    assert house.version().state is VersionState.TRAINING
    second = await house.trainer(stand_in("answer"))
    assert (await last(second)).version.state is VersionState.READY


SERVER_THAT_IS_KILLED = """
import asyncio, sys
from contextlib import asynccontextmanager
from pathlib import Path
from stand_in_worker import stand_in
from test_trainer import REQUEST, TENANT, housed, until

async def main():
    async with asynccontextmanager(housed)(Path(sys.argv[1])) as house:
        house.collect()
        trainer = await house.trainer(stand_in("wait"))
        await trainer.train(TENANT, REQUEST)
        await until(trainer, "choosing")
        print("choosing", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def kill_a_server_in_training(folder: Path) -> None:
    here = Path(__file__).parent
    with subprocess.Popen(
        [sys.executable, "-c", SERVER_THAT_IS_KILLED, str(folder)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parents[1])])},
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"choosing\n"
        server.kill()


async def test_a_killed_servers_job_goes_on_with_the_next(tmp_path: Path) -> None:
    await asyncio.to_thread(kill_a_server_in_training, tmp_path)
    async for house in housed(tmp_path):
        assert house.version().state is VersionState.TRAINING
        trainer = await house.trainer(stand_in("answer"))
        assert (await last(trainer)).version.state is VersionState.READY


async def test_a_closed_trainer_takes_no_more(house: House) -> None:
    house.collect()
    trainer = await house.trainer(stand_in("answer"))
    await trainer.close()
    with pytest.raises(ShuttingDown):
        await trainer.train(TENANT, REQUEST)
    assert list(house.store.tenant(TENANT).probes()) == []


async def test_waiting_jobs_go_on_too(house: House) -> None:
    house.collect()
    first = await house.trainer(stand_in("wait"))
    for name in ("a", "b", "c"):
        await first.train(TENANT, TrainRequest(name, "insects"))
    await first.close()
    second = await house.trainer(stand_in("answer"))
    for name in ("a", "b", "c"):
        assert (await last(second, name)).version.state is VersionState.READY


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


# Watching.


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


# Cancelling and deleting.


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


# Turns.


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


# A full disk, and worse.

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
