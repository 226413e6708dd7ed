"""How many queries may wait, and when those sent away may come again."""

import asyncio
from contextlib import ExitStack, suppress

import pytest

from icecore.server.errors import Overloaded
from icecore.server.search.bounds import Bounds


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_tenant_that_is_full_refuses_no_other() -> None:
    bounds = Bounds(10)
    with ExitStack() as waiting:
        for _ in range(10):
            waiting.enter_context(bounds.place("greedy", 1))
        with pytest.raises(Overloaded, match="10 queries of this tenant's searches are waiting"):
            waiting.enter_context(bounds.place("greedy", 1))
        waiting.enter_context(bounds.place("other", 1))
    with bounds.place("greedy", 1):
        pass
    assert bounds._tenants == {}


def test_large_searches_count_by_their_queries() -> None:
    bounds = Bounds(10)
    with bounds.place("t", 100), pytest.raises(Overloaded), bounds.place("t", 1):
        pass  # nobody was before the first
    with bounds.place("t", 9), bounds.place("t", 100):
        pass


def test_who_is_refused_is_told_when_half_of_what_waits_is_done() -> None:
    clock = Clock()
    bounds = Bounds(100, clock=clock)
    with bounds.place("t", 10):
        clock.now += 1.0
    with bounds.place("t", 100), pytest.raises(Overloaded) as caught, bounds.place("t", 1):
        pass
    assert caught.value.retry_after_s == pytest.approx(0.1 * 100 / 2)


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
def test_only_a_search_that_ends_well_says_how_long_one_takes(error: type[BaseException]) -> None:
    """One that fails at once or whose caller left is not a fast one."""
    clock = Clock()
    bounds = Bounds(100, clock=clock)
    with bounds.place("t", 10):
        clock.now += 1.0
    for _ in range(100):
        with suppress(error), bounds.place("t", 10):
            raise error
    with bounds.place("t", 100), pytest.raises(Overloaded) as caught, bounds.place("t", 1):
        pass
    assert caught.value.retry_after_s == pytest.approx(0.1 * 100 / 2)
    assert bounds._tenants == {}


@pytest.mark.parametrize(("stay_s", "said_s"), [(1e-6, 0.05), (1e6, 30.0), (None, 1.0)])
def test_the_time_said_is_within_reason(stay_s: float | None, said_s: float) -> None:
    clock = Clock()
    bounds = Bounds(1, clock=clock)
    if stay_s is not None:
        with bounds.place("t", 1):
            clock.now += stay_s
    with bounds.place("t", 1), pytest.raises(Overloaded) as caught, bounds.place("t", 1):
        pass
    assert caught.value.retry_after_s == said_s
