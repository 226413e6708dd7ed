"""The load generator: a process of its own, told its jobs line by line.

Closed loop: `concurrency` callers, each sends when it has its answer; who is told
to come again later does so, and its request's time goes on meanwhile. Open loop: requests are
sent at the moments of a Poisson process of `rate` a second, whatever has been
answered, and nobody comes again.
"""

import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from load.arrivals import arrivals
from load.bodies import Body, Hole
from load.calling import Answer, Caller, Target, caller
from load.outcome import OK, Outcome
from load.processes import cpu_seconds, descendants, on_cores

BENCH = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Job:
    """What to send where, and for how long.

    Either `concurrency` (closed loop) or `rate` (open loop, requests a second) is above 0.
    Each caller first sends `warm_up` requests that are not counted. `first` numbers the
    requests; no two jobs of a run may share numbers. `pid`: the server's, whose tree's CPU
    time is told.
    """

    target: Target
    body: Body
    seconds: float
    first: int
    concurrency: int = 0
    rate: float = 0.0
    timeout_s: float = 30.0
    warm_up: int = 0
    seed: int = 0
    pid: int = 0


class Generator:
    """The process, on `cores` if given; `niceness` above 0 yields to others on them."""

    def __init__(self, *, cores: Sequence[int] | None = None, niceness: int = 0) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="icecore-load-")
        with on_cores(cores):
            self._child = subprocess.Popen(
                [sys.executable, "-m", "load.generator", str(niceness)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": str(BENCH), "GRPC_VERBOSITY": "NONE"},
            )
        self._bodies: dict[Body, Path] = {}

    @property
    def pid(self) -> int:
        return self._child.pid

    def begin(self, job: Job) -> None:
        """Start a job; `end` gives what came of it."""
        assert self._child.stdin is not None
        told: dict[str, Any] = asdict(job)
        told["body"] = {
            "file": str(self._file(job.body)),
            "hole": job.body.hole.value,
            "offsets": job.body.offsets,
            "n_images": job.body.n_images,
        }
        self._child.stdin.write(json.dumps(told).encode() + b"\n")
        self._child.stdin.flush()

    def end(self) -> Outcome:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError("the load generator has ended")
        return Outcome(**json.loads(line))

    def run(self, job: Job) -> Outcome:
        self.begin(job)
        return self.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._child.kill()
        self._child.communicate()
        self._folder.cleanup()

    def _file(self, body: Body) -> Path:
        if body not in self._bodies:
            path = Path(self._folder.name) / f"{len(self._bodies)}.body"
            path.write_bytes(body.data)
            self._bodies[body] = path
        return self._bodies[body]


async def perform(job: Job) -> Outcome:
    """Do a job in this process."""
    calling = caller(job.target, job.concurrency or 128)
    outcome = Outcome()
    numbers = count(job.first)
    try:
        for _ in range(job.warm_up):
            messages = [job.body.filled(next(numbers)) for _ in range(job.concurrency or 1)]
            answers = (calling.call(message, job.timeout_s) for message in messages)
            for answer in await asyncio.gather(*answers):
                _note(outcome, answer)
        tree = descendants(job.pid) if job.pid else []
        server, own, began = cpu_seconds(tree), time.process_time(), time.perf_counter()
        if job.concurrency:
            await _closed(job, calling, outcome, numbers, began)
        else:
            await _open(job, calling, outcome, numbers, began)
        outcome.seconds = time.perf_counter() - began
        outcome.own_cpu_s = time.process_time() - own
        outcome.server_cpu_s = cpu_seconds(tree) - server
    finally:
        await calling.close()
    return outcome


async def _closed(
    job: Job, calling: Caller, outcome: Outcome, numbers: "count[int]", began: float
) -> None:
    async def one_by_one() -> None:
        while time.perf_counter() - began < job.seconds:
            message = job.body.filled(next(numbers))
            await _timed(job, calling, outcome, message, began, 0.0)
            if outcome.ends[-1] not in (OK, "TIMEOUT"):
                await asyncio.sleep(0.01)  # what refuses at once is not to be hammered

    await asyncio.gather(*(one_by_one() for _ in range(job.concurrency)))


async def _open(
    job: Job, calling: Caller, outcome: Outcome, numbers: "count[int]", began: float
) -> None:
    tasks: set[asyncio.Task[None]] = set()
    for moment in arrivals(job.rate, job.seconds, job.seed):
        wait = began + moment - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        late = time.perf_counter() - began - moment
        message = job.body.filled(next(numbers))
        task = asyncio.create_task(_timed(job, calling, outcome, message, began, late))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    if tasks:
        await asyncio.wait(tasks)


async def _timed(
    job: Job, calling: Caller, outcome: Outcome, message: bytes, began: float, late_s: float
) -> None:
    sent = time.perf_counter()
    answer = await calling.call(message, job.timeout_s)
    while answer.pushback_ms is not None:
        outcome.pushbacks += 1
        wait_s = answer.pushback_ms / 1e3
        if not job.concurrency or not 0 <= wait_s < job.timeout_s - (time.perf_counter() - sent):
            break
        await asyncio.sleep(wait_s)
        answer = await calling.call(message, job.timeout_s)
    outcome.ms.append((time.perf_counter() - sent) * 1e3)
    outcome.at.append(sent - began)
    outcome.late_ms.append(late_s * 1e3)
    outcome.ends.append(answer.end)
    _note(outcome, answer)


def _note(outcome: Outcome, answer: Answer) -> None:
    if answer.end != OK and not outcome.complaint:
        outcome.complaint = f"{answer.end}: {answer.told}"


def _read_job(line: str) -> Job:
    told = json.loads(line)
    body = told.pop("body")
    target = told.pop("target")
    target["headers"] = tuple(tuple(pair) for pair in target["headers"])
    return Job(
        target=Target(**target),
        body=Body(
            Path(body["file"]).read_bytes(),
            Hole(body["hole"]),
            tuple(body["offsets"]),
            body["n_images"],
        ),
        **told,
    )


def main() -> None:
    os.nice(int(sys.argv[1]))
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            gc.collect()
            gc.freeze()
            outcome = runner.run(perform(_read_job(line)))
            print(json.dumps(asdict(outcome)), flush=True)


if __name__ == "__main__":
    main()
