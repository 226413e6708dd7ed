"""Jobs whose worker dies, or whose server: they are run again.

The workers are stand-ins: what is tested here does not hang on a solver.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from icecore.server.errors import ShuttingDown
from icecore.server.storage.records import VersionState
from icecore.server.training.trainer import TrainRequest
from stand_in_worker import stand_in
from trainer_house import REQUEST, TENANT, House, housed, last, until


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async for house in housed(tmp_path):
        yield house


# Workers that die.


async def test_a_worker_killed_once_is_tried_again(house: House) -> None:
    house.collect()
    trainer = await house.trainer(stand_in("die-once", house.folder / "died"))
    await trainer.train(TENANT, REQUEST)
    assert (await last(trainer)).version.state is VersionState.READY


async def test_a_worker_killed_twice_fails_the_version(house: House) -> None:
    house.collect()
    trainer = await house.trainer(stand_in("die"))
    await trainer.train(TENANT, REQUEST)
    end = (await last(trainer)).version
    assert end.state is VersionState.FAILED
    assert end.failure_reason == "TRAINING_FAILED"
    assert end.failure_message == "the training process was killed by signal 9, 2 times"


# Servers that end.


async def test_a_job_goes_on_with_the_next_server(house: House) -> None:
    house.collect()
    first = await house.trainer(stand_in("wait"))
    await first.train(TENANT, REQUEST)
    watcher = asyncio.create_task(last(first))
    await until(first, "choosing")
    async with asyncio.timeout(1):
        await first.close()
    with pytest.raises(ShuttingDown, match="goes on when it is back"):
        await watcher
    assert house.version().state is VersionState.TRAINING
    second = await house.trainer(stand_in("answer"))
    assert (await last(second)).version.state is VersionState.READY


SERVER_THAT_IS_KILLED = """
import asyncio, sys
from contextlib import asynccontextmanager
from pathlib import Path
from stand_in_worker import stand_in
from trainer_house import REQUEST, TENANT, housed, until

async def main():
    async with asynccontextmanager(housed)(Path(sys.argv[1])) as house:
        house.collect()
        trainer = await house.trainer(stand_in("wait"))
        await trainer.train(TENANT, REQUEST)
        await until(trainer, "choosing")
        print("choosing", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def kill_a_server_in_training(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER_THAT_IS_KILLED, str(folder)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"choosing\n"
        server.kill()


async def test_a_killed_servers_job_goes_on_with_the_next(tmp_path: Path) -> None:
    await asyncio.to_thread(kill_a_server_in_training, tmp_path)
    async for house in housed(tmp_path):
        assert house.version().state is VersionState.TRAINING
        trainer = await house.trainer(stand_in("answer"))
        assert (await last(trainer)).version.state is VersionState.READY


async def test_a_closed_trainer_takes_no_more(house: House) -> None:
    house.collect()
    trainer = await house.trainer(stand_in("answer"))
    await trainer.close()
    with pytest.raises(ShuttingDown):
        await trainer.train(TENANT, REQUEST)
    assert list(house.store.tenant(TENANT).probes()) == []


async def test_waiting_jobs_go_on_too(house: House) -> None:
    house.collect()
    first = await house.trainer(stand_in("wait"))
    for name in ("a", "b", "c"):
        await first.train(TENANT, TrainRequest(name, "insects"))
    await first.close()
    second = await house.trainer(stand_in("answer"))
    for name in ("a", "b", "c"):
        assert (await last(second, name)).version.state is VersionState.READY
