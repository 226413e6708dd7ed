"""Fingerprints: as many as may be, those of the largest tenant go first, and none leaks."""

import tracemalloc

from icecore.server.embedding.caching.fingerprints import Fingerprints

MANY = 1 << 15


def shown(seen: Fingerprints, tenant_id: str, numbers: range) -> list[bool]:
    return [seen.saw((tenant_id, number)) for number in numbers]


def test_what_is_read_in_cycles_is_known_from_the_second_on() -> None:
    seen = Fingerprints()
    assert not any(shown(seen, "a", range(100_000)))
    assert all(shown(seen, "a", range(100_000)))
    assert len(seen) == 100_000


def test_there_are_never_more_than_the_most_and_the_oldest_goes() -> None:
    seen = Fingerprints(10)
    for number in range(100):
        seen.saw(("a", number))
        assert len(seen) == min(number + 1, 10)
    assert all(shown(seen, "a", range(90, 100)))
    assert not seen.saw(("a", 89))


def test_a_flood_of_one_tenant_leaves_the_others_theirs() -> None:
    seen = Fingerprints(300)
    shown(seen, "small", range(100))
    shown(seen, "flood", range(10_000))
    shown(seen, "other", range(100))
    assert all(shown(seen, "small", range(100)))
    assert all(shown(seen, "other", range(100)))
    assert len(seen) <= 300


def test_a_newcomer_gets_room_from_the_largest() -> None:
    seen = Fingerprints(640)
    shown(seen, "small", range(40))
    shown(seen, "large", range(600))
    assert not seen.saw(("new", 0))
    assert all(shown(seen, "small", range(40)))
    assert seen.saw(("new", 0))
    assert len(seen) == 641 - 10
    assert all(shown(seen, "large", range(10, 600)))


def test_more_tenants_than_the_most_have_room_in_turn() -> None:
    seen = Fingerprints(4)
    for number in range(20):
        assert not seen.saw((f"t{number}", 7))
        assert seen.saw((f"t{number}", 7))
        assert len(seen) == len(seen._seen) == min(number + 1, 4)


def test_a_tenant_that_is_forgotten_leaves_nothing() -> None:
    seen = Fingerprints(300)
    shown(seen, "a", range(100))
    shown(seen, "b", range(100))
    seen.forget("a")
    seen.forget("nobody")
    assert len(seen) == 100
    assert all(shown(seen, "b", range(100)))
    assert not any(shown(seen, "a", range(100)))


def test_one_takes_a_hundred_bytes_or_so() -> None:
    """The documented 30 MB for 2^18 of them."""
    tracemalloc.start()
    seen = Fingerprints(MANY)
    for number in range(3 * MANY // 2):
        seen.saw(("a", hash(str(number))))
    n_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(seen) == MANY
    assert n_bytes < 140 * MANY
