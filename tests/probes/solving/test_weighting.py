"""How much images and classes count."""

import numpy as np
import pytest

from icecore.probes.cross_validation import Folds, judge
from icecore.probes.errors import InputInvalid
from icecore.probes.fitting import fit
from icecore.probes.linear_probe import ProbeKind
from icecore.probes.solving.weighting import ALIKE, Weighting
from labelled import clouds

Y = np.array([0, 0, 0, 1, 1, 2])
CLASSES = ("ant", "bee", "cat")


def test_all_count_alike_but_those_held_out() -> None:
    images, classes = ALIKE.of_sets(Y, 3, [np.array([0, 3, 5]), np.arange(6)])
    np.testing.assert_array_equal(images, [[1, 0, 0, 1, 0, 1], [1, 1, 1, 1, 1, 1]])
    np.testing.assert_array_equal(classes, np.ones((2, 3)))


def test_each_image_counts_as_was_said() -> None:
    weighting = Weighting.of(np.arange(6.0), {"bee": 4.0}, CLASSES, 6)
    images, classes = weighting.of_sets(Y, 3, [np.array([1, 2, 4])])
    np.testing.assert_array_equal(images, [[0, 1, 2, 0, 4, 0]])
    np.testing.assert_array_equal(classes, [[1, 4, 1]])


def test_balanced_classes_weigh_alike_in_each_training_set() -> None:
    weighting = Weighting.of(np.array([1.0, 1, 4, 1, 2, 3]), "balanced", CLASSES, 6)
    images, classes = weighting.of_sets(Y, 3, [np.arange(6), np.array([0, 3, 4, 5])])
    per_class = images @ np.eye(3)[Y]
    wanted = np.array([[4.0, 4.0, 4.0], [7 / 3, 7 / 3, 7 / 3]])
    np.testing.assert_allclose(per_class * classes, wanted)


def test_balance_is_between_the_classes_that_are_there() -> None:
    weighting = Weighting.of(None, "balanced", CLASSES, 6)
    _, classes = weighting.of_sets(Y, 3, [np.array([0, 1, 2, 3])])
    np.testing.assert_allclose(classes, [[2 / 3, 2, 1]])


@pytest.mark.parametrize("kind", ProbeKind)
def test_an_image_that_counts_twice_is_one_that_is_there_twice(kind: ProbeKind) -> None:
    codes, y = clouds(40, 8, 3)
    # Standardisation counts rows: the same rows must be there in both.
    twice = np.vstack([codes, codes])
    halved = fit(twice, np.r_[y, y], 3, kind=kind, C=0.1)
    weighting = Weighting(np.repeat([2.0, 0.0], 40))
    found = fit(twice, np.r_[y, y], 3, kind=kind, C=0.1, weighting=weighting)
    np.testing.assert_allclose(found.objective, halved.objective, rtol=1e-10)


@pytest.mark.parametrize(
    ("samples", "classes", "message"),
    [
        (
            np.ones(5),
            None,
            "sample weights have shape (5,), but must be 6 numbers, finite and not negative",
        ),
        (
            np.full(6, -1.0),
            None,
            "sample weights have shape (6,), but must be 6 numbers, finite and not negative",
        ),
        (
            np.full(6, np.nan),
            None,
            "sample weights have shape (6,), but must be 6 numbers, finite and not negative",
        ),
        (None, "even", "class weight 'even' is not known: a number a class, or 'balanced'"),
        (None, {"dog": 1.0}, "class weight of 'dog', but there is no such class"),
        (None, {"ant": 0.0}, "class weight of 'ant' is 0.0, but must be above 0"),
        (None, {"ant": np.inf}, "class weight of 'ant' is inf, but must be above 0"),
    ],
)
def test_weights_that_make_no_sense_are_refused(samples, classes, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputInvalid) as raised:
        Weighting.of(samples, classes, CLASSES, 6)
    assert str(raised.value) == message


def test_a_class_without_weight_cannot_be_fitted() -> None:
    codes, y = clouds(30, 5, 3)
    weighting = Weighting((y != 1).astype(np.float64))
    with pytest.raises(InputInvalid) as raised:
        fit(codes, y, 3, kind=ProbeKind.SVM, C=1.0, weighting=weighting)
    assert str(raised.value) == "class 1 of 3 has no image of a weight above 0 to learn from"


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("weight", [1e16, 1e300])
def test_weights_too_large_for_float64_are_refused(kind: ProbeKind, weight: float) -> None:
    codes, y = clouds(40, 5, 3)
    weighting = Weighting(np.where(np.arange(40) < 3, weight, 1.0))
    with pytest.raises(InputInvalid, match="C times the weight of an image is up to 1e") as raised:
        fit(codes, y, 3, kind=kind, C=1.0, weighting=weighting)
    assert str(raised.value).endswith("but must be at most 1e+10")
    folds = Folds.of(y, np.arange(40), 0)
    with pytest.raises(InputInvalid, match="must be at most"):
        judge(
            codes,
            y,
            3,
            folds,
            kind=kind,
            Cs=(1e-3, 1.0),
            on_fold=lambda: None,
            weighting=weighting,
        )


def test_small_weights_may_go_with_a_large_c() -> None:
    codes, y = clouds(40, 5, 3)
    alike = fit(codes, y, 3, kind=ProbeKind.SVM, C=1e-2)
    weighting = Weighting(np.full(40, 1e-16))
    found = fit(codes, y, 3, kind=ProbeKind.SVM, C=1e14, weighting=weighting)
    np.testing.assert_allclose(found.objective, alike.objective, rtol=1e-9)
