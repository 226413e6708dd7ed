"""Newton steps: as near the solution as was asked, whichever way they are made."""

import numpy as np
import pytest

from icecore.probes.linear_probe import Array, ProbeKind
from icecore.probes.solving import steps
from icecore.probes.solving.directions import Directions
from icecore.probes.solving.losses import Loss, LossAt, loss_of
from icecore.probes.solving.newton import SINGLE_FORCING
from icecore.probes.solving.steps import Steps, _Products, dots


class Made:
    """A point in the middle of nowhere, and the system that a step from it solves."""

    def __init__(self, kind: ProbeKind, k: int, C: float, n: int = 60, r: int = 13) -> None:
        random = np.random.default_rng(7)
        Z = random.normal(size=(n, r - 1)) * 10.0 ** -np.linspace(0, 11, r - 1)
        self.features = Directions(np.hstack([Z, np.ones((n, 1))]))
        # Two sets at once, the second without a fifth of the images.
        weights = np.stack([np.ones(n), np.arange(n) % 5 > 0])
        self.loss: Loss = loss_of(kind, np.arange(n) % k, k, weights)
        self.C = C
        self.penalty = np.ones(r)
        self.penalty[-1] = float(self.loss.is_bias_penalised)
        columns = self.loss.n_problems * self.loss.group
        self.weights = random.normal(size=(columns, r))
        self.scores = self.features.scores(self.weights)
        self.at: LossAt = self.loss.at(self.scores)
        self.gradient = C * self.features.pull(self.at.slope) + self.penalty * self.weights
        self.invert = self.features.preconditioner(C, self.at.curvature, self.penalty)
        self.steps = Steps(self.features, self.penalty, is_separable=self.loss.group == 1)

    def share_left(self, step: Array) -> Array:
        """What H step + gradient leaves of the gradient, both in H's own norm, a problem."""
        bent = self.features.pull(self.at.bend(self.features.scores(step)))
        left = self.penalty * step + self.C * bent + self.gradient
        whole = dots(self.gradient, self.invert(self.gradient), self.loss.group)
        share: Array = np.sqrt(dots(left, self.invert(left), self.loss.group) / whole)
        return share


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("k", [2, 5])
@pytest.mark.parametrize("C", [1e-12, 1e-3, 1.0, 1e3])
@pytest.mark.parametrize("forcing", [0.1, 1e-3, 1e-9])
def test_a_step_leaves_no_more_of_the_gradient_than_was_asked(
    kind: ProbeKind, k: int, C: float, forcing: float
) -> None:
    """Products in float32 reach 1e-3 with digits to spare; below they are made in float64."""
    made = Made(kind, k, C)
    asked = np.full(made.loss.n_problems, forcing)
    step, is_solved = made.steps.iterated(
        C,
        made.at,
        made.gradient,
        made.invert,
        forcing=asked,
        group=made.loss.group,
        dtype=np.dtype(np.float32 if forcing >= SINGLE_FORCING else np.float64),
    )
    assert (made.share_left(step)[is_solved] <= 1.01 * forcing).all()
    assert is_solved.all() or made.steps.can_be_exact


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("budget", [1, 2])
def test_a_step_tells_which_problems_it_left_open(
    kind: ProbeKind, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "MIN_INNER", 0)
    monkeypatch.setattr(steps, "MAX_INNER", budget)
    made = Made(kind, 5, 1.0)
    asked = np.full(made.loss.n_problems, 1e-2)
    step, is_solved = made.steps.iterated(
        1.0,
        made.at,
        made.gradient,
        made.invert,
        forcing=asked,
        group=made.loss.group,
        dtype=np.dtype(np.float32),
    )
    assert not is_solved.all()
    np.testing.assert_array_equal(made.share_left(step) <= 1e-2, is_solved)


@pytest.mark.parametrize(("n", "r"), [(60, 13), (30, 41)])
@pytest.mark.parametrize("C", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(("dtype", "left"), [(np.float32, 1e-4), (np.float64, 1e-9)])
def test_exact_steps_are_exact(
    n: int, r: int, C: float, dtype: type[np.floating], left: float
) -> None:
    """On the features and, where fewer rows are active, on those; one factor at a time or many."""
    made = Made(ProbeKind.SVM, 5, C, n, r)
    columns = np.array([0, 3, 7])
    found = made.steps.exact(
        C, made.at, made.scores, made.weights, columns, np.dtype(dtype), columns
    )
    step = np.zeros_like(made.gradient)
    step[columns] = found
    assert (made.share_left(step)[columns] <= left).all()
    assert made.share_left(np.zeros_like(step)).min() == 1.0
    one = made.steps.exact(
        C, made.at, made.scores, made.weights, columns[1:2], np.dtype(dtype), columns[1:2]
    )
    np.testing.assert_allclose(one[0], found[1], rtol=1e-3)


def test_a_system_that_float32_finds_singular_is_solved_in_float64() -> None:
    """Two rows all but equal, and a C at which nothing else keeps them apart."""
    Z = np.ones((2, 4))
    Z[1, 0] += 1e-4
    features = Directions(Z)
    loss = loss_of(ProbeKind.SVM, np.array([0, 1]), 2, np.ones((1, 2)))
    scores, weights = np.zeros((1, 2)), np.zeros((1, 4))
    made = Steps(features, np.ones(4), is_separable=True)
    step = made.exact(
        1e9, loss.at(scores), scores, weights, np.array([0]), np.dtype(np.float32), np.array([0])
    )
    H = np.eye(4) + 2e9 * Z.T @ Z
    wanted = np.linalg.solve(H, 2e9 * Z.T @ [-1.0, 1.0])
    np.testing.assert_allclose(step[0], wanted, rtol=1e-3)


def test_inner_products_are_the_same_kept_or_new() -> None:
    """Rows come and go, few or many at a time; what is handed out may be overwritten."""
    random = np.random.default_rng(0)
    features = Directions(random.normal(size=(60, 9)))
    known = _Products()
    for share in (0.5, 0.5, 0.3, 0.55, 0.9, 0.1):
        rows = np.flatnonzero(random.random(60) < share)
        for changed in (rows, rows[1:], np.union1d(rows, [3, 50]), rows[::7]):
            found = known.of(changed, features, np.dtype(np.float32))
            np.testing.assert_allclose(
                found, features.Z[changed] @ features.Z[changed].T, atol=1e-5
            )
            found[:] = np.nan
