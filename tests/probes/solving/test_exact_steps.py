"""Exact steps of a squared hinge, over its active rows and over features."""

import numpy as np
import pytest
from scipy.linalg import LinAlgError

from icecore.probes.linear_probe import ProbeKind
from icecore.probes.solving import exact_steps
from icecore.probes.solving.directions import Directions
from icecore.probes.solving.exact_steps import ExactSteps
from icecore.probes.solving.factors import Factor
from icecore.probes.solving.losses import loss_of
from icecore.probes.solving.row_systems import RowSystem
from step_problems import Made


@pytest.mark.parametrize(("n", "r"), [(60, 13), (30, 41)])
@pytest.mark.parametrize("C", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(
    ("dtype", "tol", "left"), [(np.float32, 1e-6, 1e-4), (np.float64, 1, 1e-9)]
)
def test_exact_steps_are_exact(
    n: int, r: int, C: float, dtype: type[np.floating], tol: float, left: float
) -> None:
    """On the features and, where fewer rows are active, on those; one factor at a time or many."""
    made = Made(ProbeKind.SVM, 5, C, n, r)
    columns = np.array([0, 3, 7])
    where = (C, made.at, made.scores, made.weights)
    exact = ExactSteps(made.features, made.features)
    found, added = exact.towards(*where, columns, np.dtype(dtype), columns, tol=tol)
    step = np.zeros_like(made.gradient)
    step[columns] = found
    assert (made.share_left(step)[columns] <= left).all()
    assert made.share_left(np.zeros_like(step)).min() == 1.0
    np.testing.assert_allclose(added, made.features.scores(found), atol=1e-9 * np.abs(added).max())
    one, _ = exact.towards(*where, columns[1:2], np.dtype(dtype), columns[1:2], tol=tol)
    np.testing.assert_allclose(one[0], found[1], rtol=1e-3)


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_how_many_factors_are_held_does_not_matter(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(ProbeKind.SVM, 5, 1.0)
    columns = np.arange(10)
    where = (1.0, made.at, made.scores, made.weights, columns, np.dtype(np.float32), columns)
    wanted, _ = ExactSteps(made.features, made.features).towards(*where, tol=1e-9)
    monkeypatch.setattr(exact_steps, "FACTOR_VALUES", 13**2 * at_once)
    exact = ExactSteps(made.features, made.features)
    for _ in range(2):
        found, _ = exact.towards(*where, tol=1e-9)
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-9)
    assert len(exact._kept) <= at_once
    exact.forget()
    assert not exact._kept


def test_a_system_that_float32_finds_singular_is_solved_in_float64() -> None:
    """Two rows all but equal, and a C at which nothing else keeps them apart."""
    Z = np.ones((2, 4))
    Z[1, 0] += 1e-4
    features = Directions(Z)
    loss = loss_of(ProbeKind.SVM, np.array([0, 1]), 2, np.ones((1, 2)))
    scores, weights, first = np.zeros((1, 2)), np.zeros((1, 4)), np.array([0])
    step, _ = ExactSteps(features, features).towards(
        1e9, loss.at(scores), scores, weights, first, np.dtype(np.float32), first, tol=1e-6
    )
    H = np.eye(4) + 2e9 * Z.T @ Z
    wanted = np.linalg.solve(H, 2e9 * Z.T @ [-1.0, 1.0])
    np.testing.assert_allclose(step[0], wanted, rtol=1e-3)


def test_a_system_that_float64_finds_singular_is_still_solved() -> None:
    """Equal rows at a C at which nothing keeps them apart: a ridge does."""
    features = Directions(np.ones((2, 4)))
    loss = loss_of(ProbeKind.SVM, np.array([0, 0]), 2, np.ones((1, 2)))
    scores, weights, first = np.zeros((1, 2)), np.zeros((1, 4)), np.array([0])
    step, _ = ExactSteps(features, features).towards(
        1e30, loss.at(scores), scores, weights, first, np.dtype(np.float64), first, tol=1e-6
    )
    np.testing.assert_allclose(step @ features.Z.T, -1.0, rtol=1e-2)


def test_a_factor_refuses_what_is_not_positive() -> None:
    with pytest.raises(LinAlgError):
        Factor.of(np.array([[1.0, 2.0], [2.0, 1.0]], np.float32))


@pytest.mark.parametrize("n", [3000, 5000])
@pytest.mark.parametrize(("dtype", "close"), [(np.float32, 1e-3), (np.float64, 1e-9)])
def test_rows_that_come_and_go_leave_the_solution_right(
    n: int, dtype: type[np.floating], close: float
) -> None:
    """Few or many, back and forth; with inner products kept (few rows) and not."""
    random = np.random.default_rng(0)
    features = Directions(random.normal(size=(n, 400)))
    curvature = random.uniform(0.5, 2.0, size=n)
    active = np.flatnonzero(random.random(n) < 300 / n)
    system = RowSystem.over(features, active, curvature, np.dtype(dtype))
    n_changed = 0
    for turn in range(12):
        flipped = random.choice(n, 1 + 3 * turn, replace=False)
        gone = random.choice(active, 2 * turn, replace=False)
        # Every third turn undoes the one before.
        wanted_rows = np.setxor1d(np.setxor1d(active, flipped), gone)
        for rows in (wanted_rows, active, wanted_rows):
            if system.turn_to(rows, curvature):
                n_changed += 1
            else:
                system = RowSystem.over(features, rows, curvature, np.dtype(dtype))
            targets = random.normal(size=n)
            Z = features.Z[rows]
            wanted = np.linalg.solve(Z @ Z.T + np.diag(1 / curvature[rows]), targets[rows])
            found = system.solve(targets)
            np.testing.assert_array_equal(system.rows, rows)
            np.testing.assert_allclose(found, wanted, atol=close * np.abs(wanted).max())
        active = wanted_rows
    assert 20 < n_changed < 36, "some of each"


def test_all_rows_may_go_and_others_come() -> None:
    random = np.random.default_rng(1)
    features = Directions(random.normal(size=(50, 20)))
    none, double = np.array([], np.int64), np.dtype(np.float64)
    system = RowSystem.over(features, none, np.ones(50), double)
    for rows in (none, np.arange(6), np.arange(6, 9), np.arange(3), none, np.arange(6)):
        if not system.turn_to(rows, np.ones(50)):
            system = RowSystem.over(features, rows, np.ones(50), double)
        Z = features.Z[rows]
        wanted = np.linalg.solve(Z @ Z.T + np.eye(len(rows)), np.ones(len(rows)))
        np.testing.assert_allclose(system.solve(np.ones(50)), wanted, atol=1e-9)
