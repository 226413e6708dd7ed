"""Memory goes back to the system after large messages, and is left alone while there are some."""

import asyncio

import pytest

from icecore.server.rpc import tidying
from icecore.server.rpc.tidying import LARGE_BYTES, Tidying


class Memory:
    def __init__(self) -> None:
        self.given_back = asyncio.Event()
        self.n_times = 0
        self._loop = asyncio.get_running_loop()

    def give_back(self) -> None:
        self.n_times += 1
        self._loop.call_soon_threadsafe(self.given_back.set)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tidying, "QUIET_S", 0.0)


async def test_it_is_given_back_once_most_of_it_is_free() -> None:
    memory = Memory()
    house = Tidying(memory.give_back)
    for n_bytes in (LARGE_BYTES, LARGE_BYTES // 2, 0, 100, 0):
        house.has(n_bytes)
    await memory.given_back.wait()
    for n_bytes in (1000, 0, 1000, 0):
        house.has(n_bytes)
    for _ in range(10):
        await asyncio.sleep(0)
    await asyncio.get_running_loop().shutdown_default_executor()
    assert memory.n_times == 1, "what was large then is forgotten"


async def test_it_is_left_alone_while_much_is_in_hand_or_little_ever_was() -> None:
    memory = Memory()
    small, busy = Tidying(memory.give_back), Tidying(memory.give_back)
    for n_bytes in (LARGE_BYTES - 1, 0):
        small.has(n_bytes)
    for n_bytes in (LARGE_BYTES, 0, LARGE_BYTES):  # the next came before it was quiet
        busy.has(n_bytes)
    for _ in range(10):
        await asyncio.sleep(0)
    assert memory.n_times == 0
