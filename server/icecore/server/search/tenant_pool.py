"""A few threads that tenants share by the time their work takes, whoever brings more of it.

Start-time fair queueing (Goyal, Vin and Cheng 1996), all tenants with the same weight: next is
whose tag is lowest, and a tag grows by what the work took. Those who left are skipped.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, TypeVar

from icecore.server.errors import ShuttingDown

T = TypeVar("T")
Clock: TypeAlias = Callable[[], float]


@dataclass(slots=True, eq=False)
class _Piece:
    work: Callable[[], Any]
    when_begun: Callable[[], object]
    given: "asyncio.Future[Any]"

    def let_go(self) -> None:
        """Keep nothing for who left before the turn: the place in line may be there for long."""
        self.work = self.when_begun = _nothing


@dataclass(slots=True, eq=False)
class _Tenant:
    tag: float
    """In seconds: the virtual time at which its next piece may start."""

    last_s: float = 0.0
    """What its last piece took; the next pays so much at first."""

    n_running: int = 0
    pieces: deque[_Piece] = field(default_factory=deque)


class TenantPool:
    """Runs work in `threads` threads, in turns by tenant. Lives on one event loop.

    Within a tenant the order is that of coming. `clock` is read in the thread, before and
    after: the thread's own processor time, or another where the work waits for others.
    """

    def __init__(
        self,
        threads: int,
        *,
        name: str,
        clock: Clock = time.thread_time,
        initializer: Callable[[], object] = lambda: None,
    ) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name, initializer=initializer)
        self._n_free = threads
        self._clock = clock
        self._now = 0.0
        self._tenants: dict[str, _Tenant] = {}
        self._is_closed = False

    async def run(
        self,
        tenant_id: str,
        work: Callable[[], T],
        *,
        when_begun: Callable[[], object] = lambda: None,
    ) -> T:
        """Return what the work gives.

        A caller who leaves before its turn costs no thread. What has begun goes on to its
        end, and its tenant pays for it.

        Args:
            tenant_id: who pays for it.
            work: is called in a thread.
            when_begun: is called on the loop as soon as it is.

        Raises:
            ShuttingDown: closed.
            RuntimeError, MemoryError: there is no thread for it.
        """
        if self._is_closed:
            raise _closed()
        given: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        tenant = self._tenants.setdefault(tenant_id, _Tenant(self._now))
        if not tenant.pieces and not tenant.n_running:
            tenant.tag = max(tenant.tag, self._now)  # nobody saves up by being idle
        piece = _Piece(work, when_begun, given)
        tenant.pieces.append(piece)
        self._serve()
        try:
            return await given
        finally:
            piece.let_go()

    def close(self, *, is_waited_for: bool = True) -> None:
        """Refuse what waits; let what has begun end, and wait for it or not. Idempotent."""
        self._is_closed = True
        for tenant in self._tenants.values():
            for piece in tenant.pieces:
                if not piece.given.done():
                    piece.given.set_exception(_closed())
            tenant.pieces.clear()
        self._pool.shutdown(wait=is_waited_for)

    def _serve(self) -> None:
        while self._n_free and (found := self._next()) is not None:
            tenant_id, piece = found
            tenant = self._tenants.pop(tenant_id)
            self._tenants[tenant_id] = tenant  # the last of those with the same tag
            self._now = max(self._now, tenant.tag)
            ended = partial(self._ended, tenant, tenant.last_s, piece.given)
            try:
                self._begin(piece, ended)
            except (RuntimeError, MemoryError) as error:
                piece.given.set_exception(error)
                continue
            tenant.tag += tenant.last_s
            tenant.n_running += 1
            self._n_free -= 1
            piece.when_begun()

    def _begin(self, piece: _Piece, ended: Callable[..., None]) -> None:
        """Give the work to a thread, or raise and it is never done.

        The executor puts it in its line before it starts a thread for it, and leaves it
        there where it can start none: so it is taken back, unless a thread has it already.
        """
        once = [piece.work]
        try:
            self._pool.submit(_run, once, self._clock, piece.given.get_loop(), ended)
        except (RuntimeError, MemoryError):
            with suppress(IndexError):
                once.pop()
                raise

    def _next(self) -> tuple[str, _Piece] | None:
        """Take the next piece that somebody waits for, and let go of tenants that have none."""
        for tenant_id, tenant in list(self._tenants.items()):
            while tenant.pieces and tenant.pieces[0].given.done():
                tenant.pieces.popleft()
            if not tenant.pieces and not tenant.n_running and tenant.tag <= self._now:
                del self._tenants[tenant_id]
        waiting = [item for item in self._tenants.items() if item[1].pieces]
        if not waiting:
            if not any(tenant.n_running for tenant in self._tenants.values()):
                self._tenants.clear()  # nobody was kept waiting: all is forgiven
            return None
        tenant_id, tenant = min(waiting, key=lambda item: item[1].tag)
        return tenant_id, tenant.pieces.popleft()

    def _ended(
        self,
        tenant: _Tenant,
        foreseen_s: float,
        given: "asyncio.Future[Any]",
        made: Any,
        error: BaseException | None,
        took_s: float,
    ) -> None:
        tenant.tag += took_s - foreseen_s
        tenant.last_s = took_s
        tenant.n_running -= 1
        self._n_free += 1
        if not given.done():
            if error is None:
                given.set_result(made)
            else:
                given.set_exception(error)
        if not self._is_closed:
            self._serve()


def _run(
    once: list[Callable[[], Any]],
    clock: Clock,
    loop: asyncio.AbstractEventLoop,
    ended: Callable[..., None],
) -> None:
    try:
        work = once.pop()
    except IndexError:  # taken back
        return
    outcome = _timed(work, clock)
    del work
    with suppress(RuntimeError):  # the loop is closed: nobody waits
        loop.call_soon_threadsafe(ended, *outcome)


def _timed(work: Callable[[], T], clock: Clock) -> tuple[T | None, BaseException | None, float]:
    began = clock()
    try:
        return work(), None, clock() - began
    except BaseException as error:  # the caller's, who waits on the loop
        return None, error, clock() - began


def _nothing() -> None:
    pass


def _closed() -> ShuttingDown:
    return ShuttingDown("the server is shutting down and searches no more")
