"""Newton steps: as near the solution as was asked, whichever way they are made."""

import numpy as np
import pytest

from icecore.probes import steps
from icecore.probes.linear_probe import Array, ProbeKind
from icecore.probes.losses import Loss, LossAt, loss_of
from icecore.probes.steps import Steps


def made(
    kind: ProbeKind, k: int, C: float, forcing: float, is_open: np.ndarray | None = None
) -> tuple[Array, Array, Array]:
    """Return a step, and what H step + gradient leaves of the gradient, both in H's own norm."""
    random = np.random.default_rng(7)
    Z = np.hstack([random.normal(size=(60, 12)) * 10.0 ** -np.arange(12), np.ones((60, 1))])
    y = np.arange(60) % k
    loss: Loss = loss_of(kind, y, k)
    penalty = np.ones((13, 1))
    penalty[-1] = float(loss.is_bias_penalised)
    at: LossAt = loss.at(random.normal(size=(60, loss.m)))
    gradient = C * (Z.T @ at.slope) + penalty * random.normal(size=(13, loss.m))
    made_by = Steps(Z, penalty, loss)
    n = loss.m if loss.is_separable else 1
    is_open = np.ones(n, np.bool_) if is_open is None else is_open
    step = made_by.step(C, at, gradient, np.full(n, forcing), is_open)
    left = penalty * step + C * (Z.T @ at.bend(Z @ step)) + gradient
    diagonal = penalty + C * (np.square(Z).T @ at.curvature)
    return (
        step,
        np.sqrt(made_by.sums(left**2 / diagonal)),
        np.sqrt(made_by.sums(gradient**2 / diagonal)),
    )


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("k", [2, 5])
@pytest.mark.parametrize("C", [1e-12, 1e-3, 1.0, 1e3])
@pytest.mark.parametrize("forcing", [0.1, 1e-3, 1e-9])
def test_a_step_leaves_no_more_of_the_gradient_than_was_asked(
    kind: ProbeKind, k: int, C: float, forcing: float
) -> None:
    """Products in float32 reach 1e-3 with digits to spare; below they are made in float64."""
    _, left, whole = made(kind, k, C, forcing)
    assert (left <= 1.01 * forcing * whole).all()


@pytest.mark.parametrize("budget", [1, 2, 400])
def test_problems_that_iterations_leave_open_are_solved_exactly(
    budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "MIN_INNER", 0)
    monkeypatch.setattr(steps, "MAX_INNER", budget)
    is_open = np.array([True, False, True, True, False])
    step, left, whole = made(ProbeKind.SVM, 5, 1.0, 1e-2, is_open)
    assert (left <= 1.01e-2 * whole)[is_open].all()
    assert not step[:, ~is_open].any(), "closed ones stay where they are"
