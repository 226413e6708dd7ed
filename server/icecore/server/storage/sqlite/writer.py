"""The one thread that writes: changes of many callers in one commit, each whole or not at all.

A commit's price is the wait for the disk, whatever is in it. So while one
commit waits, the next changes gather, and go into the next commit together.
Each has a savepoint, so that one that fails takes nothing of its neighbours.
A caller is answered after the commit that holds its change.
"""

import itertools
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from icecore.server.errors import ShuttingDown, StorageFull
from icecore.server.storage.change import Change
from icecore.server.storage.sqlite import upkeep
from icecore.server.storage.sqlite.connections import told

MAX_GROUP = 256
"""Changes in one commit: bounds how long the first of them waits for its answer."""

_RETRY_SECONDS = 1.0
"""How soon an idle writer tries again to overwrite what a reader still read."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Job:
    work: Callable[[Change], Any]
    future: "Future[Any]" = field(default_factory=Future)
    answer: Any = None
    error: Exception | None = None
    erases: bool = False

    def run(self, connection: Connection) -> None:
        change = Change(connection)
        self.error = None
        self.answer = self.work(change)
        self.erases = change.erases

    def resolve(self) -> None:
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.answer)


class Writer:
    """Owns the writing connection. Its methods may be called from any thread."""

    def __init__(self, connection: Connection, *, max_group: int = MAX_GROUP) -> None:
        self._connection = connection
        self._raw = upkeep.raw_of(connection)
        self._max_group = max_group
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._door = threading.Lock()
        self._is_closed = False
        self._has_failed = False
        self._tell_of_failure: Callable[[], object] = lambda: None
        self._group: list[_Job] = []
        self._must_erase = False
        self._may_release = False
        self._thread = threading.Thread(target=self._run, name="icecore-writer", daemon=True)
        self._thread.start()

    def write(self, work: Callable[[Change], Any]) -> Any:
        """Return what `work` returned, once its change is durable.

        `work` runs in the writer's thread; it may run again after its first run was undone.

        Raises:
            StorageFull: no room; nothing was changed.
            ShuttingDown: the store is closed, or its writer has failed.
        """
        job = _Job(work)
        with self._door:
            if self._is_closed:
                raise self._refusal()
            self._jobs.put(job)
        return job.future.result()

    def when_failed(self, tell: Callable[[], object]) -> None:
        """Call `tell` from the writer's thread should it fail; at once if it has."""
        with self._door:
            self._tell_of_failure = tell
            has_failed = self._has_failed
        if has_failed:
            tell()

    @property
    def n_waiting(self) -> int:
        """How many changes wait for a commit, about."""
        return self._jobs.qsize()

    def close(self) -> None:
        """Finish what was accepted, checkpoint and close. Idempotent."""
        with self._door:
            if not self._is_closed:
                self._is_closed = True
                self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._serve()
        except Exception:
            _log.exception("the store's writer failed: nothing more is written until a restart")
            self._has_failed = True
        finally:
            with self._door:
                self._is_closed = True
            for job in (*self._group, *self._waiting()):
                if not job.future.done():
                    job.future.set_exception(self._refusal())
            if self._has_failed:
                self._tell_of_failure()
            self._connection.close()

    def _refusal(self) -> ShuttingDown:
        if self._has_failed:
            return ShuttingDown("the store takes no more changes until the server is started anew")
        return ShuttingDown("the store is closed: the server is shutting down")

    def _serve(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=self._patience())
            except queue.Empty:
                self._upkeep()
                continue
            if job is None:
                break
            self._group = [job]
            self._commit_group()
        upkeep.truncate_log(self._connection, wait=False)

    def _waiting(self) -> Iterator[_Job]:
        """Yield the jobs that wait, as long as there are some and the store is not closed."""
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            if job is None:  # close() put it there, as the last
                self._jobs.put(None)
                return
            yield job

    def _patience(self) -> float | None:
        if self._may_release:
            return 0.0
        return _RETRY_SECONDS if self._must_erase else None

    def _upkeep(self) -> None:
        """Do a little of what can wait, since nobody does."""
        if self._may_release:
            self._may_release = upkeep.release_pages(self._connection)
        elif self._must_erase:
            self._must_erase = not upkeep.erase(self._connection, wait=False)

    def _commit_group(self) -> None:
        """Commit the first job of the group together with those that gather while it runs."""
        group = self._group
        try:
            with told():
                self._execute("BEGIN IMMEDIATE")
                self._run_in_savepoint(group[0])
                for job in itertools.islice(self._waiting(), self._max_group - 1):
                    group.append(job)
                    self._run_in_savepoint(job)
                self._execute("COMMIT")
        except Exception as error:
            # The commit failed, or SQLite undid the transaction as it does on a full disk.
            _log.warning("a group of %d changes is written one by one: %s", len(group), error)
            self._undo()
            for job in group:
                self._commit_alone(job)
            return
        self._answer([job for job in group if not isinstance(job.error, StorageFull)])
        for job in group:
            if isinstance(job.error, StorageFull):
                self._commit_alone(job)

    def _run_in_savepoint(self, job: _Job) -> None:
        self._execute("SAVEPOINT one")
        try:
            with told():
                job.run(self._connection)
        except Exception as error:  # the caller's: it is raised there
            if not self._in_transaction():
                raise
            job.error = error
            self._execute("ROLLBACK TO one")
        self._execute("RELEASE one")

    def _commit_alone(self, job: _Job) -> None:
        try:
            try:
                self._commit_one(job)
            except StorageFull:
                # Moving the log into the database makes room in the log.
                upkeep.truncate_log(self._connection, wait=False)
                self._commit_one(job)
        except Exception as error:  # the caller's: it is raised there
            job.error = error
        self._answer([job])

    def _commit_one(self, job: _Job) -> None:
        try:
            with told():
                self._execute("BEGIN IMMEDIATE")
                job.run(self._connection)
                self._execute("COMMIT")
        except BaseException:
            self._undo()
            raise

    def _answer(self, jobs: list[_Job]) -> None:
        """Answer the callers; those whose data must be gone, once the log has no more of it."""
        erasing = [job for job in jobs if job.erases and job.error is None]
        for job in jobs:
            if job not in erasing:
                job.resolve()
        if erasing:
            self._must_erase = not upkeep.erase(self._connection, wait=True)
            self._may_release = True
        for job in erasing:
            job.resolve()

    def _undo(self) -> None:
        if self._in_transaction():
            self._execute("ROLLBACK")

    def _in_transaction(self) -> bool:
        # SQLite ends a transaction by itself on some errors.
        return self._raw.in_transaction

    def _execute(self, statement: str) -> None:
        self._raw.execute(statement)
