"""Who chooses what: figures made by hand."""

from dataclasses import replace

import numpy as np

from icecore.probes.choosing import choose
from icecore.probes.cross_validation import INNER_FOLDS, OUTER_FOLDS, Folds, Judgement, judge
from icecore.probes.linear_probe import ProbeKind

N = 10
FOLDS = Folds(np.arange(N) % OUTER_FOLDS, (np.arange(N - 2) % INNER_FOLDS,) * OUTER_FOLDS)

FIRST_KEPT = Folds(
    np.where(np.arange(N) == 0, -1, FOLDS.outer),
    (np.arange(N - 1) % INNER_FOLDS, *FOLDS.inner[1:]),
)
"""As above, but row 0 is in no outer fold."""


def seen(inner: list[int], outer: list[int], loss: tuple[float, ...] = (0.0, 0.0)) -> Judgement:
    """The same in each fold: for each C, inner predictions right of 8, and outer ones of 10.

    All outer predictions of the i-th C are class i.
    """
    inner_right = np.zeros((OUTER_FOLDS, len(inner), N), np.bool_)
    for fold in range(OUTER_FOLDS):
        rows = np.flatnonzero(FOLDS.outer != fold)
        for i, count in enumerate(inner):
            inner_right[fold, i, rows[:count]] = True
    return Judgement(
        inner_right=inner_right,
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
    layers = {"a": seen([8, 1], [3, 9]), "b": seen([5, 1], [7, 2])}
    choice = choose(layers, FOLDS)
    assert choice.right.sum() == 3, "a, by 8 to 5 inside"
    assert choice.key_of == ("a",) * OUTER_FOLDS
    assert choice.key == "b", "on all data by 7 to 3, C chosen inside"
    assert choice.C_of == {"a": 1, "b": 0}


def test_predictions_told_are_those_judged() -> None:
    layers = {"a": seen([1, 8], [3, 9]), "b": seen([5, 1], [10, 2])}
    choice = choose(layers, FIRST_KEPT)
    assert choice.predicted.tolist() == [-1] + [1] * 9, "the second C of a; row 0 is in no fold"


def test_equal_cs_are_told_apart_by_loss() -> None:
    choice = choose({"a": seen([8, 8], [6, 5], (2.0, 1.0))}, FOLDS)
    assert choice.right.sum() == 5, "the second C of a, by its loss"


def test_true_equals_go_to_the_smaller_c_and_the_earlier_layer() -> None:
    choice = choose({"a": seen([8, 8], [6, 6]), "b": seen([8, 8], [6, 6])}, FOLDS)
    assert (choice.key, choice.C_of["b"]) == ("a", 0)


def test_rows_never_held_out_do_not_count() -> None:
    choice = choose({"a": seen([8, 1], [3, 9])}, FIRST_KEPT)
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


def test_rows_in_no_inner_fold_do_not_count_as_wrong() -> None:
    """Two layers differ in one inner answer of few: with rows that were never asked counted
    in, the difference would look smaller beside its error."""
    inner = tuple(
        np.where(np.arange(N - 2) < 4, np.arange(N - 2) % INNER_FOLDS, -1) for _ in range(5)
    )
    folds = Folds(FOLDS.outer, inner)
    asked = seen([4], [5])
    one, two = (np.zeros((OUTER_FOLDS, 1, N), np.bool_) for _ in range(2))
    for fold in range(OUTER_FOLDS):
        rows = np.flatnonzero(FOLDS.outer != fold)
        two[fold, 0, rows[:4]] = True
        one[fold, 0, rows[4:]] = True  # never asked
    layers = {
        "first": replace(asked, inner_right=one),
        "second": replace(asked, inner_right=two),
    }
    assert choose(layers, folds).key_of == ("second",) * OUTER_FOLDS
