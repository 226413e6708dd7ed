"""The time left is told once it can be, and from what was done alone."""

import io

import pytest

from icecore.cli.pace import Pace, roughly
from icecore.cli.progress import working


def reached(*steps: tuple[float, float]) -> Pace:
    pace = Pace()
    for share, now in steps:
        pace.reach(share, now)
    return pace


def test_work_that_goes_evenly_takes_as_long_again_for_the_other_half() -> None:
    assert reached((0.0, 100.0), (0.25, 105.0), (0.5, 110.0)).left_s(110.0) == pytest.approx(10.0)


def test_time_goes_by_between_two_steps() -> None:
    pace = reached((0.0, 0.0), (0.5, 10.0))
    assert pace.left_s(14.0) == pytest.approx(6.0)
    assert pace.left_s(99.0) == 0.0


def test_a_wait_before_anything_is_done_does_not_count() -> None:
    """Such as that for one's turn."""
    pace = reached((0.0, 0.0), (0.0, 600.0), (0.5, 610.0))
    assert pace.left_s(610.0) == pytest.approx(10.0)


def test_what_was_done_before_one_looked_does_not_count() -> None:
    pace = reached((0.6, 0.0), (0.8, 10.0))
    assert pace.left_s(10.0) == pytest.approx(10.0)


@pytest.mark.parametrize(
    "pace", [reached(), reached((0.0, 0.0)), reached((0.0, 0.0), (0.04, 60.0)),
             reached((0.0, 0.0), (0.9, 2.9))]
)  # fmt: skip
def test_nothing_is_told_before_it_can_be(pace: Pace) -> None:
    assert pace.left_s(3.0) is None


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "a few seconds left"),
        (12.0, "about 10 s left"),
        (58.0, "about 60 s left"),
        (119.0, "about 2 min left"),
        (200.0, "about 3 min 20 s left"),
        (1000.0, "about 17 min left"),
        (9000.0, "about 2.5 h left"),
    ],
)
def test_it_is_told_no_finer_than_it_is_known(seconds: float, said: str) -> None:
    assert roughly(seconds) == said


def test_plain_lines_tell_the_time_left_of_work_without_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Clock:
        now = 50.0

        def monotonic(self) -> float:
            return self.now

    clock, stream = Clock(), io.StringIO()
    monkeypatch.setattr("icecore.cli.progress.time", clock)
    with working("judging", 1.0, stream=stream) as work:
        work.reach(0.0, "waiting")
        clock.now = 90.0
        work.reach(0.0, "waiting")
        clock.now = 100.0
        work.reach(0.25, "layers")
    assert stream.getvalue().splitlines()[:2] == [
        "judging: 0% (waiting)",
        "judging: 25% (layers), about 30 s left",
    ]
