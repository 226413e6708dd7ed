"""The second sight of a tensor: what happens to the first while it is hashed."""

import asyncio
import threading
from collections import Counter
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from icecore.server.embedding.caching import hashing
from icecore.server.embedding.caching.code_cache import CodeCache, Sought
from icecore.server.embedding.caching.keys import image_digest
from icecore.server.embedding.caching.memory import MemoryCache
from icecore.server.embedding.images import Encoded, ImageInput, Pixels
from icecore.server.embedding.scheduling.pieces import Piece, Ran
from icecore.server.telemetry.metrics import Metrics
from toys import toy_backbone

TAPS = (toy_backbone().core[-1],)
RAN = Ran(queue_ms=0.0, decode_ms=0.0, compute_ms=0.0, decode_cpu_ms=0.0, pass_cpu_ms=0.0)
LARGE = Pixels(np.ones((300, 300, 3), np.uint8))
"""More than is hashed on the event loop."""


def cache() -> CodeCache:
    return CodeCache(MemoryCache(256 << 20), None, lambda _: None, Metrics())


def small(number: int) -> Pixels:
    return Pixels(np.random.default_rng(number).integers(0, 256, (12, 10, 3), np.uint8))


class Run:
    """A pass that the caller of `seek` has begun."""

    def __init__(self, sought: Sought) -> None:
        assert sought.flight is not None
        self.flight = sought.flight
        self.answer: asyncio.Future[Ran] = asyncio.get_running_loop().create_future()
        self.flight.begin(cast(Piece, SimpleNamespace(answer=self.answer, deadline=None)))

    async def end(self) -> None:
        waiting = self.flight.join(None)
        self.flight.keep([np.zeros(6, np.float32)])
        self.answer.set_result(RAN)
        await waiting


async def ask(codes: CodeCache, image: ImageInput, tenant_id: str = "t") -> str:
    sought = await codes.seek(tenant_id, image, TAPS)
    if sought.flight is None:
        return "hit" if sought.known else "joined"
    await Run(sought).end()
    return "ran"


class Gate:
    """Hashing in a thread that stands still until it is let go; counts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began = threading.Event()
        self.open = threading.Event()
        self.hashed: list[tuple[ImageInput, bool]] = []
        monkeypatch.setattr(hashing, "image_digest", self._digest)

    def _digest(self, image: ImageInput) -> bytes:
        is_main = threading.current_thread() is threading.main_thread()
        self.hashed.append((image, is_main))
        self.began.set()
        if not is_main:
            assert self.open.wait(30)
        return image_digest(image)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


async def until_hashing(gate: Gate) -> None:
    assert await asyncio.to_thread(gate.began.wait, 30)


async def test_what_is_large_is_never_hashed_on_the_event_loop(gate: Gate) -> None:
    codes = cache()
    gate.open.set()
    assert [await ask(codes, LARGE) for _ in range(3)] == ["ran", "hit", "hit"]
    assert [is_main for _, is_main in gate.hashed] == [False] * 3
    gate.hashed.clear()
    assert [await ask(codes, small(0)) for _ in range(3)] == ["ran", "hit", "hit"]
    assert [is_main for _, is_main in gate.hashed] == [True] * 3


@pytest.mark.parametrize("lands", ["before", "while it is hashed", "after"])
async def test_the_second_shares_the_first_pass_whenever_that_ends(gate: Gate, lands: str) -> None:
    codes = cache()
    first = Run(await codes.seek("t", LARGE, TAPS))
    if lands == "before":
        await first.end()
    second = asyncio.ensure_future(codes.seek("t", LARGE, TAPS))
    await until_hashing(gate)
    if lands == "while it is hashed":
        await first.end()
    gate.open.set()
    sought = await second
    assert sought.flight is None
    assert len(sought.joined) == (lands == "after")
    if lands == "after":
        await first.end()
    assert await ask(codes, LARGE) == "hit"


async def test_many_seconds_at_once_hash_the_first_once(gate: Gate) -> None:
    codes = cache()
    first = Run(await codes.seek("t", LARGE, TAPS))
    others = [Pixels(LARGE.array.copy()) for _ in range(3)]
    seconds = [asyncio.ensure_future(codes.seek("t", one, TAPS)) for one in others]
    await until_hashing(gate)
    gate.open.set()
    for sought in await asyncio.gather(*seconds):
        assert [one.flight for one in sought.joined] == [first.flight]
    assert Counter(id(image) for image, _ in gate.hashed) == {
        id(image): 1 for image in (LARGE, *others)
    }
    await first.end()


async def test_a_second_who_leaves_takes_nothing_from_the_third(gate: Gate) -> None:
    codes = cache()
    first = Run(await codes.seek("t", LARGE, TAPS))
    second, third = [asyncio.ensure_future(codes.seek("t", LARGE, TAPS)) for _ in range(2)]
    await until_hashing(gate)
    second.cancel()
    await asyncio.sleep(0)
    gate.open.set()
    assert [one.flight for one in (await third).joined] == [first.flight]
    await first.end()


@pytest.mark.parametrize("is_landed", [False, True])
async def test_of_a_tenant_that_is_forgotten_meanwhile_nothing_is_told_or_kept(
    gate: Gate, is_landed: bool
) -> None:
    codes = cache()
    first = Run(await codes.seek("t", LARGE, TAPS))
    if is_landed:
        await first.end()
    second = asyncio.ensure_future(codes.seek("t", LARGE, TAPS))
    await until_hashing(gate)
    await codes.forget("t")
    new = Run(await codes.seek("t", LARGE, TAPS, life=1))
    gate.open.set()
    sought = await second
    assert (sought.known, sought.joined, sought.missing) == ({}, [], TAPS)
    if not is_landed:
        await first.end()
    await Run(sought).end()
    assert codes.n_bytes == 0
    third = await codes.seek("t", LARGE, TAPS, life=1)
    assert [one.flight for one in third.joined] == [new.flight]
    await new.end()


async def test_a_call_of_a_forgotten_tenant_joins_nobody_of_the_new_one(gate: Gate) -> None:
    codes = cache()
    file = Encoded(bytes(300_000))
    late = asyncio.ensure_future(codes.seek("t", file, TAPS))
    await until_hashing(gate)
    await codes.forget("t")
    new = asyncio.ensure_future(codes.seek("t", file, TAPS, life=1))
    gate.open.set()
    await Run(await new).end()
    assert ((await late).known, (await late).joined, (await late).missing) == ({}, [], TAPS)


async def test_a_data_set_read_in_cycles_is_kept_from_the_second_on() -> None:
    codes = cache()
    images = [small(number) for number in range(5000)]
    for expected in ("ran", "hit", "hit"):
        assert Counter([await ask(codes, image) for image in images]) == {expected: 5000}


async def test_a_flood_of_another_tenant_does_not_make_mine_unknown() -> None:
    codes = cache()
    codes._first._seen._most = 100
    assert await ask(codes, small(0), "me") == "ran"
    for number in range(200):
        await ask(codes, small(number), "other")
    assert await ask(codes, small(0), "me") != "ran"
