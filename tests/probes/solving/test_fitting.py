"""The solver against scikit-learn run to convergence, and against its own promise."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from icecore.probes.cross_validation import Folds, judge
from icecore.probes.fitting import TOLERANCE, fit
from icecore.probes.linear_probe import Array, LinearProbe, ProbeKind
from icecore.probes.preprocessing import Preprocessing
from icecore.probes.selection import train
from icecore.probes.solving import directions, material, row_blocks, standardising
from icecore.probes.solving.directions import Rotation
from icecore.probes.solving.material import material_of
from icecore.probes.solving.paths import Paths
from icecore.probes.solving.row_blocks import RowBlocks
from icecore.probes.solving.standardising import LEAST_SHARE, Standardisation
from labelled import clouds, names, standardised

SHAPES = [(60, 8, 2), (60, 8, 3), (90, 30, 5), (24, 70, 2), (40, 90, 4)]
"""More images than features, and fewer: the two sides of the rotation."""


def converged(kind: ProbeKind, C: float) -> Any:
    """scikit-learn's estimator of the same objective, run far past its defaults."""
    if kind is ProbeKind.SVM:
        return LinearSVC(C=C, dual=False, tol=1e-10, max_iter=100_000)
    return LogisticRegression(C=C, solver="newton-cg", tol=1e-10, max_iter=100_000)


def objective(kind: ProbeKind, X: Array, y: np.ndarray, W: Array, b: Array, C: float) -> float:
    """The objective as scikit-learn's user guide writes it, by itself in numpy."""
    scores = X @ W.T + b
    k = int(y.max()) + 1
    if kind is ProbeKind.SVM:
        targets = np.where(y[:, None] == ([1] if k == 2 else np.arange(k)), 1.0, -1.0)
        missing = np.maximum(0.0, 1.0 - targets * scores)
        return float(0.5 * ((W**2).sum() + (b**2).sum()) + C * (missing**2).sum())
    if k == 2:
        scores = np.hstack([np.zeros_like(scores), scores])
    losses = logsumexp(scores, axis=1) - scores[np.arange(len(y)), y]
    return float(0.5 * (W**2).sum() + C * losses.sum())


def reached(
    codes: np.ndarray, y: np.ndarray, k: int, kind: ProbeKind, Cs: Sequence[float], tol: float
) -> list[tuple[float, float]]:
    """Objective and gap for each C, each from where the one before ended."""
    paths = Paths(material_of(codes).features, y, k, kind, np.ones((1, len(y))))
    found = [paths.reach(C, tol=tol, weights_tol=1e9) for C in Cs]
    return [(float(each.objectives[0]), float(each.gaps[0])) for each in found]


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize(("n", "d", "k"), SHAPES)
@pytest.mark.parametrize("C", [1e-4, 1e-2, 1.0])
def test_a_fit_scores_as_scikit_learn_does_at_convergence(
    kind: ProbeKind, n: int, d: int, k: int, C: float
) -> None:
    codes, y = clouds(n, d, k, separation=0.3)
    X = standardised(codes)
    model = converged(kind, C).fit(X, y)
    found = fit(codes, y, k, kind=kind, C=C)
    probe = LinearProbe(kind, tuple(sorted(set(names(y)))), found.weights, found.bias, "tap")
    theirs = model.decision_function(X)
    ours = probe.scores(codes, tap="tap")
    if k == 2:
        ours = ours[:, 1] * (1.0 if kind is ProbeKind.SVM else 2.0)
    else:
        # The logits of a softmax are free by a constant a row.
        centre = kind is ProbeKind.SOFTMAX
        ours = ours - centre * ours.mean(axis=1, keepdims=True)
        theirs = theirs - centre * theirs.mean(axis=1, keepdims=True)
    # A gap of 1e-11 of the objective allows weights to differ by about its root.
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())
    theirs_reached = objective(kind, X, y, model.coef_, model.intercept_, C)
    assert found.gap <= TOLERANCE
    assert found.objective <= theirs_reached * (1.0 + 1e-10), "ours is not worse"
    assert found.objective * (1.0 - found.gap) <= theirs_reached * (1.0 + 1e-12), "the bound holds"


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("k", [2, 4])
def test_the_objective_told_is_that_of_the_weights(kind: ProbeKind, k: int) -> None:
    """Of the weights as stored, unfolded again; float32 costs about 1e-13 of it."""
    codes, y = clouds(50, 12, k)
    found = fit(codes, y, k, kind=kind, C=0.1)
    W = found.weights * found.standardisation.scale
    b = found.bias + found.weights.astype(np.float64) @ found.standardisation.mean
    reached = objective(kind, standardised(codes), y, W, b, 0.1)
    np.testing.assert_allclose(reached, found.objective, rtol=1e-11)


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("k", [2, 6])
@pytest.mark.parametrize("tol", [0.5, 1e-1, 1e-2, 1e-3, 1e-6])
def test_the_gap_is_never_less_than_the_distance_to_the_optimum(
    kind: ProbeKind, k: int, tol: float
) -> None:
    codes, y = clouds(80, 40, k, separation=0.2)
    for C in (1e-3, 1e-1, 10.0):
        best, _ = reached(codes, y, k, kind, (C,), tol=1e-12)[0]
        objective, gap = reached(codes, y, k, kind, (C,), tol=tol)[0]
        distance = (objective - best) / objective
        assert -1e-12 <= distance <= gap + 1e-12
        assert gap <= tol


@pytest.mark.parametrize("kind", ProbeKind)
def test_where_a_fit_starts_does_not_matter(kind: ProbeKind) -> None:
    """Warm-started up a path, down a path and from zero: the same optimum."""
    codes, y = clouds(70, 30, 3)
    Cs = [10.0**power for power in range(-5, 4)]
    cold = [reached(codes, y, 3, kind, (C,), tol=1e-10)[0] for C in Cs]
    both = reached(codes, y, 3, kind, Cs + Cs[::-1], tol=1e-10)
    np.testing.assert_allclose(both, cold + cold[::-1], rtol=1e-9, atol=1e-10)
    assert max(gap for _, gap in both) <= 1e-10


def test_a_larger_c_fits_closer_by_larger_weights() -> None:
    codes, y = clouds(70, 30, 3, separation=0.2)
    found = [fit(codes, y, 3, kind=ProbeKind.SOFTMAX, C=C) for C in (1e-3, 1e-1, 10.0)]
    objectives = [each.objective for each in found]
    assert objectives == sorted(objectives)
    sizes = [float(np.square(each.weights * each.standardisation.scale).sum()) for each in found]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("d", [6, 60])
def test_units_of_features_do_not_matter(kind: ProbeKind, d: int) -> None:
    """Standardisation is folded in: powers of two change codes but no score, up to four times
    less than the usual."""
    codes, y = clouds(40, d, 3)
    codes = (codes / codes.std(axis=0)).astype(np.float32)
    factors = 2.0 ** np.random.default_rng(0).integers(0, 9, size=d)
    factors[: d // 2 + 1] = 1.0  # the median
    factors[0] = 0.5
    one = fit(codes, y, 3, kind=kind, C=0.1)
    two = fit((codes * factors).astype(np.float32), y, 3, kind=kind, C=0.1)
    # Summing in another order moves the end of the search within the gap.
    np.testing.assert_allclose(two.weights * factors, one.weights, rtol=1e-4, atol=1e-7)


def test_units_that_seldom_fire_are_not_made_loud() -> None:
    """A unit that one of forty images has counts as if it varied a quarter as much as others."""
    codes = np.random.default_rng(0).normal(size=(40, 9)).astype(np.float32)
    codes[:, 4] = 0.0
    codes[7, 4] = 0.01
    found = Standardisation.of(codes)
    usual = np.median(codes.astype(np.float64).std(axis=0))
    np.testing.assert_allclose(found.scale[4], LEAST_SHARE * usual)
    others = np.arange(9) != 4
    np.testing.assert_allclose(found.scale[others], codes[:, others].astype(np.float64).std(axis=0))


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("d", [6, 60])
def test_constant_features_have_no_say(kind: ProbeKind, d: int) -> None:
    codes, y = clouds(40, d, 3)
    constant = np.tile(np.array([0.0, 0.1, 3e4, 1e-42], np.float32), (40, 1))
    with_constants = np.hstack([codes, constant]).astype(np.float32)
    found = fit(with_constants, y, 3, kind=kind, C=0.1)
    plain = fit(codes, y, 3, kind=kind, C=0.1)
    np.testing.assert_allclose(found.weights[:, d:], 0.0, atol=1e-9)
    np.testing.assert_allclose(found.objective, plain.objective, rtol=2 * TOLERANCE)


@pytest.mark.parametrize("kind", ProbeKind)
def test_codes_that_say_nothing_can_be_fitted(kind: ProbeKind) -> None:
    """A dead layer: all codes zero. The bias alone is left."""
    y = np.array([0, 0, 0, 1, 1, 2])
    for shape in ((6, 3), (6, 20)):
        found = fit(np.zeros(shape, np.float32), y, 3, kind=kind, C=1.0)
        assert not found.weights.any()
        assert found.gap <= TOLERANCE
        assert found.bias.argmax() == 0, "the class with the most images"


def test_a_mean_far_from_zero_costs_no_accuracy() -> None:
    """Weights are float32, but their rounding acts on deviations from the mean only."""
    codes, y = clouds(60, 8, 2, separation=0.3)
    deviations = StandardScaler().fit_transform(codes)
    far = (np.round(deviations * 16) / 16 + 2**18).astype(np.float32)
    found = fit(far, y, 2, kind=ProbeKind.SVM, C=1.0)
    probe = LinearProbe(ProbeKind.SVM, ("a", "b"), found.weights, found.bias, "tap")
    model = converged(ProbeKind.SVM, 1.0).fit(standardised(far), y)
    theirs = model.decision_function(standardised(far))
    np.testing.assert_allclose(probe.scores(far, tap="tap")[:, 1], theirs, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_codes_of_any_float_are_fitted_in_float64(dtype: str) -> None:
    codes, y = clouds(40, 10, 3)
    exact = codes.astype(np.float16)
    found = fit(exact.astype(dtype), y, 3, kind=ProbeKind.SOFTMAX, C=0.1)
    wanted = fit(exact.astype(np.float64), y, 3, kind=ProbeKind.SOFTMAX, C=0.1)
    np.testing.assert_array_equal(found.weights, wanted.weights)


def test_wide_codes_give_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    codes, y = clouds(30, 101, 3)
    whole = fit(codes, y, 3, kind=ProbeKind.SVM, C=0.01)
    monkeypatch.setattr(standardising, "BLOCK_VALUES", 30 * 7)
    blocked = fit(codes, y, 3, kind=ProbeKind.SVM, C=0.01)
    np.testing.assert_allclose(blocked.weights, whole.weights, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(blocked.objective, whole.objective, rtol=2 * TOLERANCE)


@pytest.mark.parametrize(("n", "d"), [(40, 12), (15, 60)])
def test_a_rotation_keeps_inner_products_and_is_undone(n: int, d: int) -> None:
    codes, _ = clouds(n, d, 2)
    rotation = Rotation.of(codes)
    X = standardised(codes)
    Z = rotation.features.Z[:, :-1]
    np.testing.assert_allclose(Z @ Z.T, X @ X.T, atol=1e-9 * d * n)
    W = np.random.default_rng(0).normal(size=(2, Z.shape[1]))
    np.testing.assert_allclose(W @ Z.T, rotation.unrotated(W) @ X.T, atol=1e-6)


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("C", [1e-4, 1e-2])
def test_codes_too_large_to_rotate_are_fitted_as_they_are(
    kind: ProbeKind, k: int, C: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From a memory-mapped file of float16, in blocks of seven rows: the same optimum."""
    codes, y = clouds(120, 30, k, separation=0.3)
    np.save(tmp_path / "codes.npy", codes.astype(np.float16))
    mapped = np.load(tmp_path / "codes.npy", mmap_mode="r")
    rotated = fit(mapped, y, k, kind=kind, C=C)
    monkeypatch.setattr(material, "ROTATED_UP_TO", 10)
    monkeypatch.setattr(row_blocks, "BLOCK_VALUES", 7 * 30)
    monkeypatch.setattr(row_blocks, "KEPT_BYTES", 0)
    assert isinstance(material_of(mapped), RowBlocks)
    found = fit(mapped, y, k, kind=kind, C=C)
    assert found.gap <= TOLERANCE
    np.testing.assert_allclose(found.objective, rotated.objective, rtol=2 * TOLERANCE)
    np.testing.assert_allclose(found.weights, rotated.weights, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize(("n", "d"), [(90, 30), (30, 90)])
def test_a_single_fit_of_many_features_is_that_of_a_rotation(
    kind: ProbeKind, n: int, d: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes, y = clouds(n, d, 3, separation=0.3)
    rotated = fit(material_of(codes), y, 3, kind=kind, C=1e-2)
    monkeypatch.setattr(material, "ROTATED_FOR_ONE", 20)
    monkeypatch.setattr(directions, "principal", None)
    found = fit(codes, y, 3, kind=kind, C=1e-2)
    assert found.gap <= TOLERANCE
    np.testing.assert_allclose(found.objective, rotated.objective, rtol=2 * TOLERANCE)
    np.testing.assert_allclose(found.weights, rotated.weights, rtol=1e-3, atol=1e-6)


def test_one_eigendecomposition_serves_folds_cs_and_both_losses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []

    def counted(products: Array) -> tuple[Array, Array]:
        made.append(len(products))
        return principal(products)

    principal = directions.principal
    monkeypatch.setattr(directions, "principal", counted)
    codes, y = clouds(60, 20, 3)
    shared = material_of(codes)
    for kind in ProbeKind:
        folds = Folds.of(y, np.arange(60), 0)
        judge(shared, y, 3, folds, kind=kind, Cs=(1e-3, 1e-2, 1e-1), on_fold=lambda: None)
        fit(shared, y, 3, kind=kind, C=1e-2)
    assert made == [20]
    plain = [Preprocessing.NONE]
    train({"a": codes, "b": codes[:, :7]}, names(y), kind="softmax", preprocessings=plain)
    assert made == [20, 20, 7], "one a layer, the fit that is kept included"
