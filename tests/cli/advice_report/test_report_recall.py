"""The range of a class's recall is the one that the server would give."""

import numpy as np
import pytest

import advices
from icecore.cli.advice_report.words.recall_range import recall
from icecore.client import Accuracy
from icecore.probes.intervals import held_out_accuracy


@pytest.mark.parametrize(("right", "of"), [(0, 3), (1, 1), (18, 22), (59, 60), (500, 1000)])
def test_the_range_is_the_servers_where_no_image_is_a_copy(right: int, of: int) -> None:
    is_right = np.arange(of) < right
    theirs = held_out_accuracy(is_right, np.arange(of), n_folds=5)
    found = recall(advices.blood(), "eosinophil", right, of)
    assert found is not None
    ours = (found.estimate, found.low, found.high)
    # Both are a few operations in float64.
    assert ours == pytest.approx((theirs.estimate, theirs.low, theirs.high), abs=1e-12)


def test_copies_widen_the_range() -> None:
    alone = recall(advices.blood(), "eosinophil", 18, 22)
    copied = recall(advices.blood(n_different_images=91), "eosinophil", 18, 22)
    assert alone is not None
    assert copied is not None
    assert copied.low < alone.low
    assert alone.high < copied.high


def test_a_range_that_came_with_the_advice_is_taken_and_none_is_made_of_no_image() -> None:
    assert recall(advices.blood(), "monocyte", 38, 48) == Accuracy(0.792, 0.61, 0.903)
    assert recall(advices.blood(), "eosinophil", 0, 0) is None
