"""Batches keep the order and fit a message."""

import random

import pytest

from icecore.client import InvalidArgument, Waiting
from icecore.client._batches import MAX_BATCH_BYTES, Batcher
from icecore.client._channel import MAX_ATTEMPTS
from icecore.client._pacing import MAX_WAIT_S, RESTART_S, Met, Pacing
from icecore.client.errors import ResourceExhausted, Unavailable


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


def test_a_server_that_has_answered_is_waited_for_as_long_as_a_restart_may_take() -> None:
    now = [0.0]
    met = Met()
    Pacing(None, met).progress()
    pacing, error = Pacing(None, met, strange_attempts=1, clock=lambda: now[0]), Unavailable("gone")
    n_tries = 0

    def try_on() -> None:
        nonlocal n_tries
        while True:
            now[0] += pacing.wait_s(error)
            n_tries += 1

    with pytest.raises(Unavailable) as given_up:
        try_on()
    assert given_up.value is error
    assert RESTART_S <= now[0] <= RESTART_S + 2 * MAX_WAIT_S
    assert RESTART_S / MAX_WAIT_S <= n_tries <= 4 * RESTART_S / MAX_WAIT_S


def test_nobody_waits_past_the_deadline_only_to_hear_of_the_deadline() -> None:
    met = Met()
    Pacing(None, met).progress()
    for error in (Unavailable("gone"), _full(0.01)):
        with pytest.raises(type(error)) as told:
            Pacing(1e-6, met).wait_s(error)
        assert told.value is error


def test_a_server_that_is_full_is_tried_again_when_it_says_and_not_before() -> None:
    pacing, error = Pacing(None), _full(3.0)
    waits = [pacing.wait_s(error) for _ in range(MAX_ATTEMPTS - 1)]
    assert all(3.0 <= wait <= 3.75 for wait in waits)
    assert len(set(waits)) > 1, "those who were refused together come back together"
    with pytest.raises(ResourceExhausted):
        pacing.wait_s(error)
    with pytest.raises(ResourceExhausted):
        Pacing(None).wait_s(_full(None))


def test_who_listens_hears_of_each_wait_for_a_server_that_is_known() -> None:
    heard: list[Waiting] = []
    now, met = [0.0], Met(heard.append)
    pacing = Pacing(None, met, clock=lambda: now[0])
    pacing.wait_s(Unavailable("gone"))
    assert not heard, "a server that never answered is soon given up"
    pacing.progress()
    first = pacing.wait_s(Unavailable("gone"))
    now[0] += 2.0
    second = pacing.wait_s(Unavailable("gone"))
    full = pacing.wait_s(_full(3.0))
    assert heard == [
        Waiting("UNAVAILABLE", "gone", first, RESTART_S),
        Waiting("UNAVAILABLE", "gone", second, RESTART_S - 2.0),
        Waiting("RESOURCE_EXHAUSTED", "full", full),
    ]
    bounded = Pacing(5.0, met, clock=lambda: now[0])
    bounded.wait_s(Unavailable("gone"))
    assert heard[-1].most_s == 5.0, "the call's own deadline comes first"


def _full(retry_after_s: float | None) -> ResourceExhausted:
    error = ResourceExhausted("full")
    error.retry_after_s = retry_after_s
    return error


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
