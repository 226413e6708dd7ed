"""Contestants answer for the same images in the same folds."""

from dataclasses import replace

import numpy as np

from icecore.probes.advising.contest import Contest
from icecore.probes.choosing import choose
from icecore.probes.cross_validation import judge
from icecore.probes.linear_probe import ProbeKind
from labelled import clouds

CS = (1e-3, 1e-1)


def test_answers_are_those_of_a_training() -> None:
    """The first deal is the training's, and layer and C are chosen inside."""
    codes, y = clouds(60, 12, 3, separation=0.4)
    layers = {"a": codes, "b": codes[:, :4]}
    contest = Contest.of(y, np.arange(60), seed=5)
    folds = contest.deals[0]
    judgements = {
        key: judge(each, y, 3, folds, kind=ProbeKind.SVM, Cs=CS, on_fold=lambda: None)
        for key, each in layers.items()
    }
    right = choose(judgements, folds).right
    assert 0.3 < right.mean() < 1.0, "or the test says nothing"
    answers = contest.answers(layers, kind=ProbeKind.SVM, Cs=CS)
    np.testing.assert_array_equal(answers, right.astype(float))


def test_several_deals_give_shares() -> None:
    codes, y = clouds(40, 6, 2, separation=0.3)
    contest = Contest.of(y, np.arange(40), seed=0, n_deals=3)
    answers = contest.answers({"a": codes}, kind=ProbeKind.SOFTMAX, Cs=CS)
    assert set(np.round(answers * 3)) == set(answers * 3) >= {0.0, 3.0}
    alone = [
        Contest.of(y, np.arange(40), seed=seed).answers({"a": codes}, kind=ProbeKind.SOFTMAX, Cs=CS)
        for seed in range(3)
    ]
    np.testing.assert_allclose(answers, np.mean(alone, axis=0), rtol=1e-12)


def test_images_never_held_out_are_not_answered_for() -> None:
    """A class of two groups keeps one of them, two copies, out of some deals' folds or of all."""
    codes, y = clouds(42, 6, 2, separation=0.3)
    y = np.concatenate([y[:-2], [2, 2]])
    groups = np.concatenate([np.arange(40), [40, 40]])
    contest = Contest.of(y, groups, seed=0)
    answers = contest.answers({"a": codes}, kind=ProbeKind.SVM, Cs=CS)
    assert contest.held.tolist() == [True] * 40 + [False] * 2
    assert len(answers) == len(contest.majority()) == 40
    many = Contest.of(y, groups, seed=0, n_deals=4).answers({"a": codes}, kind=ProbeKind.SVM, Cs=CS)
    assert np.isfinite(many).all()


def test_a_deal_that_never_held_an_image_out_does_not_count() -> None:
    codes, y = clouds(12, 3, 2)
    held = np.array([True] * 3 + [False] * 9)
    contest = replace(Contest.of(y, np.arange(12), seed=0), held=held)
    folds = contest.deals[0]
    seen = judge(codes, y, 2, folds, kind=ProbeKind.SVM, Cs=CS, on_fold=lambda: None)
    choice = choose({"a": seen}, folds)
    choices = [
        replace(choice, predicted=np.array([*first, *[-1] * 9]))
        for first in ([0, 1, -1], [0, 0, 0])
    ]
    np.testing.assert_array_equal(contest.answers_of(choices), [1.0, 0.5, 1.0])


def test_the_majority_is_the_largest_class() -> None:
    y = np.array([0, 1, 1, 2, 1, 0, 2, 1, 0, 0, 1])
    answers = Contest.of(y, np.arange(11), seed=0).majority()
    np.testing.assert_array_equal(answers, y == 1)
