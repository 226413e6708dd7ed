"""Building large indexes in a niced process, seen from the server.

Its memory is handed over, not copied, and Python's lock is not held meanwhile: in threads of
the server an index of 50,000 codes made every second call wait.
"""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

from icecore.server import errors
from icecore.server.errors import IcecoreError, Internal, ShuttingDown
from icecore.server.giving_way import LATER, give_way
from icecore.server.search.building_messages import receive, send
from icecore.server.search.exact_index import ExactIndex
from icecore.server.search.indexed import Indexed, StoredCodes
from icecore.server.search.scannable import Scannable
from icecore.server.search.shared_arrays import SharedArrays
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

_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Building:
    """One process, started when it is needed. Lives on one event loop."""

    def __init__(self, *, command: Sequence[str] = COMMAND, idle_s: float = IDLE_S) -> None:
        self._command = command
        self._idle_s = idle_s
        self._turn = asyncio.Lock()
        self._talking = threading.Lock()
        self._child: _Child | None = None
        self._ending: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def from_store(self, stored: StoredCodes, *, is_cosine: bool) -> Indexed:
        """Return the index of stored codes, of one moment, with its examples.

        Raises:
            CollectionNotFound, TenantNotFound, LayerNotFound, StorageCorrupt: as the store.
            Internal: the process broke or was killed; the server's log has its words.
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
        shared = await self._ask(request, None)
        arrays = shared.arrays
        return Indexed(
            int(shared.facts["sequence"]),
            WrittenExamples(arrays["text"], arrays["ends"]),
            _index(shared, arrays["codes"], is_cosine=is_cosine),
        )

    async def from_codes(self, codes: CodeArray, *, is_cosine: bool) -> ExactIndex:
        """Return the index of codes that are in memory here.

        Raises:
            Internal, ShuttingDown: as `from_store`.
        """
        shared = await self._ask({"is_cosine": is_cosine}, codes)
        return _index(shared, codes, is_cosine=is_cosine)

    def close(self) -> None:
        """End the process, also in the middle of an index. Idempotent."""
        self._is_closed = True
        if self._ending is not None:
            self._ending.cancel()
        if self._child is not None:
            self._child.kill()

    async def _ask(self, request: Mapping[str, Any], codes: CodeArray | None) -> SharedArrays:
        async with self._turn:  # who waits for its turn takes no thread
            if self._is_closed:
                raise _closed()
            if self._ending is not None:
                self._ending.cancel()
            try:
                return await asyncio.to_thread(self._talk, request, codes)
            finally:
                loop = asyncio.get_running_loop()
                self._ending = loop.call_later(self._idle_s, self._end_if_idle)

    def _talk(self, request: Mapping[str, Any], codes: CodeArray | None) -> SharedArrays:
        with self._talking:  # a caller who left may have left a thread here
            if self._child is None or not self._child.is_alive:
                self._child = _Child(self._command)
            try:
                message, descriptor = self._child.asked(request, codes)
            except (EOFError, OSError) as error:
                status = self._child.kill()
                if self._is_closed:
                    raise _closed() from error
                raise Internal(f"the process that builds indexes ended with {status}") from error
        if descriptor is not None:
            return SharedArrays.opened(descriptor)
        raise _error(message)

    def _end_if_idle(self) -> None:
        if self._talking.acquire(blocking=False):
            try:
                if self._child is not None:
                    self._child.kill()
                    self._child = None
            finally:
                self._talking.release()


class _Child:
    def __init__(self, command: Sequence[str]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=2,  # what a library prints is for the log
                env={**os.environ, **_ONE_THREAD},
                start_new_session=True,  # Ctrl-C in the server's terminal is the server's
            )
        self._socket = ours
        give_way(self._process.pid, LATER)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def asked(
        self, request: Mapping[str, Any], codes: CodeArray | None
    ) -> tuple[Mapping[str, Any], int | None]:
        """Send a request; return the answer and its descriptor.

        Raises:
            EOFError, OSError: the process is gone.
        """
        if codes is None:
            send(self._socket, request)
        else:
            given = SharedArrays.make({}, {"codes": (codes.dtype, codes.shape)})
            try:
                given.arrays["codes"][:] = codes
                send(self._socket, request, given.descriptor)
            finally:
                os.close(given.descriptor)
        answer = receive(self._socket)
        if answer is None:
            raise EOFError
        return answer

    def kill(self) -> int:
        """End it at once and return its status. Idempotent, and for any thread."""
        self._process.kill()
        status: int = self._process.wait()
        self._socket.close()
        return status


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
