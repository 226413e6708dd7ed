"""The memory of the cache: bounded in bytes, the oldest first, nobody crowded out."""

import numpy as np
import numpy.typing as npt
import pytest

from icecore.server.embedding.caching.memory import ENTRY_BYTES, MemoryCache

SIZE = 1000 - ENTRY_BYTES
"""Of one array, so that an entry is a thousand bytes."""


def codes(number: int = 0) -> npt.NDArray[np.float32]:
    return np.full(SIZE // 4, number, np.float32)


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def filled(n: int, *, room: int, tenant_id: str = "a") -> MemoryCache:
    cache = MemoryCache(room * 1000)
    for number in range(n):
        cache.put(tenant_id, key(number), codes(number))
    return cache


def held(cache: MemoryCache, tenant_id: str = "a", *, of: int = 1000) -> list[int]:
    return [number for number in range(of) if cache.get(tenant_id, key(number)) is not None]


def test_it_gives_what_was_put_and_nothing_to_others() -> None:
    cache = filled(3, room=100)
    found = cache.get("a", key(2))
    assert found is not None
    assert np.array_equal(found, codes(2))
    assert not found.flags.writeable
    assert cache.get("b", key(2)) is None
    assert cache.get("a", key(3)) is None


def test_it_never_holds_more_than_it_may_and_drops_the_oldest() -> None:
    cache = MemoryCache(50_000)
    for number in range(1000):
        cache.put("a", key(number), codes(number))
        assert cache.n_bytes <= 50_000
        assert cache.n_bytes == 1000 * len(cache)
    assert held(cache) == list(range(950, 1000))


def test_what_was_used_stays() -> None:
    cache = filled(50, room=50)
    cache.get("a", key(0))
    cache.put("a", key(50), codes())
    assert held(cache, of=60) == [0, *range(2, 51)]


def test_putting_twice_counts_once() -> None:
    cache = filled(1, room=50)
    cache.put("a", key(0), codes(9))
    assert cache.n_bytes == 1000
    assert held(cache) == [0]


@pytest.mark.parametrize("room", [0, 15])
def test_what_is_too_large_for_a_sixteenth_is_not_kept(room: int) -> None:
    assert len(filled(3, room=room)) == 0


def test_a_flood_of_one_tenant_leaves_the_others_their_share() -> None:
    cache = MemoryCache(90_000)
    for number in range(30):
        cache.put("small", key(number), codes(number))
    for number in range(1000):
        cache.put("flood", key(number), codes(number))
    assert held(cache, "small") == list(range(30))
    assert held(cache, "flood") == list(range(940, 1000))


def test_a_newcomer_gets_room_from_the_largest() -> None:
    cache = filled(90, room=90, tenant_id="large")
    for number in range(45):
        cache.put("new", key(number), codes(number))
        assert cache.n_bytes <= 90_000
    assert held(cache, "new") == list(range(45))
    assert len(held(cache, "large")) >= 40, "and not more than it needs"


def test_a_tenant_that_is_forgotten_leaves_nothing() -> None:
    cache = filled(10, room=50)
    cache.put("b", key(1), codes(1))
    cache.forget("a")
    cache.forget("a")
    assert held(cache) == []
    assert held(cache, "b") == [1]
    assert cache.n_bytes == 1000
