"""What held-out images were taken for, and which of them are shown."""

import numpy as np

from icecore.probes.advising.confusion import SHOWN_A_KIND, SHOWN_MISTAKES, Confusion, Shown


def test_held_out_images_are_counted_by_class() -> None:
    y = np.array([0, 0, 1, 1, 1, 2])
    predicted = np.array([0, 1, 1, 0, -1, 2])
    found = Confusion.of(y, predicted, 3)
    assert found.counts == ((1, 1, 0), (1, 1, 0), (0, 0, 1))
    assert all(isinstance(count, int) for row in found.counts for count in row)


def test_the_commonest_mistakes_are_shown_first_and_then_each_class_as_it_is() -> None:
    y = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    predicted = np.array([2, 1, 2, 0, 1, 0, 2, -1])
    assert Confusion.of(y, predicted, 3).shown == (
        *(Shown(0, 2), Shown(2, 2)),
        *(Shown(1, 1), Shown(5, 0)),
        *(Shown(3, 0), Shown(4, 1), Shown(6, 2)),
    )


def test_no_more_than_some_are_shown() -> None:
    random = np.random.default_rng(0)
    y, predicted = random.integers(0, 20, (2, 4000))
    found = Confusion.of(y, predicted, 20)
    wrong = [(int(y[one.row]), one.predicted) for one in found.shown if y[one.row] != one.predicted]
    assert len(wrong) == SHOWN_MISTAKES
    assert max(wrong.count(kind) for kind in wrong) == SHOWN_A_KIND
    assert len(found.shown) == SHOWN_MISTAKES + 12


def test_without_mistakes_none_is_shown() -> None:
    y = np.array([0, 1, 0, 1])
    assert Confusion.of(y, y, 2).shown == (Shown(0, 0), Shown(1, 1))
