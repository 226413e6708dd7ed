"""Which layer held-out answers prefer: figures made by hand, and what is known of noise."""

import numpy as np

from icecore.probes.preferring import Places, preferred


def answers(*right: int, n: int = 100) -> np.ndarray:
    """One row a layer, the first so many of n right: the answers of all are paired."""
    return np.arange(n) < np.array(right)[:, None]


def test_a_clearly_better_layer_is_preferred_wherever_it_stands() -> None:
    losses = np.zeros(3)
    assert preferred(answers(50, 90, 60), losses, None) == 1
    assert preferred(answers(90, 50, 60), losses, None) == 0
    assert preferred(answers(50, 60, 90), losses, None) == 2


def test_within_half_a_standard_error_the_earlier_layer_is_preferred() -> None:
    losses = np.zeros(2)
    assert preferred(answers(90, 90), losses, None) == 0
    assert preferred(answers(89, 90), losses, None) == 1, ".01 less, standard error .01"
    # As much less, but by answers that differ more: standard error .046.
    two = np.roll(answers(90)[0], 12)
    one = answers(89)[0]
    assert (one & ~two).sum() > 8
    assert preferred(np.stack([one, two]), losses, None) == 0


def test_equal_layers_are_measured_against_the_one_of_smaller_loss() -> None:
    random = np.random.default_rng(0)
    rows = np.stack([random.permutation(answers(80)[0]) for _ in range(3)])
    assert preferred(rows, np.array([3.0, 2.0, 1.0]), None) == 0, "all within its error"


def test_neighbours_tell_a_lucky_layer_from_a_good_one() -> None:
    """Of forty layers, the truth rises to depth 20 and falls; the chosen one is nearer to it.

    60 images, seeds 0..39: the mean distance to depth 20 by single answers is above 4 layers.
    """
    depth = np.arange(40)
    truth = 0.9 - 0.002 * np.abs(depth - 20) ** 1.5
    places = Places((depth + 1) / 40, np.ones(40))
    with_neighbours: list[float] = []
    alone: list[float] = []
    for seed in range(40):
        random = np.random.default_rng(seed)
        right = random.random((40, 60)) < truth[:, None]
        for found, at in ((with_neighbours, places), (alone, None)):
            place = preferred(right, -right.sum(axis=1).astype(float), at)
            found.append(truth[20] - truth[place])
    assert np.mean(with_neighbours) < 0.5 * np.mean(alone)
    assert np.mean(with_neighbours) < 0.03


def test_layers_far_apart_lend_each_other_nothing() -> None:
    right = answers(20, 90, 20)
    assert preferred(right, np.zeros(3), Places(np.array([1 / 3, 2 / 3, 1.0]), np.ones(3))) == 1


def test_no_answers_prefer_the_first() -> None:
    assert preferred(np.zeros((2, 0), np.bool_), np.zeros(2), None) == 0


def test_a_narrow_layer_among_wide_ones_is_not_taken_for_them() -> None:
    """As in SqueezeNet: every second layer is an eighth as wide, and much worse."""
    right = answers(*(50, 80) * 6)
    places = Places(np.arange(1, 13) / 12, np.array([32.0, 256.0] * 6))
    assert preferred(right, np.zeros(12), places) == 1, "the first of the wide ones"
    alike = Places(places.depths, np.ones(12))
    assert preferred(right, np.zeros(12), alike) != 1, "or this says nothing"


def test_what_has_no_depth_is_preferred_where_it_is_surely_better_only() -> None:
    """The last row has no depth. One image more, and none less, may be chance."""
    places = Places.of([0.5, 1.0, None], [8, 8, 8])
    losses = np.array([1.0, 1.0, 0.0])
    assert preferred(answers(60, 80, 80), losses, places) == 1
    assert preferred(answers(60, 80, 81), losses, places) == 1
    assert preferred(answers(60, 80, 82), losses, places) == 2
    # Five more in all, but by answers that differ on more than 25 images.
    other = np.roll(answers(85)[0], 15)
    right = np.vstack([answers(60, 80), other])
    assert np.count_nonzero(right[1] ^ other) > 25
    assert preferred(right, losses, places) == 1


def test_what_has_no_depth_does_not_change_which_layer_is_preferred() -> None:
    """Its answers are not averaged: beside them many a layer would be within its error."""
    for seed in range(20):
        random = np.random.default_rng(seed)
        right = random.random((12, 80)) < np.linspace(0.6, 0.8, 12)[:, None]
        losses = -right.sum(axis=1).astype(float)
        depths = [(place + 1) / 12 for place in range(12)]
        alone = preferred(right, losses, Places.of(depths, [8] * 12))
        luckiest = right[alone].copy()
        wrong = np.flatnonzero(~luckiest)
        luckiest[wrong[:4]] = True
        luckiest[np.flatnonzero(luckiest)[:4]] = False
        beside = np.vstack([right, luckiest])
        places = Places.of([*depths, None], [8] * 13)
        assert preferred(beside, np.append(losses, -1e9), places) == alone


def test_of_two_without_a_depth_the_better_is_preferred_and_of_equals_that_of_smaller_loss() -> (
    None
):
    places = Places.of([1.0, None, None], [8, 8, 8])
    assert preferred(answers(50, 70, 90), np.zeros(3), places) == 2
    assert preferred(answers(50, 90, 70), np.zeros(3), places) == 1
    assert preferred(answers(50, 90, 90), np.array([0.0, 2.0, 1.0]), places) == 2


def test_where_none_has_a_depth_each_stands_for_itself() -> None:
    right = answers(50, 90, 60)
    assert preferred(right, np.zeros(3), Places.of([None] * 3, [8] * 3)) == 1
    even = answers(90, 90)
    assert preferred(even, np.zeros(2), Places.of([None] * 2, [8] * 2)) == 0
