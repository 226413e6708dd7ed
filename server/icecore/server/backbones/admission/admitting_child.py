"""The inspector's process, seen from the server: asked once, and gone afterwards.

Started by exec with an environment of its own, in a session of its own, so that
it can be killed whole and holds no secret of the server's.
"""

import os
import signal
import subprocess
import sys
from concurrent.futures import Future
from contextlib import suppress
from threading import Lock, Thread, Timer
from types import TracebackType
from typing import Any, BinaryIO, Final, Literal, Self

from icecore.server.backbones.admission.inspecting.frames import (
    read_frame,
    read_message,
    write_frame,
    write_message,
)
from icecore.server.giving_way import LATER, give_way

COMMAND: Final = (
    sys.executable,
    "-P",  # the working folder is not a place to import from
    "-m",
    "icecore.server.backbones.admission.inspecting.inspector",
)

MAX_WORDS: Final = 8_192
"""Characters of its standard error that are kept for the log: the last ones."""

_KEPT: Final = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "PYTHONPATH")
_ENVIRONMENT: Final = {
    # Each thread's own arena would count as address space.
    "MALLOC_ARENA_MAX": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}

Because = Literal["", "late", "left"]


class ChildDied(Exception):
    """It ended without an answer.

    `status` is as in `subprocess.Popen.returncode`; `because` says who ended it if we did:
    "late" the clock, "left" the caller. `was_ready` tells whether it had got as far as
    waiting for a file.
    """

    def __init__(self, status: int, because: Because, *, was_ready: bool) -> None:
        self.how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        super().__init__(f"the inspector {self.how}")
        self.status = status
        self.because = because
        self.was_ready = was_ready


class Child:
    """One process; a context manager, after which it is gone.

    Args:
        wall_s: seconds from now after which it is killed.
        caller_left: killed, too, when this is done or cancelled.
    """

    def __init__(self, *, wall_s: float, caller_left: Future[None] | None) -> None:
        self._lock = Lock()
        self._because: Because = ""
        self._was_ready = False
        self._process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={name: os.environ[name] for name in _KEPT if name in os.environ} | _ENVIRONMENT,
            start_new_session=True,
        )
        give_way(self._process.pid, LATER)
        self._tail = _Tail(_opened(self._process.stderr))
        self._clock = Timer(wall_s, self._kill, ("late",))
        self._clock.daemon = True
        self._clock.start()
        if caller_left is not None:
            caller_left.add_done_callback(lambda _: self._kill("left"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._clock.cancel()
        self._kill("")
        self._process.wait()
        self._tail.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(OSError):  # what was not written has no reader any more
                _opened(stream).close()

    def ask(self, job: dict[str, Any], content: bytes, data: bytes) -> dict[str, Any]:
        """Hand a file over and return what is said of it.

        Raises:
            ChildDied
        """
        stdin, stdout = _opened(self._process.stdin), _opened(self._process.stdout)
        try:
            read_message(stdout)
            self._was_ready = True
            write_message(stdin, job)
            write_frame(stdin, content)
            write_frame(stdin, data)
            return read_message(stdout)
        except (EOFError, OSError) as error:
            raise self._death() from error

    def graph(self, *, max_bytes: int) -> bytes:
        """Return the graph that follows an answer.

        Raises:
            ChildDied
            FrameTooLarge: it has more than `max_bytes`.
        """
        try:
            return read_frame(_opened(self._process.stdout), max_bytes=max_bytes)
        except (EOFError, OSError) as error:
            raise self._death() from error

    def words(self) -> str:
        """The end of what it wrote for the log; ends the process first."""
        self._kill("")
        self._process.wait()
        self._tail.join()
        return self._tail.text

    def _death(self) -> ChildDied:
        status = self._process.wait()
        return ChildDied(status, self._because, was_ready=self._was_ready)

    def _kill(self, because: Because) -> None:
        """End it and all that it started, if it has not ended by itself; the first reason stays."""
        with self._lock:
            if self._process.poll() is None:
                self._because = self._because or because
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)


class _Tail(Thread):
    """Reads a stream to its end, so that the writer never waits, and keeps the last of it."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._kept = b""
        self.start()

    def run(self) -> None:
        while piece := os.read(self._stream.fileno(), MAX_WORDS):
            self._kept = (self._kept + piece)[-MAX_WORDS:]

    @property
    def text(self) -> str:
        return self._kept.decode(errors="replace")


def _opened(stream: Any) -> BinaryIO:
    if stream is None:
        raise AssertionError("it was asked for as a pipe")
    opened: BinaryIO = stream
    return opened
