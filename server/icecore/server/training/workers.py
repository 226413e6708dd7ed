"""Worker processes, seen from the server: one a job, and a warm one in reserve.

A worker is started by exec (never fork: threads of gRPC and BLAS do not survive
it), does one job and ends. Importing the solvers takes it half a second or more, so a spare
one has that behind it before its job comes. A worker whose server is gone ends by itself.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from icecore.server.giving_way import give_way
from icecore.server.training.base import Base
from icecore.server.training.candidates import Candidates
from icecore.server.training.frames import (
    receive_frame,
    receive_message,
    send_frame,
    send_message,
)
from icecore.server.training.identities import identity
from icecore.server.training.training_set import TrainingSet

OnProgress = Callable[[str, float], None]

COMMAND: Final = (
    sys.executable,
    "-P",  # the working folder is the user's, not a place to import from
    "-m",
    "icecore.server.training.worker",
)

ONE_THREAD: Final = {
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}
"""Two BLAS threads on a busy two-core machine were 5-15 times slower than one."""


class WorkerDied(Exception):
    """The process ended before it answered; `status` as in `subprocess.Popen.returncode`."""

    def __init__(self, status: int) -> None:
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        super().__init__(f"the training process {how}")
        self.status = status


class TrainingRefused(Exception):
    """`probes` refused the data; reason and sentence are its own."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Trained:
    """A worker's answer: what it found, as JSON of its own, the probe file, and what
    held-out images were taken for, as `HeldOut` writes it.
    """

    found: dict[str, Any]
    file: bytes
    held_out: bytes


class Worker:
    """One process."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, command: Sequence[str] = COMMAND) -> "Worker":
        """Start the process; it imports what it needs while nobody waits."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **ONE_THREAD},
            start_new_session=True,  # Ctrl-C in the server's terminal is the server's
        )
        give_way(process.pid)
        if process.stdin is None or process.stdout is None:
            raise AssertionError("both were asked for as pipes")
        return cls(process, process.stdout, process.stdin)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    async def train(
        self,
        training_set: TrainingSet,
        candidates: Candidates,
        *,
        kind: str,
        seed: int,
        base: Base | None = None,
        on_progress: OnProgress,
    ) -> Trained:
        """Train a probe on the set, which has codes at the candidates; with a `base` at its taps.

        Raises:
            TrainingRefused: the data cannot be learnt from.
            WorkerDied: it was killed or broke; the server's log has its words.
        """
        try:
            await self._send(training_set, candidates, kind, seed, base)
            while True:
                message = await receive_message(self._reader)
                match message["event"]:
                    case "progress":
                        on_progress(
                            cast(str, message["stage"]), float(cast(float, message["progress"]))
                        )
                    case "refused":
                        raise TrainingRefused(str(message["reason"]), str(message["message"]))
                    case "trained":
                        file = await receive_frame(self._reader)
                        held_out = await receive_frame(self._reader)
                        return Trained(cast(dict[str, Any], message["found"]), file, held_out)
                    case other:
                        raise AssertionError(f"a worker sent the event {other!r}")
        except (EOFError, ConnectionError) as error:
            raise WorkerDied(await self._process.wait()) from error

    async def kill(self) -> None:
        """End the process at once and wait until it is gone. Idempotent."""
        if self._process.returncode is None:
            self._process.kill()
        self._writer.close()
        await self._reader.read()  # to its end, so that the pipes are closed when we return
        await self._process.wait()

    async def _send(
        self,
        training_set: TrainingSet,
        candidates: Candidates,
        kind: str,
        seed: int,
        base: Base | None,
    ) -> None:
        deepest = max(tap.depth for tap in candidates.layers)
        key, logits = candidates.key, candidates.logits
        await send_message(
            self._writer,
            {
                "kind": kind,
                "seed": seed,
                "may_shortlist": candidates.may_shortlist,
                "joining": candidates.is_joined,
                "outputs": [] if logits is None else [key(logits)],
                "alternatives": {
                    key(tap): [key(other) for other in others]
                    for tap, others in candidates.others.items()
                },
                "labels": list(training_set.labels),
                "groups": list(training_set.groups),
                "codes": [
                    {
                        "key": key(tap),
                        "tap": identity(tap),
                        "position": tap.depth / deepest if tap.depth else None,
                        "dtype": training_set.codes[tap].dtype.str,
                        "shape": list(training_set.codes[tap].shape),
                    }
                    for tap in candidates.taps
                ],
                "base": None if base is None else {"C": base.C, "chosen_on": base.chosen_on},
            },
        )
        for tap in candidates.taps:
            await send_frame(self._writer, training_set.codes[tap].data)
        if base is not None:
            await send_frame(self._writer, base.file)


class Workers:
    """The spare one, and the making of others."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = command
        self._spare: asyncio.Task[Worker] | None = None

    def warm(self) -> None:
        """Have a spare worker soon."""
        if self._spare is None:
            self._spare = asyncio.create_task(Worker.start(self._command))

    async def take(self) -> Worker:
        """Return a worker, the caller's to kill, and warm the next."""
        spare = self._spare or asyncio.create_task(Worker.start(self._command))
        self._spare = None
        try:
            worker = await asyncio.shield(spare)
        except asyncio.CancelledError:
            await (await spare).kill()
            raise
        if not worker.is_alive:
            await worker.kill()
            worker = await Worker.start(self._command)
        self.warm()
        return worker

    async def close(self) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            await (await spare).kill()
