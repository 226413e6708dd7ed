"""The process that builds indexes, as its parent holds it: a socket to it, and its end."""

import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, Final

from icecore.server.giving_way import LATER, give_way
from icecore.server.search.building_messages import receive, send
from icecore.server.search.shared_arrays import SharedArrays

_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Child:
    """Started with its making. One thread talks to it; any may end it."""

    def __init__(self, command: Sequence[str]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=2,  # what a library prints is for the log
                env={**os.environ, **_ONE_THREAD},
                start_new_session=True,  # Ctrl-C in the server's terminal is the server's
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._socket = ours
        give_way(self._process.pid, LATER)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def asked(
        self, request: Mapping[str, Any], given: SharedArrays | None
    ) -> tuple[Mapping[str, Any], int | None]:
        """Send a request, with codes if they are given; return the answer and its descriptor.

        Whatever is raised, the process is ended with it: its answer would be taken for that to
        the next request, which may be another tenant's.

        Raises:
            EOFError, OSError: the process is gone.
        """
        try:
            send(self._socket, request, None if given is None else given.descriptor)
            answer = receive(self._socket)
            if answer is None:
                raise EOFError
        except BaseException:
            self.kill()
            raise
        return answer

    def kill(self) -> int:
        """End it at once and return its status. Idempotent, and for any thread."""
        self._process.kill()
        status: int = self._process.wait()
        self._socket.close()
        return status
