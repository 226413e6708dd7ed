"""Quotas at work: what is taken, what is refused, what is counted."""

import random
from contextlib import ExitStack

import pytest

from icecore.server.embedding.scheduling.allowances import Allowances
from icecore.server.errors import (
    ImageInvalid,
    ImagesInFlightExceeded,
    Overloaded,
    RateLimited,
    ShuttingDown,
)
from icecore.server.quotas import NO_LIMITS, Quota, Used


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_without_a_quota_everything_is_taken_and_counted(clock: Clock) -> None:
    allowances = Allowances(clock=clock)
    for _ in range(100):
        with allowances.take("a", 1000):
            assert allowances.used("a").n_images_in_flight == 1000
            allowances.done(allowances.account("a"), n_images=1000, n_cached=10, cpu_s=0.5)
    assert allowances.used("a") == Used(100_000, 1000, 0, 50.0, 0)
    assert allowances.used("b") == Used()
    assert (allowances.quota("a"), allowances.weight("a")) == (NO_LIMITS, 1.0)


def test_images_in_flight_are_bounded_over_all_calls(clock: Clock) -> None:
    allowances = Allowances({"a": Quota(max_images_in_flight=10)}, clock=clock)
    with ExitStack() as calls:
        for n_images in (3, 3, 4):
            calls.enter_context(allowances.take("a", n_images))
        with (
            pytest.raises(ImagesInFlightExceeded, match="10 images are in hand and 1 more") as said,
            allowances.take("a", 1),
        ):
            pass
        assert said.value.retry_after_s is not None
        with allowances.take("b", 1000):
            pass
    with allowances.take("a", 10):
        pass
    assert allowances.used("a").n_rejected_images == 1


def test_a_call_that_can_never_be_taken_is_told_so(clock: Clock) -> None:
    allowances = Allowances({"a": Quota(max_images_in_flight=10)}, clock=clock)
    with (
        pytest.raises(ImagesInFlightExceeded, match=r"11 images.*never.*fewer") as said,
        allowances.take("a", 11),
    ):
        pass
    assert said.value.retry_after_s is None
    assert allowances.used("a").n_rejected_images == 11


def test_a_rate_is_over_all_calls_and_says_when_to_come_again(clock: Clock) -> None:
    allowances = Allowances({"a": Quota(images_per_second=10, burst_images=4)}, clock=clock)
    for _ in range(2):
        with allowances.take("a", 2):
            pass
    with pytest.raises(RateLimited, match="10 a second") as said, allowances.take("a", 1):
        pass
    assert said.value.retry_after_s == pytest.approx(0.1)
    with allowances.take("b", 100):
        pass
    clock.now += 0.1
    with allowances.take("a", 1):
        pass
    assert allowances.used("a").n_rejected_images == 1


def test_what_is_refused_for_images_in_flight_does_not_count_against_the_rate(
    clock: Clock,
) -> None:
    quota = Quota(images_per_second=1, burst_images=4, max_images_in_flight=2)
    allowances = Allowances({"a": quota}, clock=clock)
    with allowances.take("a", 2):
        for _ in range(50):
            with pytest.raises(ImagesInFlightExceeded), allowances.take("a", 2):
                pass
    with allowances.take("a", 2):
        pass


@pytest.mark.parametrize("error", [Overloaded("full", retry_after_s=1.0), ShuttingDown("ending")])
def test_what_the_server_has_no_room_for_does_not_count_against_the_rate(
    clock: Clock, error: Exception
) -> None:
    allowances = Allowances({"a": Quota(images_per_second=1, burst_images=4)}, clock=clock)
    for _ in range(20):
        with pytest.raises(type(error)), allowances.take("a", 4):
            raise error
    with allowances.take("a", 4):
        pass
    assert allowances.used("a").n_rejected_images == 80


def test_a_bad_image_counts_against_the_rate(clock: Clock) -> None:
    allowances = Allowances({"a": Quota(images_per_second=1, burst_images=4)}, clock=clock)
    with pytest.raises(ImageInvalid), allowances.take("a", 4):
        raise ImageInvalid("it was looked at")
    with pytest.raises(RateLimited), allowances.take("a", 1):
        pass


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_left_in_flight_however_calls_end(seed: int, clock: Clock) -> None:
    chosen = random.Random(seed)
    quota = Quota(images_per_second=500, burst_images=50, max_images_in_flight=64)
    allowances = Allowances({"a": quota}, clock=clock)
    held: list[ExitStack] = []
    n_in_flight = 0
    sizes: list[int] = []
    for _ in range(500):
        clock.now += chosen.uniform(0, 0.1)
        if held and chosen.random() < 0.5:
            at = chosen.randrange(len(held))
            held.pop(at).close()
            n_in_flight -= sizes.pop(at)
        else:
            call, n = ExitStack(), chosen.randrange(1, 80)
            try:
                call.enter_context(allowances.take("a", n))
            except (RateLimited, ImagesInFlightExceeded):
                continue
            held.append(call)
            sizes.append(n)
            n_in_flight += n
        assert allowances.used("a").n_images_in_flight == n_in_flight <= 64
    for call in held:
        call.close()
    assert allowances.used("a").n_images_in_flight == 0


def test_another_quota_holds_from_the_next_call_on(clock: Clock) -> None:
    allowances = Allowances(clock=clock)
    with allowances.take("a", 8):
        allowances.set("a", Quota(max_images_in_flight=8, weight=3.0))
        assert allowances.weight("a") == 3.0
        with pytest.raises(ImagesInFlightExceeded), allowances.take("a", 1):
            pass
        allowances.set("a", NO_LIMITS)
        with allowances.take("a", 1):
            pass
    assert allowances.used("a").n_images_in_flight == 0


def test_setting_the_same_quota_again_gives_no_new_burst(clock: Clock) -> None:
    quota = Quota(images_per_second=1, burst_images=4)
    allowances = Allowances({"a": quota}, clock=clock)
    with allowances.take("a", 4):
        pass
    allowances.set("a", quota)
    with pytest.raises(RateLimited), allowances.take("a", 1):
        pass


def test_a_tenant_made_anew_begins_anew(clock: Clock) -> None:
    allowances = Allowances({"a": Quota(images_per_second=1, burst_images=4)}, clock=clock)
    with allowances.take("a", 4):
        allowances.forget("a")
        assert allowances.used("a") == Used()
        assert allowances.quota("a") == NO_LIMITS
        with allowances.take("a", 100):
            pass
    assert allowances.used("a").n_images_in_flight == 0, "what ends late is the old one's"


def test_nobody_is_held_to_nothing(clock: Clock) -> None:
    allowances = Allowances(clock=clock)
    with allowances.take("", 10**6):
        allowances.done(allowances.account(""), n_images=10**6)
    assert allowances.used("") == Used()


def test_who_waits_for_images_in_flight_is_told_how_long_they_take(clock: Clock) -> None:
    """No promise, but no busy circle either: about as long as the tenant's calls lately."""
    allowances = Allowances({"a": Quota(max_images_in_flight=1)}, clock=clock)
    for _ in range(100):
        with allowances.take("a", 1):
            clock.now += 2.0
    with allowances.take("a", 1):
        with pytest.raises(ImagesInFlightExceeded) as said, allowances.take("a", 1):
            pass
        assert said.value.retry_after_s == pytest.approx(2.0, rel=0.01)


def test_a_call_of_a_deleted_tenant_is_not_counted_for_the_next_of_its_name() -> None:
    allowances = Allowances()
    with allowances.take("a", 5):
        account = allowances.account("a")
        allowances.forget("a")
        allowances.done(account, n_images=5, cpu_s=1.0)
    assert allowances.used("a") == Used()
