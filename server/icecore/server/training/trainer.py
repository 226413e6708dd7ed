"""The face of training: jobs asked for, watched, cancelled, resumed.

The store's versions in TRAINING are the queue; what is here is only who
works on them. A job lost with the server is taken up by the next one.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from functools import partial
from typing import Any, TypeVar

from icecore.server.backbones.catalog import Catalog
from icecore.server.embedding.collection_codes import CollectionCodes
from icecore.server.errors import NotFound, ProbeNotFound, ShuttingDown, VersionNotFound
from icecore.server.storage.promise import Store
from icecore.server.storage.records import Mutation, VersionRecord, VersionState
from icecore.server.training.candidates import candidate_taps, check_classes
from icecore.server.training.job import Job, Tools, carry_out
from icecore.server.training.progress import Progress
from icecore.server.training.request import TrainRequest
from icecore.server.training.turns import Turns
from icecore.server.training.workers import Workers

__all__ = ["Progress", "TrainRequest", "Trainer"]

T = TypeVar("T")


class Trainer:
    """Trains probes in up to `workers` processes at once; tenants take turns.

    Lives on one event loop. Close it before the store.
    """

    def __init__(
        self, store: Store, catalog: Catalog, collection_codes: CollectionCodes, *, workers: int = 1
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._workers = Workers()
        self._tools = Tools(store, catalog, collection_codes, self._workers)
        self._n_workers = workers
        self._jobs: dict[tuple[str, str, int], Job] = {}
        self._turns: Turns[Job] = Turns()
        self._running: set[asyncio.Task[None]] = set()
        self._beginning: set[asyncio.Task[Any]] = set()
        self._is_closed = False

    @property
    def busy(self) -> bool:
        """Whether any job waits or runs."""
        return bool(self._jobs or self._running or self._beginning)

    async def start(self) -> None:
        """Take up what an earlier server left in TRAINING."""
        for tenant_id, record in await asyncio.to_thread(self._store.unfinished_training):
            self._take_up(tenant_id, record)

    async def train(
        self, tenant_id: str, request: TrainRequest, *, mutation: Mutation | None = None
    ) -> VersionRecord:
        """Begin a training and return its version, in TRAINING, once that is durable.

        It goes on without the caller, whose leaving loses nothing. A retry with the same
        mutation gives the first answer.

        Raises:
            CollectionNotFound, LayerNotFound, PoolingInvalid, InvalidArgument, ImagesNotKept:
                as asked it cannot be done; no version was made.
            CollectionEmpty, ClassesTooFew, ClassTooSmall: nothing can be learnt.
            RequestIdReused, StorageFull, ShuttingDown.
        """
        return await self._unhurt(self._begin(tenant_id, request, mutation))

    async def watch(
        self, tenant_id: str, probe_id: str, version: int = 0
    ) -> AsyncIterator[Progress]:
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
        async with aclosing(self._take_up(tenant_id, record).feed.follow()) as changes:
            async for progress in changes:
                yield progress

    async def cancel(
        self, tenant_id: str, probe_id: str, version: int, *, mutation: Mutation | None = None
    ) -> VersionRecord:
        """Cancel a training and kill its worker; a version in an end state is returned as it is.

        Raises:
            ProbeNotFound, VersionNotFound, RequestIdReused, StorageFull.
        """
        return await self._unhurt(self._cancel(tenant_id, probe_id, version, mutation))

    async def forget(self, tenant_id: str, probe_id: str | None = None) -> None:
        """Kill the jobs of a probe, or of all of a tenant's, whose versions are deleted."""
        for job in list(self._jobs.values()):
            if job.tenant_id == tenant_id and probe_id in (None, job.record.probe_id):
                gone = await asyncio.to_thread(self._why_gone, job)
                if gone is not None:
                    job.feed.fail(gone)
                    await self._stop(job)

    async def close(self) -> None:
        """Kill all workers; versions stay in TRAINING and go on at the next start. Idempotent."""
        self._is_closed = True
        if self._beginning:
            await asyncio.wait(self._beginning)
        for job in list(self._jobs.values()):
            await self._stop(job)
            job.feed.fail(
                ShuttingDown("the server is shutting down; training goes on when it is back")
            )
        if self._running:
            await asyncio.wait(self._running)
        await self._workers.close()

    async def _begin(
        self, tenant_id: str, request: TrainRequest, mutation: Mutation | None
    ) -> VersionRecord:
        tenant = await asyncio.to_thread(self._store.tenant, tenant_id)
        collection = await asyncio.to_thread(tenant.collection, request.collection_id)
        backbone = await asyncio.to_thread(self._catalog.by_digest, collection.digest)
        candidate_taps(backbone, collection, request)
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
            self._take_up(tenant_id, record)
        return record

    async def _cancel(
        self, tenant_id: str, probe_id: str, version: int, mutation: Mutation | None
    ) -> VersionRecord:
        tenant = await asyncio.to_thread(self._store.tenant, tenant_id)
        record = await asyncio.to_thread(
            partial(tenant.cancel_training, probe_id, version, mutation=mutation)
        )
        job = self._jobs.get((tenant_id, probe_id, version))
        if job is not None and job.is_of(record) and record.state is VersionState.CANCELLED:
            job.end(record)
            await self._stop(job)
        return record

    def _record(self, tenant_id: str, probe_id: str, version: int) -> VersionRecord:
        tenant = self._store.tenant(tenant_id)
        if version:
            return tenant.probe_version(probe_id, version)
        versions = tenant.probe(probe_id).versions
        if not versions:
            raise VersionNotFound(f"probe {probe_id!r} has no versions")
        return versions[0]

    def _why_gone(self, job: Job) -> NotFound | None:
        try:
            record = self._record(job.tenant_id, job.record.probe_id, job.record.version)
        except NotFound as error:
            return error
        if job.is_of(record):
            return None
        return ProbeNotFound(f"probe {job.record.probe_id!r} was deleted and made again")

    def _take_up(self, tenant_id: str, record: VersionRecord) -> Job:
        """Return the version's job, a new one where it has none."""
        if self._is_closed:
            raise ShuttingDown("the server is shutting down; training goes on when it is back")
        job = Job(tenant_id, record)
        known = self._jobs.get(job.key)
        if known is not None and known.record.create_time >= record.create_time:
            return known
        if known is not None:  # of a probe that was deleted and made again
            known.feed.fail(ProbeNotFound(f"probe {record.probe_id!r} was deleted"))
            self._let_go(known)
        self._jobs[job.key] = job
        self._turns.put(tenant_id, job)
        self._workers.warm()
        self._start_what_can()
        return job

    def _start_what_can(self) -> None:
        while not self._is_closed and len(self._running) < self._n_workers:
            job = self._turns.take()
            if job is None:
                return
            task = asyncio.create_task(carry_out(job, self._tools))
            job.task = task
            self._running.add(task)
            task.add_done_callback(partial(self._ended, job))

    def _ended(self, job: Job, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._remove(job)
        if not task.cancelled() and (error := task.exception()) is not None:
            job.feed.fail(ShuttingDown("training was interrupted; watch again to go on with it"))
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a training job broke", "exception": error, "task": task}
            )
        self._start_what_can()

    async def _stop(self, job: Job) -> None:
        """Take the job out and wait until its worker is dead."""
        self._let_go(job)
        if job.task is not None:
            await asyncio.wait([job.task])

    def _let_go(self, job: Job) -> None:
        self._turns.drop(job.tenant_id, job)
        self._remove(job)
        if job.task is not None:
            job.task.cancel()

    def _remove(self, job: Job) -> None:
        if self._jobs.get(job.key) is job:
            del self._jobs[job.key]

    async def _unhurt(self, work: Coroutine[Any, Any, T]) -> T:
        """Let work that changes the store reach its end, also when the caller leaves."""
        if self._is_closed:
            work.close()
            raise ShuttingDown("the server is shutting down and takes no more trainings")
        task = asyncio.create_task(work)
        self._beginning.add(task)
        task.add_done_callback(self._begun)
        return await asyncio.shield(task)

    def _begun(self, task: asyncio.Task[Any]) -> None:
        self._beginning.discard(task)
        if not task.cancelled():
            task.exception()  # seen: a caller who left does not wait for it
