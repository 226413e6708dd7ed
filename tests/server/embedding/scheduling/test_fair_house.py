"""The laws of load, in simulated time: what one tenant notices of another, and of too much."""

from collections.abc import Sequence

import numpy as np
import pytest

from icecore.server.embedding.scheduling.pieces import Priority
from icecore.server.errors import DeadlineExceeded, Overloaded
from seen_metrics import seen
from simulated_house import Call, House

PASS_MS = 30.0
PEAK = 1e3 / PASS_MS
"""Images a second of one thread."""


def answered(calls: Sequence[Call]) -> list[float]:
    return [call.ms for call in calls if call.error is None]


def victims_p99(neighbours_rate: float, n_images: int, threads: int, seconds: float) -> float:
    """The p99 of a tenant at a fifth of the peak, beside one at so many times the peak."""
    house = House(threads=threads)
    whole = PEAK * threads
    house.poisson("victim", 0.2 * whole, until=seconds, seed=1)
    house.poisson(
        "neighbour", neighbours_rate * whole / n_images, until=seconds, seed=2, n_images=n_images
    )
    house.run()
    calls = house.of("victim")
    assert all(call.error is None for call in calls), "who asks for little is never refused"
    return float(np.percentile(answered(calls), 99))


@pytest.mark.parametrize(("threads", "n_images"), [(1, 1), (1, 100), (2, 1)])
def test_twenty_times_its_share_moves_anothers_p99_little(threads: int, n_images: int) -> None:
    """The law of fairness: at most 1.2 times what it is beside a neighbour at its share."""
    seconds = 80.0 / threads
    fair = victims_p99(0.5, n_images, threads, seconds)
    greedy = victims_p99(10.0, n_images, threads, seconds)
    assert greedy <= 1.2 * fair


@pytest.mark.parametrize(("heavy", "light"), [(1.0, 1.0), (3.0, 1.0), (1.0, 0.1)])
def test_two_who_want_all_share_the_processor_by_weight(heavy: float, light: float) -> None:
    house = House(weights={"heavy": heavy, "light": light})
    house.poisson("heavy", 3 * PEAK, until=30.0, seed=1)
    house.poisson("light", 3 * PEAK, until=30.0, seed=2)
    house.run(30.0)
    assert house.served_ms["heavy"] / house.served_ms["light"] == pytest.approx(
        heavy / light, rel=0.03
    )


def test_the_share_is_of_time_not_of_images() -> None:
    """A tenant with images of 90 ms gets a third of the images of one with images of 30."""
    house = House()
    house.poisson("dear", 3 * PEAK, until=30.0, seed=1, cost_ms=90.0)
    house.poisson("cheap", 3 * PEAK, until=30.0, seed=2, cost_ms=30.0)
    house.run(30.0)
    assert house.served_ms["dear"] == pytest.approx(house.served_ms["cheap"], rel=0.03)


def test_images_dearer_than_was_thought_are_paid_for_all_the_same() -> None:
    house = House(guess=lambda _: 10.0)
    house.poisson("dear", 3 * PEAK, until=30.0, seed=1, cost_ms=90.0)
    house.poisson("cheap", 3 * PEAK, until=30.0, seed=2, cost_ms=10.0)
    house.run(30.0)
    assert house.served_ms["dear"] == pytest.approx(house.served_ms["cheap"], rel=0.05)


def test_one_image_in_a_hundred_calls_gets_what_a_hundred_in_one_get() -> None:
    """Two tenants send ten times the peak each, cut into calls differently."""
    house = House()
    house.poisson("ones", 10 * PEAK, until=60.0, seed=1, n_images=1)
    house.poisson("hundreds", 10 * PEAK / 100, until=60.0, seed=2, n_images=100)
    house.run(60.0)
    assert house.served_ms["ones"] == pytest.approx(house.served_ms["hundreds"], rel=0.05)


def test_a_thousand_images_do_not_hold_up_ones_own_single_image() -> None:
    house = House()
    house.come("t", 1000)
    singles: list[Call] = []
    for number in range(100):
        house.at(0.5 + number / 5, lambda: singles.append(house.come("t")))
    house.run()
    assert max(answered(singles)) <= 4 * PASS_MS
    assert len(answered(singles)) == 100


def test_bulk_does_not_hold_up_ones_own_interactive_calls() -> None:
    house = House()
    for _ in range(5):
        house.come("t", 200, priority=Priority.BULK, may_wait=True)
    house.poisson("t", 0.5 * PEAK, until=20.0, seed=3)
    house.run()
    calls = [call for call in house.calls if call.n_images == 1]
    assert len(answered(calls)) == len(calls)
    assert float(np.percentile(answered(calls), 50)) <= 2 * PASS_MS
    assert all(call.error is None for call in house.calls), "and bulk comes to its end"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("speed", "error"), [(1.0, 1.0), (0.7, 0.3), (1.0, 3.0)], ids=str)
def test_at_ten_times_the_load_what_is_taken_is_done_in_time(
    threads: int, speed: float, error: float
) -> None:
    """Whatever part of their cores the threads really get, and however wrong the first guess is.

    The first seconds are for finding out; after them goodput is all there is, what is
    taken ends within the bound, and hardly anybody waits in vain.
    """
    house = House(threads=threads, speed=speed, first_ms=error * PASS_MS)
    house.poisson("t", 10 * PEAK * threads, until=20.0, seed=4)
    house.run()
    calls = [call for call in house.calls if call.came >= 5.0]
    taken = [call for call in calls if call.error is None]
    assert len(taken) >= 0.97 * 15.0 * PEAK * threads * speed
    assert float(np.percentile(answered(taken), 99)) <= 1000.0
    refused_late = [call for call in calls if call.error is not None and call.ms > 0]
    assert len(refused_late) <= 0.01 * len(calls)
    assert all(isinstance(call.error, Overloaded) for call in calls if call.error is not None)


def test_when_the_load_ends_the_queue_is_empty_within_the_bound() -> None:
    house = House()
    house.poisson("t", 10 * PEAK, until=20.0, seed=5)
    house.run()
    assert max(call.ended or 0.0 for call in house.calls) <= 20.0 + 1.0 + PASS_MS / 1e3
    assert (house.bounds.n_images, house.turns.n_waiting) == (0, 0)
    house.come("t")
    house.run()
    assert house.calls[-1].ms == pytest.approx(PASS_MS)


def test_callers_who_come_again_when_told_are_all_answered() -> None:
    """200 at once, seven times what fits: each is told a moment that holds, or nearly."""
    house = House()
    n_tries: list[int] = []

    def begin(tries: int) -> None:
        def told(call: Call) -> None:
            if call.error is None:
                n_tries.append(tries)
                return
            assert isinstance(call.error, Overloaded)
            assert call.error.retry_after_s is not None
            house.at(house.now + call.error.retry_after_s, lambda: begin(tries + 1))

        house.come("t", told=told)

    for _ in range(200):
        begin(1)
    house.run(60.0)
    assert len(n_tries) == 200
    assert house.now <= 200 * PASS_MS / 1e3 * 1.25, "and the processor was hardly ever idle"
    assert max(n_tries) <= 6


def test_nothing_expired_or_left_is_ever_started() -> None:
    """Callers with little time, and callers who change their minds, under three times the load."""
    house = House()
    random = np.random.default_rng(6)
    for number in range(3000):
        at = float(number) / (3 * PEAK)

        def come(at: float = at) -> None:
            time_left = float(random.uniform(0.01, 2.0))
            call = house.come("t", int(random.integers(1, 4)), deadline=at + time_left)
            house.at(at + float(random.uniform(0.0, 3.0)), lambda: house.leave(call))

        house.at(at, come)
    house.run()
    for call in house.calls:
        if call.started is not None and call.stay is not None:
            assert call.ended is None or call.started <= call.ended
    n_expired = sum(isinstance(call.error, DeadlineExceeded) for call in house.calls)
    assert n_expired + seen(house.metrics, "icecore_never_started_total", why="cancelled") > 100
    assert seen(house.metrics, "icecore_started_late_total") == 0
    assert (house.bounds.n_images, house.turns.n_waiting) == (0, 0)
