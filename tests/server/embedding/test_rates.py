"""The rate: however images are put into calls, as many are taken."""

import random

import pytest

from icecore.server.embedding.scheduling.rates import Rate
from icecore.server.quotas import NO_LIMITS, Quota


def _taken(quota: Quota, n_a_call: int, seconds: float, *, at_once: bool = True) -> int:
    """Images taken of a caller who always has more, and waits exactly as long as told."""
    rate, now, n = Rate(quota), 0.0, 0
    while now < seconds:
        wait = rate.take(n_a_call, now)
        if wait is None:
            n += n_a_call
            now += 0.0 if at_once else 1e-3
        else:
            assert wait > 0
            now += wait
    return n


@pytest.mark.parametrize("per_second", [0.5, 3.0, 40.0, 1234.5])
@pytest.mark.parametrize("burst", [0, 1, 7, 100, 5000])
@pytest.mark.parametrize("n_a_call", [2, 9, 100, 1024])
def test_one_image_in_a_hundred_calls_is_a_hundred_in_one(
    per_second: float, burst: int, n_a_call: int
) -> None:
    """Both take the rate, but for the burst at the start and the one call at the end."""
    quota = Quota(images_per_second=per_second, burst_images=burst)
    seconds = 5000 / per_second
    singly = _taken(quota, 1, seconds)
    together = _taken(quota, n_a_call, seconds)
    assert singly == pytest.approx(per_second * seconds + quota.burst, abs=2)
    assert abs(singly - together) <= max(n_a_call, quota.burst)
    assert together <= per_second * seconds + max(n_a_call, quota.burst) + 1e-6


@pytest.mark.parametrize("seed", range(8))
def test_no_stretch_of_time_has_more_than_its_share(seed: int) -> None:
    """Whatever calls come, of any sizes: between any two of them no more than rate and burst."""
    chosen = random.Random(seed)
    quota = Quota(images_per_second=chosen.uniform(0.5, 50), burst_images=chosen.randrange(1, 60))
    rate, now = Rate(quota), chosen.uniform(0, 1e6)
    taken: list[tuple[float, int]] = []
    for _ in range(300):
        now += chosen.choice([0.0, 1e-4, 0.01, 0.3, 5.0])
        n = chosen.choice([1, 2, 5, 30, 80])
        if rate.take(n, now) is None:
            taken.append((now, n))
    assert taken
    for first in range(len(taken)):
        n = 0
        for at, more in taken[first:]:
            n += more
            since = at - taken[first][0]
            largest = max(size for _, size in taken)
            most = quota.images_per_second * (since + 1e-5) + max(quota.burst, largest)
            assert n <= most + 1e-6, (seed, since)


@pytest.mark.parametrize("seed", range(8))
def test_who_waits_as_long_as_told_is_taken_and_who_waits_less_is_not(seed: int) -> None:
    chosen = random.Random(seed)
    quota = Quota(images_per_second=chosen.uniform(0.01, 2000), burst_images=chosen.randrange(50))
    rate, now = Rate(quota), chosen.uniform(0, 1e7)
    for _ in range(200):
        n = chosen.randrange(1, 100)
        wait = rate.take(n, now)
        if wait is None:
            continue
        if wait > 1e-4:
            assert rate.take(n, now + 0.9 * wait) is not None, "and asking costs nothing"
        now += wait
        assert rate.take(n, now) is None


def test_a_burst_comes_at_once_after_a_pause_and_no_more() -> None:
    rate = Rate(Quota(images_per_second=10, burst_images=5))
    assert [rate.take(1, 100.0) for _ in range(5)] == [None] * 5
    assert rate.take(1, 100.0) == pytest.approx(0.1)
    assert rate.take(5, 100.0) == pytest.approx(0.5)
    assert rate.take(5, 100.5) is None
    assert [rate.take(1, 9000.0) for _ in range(5)] == [None] * 5
    assert rate.take(1, 9000.0) is not None, "a long pause is worth no more than a burst"


def test_more_than_the_burst_is_taken_when_nothing_is_owed_and_all_of_it_is_owed_then() -> None:
    rate = Rate(Quota(images_per_second=10, burst_images=5))
    assert rate.take(1, 0.0) is None
    assert rate.take(100, 0.0) == pytest.approx(0.1), "not while one is owed"
    assert rate.take(100, 0.1) is None
    assert rate.take(1, 0.1) == pytest.approx(9.6), "5 may be owed of 100"
    assert rate.take(100, 0.1) == pytest.approx(10.0)


def test_what_was_not_worked_on_is_given_back() -> None:
    rate = Rate(Quota(images_per_second=10, burst_images=5))
    assert rate.take(5, 0.0) is None
    rate.give_back(5)
    assert rate.take(5, 0.0) is None
    assert rate.take(1, 0.0) is not None


def test_no_rate_takes_everything() -> None:
    rate = Rate(NO_LIMITS)
    assert [rate.take(10**9, 0.0) for _ in range(3)] == [None] * 3
    rate.give_back(5)


def test_what_is_owed_stays_owed_under_another_quota() -> None:
    rate = Rate(Quota(images_per_second=10, burst_images=5))
    assert rate.take(25, 0.0) is None
    faster = rate.changed(Quota(images_per_second=100, burst_images=5), 0.5)
    assert faster.take(1, 0.5) == pytest.approx(0.16), "20 are owed, 4 may be"
    free = faster.changed(NO_LIMITS, 0.5)
    assert free.take(1, 0.5) is None
    again = free.changed(Quota(images_per_second=1), 0.5)
    assert again.take(1, 0.5) is None
