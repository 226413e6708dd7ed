"""Who works on what: the jobs of this server, waiting and running.

A version has one job at most. Lives on one event loop and needs no locks.
"""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import Final

from icecore.server.errors import IcecoreError, Internal, ProbeNotFound, ShuttingDown
from icecore.server.storage.records import VersionRecord
from icecore.server.training.carrying_out import carry_out
from icecore.server.training.job import Job, Tools
from icecore.server.training.turns import Turns

LOG = logging.getLogger(__name__)

STOPPING: Final = "the server is shutting down; training goes on when it is back"


class Roster:
    """Jobs, of which `n_workers` run at once; tenants take turns."""

    def __init__(self, tools: Tools, *, n_workers: int) -> None:
        self._tools = tools
        self._n_workers = n_workers
        self._jobs: dict[tuple[str, str, int], Job] = {}
        self._turns: Turns[Job] = Turns()
        self._running: set[asyncio.Task[None]] = set()
        self._is_closed = False

    @property
    def busy(self) -> bool:
        return bool(self._jobs or self._running)

    def job_of(self, tenant_id: str, record: VersionRecord) -> Job | None:
        """Return the job of this very version, if it has one."""
        job = self._jobs.get((tenant_id, record.probe_id, record.version))
        return job if job is not None and job.is_of(record) else None

    def jobs(self, tenant_id: str, probe_id: str | None) -> Sequence[Job]:
        """Return the jobs of a probe, or of all of a tenant's."""
        return [
            job
            for job in self._jobs.values()
            if job.tenant_id == tenant_id and probe_id in (None, job.record.probe_id)
        ]

    def take_up(self, tenant_id: str, record: VersionRecord) -> Job:
        """Return the version's job, a new one where it has none.

        Raises:
            ShuttingDown: closed.
        """
        if self._is_closed:
            raise ShuttingDown(STOPPING)
        job = Job(tenant_id, record)
        known = self._jobs.get(job.key)
        if known is not None and known.record.create_time >= record.create_time:
            return known
        if known is not None:  # of a probe that was deleted and made again
            known.feed.fail(ProbeNotFound(f"probe {record.probe_id!r} was deleted"))
            self._let_go(known)
        self._jobs[job.key] = job
        self._turns.put(tenant_id, job)
        self._tools.workers.warm()
        self._start_what_can()
        return job

    async def stop(self, job: Job) -> None:
        """Take a job out and wait until its worker is dead."""
        self._let_go(job)
        if job.task is not None:
            await asyncio.wait([job.task])

    async def close(self) -> None:
        """Stop all jobs and end their feeds with ShuttingDown. Idempotent."""
        self._is_closed = True
        for job in list(self._jobs.values()):
            self._let_go(job)
            job.feed.fail(ShuttingDown(STOPPING))
        if self._running:
            await asyncio.wait(self._running)

    def _start_what_can(self) -> None:
        while not self._is_closed and len(self._running) < self._n_workers:
            job = self._turns.take()
            if job is None:
                return
            job.task = asyncio.create_task(carry_out(job, self._tools))
            self._running.add(job.task)
            job.task.add_done_callback(partial(self._ended, job))

    def _ended(self, job: Job, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._turns.end(job.tenant_id)
        self._remove(job)
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.error("training of %s broke", job.key, exc_info=error)
            if not isinstance(error, IcecoreError):
                error = Internal("training broke inside the server; its log says more")
            job.feed.fail(error)
        self._start_what_can()

    def _let_go(self, job: Job) -> None:
        self._turns.drop(job.tenant_id, job)
        self._remove(job)
        if job.task is not None:
            job.task.cancel()

    def _remove(self, job: Job) -> None:
        if self._jobs.get(job.key) is job:
            del self._jobs[job.key]
