"""The face of training: jobs asked for, watched, cancelled, resumed.

The store's versions in TRAINING are the queue; what lives here is only who
works on them. A job lost with the server is taken up by the next one.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from icecore.server.backbones.catalog import Catalog
from icecore.server.embedding.collection_codes import CollectionCodes
from icecore.server.errors import NotFound, ProbeNotFound, ShuttingDown, VersionNotFound
from icecore.server.storage.promise import Store
from icecore.server.storage.records import Mutation, VersionRecord, VersionState
from icecore.server.training.base import Base, candidates_from
from icecore.server.training.candidates import check_classes
from icecore.server.training.comparing import Comparer
from icecore.server.training.job import Job, Tools
from icecore.server.training.progress import Progress
from icecore.server.training.request import TrainRequest
from icecore.server.training.roster import Roster
from icecore.server.training.workers import COMMAND, Workers

__all__ = ["Progress", "TrainRequest", "Trainer"]

T = TypeVar("T")


class Trainer:
    """Trains probes in up to `workers` processes at once; tenants take turns.

    `command` starts one. Lives on one event loop. Close it before the store.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        collection_codes: CollectionCodes,
        comparer: Comparer,
        *,
        workers: int = 1,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._collection_codes = collection_codes
        self._workers = Workers(command)
        tools = Tools(store, catalog, collection_codes, comparer, self._workers)
        self._roster = Roster(tools, n_workers=workers)
        self._changing: set[asyncio.Task[Any]] = set()
        self._is_closed = False

    @property
    def busy(self) -> bool:
        """Whether any job waits or runs."""
        return self._roster.busy or bool(self._changing)

    async def start(self) -> None:
        """Take up what an earlier server left in TRAINING."""
        for tenant_id, record in await asyncio.to_thread(self._store.unfinished_training):
            self._roster.take_up(tenant_id, record)

    async def train(
        self, tenant_id: str, request: TrainRequest, *, mutation: Mutation | None = None
    ) -> VersionRecord:
        """Begin a training and return its version, in TRAINING, once that is durable.

        It goes on without the caller, whose leaving loses nothing. A retry with the same
        mutation gives the first answer.

        Raises:
            CollectionNotFound, LayerNotFound, PoolingInvalid, InvalidArgument, ImagesNotKept:
                as asked it cannot be done; no version was made.
            ProbeNotFound, VersionNotFound, VersionNotReady, TapMismatch: nor can it go on
                from that version.
            CollectionEmpty, ClassesTooFew, ClassTooSmall: nothing can be learnt.
            RequestIdReused, StorageFull, ShuttingDown.
        """
        return await self._unhurt(self._begin(tenant_id, request, mutation))

    async def watch(
        self, tenant_id: str, probe_id: str, version: int = 0
    ) -> AsyncGenerator[Progress, None]:
        """Yield the state now, then each change, the end state last; `version` 0: the newest.

        Raises:
            ProbeNotFound, VersionNotFound: also when it is deleted meanwhile.
            StorageFull: its end could not be written; it stays in TRAINING.
            ShuttingDown: the server stops; the next one goes on with the job.
        """
        record = await asyncio.to_thread(self._record, tenant_id, probe_id, version)
        if record.state is not VersionState.TRAINING:
            yield Progress(record, "done", 1.0)
            return
        async with aclosing(self._roster.take_up(tenant_id, record).feed.follow()) as changes:
            async for progress in changes:
                yield progress

    async def cancel(
        self, tenant_id: str, probe_id: str, version: int, *, mutation: Mutation | None = None
    ) -> VersionRecord:
        """Cancel a training and kill its worker; a version in an end state is returned as it is.

        Raises:
            ProbeNotFound, VersionNotFound, RequestIdReused, StorageFull, ShuttingDown.
        """
        return await self._unhurt(self._cancel(tenant_id, probe_id, version, mutation))

    async def forget(self, tenant_id: str, probe_id: str | None = None) -> None:
        """Kill the jobs of a probe, or of all of a tenant's, whose versions were deleted."""
        for job in self._roster.jobs(tenant_id, probe_id):
            gone = await asyncio.to_thread(self._why_gone, job)
            if gone is not None:
                job.feed.fail(gone)
                await self._roster.stop(job)

    async def close(self) -> None:
        """Kill all workers; versions stay in TRAINING and go on at the next start. Idempotent."""
        self._is_closed = True
        if self._changing:
            await asyncio.wait(self._changing)
        await self._roster.close()
        await self._workers.close()

    async def _begin(
        self, tenant_id: str, request: TrainRequest, mutation: Mutation | None
    ) -> VersionRecord:
        tenant = await asyncio.to_thread(self._store.tenant, tenant_id)
        if mutation is not None:
            before = await asyncio.to_thread(tenant.training_begun_before, mutation)
            if before is not None:
                return before
        base: Base | None = None
        if request.base_version:
            base = await asyncio.to_thread(Base.of, tenant, request.probe_id, request.base_version)
            request = replace(request, kind=base.kind)
        collection = await asyncio.to_thread(tenant.collection, request.collection_id)
        backbone = await asyncio.to_thread(self._catalog.by_digest, collection.digest)
        candidates = candidates_from(backbone, collection, request, base)
        self._collection_codes.check(collection, backbone, candidates.taps)
        check_classes(collection.collection_id, collection.labels)
        record = await asyncio.to_thread(
            partial(
                tenant.start_training,
                request.probe_id,
                kind=request.kind,
                collection_id=request.collection_id,
                request=request.to_json(),
                mutation=mutation,
            )
        )
        if record.state is VersionState.TRAINING and not self._is_closed:
            self._roster.take_up(tenant_id, record)
        return record

    async def _cancel(
        self, tenant_id: str, probe_id: str, version: int, mutation: Mutation | None
    ) -> VersionRecord:
        tenant = await asyncio.to_thread(self._store.tenant, tenant_id)
        record = await asyncio.to_thread(
            partial(tenant.cancel_training, probe_id, version, mutation=mutation)
        )
        job = self._roster.job_of(tenant_id, record)
        if job is not None and record.state is VersionState.CANCELLED:
            job.end(record)
            await self._roster.stop(job)
        return record

    def _record(self, tenant_id: str, probe_id: str, version: int) -> VersionRecord:
        tenant = self._store.tenant(tenant_id)
        if version:
            return tenant.probe_version(probe_id, version)
        versions = tenant.probe(probe_id).versions
        if not versions:
            raise VersionNotFound(f"probe {probe_id!r} has no versions: train one first")
        return versions[0]

    def _why_gone(self, job: Job) -> NotFound | None:
        try:
            record = self._record(job.tenant_id, job.record.probe_id, job.record.version)
        except NotFound as error:
            return error
        if job.is_of(record):
            return None
        return ProbeNotFound(f"probe {job.record.probe_id!r} was deleted and made again")

    async def _unhurt(self, work: Coroutine[Any, Any, T]) -> T:
        """Let work that changes the store reach its end, also when the caller leaves."""
        if self._is_closed:
            work.close()
            raise ShuttingDown("the server is shutting down and takes no more trainings")
        task = asyncio.create_task(work)
        self._changing.add(task)
        task.add_done_callback(self._changed)
        return await asyncio.shield(task)

    def _changed(self, task: asyncio.Task[Any]) -> None:
        self._changing.discard(task)
        if not task.cancelled():
            task.exception()  # seen: a caller who left does not wait for it
