"""Batches keep the order and fit a message."""

import random

import pytest

from icecore.client import InvalidArgument
from icecore.client._batches import MAX_BATCH_BYTES, Batcher
from icecore.client._channel import MAX_ATTEMPTS
from icecore.client._pacing import MAX_WAIT_S, Pacing
from icecore.client.errors import Unavailable


@pytest.mark.parametrize("seed", range(20))
def test_batches_are_the_things_in_order_and_none_is_too_large(seed: int) -> None:
    dice = random.Random(seed)
    sizes = [
        dice.choice([0, 1, MAX_BATCH_BYTES // 3, MAX_BATCH_BYTES, 2 * MAX_BATCH_BYTES])
        for _ in range(dice.randrange(40))
    ]
    batch_size = dice.randrange(1, 6)
    batcher = Batcher[int](sizes.__getitem__, batch_size=batch_size)
    batches = [batch for place in range(len(sizes)) for batch in batcher.push(place)]
    last = batcher.rest()
    assert [place for batch in [*batches, last] for place in batch] == list(range(len(sizes)))
    for batch in batches:
        assert 1 <= len(batch) <= batch_size
        assert len(batch) == 1 or sum(sizes[place] for place in batch) <= MAX_BATCH_BYTES
    assert batcher.rest() == []


def test_a_full_batch_does_not_wait_for_the_next_thing() -> None:
    batcher = Batcher[int](lambda _: 1, batch_size=2)
    assert batcher.push(1) == []
    assert batcher.push(2) == [[1, 2]]


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_holds_at_least_one(batch_size: int) -> None:
    with pytest.raises(InvalidArgument, match=f"batch_size is {batch_size}, but must be"):
        Batcher[int](lambda _: 1, batch_size=batch_size)


def test_a_stream_that_does_not_move_is_given_up_after_as_many_tries_as_a_call() -> None:
    pacing, error = Pacing(None), Unavailable("gone")
    waits = [pacing.wait_s(error) for _ in range(MAX_ATTEMPTS - 1)]
    assert all(0 < wait <= MAX_WAIT_S for wait in waits)
    with pytest.raises(Unavailable) as given_up:
        pacing.wait_s(error)
    assert given_up.value is error


def test_an_answer_gives_a_stream_all_its_tries_back() -> None:
    pacing = Pacing(None)
    for _ in range(3 * MAX_ATTEMPTS):
        pacing.wait_s(Unavailable("gone"))
        pacing.progress()


def test_the_time_left_never_grows_and_never_falls_below_nothing() -> None:
    assert Pacing(None).left_s() is None
    left = Pacing(0.0).left_s()
    assert left == 0.0
    pacing = Pacing(1000.0)
    first, second = pacing.left_s(), pacing.left_s()
    assert first is not None
    assert second is not None
    assert 990.0 < second <= first <= 1000.0
