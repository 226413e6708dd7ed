"""Worker processes: one a job, killed at once, and never left behind."""

import asyncio
import os
import select
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import pytest

from icecore.server.giving_way import LAST
from icecore.server.training.candidates import Candidates
from icecore.server.training.frames import write_message
from icecore.server.training.training_set import TrainingSet
from icecore.server.training.workers import TrainingRefused, Worker, WorkerDied, Workers
from icecore.wire.taps import TapId
from stand_in_worker import stand_in

TAP = TapId("0" * 64, "three", backbone="toy", depth=3)
ONE = Candidates((TAP,))
SET = TrainingSet(
    example_ids=["a", "b", "c", "d"],
    labels=["ant", "ant", "bee", "bee"],
    groups=[f"{n:064x}" for n in range(4)],
    codes={TAP: np.arange(24, dtype=np.float16).reshape(4, 6)},
)


def nothing(stage: str, progress: float) -> None: ...


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture
async def started() -> AsyncIterator[list[Worker]]:
    """What a test starts, killed after it."""
    workers: list[Worker] = []
    yield workers
    for worker in workers:
        await worker.kill()


async def train(worker: Worker) -> None:
    await worker.train(SET, ONE, kind="svm", seed=0, on_progress=nothing)


async def test_a_worker_gives_way_before_it_imports_anything(started: list[Worker]) -> None:
    """Its imports alone would take a processor for a second."""
    started.append(worker := await Worker.start(stand_in("answer")))
    assert os.getpriority(os.PRIO_PROCESS, worker.pid) == LAST


async def test_a_worker_answers_with_findings_and_file(started: list[Worker]) -> None:
    started.append(worker := await Worker.start(stand_in("answer")))
    told: list[tuple[str, float]] = []
    trained = await worker.train(
        SET, ONE, kind="svm", seed=0, on_progress=lambda *now: told.append(now)
    )
    assert trained.file == b"a probe file"
    assert trained.found["keys"] == ["three"]
    assert told == [("choosing", 0.5)]


async def test_a_refusal_keeps_its_reason(started: list[Worker]) -> None:
    started.append(worker := await Worker.start(stand_in("refuse")))
    with pytest.raises(TrainingRefused, match="too small") as refused:
        await train(worker)
    assert refused.value.reason == "CLASS_TOO_SMALL"


@pytest.mark.parametrize(
    ("behaviour", "status", "words"),
    [("die", -9, "was killed by signal 9"), ("break", 1, "ended with status 1")],
)
async def test_a_worker_that_ends_early_is_noticed(
    started: list[Worker], behaviour: str, status: int, words: str
) -> None:
    started.append(worker := await Worker.start(stand_in(behaviour)))
    with pytest.raises(WorkerDied, match=words) as died:
        await train(worker)
    assert died.value.status == status


async def test_a_worker_that_dies_before_it_reads_is_noticed(started: list[Worker]) -> None:
    """The pipe breaks while codes are sent: 20 MB do not fit into it."""
    started.append(worker := await Worker.start((sys.executable, "-c", "")))
    large = TrainingSet(
        SET.example_ids, SET.labels, SET.groups, {TAP: np.zeros((4, 1_300_000), np.float32)}
    )
    with pytest.raises(WorkerDied):
        await worker.train(large, ONE, kind="svm", seed=0, on_progress=nothing)


async def test_a_killed_worker_is_gone_within_a_second(started: list[Worker]) -> None:
    started.append(worker := await Worker.start(stand_in("compute")))
    heard = asyncio.Event()
    training = asyncio.create_task(
        worker.train(SET, ONE, kind="svm", seed=0, on_progress=lambda *_: heard.set())
    )
    await heard.wait()
    training.cancel()
    async with asyncio.timeout(1):
        await asyncio.wait([training])
        await worker.kill()
    assert is_gone(worker.pid)


async def test_a_spare_that_died_is_replaced() -> None:
    workers = Workers(stand_in("answer"))
    first = await workers.take()
    spare = await workers.take()
    await spare.kill()
    workers._spare = asyncio.create_task(asyncio.sleep(0, spare))
    second = await workers.take()
    assert second is not spare
    assert second.is_alive
    for worker in (first, second):
        await worker.kill()
    await workers.close()


async def test_closing_leaves_no_process() -> None:
    workers = Workers(stand_in("answer"))
    workers.warm()
    spare = workers._spare
    assert spare is not None
    pid = (await spare).pid
    await workers.close()
    assert is_gone(pid)


SERVER_THAT_IS_KILLED = """
import asyncio, sys
from icecore.server.training.workers import Worker
from test_workers import ONE, SET

async def main():
    worker = await Worker.start(COMMAND)
    def heard(*_):
        print(worker.pid, flush=True)
    await worker.train(SET, ONE, kind="svm", seed=0, on_progress=heard)

asyncio.run(main())
"""


def test_a_worker_ends_when_its_server_is_killed() -> None:
    """kill -9 leaves no chance to tell it: the pipe's end does."""
    script = SERVER_THAT_IS_KILLED.replace("COMMAND", repr(stand_in("wait")))
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
    ) as server:
        assert server.stdout is not None
        pid = int(server.stdout.readline())
        watched = os.pidfd_open(pid)
        server.kill()
    try:
        ended, _, _ = select.select([watched], [], [], 10)
    finally:
        os.close(watched)
    assert ended, "the worker outlives its server"


def test_a_worker_that_fails_ends_with_status_1_while_the_server_lives() -> None:
    """Not by an abort: its standard input is still open, and a thread of it waits there."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "icecore.server.training.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert worker.stdin is not None
    assert worker.stderr is not None
    write_message(
        cast(BinaryIO, worker.stdin), {"codes": [], "base": None}
    )  # a request without labels: a fault of ours
    worker.stdin.flush()
    said = worker.stderr.read().decode()
    assert worker.wait(30) == 1, said
    assert "KeyError: 'labels'" in said
    for pipe in (worker.stdin, worker.stdout, worker.stderr):
        assert pipe is not None
        pipe.close()
