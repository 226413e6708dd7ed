"""Who chooses what: figures made by hand."""

import numpy as np

from icecore.probes.choosing import choose
from icecore.probes.cross_validation import INNER_FOLDS, OUTER_FOLDS, Folds, Judgement, judge
from icecore.probes.linear_probe import ProbeKind

N = 10
FOLDS = Folds(np.arange(N) % OUTER_FOLDS, (np.arange(N - 2) % INNER_FOLDS,) * OUTER_FOLDS)


def seen(inner: list[int], outer: list[int], loss: tuple[float, ...] = (0.0, 0.0)) -> Judgement:
    """The same in each fold: for each C, inner predictions right, and outer ones right of 10.

    All outer predictions of the i-th C are class i.
    """
    return Judgement(
        inner_right=np.tile(inner, (OUTER_FOLDS, 1)),
        inner_loss=np.tile(loss, (OUTER_FOLDS, 1)),
        outer_predicted=np.tile(np.arange(len(outer))[:, None], N),
        outer_right=np.arange(N) < np.array(outer)[:, None],
        outer_loss=np.tile(loss, (OUTER_FOLDS, 1)),
    )


def test_inner_folds_choose_the_c_that_outer_folds_judge() -> None:
    choice = choose({"a": seen(inner=[8, 1], outer=[3, 9])}, FOLDS)
    assert choice.right_of["a"].sum() == choice.right.sum() == 3
    assert choice.C_of == {"a": 1}, "on all data the outer folds choose it"


def test_inner_folds_choose_the_layer_that_outer_folds_judge() -> None:
    layers = {"a": seen([8, 1], [3, 9]), "b": seen([7, 1], [6, 2])}
    choice = choose(layers, FOLDS)
    assert choice.right.sum() == 3, "a, by 8 to 7 inside"
    assert choice.key == "b", "on all data by 6 to 3, C chosen inside"
    assert choice.C_of == {"a": 1, "b": 0}


def test_predictions_told_are_those_judged() -> None:
    layers = {"a": seen([1, 8], [3, 9]), "b": seen([7, 1], [10, 2])}
    outer = FOLDS.outer.copy()
    outer[0] = -1
    choice = choose(layers, Folds(outer, FOLDS.inner))
    assert choice.predicted.tolist() == [-1] + [1] * 9, "the second C of a; row 0 is in no fold"


def test_equals_are_told_apart_by_loss() -> None:
    layers = {"a": seen([8, 8], [6, 5], (2.0, 1.0)), "b": seen([8, 8], [5, 5], (3.0, 3.0))}
    choice = choose(layers, FOLDS)
    assert choice.right.sum() == 5, "the second C of a, by its loss"
    assert choice.key == "a", "of equal layers, by loss"


def test_true_equals_go_to_the_smaller_c_and_the_later_layer() -> None:
    choice = choose({"a": seen([8, 8], [6, 6]), "b": seen([8, 8], [6, 6])}, FOLDS)
    assert (choice.key, choice.C_of["b"]) == ("b", 0)


def test_rows_never_held_out_do_not_count() -> None:
    outer = FOLDS.outer.copy()
    outer[0] = -1
    choice = choose({"a": seen([8, 1], [3, 9])}, Folds(outer, FOLDS.inner))
    assert (len(choice.right), choice.right.sum()) == (9, 2)


def test_inner_folds_do_not_train_on_what_they_hold_out() -> None:
    """Wide codes of noise: a probe knows all it was trained on, and nothing else."""
    random = np.random.default_rng(0)
    codes = random.normal(size=(80, 200)).astype(np.float32)
    y = random.permutation(np.arange(80) % 2)
    folds = Folds.of(y, np.arange(80), 0)
    found = judge(codes, y, 2, folds, kind=ProbeKind.SVM, Cs=(1.0,), on_fold=lambda: None)
    # 5 x 64 predictions, of 80 images: chance is .5, its standard error about .05.
    assert found.inner_right.sum() / (5 * 64) < 0.7
    assert found.outer_right.mean() < 0.7
