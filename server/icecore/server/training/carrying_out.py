"""One training, from codes to its committed end.

It publishes its progress, and whatever happens ends the version: READY, FAILED with a
reason, or left in TRAINING when the server stops, to be taken up at the next start.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Final, TypeVar

from icecore.server.errors import (
    CollectionNotFound,
    IcecoreError,
    Internal,
    NotFound,
    ShuttingDown,
    StorageFull,
    TenantNotFound,
    VersionNotFound,
    VersionNotReady,
)
from icecore.server.storage.promise import TenantStore
from icecore.server.storage.records import VersionRecord, VersionState
from icecore.server.training.base import Base, candidates_from
from icecore.server.training.candidates import Candidates
from icecore.server.training.contender import Contender
from icecore.server.training.facts import VersionFacts
from icecore.server.training.findings import facts_of
from icecore.server.training.job import Job, Tools
from icecore.server.training.promoting import Decision, finish
from icecore.server.training.request import TrainRequest
from icecore.server.training.training_set import TrainingSet
from icecore.server.training.workers import Trained, TrainingRefused, WorkerDied, Workers
from icecore.wire.reasons import Reason

T = TypeVar("T")

LOG = logging.getLogger(__name__)

ATTEMPTS: Final = 2
"""A worker may be killed by chance (memory was short); twice is a reason."""


async def carry_out(job: Job, tools: Tools) -> None:
    """Do the job and end its feed.

    Raises:
        asyncio.CancelledError: it was cancelled; the worker is dead and the feed open.
    """
    try:
        tenant = await asyncio.to_thread(tools.store.tenant, job.tenant_id)
        record = await asyncio.to_thread(
            tenant.probe_version, job.record.probe_id, job.record.version
        )
        if not job.is_of(record):
            raise VersionNotFound(
                f"version {job.record.version} of probe {job.record.probe_id!r} was deleted"
            )
        if record.state is VersionState.TRAINING:
            record = await _to_its_end(job, tenant, tools)
        job.end(record)
    except (NotFound, ShuttingDown, StorageFull) as error:
        # Deleted while it was trained, or its end cannot be written now: then
        # the version stays in TRAINING, and the next watch or start takes it up.
        LOG.info("training of %s ended without a state: %s", job.key, error.message)
        job.feed.fail(error)


async def _to_its_end(job: Job, tenant: TenantStore, tools: Tools) -> VersionRecord:
    began = perf_counter()
    probe_id, version = job.record.probe_id, job.record.version

    async def fail(reason: str, message: str) -> VersionRecord:
        return await _committed(
            partial(
                tenant.fail_training,
                probe_id,
                version,
                create_time=job.record.create_time,
                reason=reason,
                message=message,
                seconds=perf_counter() - began,
            )
        )

    try:
        try:
            facts, trained = await _trained(job, tenant, tools)
            job.tell("storing")

            async def commit(decision: Decision) -> VersionRecord:
                told = replace(
                    facts,
                    not_promoted_reason=decision.reason,
                    not_promoted_message=decision.message,
                )
                return await _committed(
                    partial(
                        tenant.finish_training,
                        probe_id,
                        version,
                        create_time=job.record.create_time,
                        result=told.to_json(),
                        file=trained.file,
                        held_out=trained.held_out,
                        seconds=perf_counter() - began,
                        promote=decision.promote,
                        expected_version=decision.in_place_of,
                    )
                )

            request = TrainRequest.from_json(job.record.request)
            if request.not_worse_by is None:
                return await commit(Decision(promote=request.promote))
            return await finish(
                tenant,
                tools.comparer,
                probe_id,
                Contender.of(version, facts.taps, trained.file, trained.held_out),
                request.collection_id,
                request.not_worse_by,
                commit,
            )
        except (ShuttingDown, TenantNotFound, VersionNotReady):
            raise
        except TrainingRefused as error:
            return await fail(error.reason, error.message)
        except WorkerDied as error:
            return await fail(Reason.TRAINING_FAILED, f"{error}, {ATTEMPTS} times")
        except Internal as error:
            LOG.exception("training of %s failed", job.key)
            return await fail(error.reason, "training failed inside the server; its log says more")
        except IcecoreError as error:
            return await fail(error.reason, error.message)
        except Exception:  # the door of work that no call waits for
            LOG.exception("training of %s failed", job.key)
            return await fail(
                Reason.INTERNAL, "training failed inside the server; its log says more"
            )
    except VersionNotReady:  # cancelled just before
        return await asyncio.to_thread(tenant.probe_version, probe_id, version)


async def _trained(job: Job, tenant: TenantStore, tools: Tools) -> tuple[VersionFacts, Trained]:
    request = TrainRequest.from_json(job.record.request)
    job.tell("codes", 0.0)
    collection = await asyncio.to_thread(tenant.collection, request.collection_id)
    if job.record.digest not in ("", collection.digest):  # what the version pins
        raise CollectionNotFound(
            f"collection {request.collection_id!r} was deleted, and made anew over another "
            "backbone, since this training began"
        )
    backbone = await asyncio.to_thread(tools.catalog.by_digest, collection.digest)
    base: Base | None = None
    if request.base_version:
        base = await asyncio.to_thread(Base.still, tenant, request.probe_id, request.base_version)
    candidates = candidates_from(backbone, collection, request, base)
    snapshot = await tools.collection_codes.read(
        tenant,
        request.collection_id,
        candidates.taps,
        number=collection.number,
        on_progress=partial(job.tell, "codes"),
    )
    training_set = await asyncio.to_thread(TrainingSet.of, request.collection_id, snapshot)
    digest = await asyncio.to_thread(training_set.digest)
    del snapshot
    job.tell("choosing" if base is None else "fitting", 0.0)
    trained = await _attempted(job, training_set, candidates, request, base, tools.workers)
    facts = facts_of(
        trained.found,
        candidates,
        seed=request.seed,
        data_digest=digest,
        n_images=len(training_set),
    )
    return facts, trained


async def _attempted(
    job: Job,
    training_set: TrainingSet,
    candidates: Candidates,
    request: TrainRequest,
    base: Base | None,
    workers: Workers,
) -> Trained:
    for attempt in range(1, ATTEMPTS + 1):
        worker = await workers.take()
        try:
            return await worker.train(
                training_set,
                candidates,
                kind=request.kind,
                seed=request.seed,
                base=base,
                on_progress=job.tell,
            )
        except WorkerDied as error:
            LOG.warning("training of %s, attempt %d: %s", job.key, attempt, error)
            if attempt == ATTEMPTS:
                raise
        finally:
            await worker.kill()
    raise AssertionError("the last attempt returns or raises")


async def _committed(change: Callable[[], T]) -> T:
    """Run a change of the store to its end, also when this task is cancelled meanwhile."""
    running = asyncio.ensure_future(asyncio.to_thread(change))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
