"""First sights: bounded in the bytes they truly hold, each counted once, each taken once."""

import asyncio
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from icecore.server.embedding.caching import hashing
from icecore.server.embedding.caching.first_sights import (
    ENTRY_BYTES,
    LARGEST_COPY,
    FirstSight,
    FirstSights,
)
from icecore.server.embedding.caching.flights import Flight
from icecore.server.embedding.caching.keys import image_digest
from icecore.server.embedding.images import Pixels
from toys import toy_backbone

TAPS = toy_backbone().core
CODES = np.zeros(25, np.float32)
ONE = ENTRY_BYTES + 300 + 100
"""Bytes of one sight of `pixels`, landed."""
ROOM = 10 * ONE
PLACE = ("a", 1)


def pixels(number: int = 0) -> npt.NDArray[np.uint8]:
    return np.full((10, 10, 3), number, np.uint8)


def sight(array: npt.NDArray[Any] | None = None) -> FirstSight:
    return FirstSight(
        Pixels(pixels() if array is None else array),
        TAPS,
        Flight(lambda _: None, lambda _: None),
    )


def landed(
    sights: FirstSights, place: tuple[str, int], array: npt.NDArray[Any] | None = None
) -> FirstSight:
    one = sight(array)
    sights.begin(place, one)
    one.flight.keep([CODES])
    assert sights.land(place, one.flight)
    return one


def message(n_bytes: int, array: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The array as a view of so many bytes."""
    data = b"head" + array.tobytes() + bytes(n_bytes - 4 - array.nbytes)
    return np.frombuffer(data, np.uint8, array.size, 4).reshape(array.shape)


def test_those_that_landed_take_no_more_than_they_may_and_the_oldest_goes() -> None:
    sights = FirstSights(ROOM)
    for number in range(30):
        landed(sights, ("a", number))
        assert sights.n_bytes == ONE * min(number + 1, 10)
    assert [number for number in range(30) if sights.find(("a", number))] == [*range(20, 30)]


def test_no_more_fingerprints_are_remembered_than_may_be() -> None:
    sights = FirstSights(ROOM, most=5)
    assert not any(sights.is_known(("a", number)) for number in range(6))
    assert all(sights.is_known(("a", number)) for number in range(1, 6))
    assert not sights.is_known(("a", 0))


def test_a_fingerprint_that_lands_twice_is_counted_once() -> None:
    """It may have been forgotten between, which is when it begins again."""
    sights = FirstSights(ROOM)
    first, second = landed(sights, PLACE), landed(sights, PLACE)
    assert sights.n_bytes == ONE
    assert sights.find(PLACE) is second
    assert not sights.take(PLACE, first)
    assert sights.take(PLACE, second)
    assert (sights.n_bytes, sights.find(PLACE)) == (0, None)


def test_what_begins_takes_the_place_of_what_had_landed() -> None:
    sights = FirstSights(ROOM)
    landed(sights, PLACE)
    second = sight()
    sights.begin(PLACE, second)
    assert (sights.n_bytes, sights.find(PLACE)) == (0, second)


def test_a_flight_whose_place_another_took_lands_for_nobody() -> None:
    sights = FirstSights(ROOM)
    first, second = sight(), sight()
    sights.begin(PLACE, first)
    sights.begin(PLACE, second)
    first.flight.keep([CODES])
    assert not sights.land(PLACE, first.flight)
    assert sights.find(PLACE) is second
    second.flight.keep([CODES])
    assert sights.land(PLACE, second.flight)
    assert sights.n_bytes == ONE


def test_a_flight_without_codes_leaves_nothing() -> None:
    sights = FirstSights(ROOM)
    one = sight()
    sights.begin(PLACE, one)
    assert sights.land(PLACE, one.flight)
    assert (sights.n_bytes, sights.find(PLACE)) == (0, None)


@pytest.mark.parametrize("has_landed", [False, True])
def test_one_is_taken_once(has_landed: bool) -> None:
    sights = FirstSights(ROOM)
    one = landed(sights, PLACE) if has_landed else sight()
    if not has_landed:
        sights.begin(PLACE, one)
    assert sights.find(PLACE) is one
    assert sights.take(PLACE, one)
    assert not sights.take(PLACE, one)
    assert (sights.n_bytes, sights.find(PLACE)) == (0, None)
    assert not sights.land(PLACE, one.flight)


def test_a_tenant_that_is_forgotten_leaves_nothing() -> None:
    sights = FirstSights(ROOM)
    for tenant_id in "ab":
        landed(sights, (tenant_id, 1))
        sights.begin((tenant_id, 2), sight())
        assert not sights.is_known((tenant_id, 3))
    sights.forget("a")
    assert [sights.find(("a", number)) for number in (1, 2)] == [None, None]
    assert sights.n_bytes == ONE
    assert not sights.is_known(("a", 3))
    assert sights.is_known(("b", 3))
    assert sights.find(("b", 1)) is not None
    assert sights.find(("b", 2)) is not None


def test_of_a_large_message_only_the_tensor_is_held() -> None:
    sights = FirstSights(1 << 20)
    large = np.zeros(1 << 20, np.uint8)
    gone = weakref.ref(large)
    one = landed(sights, PLACE, large[7:307].reshape(10, 10, 3))
    assert sights.n_bytes == ONE
    assert np.array_equal(one.image.array, large[7:307].reshape(10, 10, 3))
    assert isinstance(one.image, Pixels)
    del large
    assert gone() is None


def test_of_a_message_for_one_tensor_nothing_is_copied_and_all_is_counted() -> None:
    sights = FirstSights(1 << 20)
    array = message(600_100, np.ones((200, 1000, 3), np.uint8))
    one = landed(sights, PLACE, array)
    assert one.image.array is array
    assert sights.n_bytes == ENTRY_BYTES + 600_100 + 100


def test_what_would_take_long_to_copy_is_not_held() -> None:
    sights = FirstSights(64 << 20)
    large = np.zeros(2 * LARGEST_COPY + 8192, np.uint8)
    landed(sights, PLACE, large[: LARGEST_COPY + 1])
    assert (sights.n_bytes, sights.find(PLACE)) == (0, None)
    landed(sights, PLACE, large[:LARGEST_COPY])
    assert sights.n_bytes == ENTRY_BYTES + LARGEST_COPY + 100


def test_for_what_has_no_room_nobody_goes() -> None:
    sights = FirstSights(ROOM)
    first = landed(sights, PLACE)
    landed(sights, ("a", 2), np.zeros(ROOM, np.uint8))
    assert sights.find(PLACE) is first
    assert sights.n_bytes == ONE


async def test_it_is_hashed_once_for_all_who_ask_while_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hashed = []

    def counting(image: Any) -> bytes:
        hashed.append(image)
        return image_digest(image)

    monkeypatch.setattr(hashing, "image_digest", counting)
    one = sight()
    leaving, *others = [asyncio.ensure_future(one.digest()) for _ in range(3)]
    await asyncio.sleep(0)
    leaving.cancel()
    assert [await other for other in others] == [image_digest(one.image)] * 2
    assert len(hashed) == 1
