"""Folds: stratified, whole groups, and every class in every training set."""

import numpy as np
import pytest

from icecore.probes.folds import NEVER_HELD_OUT, stratified_folds


def random_sets(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Unbalanced classes of two images or more, some of them copies, some torn in labels."""
    random = np.random.default_rng(seed)
    sizes = random.integers(2, 14, size=random.integers(2, 6))
    y = random.permutation(np.repeat(np.arange(len(sizes)), sizes))
    groups = np.arange(len(y))
    for _ in range(random.integers(0, len(y))):
        groups[random.integers(len(y))] = groups[random.integers(len(y))]
    return y, groups


@pytest.mark.parametrize("seed", range(60))
def test_groups_stay_whole_and_no_training_set_lacks_a_class(seed: int) -> None:
    y, groups = random_sets(seed)
    folds = stratified_folds(y, groups, 5, np.random.default_rng(seed))
    for group in np.unique(groups):
        assert len(np.unique(folds[groups == group])) == 1, f"group {group} of seed {seed}"
    for fold in range(5):
        assert set(y[folds != fold]) == set(y), f"fold {fold} of seed {seed}"


@pytest.mark.parametrize("n_folds", [2, 3, 5])
def test_single_images_are_dealt_evenly(n_folds: int) -> None:
    y = np.repeat([0, 1, 2], [17, 5, 9])
    folds = stratified_folds(y, np.arange(31), n_folds, np.random.default_rng(0))
    for label in range(3):
        dealt = np.bincount(folds[y == label], minlength=n_folds)
        assert dealt.max() - dealt.min() <= 1
    dealt = np.bincount(folds, minlength=n_folds)
    assert dealt.max() - dealt.min() <= 1


def test_a_class_of_two_is_held_out_one_at_a_time() -> None:
    y = np.array([0] * 20 + [1] * 2)
    folds = stratified_folds(y, np.arange(22), 5, np.random.default_rng(0))
    assert NEVER_HELD_OUT not in folds
    assert folds[20] != folds[21]


def test_a_class_of_one_is_always_trained_on() -> None:
    y = np.array([0] * 20 + [1])
    folds = stratified_folds(y, np.arange(21), 3, np.random.default_rng(0))
    assert folds[20] == NEVER_HELD_OUT
    assert NEVER_HELD_OUT not in folds[:20]


def test_folds_depend_on_the_generator_alone() -> None:
    y, groups = random_sets(3)
    one = stratified_folds(y, groups, 5, np.random.default_rng(7))
    two = stratified_folds(y, groups, 5, np.random.default_rng(7))
    other = stratified_folds(y, groups, 5, np.random.default_rng(8))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
