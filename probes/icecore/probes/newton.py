"""An exact solver: penalised losses of rotated features, by Newton's method.

It returns what it reached and a bound on what is left, and never merely stops. A
separable loss is as many problems as it has columns, solved side by side; more columns
(several C, several folds of one rotation) have their place there.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from icecore.probes.linear_probe import Array
from icecore.probes.losses import Loss, LossAt
from icecore.probes.steps import Steps

MAX_STEPS: Final = 100
"""Newton steps; fits take 3 to 25. One that needed more would tell by its gap."""

MAX_TRIALS: Final = 60
"""Lengths tried along one step."""

STEEPNESS: Final = 0.1
"""Share of the slope along a step that may be left at its end. Slopes tell a minimum to
the last digit, where differences of the objective drown in rounding."""

STUCK: Final = 1e-10
"""A relative gap below this that no longer shrinks is rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """What a fit reached.

    `coefficients` (r, m) and `bias` (m,) belong to rotated features. `objective` is
    C * loss + |w|² / 2; its distance to the optimum is at most `gap` times itself, up to
    the rounding of float64. `lower_bounds` are of each separate problem's optimum.
    """

    coefficients: Array
    bias: Array
    C: float
    objective: float
    gap: float
    lower_bounds: Array
    steps: int


@dataclass(frozen=True, slots=True, eq=False)
class _Point:
    """A place on the way, with the scores Z theta and the loss there."""

    theta: Array
    scores: Array
    at: LossAt


class Problem:
    """C * loss(Z w + b) + |w|² / 2 for features Z (n, r).

    A bias that the loss penalises counts as one more weight in |w|².

    Source: truncated Newton as in Lin, Weng and Keerthi, "Trust region Newton method
    for logistic regression", 2008, with a line search in place of the trust region.
    """

    def __init__(self, Z: Array, loss: Loss) -> None:
        self._Z = np.hstack([Z, np.ones((len(Z), 1))])
        self._penalty = np.ones((self._Z.shape[1], 1))
        self._penalty[-1] = float(loss.is_bias_penalised)
        self._loss = loss
        self._steps = Steps(self._Z, self._penalty, loss)

    def solve(
        self, C: float, *, tol: float, weights_tol: float, start: Solution | None = None
    ) -> Solution:
        """Return the minimum for one C.

        To a relative gap of at most `tol`, and so that weights are at most `weights_tol`
        times their length from the best ones: half the square of that distance is at most
        the absolute gap, since the penalty is strongly convex. The second matters for a small C,
        where nearly all of the objective is loss that no weights can avoid.

        `start` is the solution for another C, best the next smaller one. Both may be
        missed only where float64 allows no further decrease, or after `MAX_STEPS`.
        """
        point, lower = self._started(C, start)
        first, steps, gap = None, 0, np.inf
        while True:
            gradient = C * (self._Z.T @ point.at.slope) + self._penalty * point.theta
            objectives = self._objectives(C, point)
            objective = float(objectives.sum())
            lower = np.maximum(lower, self._lower_bounds(C, point, gradient, objective))
            left, previous = objective - float(lower.sum()), gap
            gap = max(left, 0.0) / objective if objective > 0.0 else 0.0
            half_norm = float(self._half_norms(point.theta).sum())
            enough = min(tol * objective, weights_tol**2 * half_norm)
            is_stuck = gap < STUCK and gap >= previous
            if left <= enough or is_stuck or steps == MAX_STEPS:
                break
            norms = np.sqrt(self._steps.sums(gradient**2))
            first = np.maximum(norms, np.finfo(np.float64).tiny) if first is None else first
            step = self._steps.step(
                C,
                point.at,
                gradient,
                forcing=np.minimum(0.1, np.sqrt(norms / first)),
                is_open=objectives - lower > 0.5 * enough / len(objectives),
            )
            found = self._searched(C, point, step, self._steps.sums(gradient * step))
            if found is None:
                break
            point = found
            steps += 1
        theta = point.theta
        if not self._loss.is_separable:
            theta[-1] -= theta[-1].mean()  # softmax does not notice; scikit-learn's sum to zero too
        return Solution(theta[:-1], theta[-1], C, objective, gap, lower, steps)

    def _started(self, C: float, start: Solution | None) -> tuple[_Point, Array]:
        """Return where to start, and what bounds the optimum from below already."""
        m = self._loss.m
        if start is None:
            theta = np.zeros((self._Z.shape[1], m))
            scores = np.zeros((len(self._Z), m))
            return _Point(theta, scores, self._loss.at(scores)), np.zeros(1)
        theta = np.vstack([start.coefficients, start.bias])
        scores = self._Z @ theta
        point = _Point(theta, scores, self._loss.at(scores))
        # The optimum grows with C: what bounded it for a smaller one still does.
        return point, start.lower_bounds if start.C <= C else np.zeros(1)

    def _objectives(self, C: float, point: _Point) -> Array:
        objectives: Array = C * point.at.values + self._half_norms(point.theta)
        return objectives

    def _lower_bounds(self, C: float, point: _Point, gradient: Array, objective: float) -> Array:
        """Return a bound of each problem's optimum, from a dual point."""
        if self._loss.is_bias_penalised:
            dual = gradient - self._penalty * point.theta  # C Zᵀ slope, at hand
        elif float(self._half_norms(gradient).sum()) > 0.1 * objective:
            return np.zeros(1)  # far off: not worth the product
        else:
            dual = C * (self._Z.T @ point.at.dual_slope)
        return point.at.lower_bounds(C, self._half_norms(dual))

    def _searched(self, C: float, point: _Point, step: Array, slopes: Array) -> _Point | None:
        """Return where along the step the slope is nearly gone; None if it is not downhill.

        Newton's method on the slope, kept inside a bracket by bisection. `slopes` are
        those at the start; a problem whose step is zero stays where it is.
        """
        if not (slopes < 0.0).any():
            return None
        moved = self._Z @ step
        linear = self._steps.sums(self._penalty * point.theta * step)
        square = self._steps.sums(self._penalty * np.square(step))
        lengths = np.where(slopes < 0.0, 1.0, 0.0)
        low, high = np.zeros_like(lengths), np.full_like(lengths, np.inf)
        for _ in range(MAX_TRIALS):
            at = self._loss.at(point.scores + lengths * moved)
            left = C * self._steps.sums(at.slope * moved) + linear + lengths * square
            is_flat = (np.abs(left) <= STEEPNESS * np.abs(slopes)) | (slopes >= 0.0)
            if is_flat.all():
                return _Point(point.theta + lengths * step, point.scores + lengths * moved, at)
            low = np.where(left < 0.0, lengths, low)
            high = np.where(left > 0.0, lengths, high)
            bent = C * self._steps.sums(at.bend(moved) * moved) + square
            guess = lengths - np.divide(left, bent, out=np.zeros_like(left), where=bent > 0.0)
            middle = np.where(np.isfinite(high), (low + high) / 2.0, 2.0 * lengths)
            is_inside = (guess > low) & (guess < high)
            lengths = np.where(is_flat, lengths, np.where(is_inside, guess, middle))
        return None

    def _half_norms(self, theta: Array) -> Array:
        norms: Array = 0.5 * self._steps.sums(self._penalty * np.square(theta))
        return norms
