"""An exact solver: penalised losses of rotated features, by truncated Newton steps.

It returns what it reached and a bound on what is left, and never merely stops. A
separable loss is as many problems as it has columns, solved side by side; more columns
(several C, several folds of one rotation) have their place there.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from icecore.probes.linear_probe import Array
from icecore.probes.losses import Loss, LossAt
from scipy.linalg import cho_factor, cho_solve

MAX_STEPS: Final = 100
"""Newton steps; fits take 3 to 15. One that needed more would tell by its gap."""

MAX_INNER: Final = 400
"""Conjugate-gradient iterations in one step."""

MAX_TRIALS: Final = 60
"""Lengths tried along one step."""

STEEPNESS: Final = 0.1
"""Share of the slope along a step that may be left at its end. Slopes tell a minimum to
the last digit, where differences of the objective drown in rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """What a fit reached.

    `coefficients` (r, m) and `bias` (m,) belong to rotated features. `objective` is
    C * loss + |w|² / 2; its distance to the optimum is at most `gap` times itself, up to
    the rounding of float64.
    """

    coefficients: Array
    bias: Array
    objective: float
    gap: float
    steps: int


class Problem:
    """C * loss(Z w + b) + |w|² / 2 for features Z (n, r).

    A bias that the loss penalises counts as one more weight in |w|².

    Source: truncated Newton with a diagonal preconditioner, as in Lin, Weng and Keerthi,
    "Trust region Newton method for logistic regression", 2008, and Hsia, Chiang and Lin,
    "Preconditioned conjugate gradient methods in truncated Newton frameworks", 2018,
    with a line search in place of the trust region; where a squared hinge is too
    ill-conditioned for that, the exact step on its active rows of Chapelle, "Training a
    support vector machine in the primal", 2007.
    """

    def __init__(self, Z: Array, loss: Loss) -> None:
        self._Z = np.hstack([Z, np.ones((len(Z), 1))])
        self._squares = np.square(self._Z)
        self._penalty = np.ones((self._Z.shape[1], 1))
        self._penalty[-1] = float(loss.is_bias_penalised)
        self._loss = loss

    def solve(self, C: float, *, tol: float, start: Solution | None = None) -> Solution:
        """Return the minimum for one C, to a relative gap of at most `tol`.

        `start` is the solution for a C nearby. The gap stays above `tol` only where
        float64 allows no further decrease, or after `MAX_STEPS`.
        """
        theta = np.zeros((self._Z.shape[1], self._loss.m))
        if start is not None:
            theta = np.vstack([start.coefficients, start.bias])
        scores = self._Z @ theta
        at = self._loss.at(scores)
        first, steps = None, 0
        while True:
            gradient = C * (self._Z.T @ at.slope) + self._penalty * theta
            gap = self._gap(C, theta, at, gradient)
            if gap <= tol or steps == MAX_STEPS:
                break
            norms = np.sqrt(self._sums(gradient**2))
            first = np.maximum(norms, np.finfo(np.float64).tiny) if first is None else first
            forcing = np.minimum(0.1, np.sqrt(norms / first))
            step = self._newton_step(C, theta, at, gradient, forcing)
            found = self._search(C, theta, scores, step, self._sums(gradient * step))
            if found is None:
                break
            theta, scores, at = found
            steps += 1
        if not self._loss.is_separable:
            theta[-1] -= theta[-1].mean()  # softmax does not notice; scikit-learn's sum to zero too
        return Solution(theta[:-1], theta[-1], self._objective(C, theta, at), gap, steps)

    def _objective(self, C: float, theta: Array, at: LossAt) -> float:
        return float((C * at.values + self._half_norms(theta)).sum())

    def _gap(self, C: float, theta: Array, at: LossAt, gradient: Array) -> float:
        """Return a bound on (objective - optimum) / objective, from a dual point."""
        objective = self._objective(C, theta, at)
        if self._loss.is_bias_penalised:
            dual = gradient - self._penalty * theta  # C Zᵀ slope, at hand
        elif float(self._half_norms(gradient).sum()) > 0.1 * objective:
            return 1.0  # far off: not worth the product
        else:
            dual = C * (self._Z.T @ at.dual_slope)
        lower = at.lower_bounds(C, self._half_norms(dual))
        return max(1.0 - float(lower.sum()) / objective, 0.0) if objective > 0.0 else 0.0

    def _search(
        self, C: float, theta: Array, scores: Array, step: Array, slopes: Array
    ) -> tuple[Array, Array, LossAt] | None:
        """Return where along the step the slope is nearly gone; None if it is not downhill.

        Newton's method on the slope, kept inside a bracket by bisection.
        """
        if not (slopes < 0.0).any():
            return None
        moved = self._Z @ step
        linear = self._sums(self._penalty * theta * step)
        square = self._sums(self._penalty * np.square(step))
        lengths = np.where(slopes < 0.0, 1.0, 0.0)
        low, high = np.zeros_like(lengths), np.full_like(lengths, np.inf)
        for _ in range(MAX_TRIALS):
            at = self._loss.at(scores + lengths * moved)
            left = C * self._sums(at.slope * moved) + linear + lengths * square
            is_flat = (np.abs(left) <= STEEPNESS * np.abs(slopes)) | (slopes >= 0.0)
            if is_flat.all():
                return theta + lengths * step, scores + lengths * moved, at
            low = np.where(left < 0.0, lengths, low)
            high = np.where(left > 0.0, lengths, high)
            guess = lengths - left / (C * self._sums(at.bend(moved) * moved) + square)
            middle = np.where(np.isfinite(high), (low + high) / 2.0, 2.0 * lengths)
            is_inside = (guess > low) & (guess < high)
            lengths = np.where(is_flat, lengths, np.where(is_inside, guess, middle))
        return None

    def _newton_step(
        self, C: float, theta: Array, at: LossAt, gradient: Array, forcing: Array
    ) -> Array:
        """Return about -H⁻¹ gradient, by conjugate gradients if those do not take long."""
        curvature = at.curvature
        can_be_exact = self._loss.is_separable and self._loss.is_bias_penalised
        budget = MAX_INNER
        if can_be_exact:
            n_active = np.count_nonzero(curvature, axis=0).astype(np.float64)
            small, r = np.minimum(n_active, len(theta)), len(theta)
            exact = (small * n_active * r + small**3 / 3.0).sum()
            # Half, for products of matrices run faster than those with a few vectors.
            budget = int(min(max(exact / (8.0 * curvature.size * r), 8), MAX_INNER))
        step, is_done = self._conjugate_gradients(C, at, curvature, gradient, forcing, budget)
        if can_be_exact and not is_done:
            return np.column_stack(
                [
                    self._exact_step(C * curvature[:, column], gradient[:, column])
                    for column in range(self._loss.m)
                ]
            )
        return step

    def _conjugate_gradients(
        self, C: float, at: LossAt, curvature: Array, gradient: Array, forcing: Array, budget: int
    ) -> tuple[Array, bool]:
        diagonal = self._penalty + C * (self._squares.T @ curvature)
        np.maximum(diagonal, 1e-12 * diagonal.max(), out=diagonal)
        step = np.zeros_like(gradient)
        residual = -gradient
        direction = scaled = residual / diagonal
        sizes = self._sums(residual * scaled)
        enough = forcing**2 * sizes
        for _ in range(budget):
            bent = C * (self._Z.T @ at.bend(self._Z @ direction)) + self._penalty * direction
            lengths = _ratio(sizes, self._sums(direction * bent))
            step = step + lengths * direction
            residual = residual - lengths * bent
            scaled = residual / diagonal
            sizes, previous = self._sums(residual * scaled), sizes
            if (sizes <= enough).all():
                return step, True
            # A column that is done stands still.
            direction = np.where(sizes > enough, scaled + _ratio(sizes, previous) * direction, 0.0)
        return step, False

    def _exact_step(self, weights: Array, gradient: Array) -> Array:
        """Return -(I + BᵀB)⁻¹ gradient for B = sqrt(weights) Z, on its smaller side."""
        active = np.flatnonzero(weights)
        B = np.sqrt(weights[active])[:, None] * self._Z[active]
        if len(active) >= len(gradient):
            H = B.T @ B
            H.flat[:: len(H) + 1] += 1.0
            return -cho_solve(cho_factor(H, lower=True), gradient)
        K = B @ B.T
        K.flat[:: len(K) + 1] += 1.0
        inner: Array = B.T @ cho_solve(cho_factor(K, lower=True), B @ gradient)
        return inner - gradient

    def _half_norms(self, theta: Array) -> Array:
        norms: Array = 0.5 * self._sums(self._penalty * np.square(theta))
        return norms

    def _sums(self, values: Array) -> Array:
        """Sum over each problem: columns (m,) of a separable loss, else everything (1,)."""
        sums: Array = values.sum(axis=0 if self._loss.is_separable else None)
        return np.atleast_1d(sums)


def _ratio(a: Array, b: Array) -> Array:
    ratio: Array = np.divide(a, b, out=np.zeros_like(a), where=b > 0.0)
    return ratio
