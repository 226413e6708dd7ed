"""An index is built once for all who want it, and not for those who left before it was begun."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np
import pytest
import pytest_asyncio

from icecore.server.errors import StorageCorrupt
from icecore.server.search.exact_index import ExactIndex
from icecore.server.search.index_cache import Place
from icecore.server.search.indexed import Indexed, StoredCodes
from icecore.server.search.indexes import Indexes
from icecore.server.search.tenant_pool import TenantPool
from icecore.server.storage.records import CodeArray, ExampleRecord
from icecore.wire.taps import TapId

PLACE = Place("t", "c", 1, TapId("0" * 64, "three"), is_cosine=True)
STORED = StoredCodes({}, "c", 1, "three", n_values=2, n_bytes=1)
EXAMPLES = (ExampleRecord("e", "", {}, ""),)
CODES = np.ones((1, 2), np.float16)


class FakeBuilding:
    """Builds index after index of a growing sequence, each when it may."""

    def __init__(self) -> None:
        self.may_begin, self.may_end = asyncio.Event(), asyncio.Event()
        self.n_asked = self.n_built = self.n_left = 0
        self.error: Exception | None = None

    async def from_store(
        self,
        stored: StoredCodes,
        *,
        is_cosine: bool,
        tenant_id: str,
        when_begun: Callable[[], None],
    ) -> Indexed:
        self.n_asked += 1
        try:
            await self.may_begin.wait()
            when_begun()
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.n_left += 1
            raise
        if self.error is not None:
            raise self.error
        self.n_built += 1
        return Indexed(self.n_built, EXAMPLES, ExactIndex(CODES, is_cosine=is_cosine))

    def close(self) -> None:
        pass


class House:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.building = FakeBuilding()
        monkeypatch.setattr("icecore.server.search.indexes.Building", lambda: self.building)
        self.pool = TenantPool(1, name="test")
        self.indexes = Indexes(self.pool, max_bytes=1 << 20, apart_bytes=0)

    async def asks(self, sequence: int = 1) -> "asyncio.Task[Indexed]":
        task = asyncio.create_task(self.indexes.get(PLACE, sequence, never, STORED))
        await settled()
        return task


async def never() -> tuple[int, Sequence[ExampleRecord], CodeArray]:
    raise AssertionError("it was read here")


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def left(*tasks: "asyncio.Task[Indexed]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await settled()


@pytest_asyncio.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    house = House(monkeypatch)
    yield house
    house.pool.close()


async def test_what_has_begun_outlives_its_callers_and_is_kept(house: House) -> None:
    """A hundred that give up one after another, and the one who has patience: one index."""
    house.building.may_begin.set()
    for _ in range(100):
        await left(await house.asks())
    patient = await house.asks()
    await left(await house.asks())
    house.building.may_end.set()
    indexed = await patient
    assert house.building.n_asked == 1
    assert await (await house.asks()) is indexed, "it is kept"


async def test_it_is_kept_also_where_nobody_waits_at_its_end(house: House) -> None:
    house.building.may_begin.set()
    await left(await house.asks())
    house.building.may_end.set()
    await settled()
    await (await house.asks())
    assert house.building.n_asked == 1


async def test_what_waits_for_its_turn_is_given_up_with_its_last_caller(house: House) -> None:
    first, second = await house.asks(), await house.asks()
    await left(first)
    assert (house.building.n_asked, house.building.n_left) == (1, 0)
    await left(second)
    assert (house.building.n_asked, house.building.n_left) == (1, 1)
    house.building.may_begin.set()
    house.building.may_end.set()
    await (await house.asks())
    assert house.building.n_built == 1


async def test_codes_are_computed_no_longer_when_nobody_wants_them(house: House) -> None:
    ended: list[str] = []

    async def load() -> tuple[int, Sequence[ExampleRecord], CodeArray]:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("load")
        raise AssertionError

    callers = [asyncio.create_task(house.indexes.get(PLACE, 1, load, None)) for _ in range(3)]
    await settled()
    await left(*callers[:2])
    assert ended == []
    await left(callers[2])
    assert ended == ["load"]


async def test_who_knows_of_a_newer_state_waits_for_the_build_and_has_another(
    house: House,
) -> None:
    """One of a place at a time."""
    house.building.may_begin.set()
    old, new = await house.asks(1), await house.asks(2)
    assert house.building.n_asked == 1
    house.building.may_end.set()
    assert ((await old).sequence, (await new).sequence) == (1, 2)


async def test_a_build_whose_end_is_not_told_yet_is_not_waited_for_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else has a turn while it is: the loop would look for ever."""
    house.building.may_begin.set()
    house.building.may_end.set()
    monkeypatch.setattr(house.indexes, "_ended", lambda *_: None)
    n_looks = iter(range(1, 100))
    monkeypatch.setattr(house.indexes._cache, "get", lambda *_, **__: next(n_looks) and None)
    assert (await (await house.asks(1))).sequence == 1
    assert (await (await house.asks(2))).sequence == 2


async def test_who_comes_after_something_was_deleted_has_an_index_without_it(
    house: House,
) -> None:
    house.building.may_begin.set()
    before = await house.asks()
    house.indexes.forget("t", "c")
    after = await house.asks()
    assert house.building.n_asked == 1
    house.building.may_end.set()
    assert ((await before).sequence, (await after).sequence) == (1, 2)


async def test_a_failure_is_that_of_all_who_waited_and_of_nobody_later(house: House) -> None:
    house.building.may_begin.set()
    house.building.error = StorageCorrupt("as foreseen")
    waiting = [await house.asks() for _ in range(3)]
    house.building.may_end.set()
    for task in waiting:
        with pytest.raises(StorageCorrupt, match="as foreseen"):
            await task
    house.building.error = None
    assert (await (await house.asks())).sequence == 1
