"""Training as a whole: choices, and the estimate from folds that chose nothing."""

import time
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from icecore.probes.cross_validation import OUTER_FOLDS, Folds, judge
from icecore.probes.errors import (
    ClassesTooFew,
    ClassTooSmall,
    CodesInvalid,
    InputInvalid,
    LabelsInvalid,
    ProbesError,
)
from icecore.probes.files import to_bytes
from icecore.probes.fitting import fit
from icecore.probes.linear_probe import ProbeKind
from icecore.probes.preprocessing import Preprocessing
from icecore.probes.question import C_RANGE, DEFAULT_CS
from icecore.probes.selection import train
from icecore.probes.training import Training
from labelled import clouds, names, standardised


def noise(n: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("k", [2, 4])
def test_the_layer_that_tells_classes_apart_is_chosen(kind: ProbeKind, k: int) -> None:
    codes, y = clouds(80, 20, k, separation=3.0)
    found = train(
        {"first": noise(80, 10, 0), "good": codes, "last": noise(80, 30, 1)}, names(y), kind=kind
    )
    assert found.key == "good"
    assert found.accuracy.estimate > 0.9
    assert [trial.key for trial in found.trials] == ["first", "good", "last"]
    assert [trial.is_chosen for trial in found.trials] == [False, True, False]
    assert found.trials[1].C == found.C == found.fit.C
    assert found.C in DEFAULT_CS[kind]
    assert found.fit.gap < 1e-9
    assert (found.n_images, found.n_groups, found.seed) == (80, 80, 0)
    assert found.class_sizes == (80 // k,) * k


def test_the_chosen_layer_is_within_an_error_of_the_best_trial() -> None:
    layers = {str(d): clouds(60, d, 3, seed=d, separation=0.3)[0] for d in (4, 9, 30)}
    found = train(layers, names(np.arange(60) % 3), kind="softmax")
    best = max(trial.accuracy.estimate for trial in found.trials)
    (chosen,) = [t.accuracy.estimate for t in found.trials if t.is_chosen]
    # Of paired answers the largest standard error is 1 / sqrt(n).
    assert best - chosen <= 1.0 / np.sqrt(60)


def test_handwritten_digits_are_read() -> None:
    """scikit-learn's LogisticRegressionCV says .945 to .96 on such subsets."""
    X, y = load_digits(return_X_y=True)
    found = train({"pixels": X[:500].astype(np.float32)}, names(y[:500]), kind="softmax")
    assert 0.93 <= found.accuracy.estimate <= 0.98
    probe = found.probe("tap")
    labels = probe.predict(X[500:].astype(np.float32), tap="tap").labels
    truth = np.mean(np.array(labels) == np.array(names(y[500:])))
    assert found.accuracy.low - 0.05 <= truth <= found.accuracy.high


def test_the_estimate_is_not_flattered_by_the_choice() -> None:
    """Labels that no layer knows anything of, seeds 0..7, six layers and seven C each.

    The best of so many in its own folds is above chance (naive); folds that chose nothing are
    not: 480 images at .5 have a standard error of .023.
    """
    estimates, naive = [], []
    for seed in range(8):
        layers = {str(i): noise(60, 8, 100 * seed + i) for i in range(6)}
        labels = names(np.random.default_rng(seed).permutation(np.arange(60) % 2))
        found = train(layers, labels, kind="softmax", seed=seed)
        estimates.append(found.accuracy.estimate)
        naive.append(found.naive)
    assert np.mean(estimates) < 0.5 + 3 * 0.023
    assert np.mean(naive) > 0.55


@pytest.mark.parametrize("k", [2, 4])
def test_what_held_out_images_were_taken_for_is_told(k: int) -> None:
    codes, y = clouds(60, 12, k, separation=0.4)
    found = train({"a": codes, "b": codes[:, :9]}, names(y), kind="svm")
    assert found.predicted.shape == (60,)
    assert found.predicted.dtype == np.int64
    taken_for = np.array(found.classes)[found.predicted]
    assert np.mean(taken_for == np.array(names(y))) == found.accuracy.estimate
    assert set(taken_for) == set(names(y))
    assert 0.2 < found.accuracy.estimate < 1.0, "or this says nothing"


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("d", [6, 50])
def test_labels_of_held_out_rows_have_no_part_in_the_choice(kind: ProbeKind, d: int) -> None:
    """What an outer fold chooses by stays the same when its held-out rows get other labels."""
    codes, y = clouds(45, d, 3, separation=0.3)
    folds = Folds.of(y, np.arange(45), 0)

    def choosing(labels: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        seen = judge(codes, labels, 3, folds, kind=kind, Cs=(1e-3, 1e-1), on_fold=lambda: None)
        return [(seen.inner_right[fold], seen.inner_loss[fold]) for fold in range(OUTER_FOLDS)]

    before = choosing(y)
    for fold in range(OUTER_FOLDS):
        after = choosing(np.where(folds.outer == fold, (y + 1) % 3, y))
        np.testing.assert_array_equal(after[fold][0], before[fold][0])
        # Fits are made side by side, and one may go on for another's sake, within its gap of 1e-3.
        np.testing.assert_allclose(after[fold][1], before[fold][1], rtol=1e-6)
        changed = [not np.allclose(one[1], two[1]) for one, two in zip(before, after, strict=True)]
        assert sum(changed) == OUTER_FOLDS - 1, "the other folds train on these rows"


@pytest.mark.parametrize("kind", ProbeKind)
def test_how_many_threads_there_are_does_not_change_what_folds_see(kind: ProbeKind) -> None:
    """Forty classes: twenty training sets by threes, to the bit."""
    codes, y = clouds(160, 12, 40, separation=0.5)
    folds = Folds.of(y, np.arange(160), 0)
    one, four = (
        judge(codes, y, 40, folds, kind=kind, Cs=(1e-3,), on_fold=lambda: None, threads=threads)
        for threads in (1, 4)
    )
    np.testing.assert_array_equal(one.inner_right, four.inner_right)
    np.testing.assert_array_equal(one.outer_predicted, four.outer_predicted)
    np.testing.assert_array_equal(one.inner_loss, four.inner_loss)
    np.testing.assert_array_equal(one.outer_loss, four.outer_loss)


@pytest.mark.parametrize("kind", ProbeKind)
def test_fits_of_folds_are_fits_of_their_rows(kind: ProbeKind) -> None:
    """A fold's probe is that of its training rows alone, standardised as all rows are."""
    codes, y = clouds(60, 8, 3, separation=0.3)
    X = standardised(codes)
    folds = Folds.of(y, np.arange(60), 0)
    seen = judge(codes, y, 3, folds, kind=kind, Cs=(1e-2,), on_fold=lambda: None)
    taken_for = np.empty(60, np.int64)
    for fold in range(OUTER_FOLDS):
        held = folds.outer == fold
        model = (
            LinearSVC(C=1e-2, tol=1e-9, dual=False, max_iter=100_000)
            if kind is ProbeKind.SVM
            else LogisticRegression(C=1e-2, solver="newton-cg", tol=1e-9, max_iter=1000)
        )
        taken_for[held] = model.fit(X[~held], y[~held]).predict(X[held])
    assert np.mean(taken_for == seen.outer_predicted[0]) > 0.96, "choosing stops at a gap of 1e-3"


def test_the_same_arguments_give_the_same_bytes() -> None:
    codes, y = clouds(50, 12, 3, separation=0.3)

    def bytes_of(seed: int) -> tuple[bytes, Training]:
        found = train({"a": codes, "b": noise(50, 5, 0)}, names(y), kind="svm", seed=seed)
        return to_bytes(found.probe("tap")), found

    one, two = bytes_of(3), bytes_of(3)
    assert one[0] == two[0]
    assert one[1].accuracy == two[1].accuracy
    assert one[1].trials == two[1].trials


def test_copies_of_an_image_do_not_help_it() -> None:
    """Each noise image four times: without groups its copies give it away."""
    codes = np.repeat(noise(30, 40, 0), 4, axis=0)
    labels = [name for name in names(np.arange(30) % 2) for _ in range(4)]
    groups = [str(i // 4) for i in range(120)]
    grouped = train({"a": codes}, labels, kind="softmax", groups=groups)
    torn = train({"a": codes}, labels, kind="softmax")
    assert torn.accuracy.estimate > 0.95
    assert grouped.accuracy.low <= 0.5
    assert grouped.n_groups == 30


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("sizes", [(2, 2), (2, 30), (2, 2, 2), (3, 2, 40)])
def test_a_class_of_two_images_is_enough(kind: ProbeKind, sizes: tuple[int, ...]) -> None:
    y = np.repeat(np.arange(len(sizes)), sizes)
    codes = (noise(len(y), 6, 0) + 10 * np.eye(6)[y]).astype(np.float32)
    found = train({"a": codes, "b": codes + 1}, names(y), kind=kind)
    assert found.probe("tap").predict(codes + (found.key == "b"), tap="tap").labels == tuple(
        names(y)
    )
    assert found.class_sizes == sizes


def test_a_single_layer_and_a_single_c_leave_nothing_to_choose() -> None:
    codes, y = clouds(40, 5, 2)
    plain = [Preprocessing.NONE]
    found = train({"only": codes}, names(y), kind="svm", Cs=[0.01], preprocessings=plain)
    assert (found.key, found.C) == ("only", 0.01)
    assert found.accuracy == found.trials[0].accuracy
    assert found.naive == found.accuracy.estimate


@pytest.mark.parametrize("kind", ProbeKind)
def test_weights_count_in_the_fit_and_in_the_folds(kind: ProbeKind) -> None:
    """One class counts a hundred times: nearly everything unsure is taken for it."""
    codes, y = clouds(80, 10, 2, separation=0.15)
    plain = train({"a": codes}, names(y), kind=kind, Cs=[1e-2])
    both: list[dict[str, Any]] = [
        {"class_weight": {"class-01": 100.0}},
        {"sample_weight": 1.0 + 99.0 * y},
    ]
    for weights in both:
        heavy = train({"a": codes}, names(y), kind=kind, Cs=[1e-2], **weights)
        assert (heavy.predicted == 1).sum() > (plain.predicted == 1).sum() + 10
        assert heavy.fit.bias[0] > plain.fit.bias[0]
    balanced = train({"a": codes}, names(y), kind=kind, Cs=[1e-2], class_weight="balanced")
    assert np.mean(balanced.predicted == plain.predicted) > 0.75, "the classes are alike large"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"preprocessings": ()}, "preprocessings are"),
        ({"preprocessings": ("l3",)}, "'signed-root'"),
        ({"positions": {}}, "the position of layer 'a' is None"),
        ({"positions": {"a": float("nan")}}, "must be above 0"),
        ({"positions": {"a": 0.0}}, "must be above 0"),
        ({"seed": -1}, "seed is -1"),
        ({"class_weight": {"nobody": 1.0}}, "no such class"),
        ({"sample_weight": np.ones(3)}, "40 numbers"),
    ],
)
def test_arguments_that_cannot_be_are_told(arguments: dict[str, Any], words: str) -> None:
    codes, y = clouds(40, 5, 2)
    with pytest.raises(InputInvalid, match=words):
        train({"a": codes}, names(y), kind="svm", **arguments)


def test_ways_to_preprocess_may_be_given_as_text() -> None:
    codes, y = clouds(40, 5, 2)
    assert train({"a": codes}, names(y), kind="svm", preprocessings=["l2"]).preprocessing == "l2"


@pytest.mark.parametrize("kind", ProbeKind)
def test_a_kind_may_be_given_as_text(kind: ProbeKind) -> None:
    codes, y = clouds(40, 5, 3)
    one, two = (fit(codes, y, 3, kind=each, C=0.1) for each in (kind, kind.value))  # type: ignore[arg-type]
    np.testing.assert_array_equal(one.weights, two.weights)
    assert one.objective == two.objective


def test_progress_grows_to_one() -> None:
    codes, y = clouds(40, 5, 2)
    told: list[tuple[str, float]] = []
    train(
        {"a": codes, "b": codes},
        names(y),
        kind="svm",
        on_progress=lambda stage, share: told.append((stage, share)),
    )
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert (told[0], told[-1]) == (("choosing", 0.0), ("fitting", 1.0))
    assert len(told) >= 2 * OUTER_FOLDS


def test_a_small_training_takes_seconds() -> None:
    """200 images at five layers: 2 s alone on one core; ten times that is a mistake."""
    layers = {str(d): clouds(200, d, 10, seed=d)[0] for d in (32, 96, 240, 480, 1280)}
    began = time.process_time()
    train(layers, names(np.arange(200) % 10), kind="softmax")
    assert time.process_time() - began < 20.0


@pytest.mark.parametrize(
    ("labels", "error", "sentence"),
    [
        ([], ClassesTooFew, "there are no images: a probe needs two classes or more"),
        (
            ["ant"] * 4,
            ClassesTooFew,
            "there is one class only, 'ant': a probe needs two classes or more",
        ),
        (
            ["ant", "ant", "ant", "bee"],
            ClassTooSmall,
            "there is one image only of class 'bee': each class needs two or more, one to learn "
            "from and one held out",
        ),
    ],
)
def test_what_cannot_be_learnt_is_refused(
    labels: list[str], error: type[ProbesError], sentence: str
) -> None:
    with pytest.raises(error) as refused:
        train({"a": noise(len(labels), 3, 0)}, labels, kind="svm")
    assert str(refused.value) == sentence


def test_copies_of_one_image_are_one_image() -> None:
    with pytest.raises(ClassTooSmall, match=r"only of class 'bee' \(2 copies of it\)"):
        train(
            {"a": noise(4, 3, 0)},
            ["ant", "ant", "bee", "bee"],
            kind="svm",
            groups=["1", "2", "3", "3"],
        )


def test_wrong_arguments_are_refused() -> None:
    labels = ["ant", "ant", "bee", "bee"]
    good = noise(4, 3, 0)
    with pytest.raises(CodesInvalid, match="there are no codes"):
        train({}, labels, kind="svm")
    with pytest.raises(CodesInvalid, match="codes at 'a' are of 3 images, but there are 4 labels"):
        train({"a": good[:3]}, labels, kind="svm")
    with pytest.raises(CodesInvalid, match="must be a float array of shape"):
        train({"a": good[0]}, labels, kind="svm")
    bad = good.copy()
    bad[2, 1] = np.inf
    with pytest.raises(CodesInvalid, match="codes at 'a' of image 2 hold a value that is not fin"):
        train({"a": bad}, labels, kind="svm")
    with pytest.raises(LabelsInvalid, match="there are 2 groups for 4 labels"):
        train({"a": good}, labels, kind="svm", groups=["1", "2"])
    with pytest.raises(InputInvalid, match="probe kind 'forest' is not one of 'svm', 'softmax'"):
        train({"a": good}, labels, kind="forest")
    for Cs in ([], [0.0], [np.nan], [-1.0, 1.0], [np.inf], [9e-13], [2e12, 1.0]):
        with pytest.raises(InputInvalid, match=r"one or more numbers from 1e-12 to 1e\+08"):
            train({"a": good}, labels, kind="svm", Cs=Cs)
    with pytest.raises(CodesInvalid, match=r"codes at 'a' reach 2e\+30, but 1e\+30 is the most"):
        train({"a": good.clip(-1, 1).astype(np.float64) * -2e30}, labels, kind="svm")


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("C", C_RANGE)
def test_the_ends_of_the_range_of_c_are_told_honestly(kind: ProbeKind, C: float) -> None:
    """Fits without a warning, which is an error here; a gap that is left is told."""
    codes, y = clouds(40, 12, 2, separation=0.3)
    plain = [Preprocessing.NONE]
    found = train({"a": codes}, names(y), kind=kind, Cs=[C], preprocessings=plain)
    model = (
        LinearSVC(C=C, dual=False, tol=1e-12, max_iter=100_000)
        if kind is ProbeKind.SVM
        else LogisticRegression(C=C, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    )
    if C < 1.0:
        X = standardised(codes)
        theirs = model.fit(X, y).coef_
        ours = found.fit.weights * found.fit.standardisation.scale
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-3 * np.abs(theirs).max())
    assert 0.0 <= found.fit.gap <= 1.0
    assert np.isfinite(found.fit.objective)


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("sizes", [(2, 2), (3, 3), (2, 9), (2, 2, 2)])
def test_sets_of_a_few_images_are_judged_on_each_once(
    kind: ProbeKind, dtype: str, sizes: tuple[int, ...]
) -> None:
    """Two features, one of them constant; all images are held out once, and tell little."""
    y = np.repeat(np.arange(len(sizes)), sizes)
    codes = np.stack([y * 10.0 + np.arange(len(y)) % 2, np.ones(len(y))], axis=1).astype(dtype)
    found = train({"a": codes, "b": codes[:, :1]}, names(y), kind=kind)
    assert round(found.accuracy.estimate * len(y), 9) % 1 == 0
    assert found.accuracy.low < 0.8 or len(y) > 10
    assert found.fit.gap < 1e-9
    chosen = codes if found.key == "a" else codes[:, :1]
    assert found.probe("tap").predict(chosen, tap="tap").labels == tuple(names(y))
