"""Fifty varied problems against an independent float64 solver, and against scikit-learn."""

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from icecore.probes.fitting import Fit, fit
from icecore.probes.linear_probe import Array, ProbeKind
from icecore.probes.solving.directions import Rotation
from icecore.probes.solving.paths import Paths
from icecore.probes.solving.row_blocks import RowBlocks
from icecore.probes.solving.weighting import Weighting
from labelled import clouds, names
from reference_fits import N_PROBLEMS, Problem, varied

PROMISED = 1e-6
"""Relative gap that every stored fit is within."""

REACHED = 1e-9
"""What is reached in fact, after rounding weights to float32."""


@cache
def problem(seed: int) -> Problem:
    return varied(seed)


def fitted(problem: Problem, form: type[Rotation] | type[RowBlocks]) -> Fit:
    weighting = Weighting.of(
        problem.sample_weight, problem.class_weight, problem.classes, len(problem.y)
    )
    return fit(
        form.of(problem.codes),
        problem.y,
        problem.k,
        kind=problem.kind,
        C=problem.C,
        weighting=weighting,
    )


def stored(found: Fit) -> Array:
    """The stored weights and bias, as weights (m, d + 1) on standardised codes."""
    weights = found.weights.astype(np.float64)
    bias = found.bias + weights @ found.standardisation.mean
    return np.hstack([weights * found.standardisation.scale, bias[:, None]])


@pytest.mark.parametrize("form", [Rotation, RowBlocks])
@pytest.mark.parametrize("seed", range(N_PROBLEMS))
def test_a_stored_fit_is_the_optimum_and_its_gap_says_so(
    seed: int, form: type[Rotation] | type[RowBlocks]
) -> None:
    this = problem(seed)
    found = fitted(this, form)
    reached = this.objective(stored(found))
    distance = (reached - this.best) / this.best
    assert abs(distance) <= REACHED <= PROMISED, str(this)
    assert found.gap <= PROMISED, str(this)
    # float64 knows sums of thousands of terms to some 1e-14 of themselves.
    assert (found.objective - this.best) / found.objective <= found.gap + 1e-13, str(this)
    np.testing.assert_allclose(found.objective, reached, rtol=REACHED, err_msg=str(this))


def converged(this: Problem) -> Any:
    """scikit-learn's estimator of the same objective, run until it can do no more."""
    if this.kind is ProbeKind.SVM:
        return LinearSVC(
            C=this.C, class_weight=this.class_weight, dual=False, tol=1e-12, max_iter=100_000
        )
    return LogisticRegression(
        C=this.C, class_weight=this.class_weight, solver="newton-cg", tol=1e-10, max_iter=10_000
    )


@pytest.mark.parametrize("seed", range(N_PROBLEMS))
def test_scikit_learn_run_to_convergence_ends_at_the_same_objective(seed: int) -> None:
    """With its words for weights: the objective is its own, to the letter."""
    this = problem(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says where it cannot go on for rounding
        model = converged(this).fit(this.X[:, :-1], names(this.y), sample_weight=this.sample_weight)
    theirs = this.objective(np.hstack([model.coef_, model.intercept_[:, None]]))
    ours = this.objective(stored(fitted(this, Rotation)))
    assert abs(ours - theirs) / theirs <= PROMISED, str(this)


@pytest.mark.parametrize("form", [Rotation, RowBlocks])
@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("C", [1e-12, 1e3, 1e6])
@pytest.mark.parametrize(
    ("n", "d", "k"), [(2, 3, 2), (10, 5, 10), (12, 300, 12), (60, 8, 3), (24, 70, 4)]
)
def test_a_fit_is_exact_at_every_size_and_c(
    n: int, d: int, k: int, C: float, kind: ProbeKind, form: type[Rotation] | type[RowBlocks]
) -> None:
    """One image a class; a C that no weight resists, and one that hardly lets images err."""
    codes, y = clouds(n, d, k, separation=0.3)
    assert fit(form.of(codes), y, k, kind=kind, C=C).gap <= PROMISED


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("factor", [1e-20, 1e30])
def test_the_unit_of_all_codes_does_not_matter(kind: ProbeKind, factor: float) -> None:
    codes, y = clouds(60, 20, 3)
    plain = fit(codes, y, 3, kind=kind, C=1e-2)
    scaled = fit((codes * factor).astype(np.float32), y, 3, kind=kind, C=1e-2)
    np.testing.assert_allclose(scaled.objective, plain.objective, rtol=1e-5)


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("C", [1e-4, 1.0, 1e4])
def test_a_class_that_one_of_the_sets_lacks_leaves_the_others_alone(
    kind: ProbeKind, C: float
) -> None:
    codes, y = clouds(80, 20, 4)
    weights = np.ones((2, 80))
    weights[0, y == 1] = 0.0
    features = Rotation.of(codes).features
    both = Paths(features, y, 4, kind, weights).reach(C, tol=1e-9, weights_tol=0.1)
    alone = Paths(features, y, 4, kind, weights[1:]).reach(C, tol=1e-9, weights_tol=0.1)
    assert (both.gaps <= PROMISED).all()
    np.testing.assert_allclose(both.objectives[1], alone.objectives[0], rtol=1e-8)
    if kind is ProbeKind.SOFTMAX:
        assert (both.scores[0].argmax(axis=0) != 1).all(), "what was never seen is never guessed"


@pytest.mark.parametrize("kind", ProbeKind)
def test_a_set_with_one_of_two_classes_ends(kind: ProbeKind) -> None:
    """A softmax of it has no optimum: its bias could grow for ever."""
    codes, y = clouds(80, 20, 2)
    weights = np.ones((2, 80))
    weights[0, y == 1] = 0.0
    found = Paths(Rotation.of(codes).features, y, 2, kind, weights).reach(
        1.0, tol=1e-9, weights_tol=0.1
    )
    assert (found.scores[0, 0, y == 0] < 0.0).all()
    assert found.gaps[1] <= PROMISED


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize(("n", "k", "sets"), [(300, 150, 2), (1000, 1000, 1)])
def test_very_many_classes_are_fitted(kind: ProbeKind, n: int, k: int, sets: int) -> None:
    """More than are solved side by side: an SVM in pieces, each the same as by itself."""
    codes, y = clouds(n, 12, k)
    features = Rotation.of(codes).features
    found = Paths(features, y, k, kind, np.ones((sets, n))).reach(1e-2, tol=1e-7, weights_tol=1.0)
    assert (found.gaps <= 1e-7).all()
    assert found.weights.shape == (sets, k, features.r)
    if kind is ProbeKind.SVM:
        for c in (0, k - 1):
            alone = Paths(features, (y == c).astype(int), 2, kind, np.ones((1, n)))
            by_itself = alone.reach(1e-2, tol=1e-9, weights_tol=1e-3)
            np.testing.assert_allclose(
                found.scores[-1, c], by_itself.scores[0, 0], atol=1e-2, err_msg=f"class {c}"
            )
