"""When one who was not let in may come again, by a clock that stands still."""

from contextlib import suppress

import pytest

from icecore.server.stays import Stays


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_it_is_when_the_oldest_has_stayed_as_long_as_they_do(clock: Clock) -> None:
    stays = Stays(10.0, clock=clock)
    with stays.one():
        clock.now += 3.0
        with stays.one():
            clock.now += 1.0
            assert stays.next_leaves_s == 6.0


def test_how_long_they_stay_is_learned_also_from_what_fails(clock: Clock) -> None:
    stays = Stays(10.0, clock=clock)
    for _ in range(50):
        with suppress(OSError), stays.one():
            clock.now += 30.0
            raise OSError
    with stays.one():
        assert stays.next_leaves_s == pytest.approx(30.0, abs=0.01)


@pytest.mark.parametrize(("first_s", "passed_s", "said_s"), [(10, 100, 1), (1000, 1, 60)])
def test_the_time_said_is_within_reason(
    clock: Clock, first_s: float, passed_s: float, said_s: float
) -> None:
    stays = Stays(first_s, clock=clock)
    with stays.one():
        clock.now += passed_s
        assert stays.next_leaves_s == said_s
