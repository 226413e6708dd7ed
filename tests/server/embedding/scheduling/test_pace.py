"""The pace of the house, and each tenant's part of it, as they are found out."""

import pytest

from icecore.server.embedding.scheduling.pace import Pace


def test_the_speed_is_found_from_pieces_that_end() -> None:
    """Two threads on a core and a half: 30 ms of work end every 20 ms."""
    pace = Pace(2.0, memory_s=0.5)
    for number in range(200):
        pace.served(30.0, number * 0.02, is_full=True)
    assert pace.speed == pytest.approx(1.5, rel=1e-3)


def test_the_speed_does_not_depend_on_how_work_is_cut() -> None:
    """Ends that come in pairs, as two threads in step give, are the same work."""
    pace = Pace(1.0, memory_s=0.5)
    for number in range(200):
        pace.served(30.0, number * 0.04, is_full=True)
        pace.served(30.0, number * 0.04 + 1e-4, is_full=True)
    assert pace.speed == pytest.approx(1.5, rel=0.1)


def test_while_threads_have_nothing_to_do_nothing_is_learned() -> None:
    pace = Pace(2.0, memory_s=0.5)
    for number in range(100):
        pace.served(30.0, number * 10.0, is_full=False)
    pace.served(30.0, 1001.0, is_full=True)
    assert pace.speed == 2.0


def test_a_part_is_the_weight_beside_those_of_who_is_there() -> None:
    pace = Pace(3.0, memory_s=0.5)
    pace.enter(1.0, 0.0)
    part = pace.enter(2.0, 0.0)
    assert pace.of(part, 0.0) == pytest.approx(3.0 * 2 / 3)
    pace.enter(1.0, 10.0)
    assert pace.of(part, 10.0) == pytest.approx(2.0), "it changes with time, not at once"
    assert pace.of(part, 15.0) == pytest.approx(1.5, rel=1e-3)


def test_beside_one_who_comes_and_goes_a_part_is_the_mean() -> None:
    """Half of the time alone, half of it beside another: three quarters."""
    pace = Pace(1.0, memory_s=0.5)
    part = pace.enter(1.0, 0.0)
    for number in range(200):
        other = pace.enter(1.0, number * 0.02)
        pace.leave(other, number * 0.02 + 0.01)
        pace.of(part, number * 0.02 + 0.013)
    assert pace.of(part, 4.0) == pytest.approx(0.75, abs=0.01)


def test_who_is_alone_again_soon_has_all() -> None:
    pace = Pace(1.0, memory_s=0.5)
    part, other = pace.enter(1.0, 0.0), pace.enter(1.0, 0.0)
    pace.leave(other, 5.0)
    assert pace.of(part, 5.0) == pytest.approx(0.5, abs=0.01)
    assert pace.of(part, 7.5) == pytest.approx(1.0, abs=0.01)


def test_an_empty_house_forgets_its_weights() -> None:
    pace = Pace(1.0, memory_s=0.5)
    parts = [pace.enter(0.1 * number, 0.0) for number in range(1, 10)]
    for part in parts:
        pace.leave(part, 1.0)
    assert pace.of(pace.enter(1.0, 2.0), 2.0) == 1.0
