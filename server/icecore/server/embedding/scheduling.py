"""Whose work is next, and how much may wait.

All of this lives on one event loop and needs no locks; only the work itself
runs in threads. Work that was cancelled before its turn never starts.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, Generic, TypeVar

from icecore.server.errors import Overloaded, ShuttingDown

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """What a piece of work gave, how long it waited and how long it took."""

    value: T
    queue_ms: float
    work_ms: float


class Lane:
    """Some threads that take one piece of work a tenant in turn."""

    def __init__(self, name: str, *, threads: int) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._waiting: OrderedDict[str, deque[_Piece]] = OrderedDict()
        self._n_running = 0
        self._is_closed = False

    async def run(self, work: Callable[[], T], *, tenant_id: str) -> Done[T]:
        """Do the work in a thread when it is this tenant's turn.

        Raises:
            ShuttingDown: the lane is closed, or closes before the work begins.
        """
        if self._is_closed:
            raise ShuttingDown("the server is shutting down and takes no more images")
        piece = _Piece(work, asyncio.get_running_loop().create_future(), perf_counter())
        self._waiting.setdefault(tenant_id, deque()).append(piece)
        self._start_what_can()
        try:
            done: Done[T] = await piece.answer
        except asyncio.CancelledError:
            self._forget(piece, tenant_id)
            raise
        return done

    def close(self) -> None:
        """Let running work end, refuse what waits. Idempotent."""
        self._is_closed = True
        for pieces in self._waiting.values():
            for piece in pieces:
                if not piece.answer.done():
                    piece.answer.set_exception(
                        ShuttingDown("the server shut down before these images had their turn")
                    )
        self._waiting.clear()
        self._pool.shutdown(wait=True)

    def _start_what_can(self) -> None:
        while self._n_running < self._threads and self._waiting:
            tenant_id, pieces = self._waiting.popitem(last=False)
            piece = pieces.popleft()
            if pieces:
                self._waiting[tenant_id] = pieces  # behind all others
            if piece.answer.done():
                continue
            self._n_running += 1
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(self._pool, piece.run)
            running.add_done_callback(partial(self._end, piece))

    def _end(self, piece: "_Piece", running: "asyncio.Future[Done[Any]]") -> None:
        self._n_running -= 1
        if running.cancelled():
            piece.answer.cancel()
        elif (error := running.exception()) is not None:
            if not piece.answer.done():
                piece.answer.set_exception(error)
        elif not piece.answer.done():
            piece.answer.set_result(running.result())
        if not self._is_closed:
            self._start_what_can()

    def _forget(self, piece: "_Piece", tenant_id: str) -> None:
        pieces = self._waiting.get(tenant_id)
        if pieces is not None and piece in pieces:
            pieces.remove(piece)
            if not pieces:
                del self._waiting[tenant_id]


class Room:
    """How many images are in the house; the door refuses more."""

    def __init__(self, max_images: int) -> None:
        self._max_images = max_images
        self._n_images = 0

    @contextmanager
    def take(self, n_images: int) -> Iterator[None]:
        """Hold room for some images.

        Raises:
            Overloaded: there is not enough.
        """
        if self._n_images + n_images > self._max_images:
            raise Overloaded(
                f"{self._n_images} images are waiting and {n_images} more would pass the limit "
                f"of {self._max_images}; try again later or send fewer at once"
            )
        self._n_images += n_images
        try:
            yield
        finally:
            self._n_images -= n_images


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    work: Callable[[], Any]
    answer: "asyncio.Future[Any]"
    since: float

    def run(self) -> Done[Any]:
        began = perf_counter()
        value = self.work()
        ended = perf_counter()
        return Done(value, (began - self.since) * 1e3, (ended - began) * 1e3)
