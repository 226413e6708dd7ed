"""Building large indexes in a niced process, seen from the server.

Its memory is handed over, not copied, and Python's lock is not held meanwhile: in threads of
the server an index of 50,000 codes made every second call wait.
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from icecore.server import errors
from icecore.server.errors import IcecoreError, Internal, ShuttingDown
from icecore.server.search.building_child import Child
from icecore.server.search.exact_index import ExactIndex
from icecore.server.search.indexed import Indexed, StoredCodes
from icecore.server.search.scannable import Scannable
from icecore.server.search.shared_arrays import SharedArrays
from icecore.server.search.tenant_pool import TenantPool
from icecore.server.search.written_examples import WrittenExamples
from icecore.server.storage.records import CodeArray

COMMAND: Final = (
    sys.executable,
    "-P",  # the working folder is the user's, not a place to import from
    "-m",
    "icecore.server.search.build_worker",
)

IDLE_S: Final = 30.0
"""So long after the last index the process ends; it takes half a second to start."""


class Building:
    """One process, started when it is needed. Lives on one event loop."""

    def __init__(self, *, command: Sequence[str] = COMMAND, idle_s: float = IDLE_S) -> None:
        self._command = command
        self._idle_s = idle_s
        # One thread: the process builds one index at a time. Its own processor time is none.
        self._pool = TenantPool(1, name="build", clock=time.monotonic)
        self._talking = threading.Lock()
        self._child: Child | None = None
        self._ending: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def from_store(
        self,
        stored: StoredCodes,
        *,
        is_cosine: bool,
        tenant_id: str,
        when_begun: Callable[[], object] = lambda: None,
    ) -> Indexed:
        """Return the index of stored codes, of one moment, with its examples.

        Tenants take turns. `when_begun` is called when it is this one's; from then on the
        index is made to its end, whether the caller stays or not.

        Raises:
            CollectionNotFound, TenantNotFound, LayerNotFound, StorageCorrupt: as the store.
            Internal: the process broke or was killed, or there is no memory; the server's
                log has its words.
            ShuttingDown: closed.
        """
        request = {
            "source": dict(stored.source),
            "collection_id": stored.collection_id,
            "number": stored.number,
            "layer": stored.layer,
            "n_values": stored.n_values,
            "is_cosine": is_cosine,
        }
        shared = await self._ask(request, None, tenant_id, when_begun)
        arrays = shared.arrays
        return Indexed(
            int(shared.facts["sequence"]),
            WrittenExamples(arrays["text"], arrays["ends"]),
            _index(shared, arrays["codes"], is_cosine=is_cosine),
        )

    async def from_codes(
        self,
        codes: CodeArray,
        *,
        is_cosine: bool,
        tenant_id: str,
        when_begun: Callable[[], object] = lambda: None,
    ) -> ExactIndex:
        """Return the index of codes that are in memory here.

        Turns, and Raises: as `from_store`; nothing of the store.
        """
        shared = await self._ask({"is_cosine": is_cosine}, codes, tenant_id, when_begun)
        return _index(shared, codes, is_cosine=is_cosine)

    def close(self) -> None:
        """End the process, also in the middle of an index. Idempotent."""
        self._is_closed = True
        if self._ending is not None:
            self._ending.cancel()
        if self._child is not None:
            self._child.kill()
        self._pool.close(is_waited_for=False)  # the thread ends with the process

    async def _ask(
        self,
        request: Mapping[str, Any],
        codes: CodeArray | None,
        tenant_id: str,
        when_begun: Callable[[], object],
    ) -> SharedArrays:
        loop = asyncio.get_running_loop()

        def begun() -> None:
            if self._ending is not None:
                self._ending.cancel()
            when_begun()

        def talk() -> SharedArrays:
            try:
                return self._talk(request, codes)
            finally:
                with suppress(RuntimeError):  # the loop is closed
                    loop.call_soon_threadsafe(self._rest)

        return await self._pool.run(tenant_id, talk, when_begun=begun)

    def _talk(self, request: Mapping[str, Any], codes: CodeArray | None) -> SharedArrays:
        with self._talking:
            given = None if codes is None else _shared(codes)
            try:
                child = self._living_child()
                message, descriptor = child.asked(request, given)
            except (EOFError, OSError) as error:
                self._check_open()
                if self._child is None:
                    raise Internal("the process that builds indexes did not start") from error
                status = self._child.kill()
                raise Internal(f"the process that builds indexes ended with {status}") from error
            finally:
                if given is not None:
                    os.close(given.descriptor)
        if descriptor is not None:
            return SharedArrays.opened(descriptor)
        raise _error(message)

    def _living_child(self) -> "Child":
        """Return the process, a new one if need be. In a thread: it may be closed meanwhile."""
        if self._child is not None and not self._child.is_alive:
            self._child.kill()
            self._child = None
        self._check_open()
        if self._child is None:
            self._child = Child(self._command)
            try:
                self._check_open()  # who closed it may have looked before there was one
            except ShuttingDown:
                self._child.kill()
                raise
        return self._child

    def _check_open(self) -> None:
        if self._is_closed:
            raise _closed()

    def _rest(self) -> None:
        if not self._is_closed:
            loop = asyncio.get_running_loop()
            self._ending = loop.call_later(self._idle_s, self._end_if_idle)

    def _end_if_idle(self) -> None:
        if self._talking.acquire(blocking=False):
            try:
                if self._child is not None:
                    self._child.kill()
                    self._child = None
            finally:
                self._talking.release()


def _shared(codes: CodeArray) -> SharedArrays:
    given = SharedArrays.make({}, {"codes": (codes.dtype, codes.shape)})
    given.arrays["codes"][:] = codes
    return given


def _index(shared: SharedArrays, codes: CodeArray, *, is_cosine: bool) -> ExactIndex:
    scale, longest = map(float, shared.arrays["numbers"])
    return ExactIndex.of(Scannable(codes, shared.arrays["scan"], is_cosine, scale, longest))


def _error(message: Mapping[str, Any]) -> IcecoreError:
    kind = getattr(errors, str(message["error"]))
    if not issubclass(kind, IcecoreError):
        raise AssertionError(f"no error of ours: {kind!r}")
    error: IcecoreError = kind(str(message["message"]))
    return error


def _closed() -> ShuttingDown:
    return ShuttingDown("the server is shutting down and searches no more")
