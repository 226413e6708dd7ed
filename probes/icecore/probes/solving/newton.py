"""An exact solver: penalised losses of several problems side by side, by Newton's method.

It returns what it reached and a bound on what is left, and never merely stops. Problems
(folds, classes of an SVM) share their features, so that a step of all of them is two products
of matrices; one that is done leaves the others to go on.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from icecore.probes.linear_probe import Array
from icecore.probes.solving.features import Features, Preconditioner
from icecore.probes.solving.losses import Loss, LossAt
from icecore.probes.solving.steps import Steps, dots, spread

MAX_STEPS: Final = 100
"""Newton steps; fits take 3 to 25. One that needed more would tell by its gap."""

MAX_TRIALS: Final = 60
"""Lengths tried along one step."""

STEEPNESS: Final = 0.1
"""Share of the slope along a step that may be left at its end. Slopes tell a minimum to
the last digit, where differences of the objective drown in rounding."""

STUCK: Final = 1e-10
"""A relative gap below this that no longer shrinks is rounding."""

NOTHING: Final = 1e-20
"""A mean loss below this goes on to zero for ever: of two classes only one counts."""

PROMISING: Final = 10.0
"""A bound is worth its product where the gradient promises a distance within so many times
what is asked."""


LOOSE: Final = 0.1
"""A step s, exact or by conjugate gradients, has sᵀ H s = -slope. One that differs by more than
this share was solved in too few digits."""

SINGLE_FORCING: Final = 1e-3
"""Steps that may leave this share of the gradient or more are made with products in float32,
which know six or seven digits and take half the time. What a step is worth, where it ends and
how far that is from the optimum is told in float64."""


class Way(IntEnum):
    """How a problem's steps are made: another is tried where the one before did not do."""

    ITERATED = 0
    ITERATED_DOUBLE = 1
    EXACT_SINGLE = 2
    EXACT_DOUBLE = 3


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """What fits reached for one C.

    `weights` (columns, r) have the bias last; `scores` are (columns, n). `objectives`
    (problems,) are C * loss + |w|² / 2; their distances to the optima are at most `gaps` times
    themselves, up to the rounding of float64. `lower_bounds` are of the optima.
    """

    weights: Array
    scores: Array
    C: float
    objectives: Array
    gaps: Array
    lower_bounds: Array
    ways: np.ndarray
    """(problems,) of `Way`: how the last steps were made."""
    steps: int


@dataclass(slots=True, eq=False)
class _Front:
    """The problems still open: where each is, and what is known of it."""

    problems: np.ndarray
    loss: Loss
    weights: Array
    scores: Array
    at: LossAt
    lower: Array
    gaps: Array
    first: Array
    ways: np.ndarray

    def only(self, keep: np.ndarray) -> "_Front":
        if keep.all():
            return self
        columns = np.repeat(keep, self.loss.group)
        loss, scores = self.loss.only(np.flatnonzero(keep)), self.scores[columns]
        return _Front(
            self.problems[keep],
            loss,
            self.weights[columns],
            scores,
            loss.at(scores),
            self.lower[keep],
            self.gaps[keep],
            self.first[keep],
            self.ways[keep],
        )


class Batch:
    """Problems over one set of features, for any C.

    `set_size` is how many problems make one probe (the classes of an SVM): these are asked
    for a gap together.

    Minimises C * loss + half the squared norm of the weights; whether the bias is one of
    them the loss says. Source: Lin, Weng and Keerthi, "Trust region Newton method
    for logistic regression", 2008, with a line search in place of the trust region.
    """

    def __init__(self, features: Features, loss: Loss, *, set_size: int = 1) -> None:
        self._features = features
        self._loss = loss
        self._set_size = set_size
        self._penalty = np.ones(features.r)
        self._penalty[-1] = float(loss.is_bias_penalised)
        self._steps = Steps(features, self._penalty, is_separable=loss.group == 1)

    def solve(
        self, C: float, *, tol: float, weights_tol: float, start: Solution | None = None
    ) -> Solution:
        """Return the minima for one C.

        Each to a relative gap of at most `tol`, and so that weights are at most `weights_tol`
        times their length from the best ones: half the square of that distance is at most
        the absolute gap, since the penalty is strongly convex. The second matters for a small C,
        where nearly all of the objective is loss that no weights can avoid.

        `start` is the solution for another C, best the next smaller one. Both may be
        missed only where float64 allows no further decrease, or after `MAX_STEPS`.
        """
        front = self._started(C, start)
        n_problems, group = self._loss.n_problems, self._loss.group
        weights, scores = front.weights.copy(), front.scores.copy()
        objectives, gaps = np.zeros(n_problems), np.zeros(n_problems)
        lower, ways, steps = front.lower.copy(), front.ways.copy(), 0
        while True:
            gradient = C * self._features.pull(front.at.slope) + self._penalty * front.weights
            half_norms = self._half_norms(front.weights, group)
            found = C * front.at.values + half_norms
            invert = self._features.preconditioner(C, front.at.curvature, self._penalty)
            promised = 0.5 * dots(gradient, invert(gradient), group)
            near = PROMISING * np.maximum(np.minimum(tol, weights_tol**2), STUCK) * found
            if self._loss.is_bias_penalised or steps == MAX_STEPS or (promised <= near).any():
                front.lower = np.maximum(front.lower, self._lower_bounds(C, front, gradient))
            lower[front.problems] = front.lower
            enough = np.minimum(tol * self._own(found, lower, front), weights_tol**2 * half_norms)
            left, previous = found - front.lower, front.gaps
            front.gaps = np.divide(
                np.maximum(left, 0.0), found, out=np.zeros_like(found), where=found > 0.0
            )
            is_stuck = (front.gaps < STUCK) & (front.gaps >= previous)
            is_nothing = found <= NOTHING * C * front.loss.weights.sum(axis=1)
            is_done = (left <= enough) | is_stuck | is_nothing | (steps == MAX_STEPS)
            columns = np.repeat(front.problems, group) * group + np.tile(
                np.arange(group), len(front.problems)
            )
            weights[columns], scores[columns] = front.weights, front.scores
            objectives[front.problems], gaps[front.problems] = found, front.gaps
            ways[front.problems] = front.ways
            if is_done.all():
                break
            keep = np.repeat(~is_done, group)
            norms = np.sqrt(dots(gradient, gradient, group))
            front.first = np.where(front.first > 0.0, front.first, norms)
            forcing = np.sqrt(norms / np.maximum(front.first, np.finfo(np.float64).tiny))
            short = 0.3 * np.sqrt(enough / np.maximum(promised, np.finfo(np.float64).tiny))
            forcing = np.minimum(0.1, np.maximum(forcing, short))[~is_done]
            if is_done.any():
                front = front.only(~is_done)
                gradient = gradient[keep]
                invert = self._features.preconditioner(C, front.at.curvature, self._penalty)
            step = self._step(C, front, gradient, invert, forcing)
            moved = self._moved(C, front, step, dots(gradient, step, group))
            steps += 1
            if not moved.any():
                break
            front = front.only(moved)
        if not self._loss.is_bias_penalised and group > 1:
            # softmax does not notice; scikit-learn's sum to zero too
            bias = weights[:, -1].reshape(-1, group)
            mean = bias.mean(axis=1, keepdims=True)
            weights[:, -1] -= np.repeat(mean, group)
            scores -= np.repeat(mean, group)[:, None]
        return Solution(weights, scores, C, objectives, gaps, lower, ways, steps)

    def started_at(self, C: float, weights: Array) -> Solution:
        """Return a start of `solve` at `weights` (columns, r); nothing bounds its optimum yet."""
        unknown = np.zeros(self._loss.n_problems)
        ways = np.full(self._loss.n_problems, Way.ITERATED, np.int8)
        scores = self._features.scores(weights)
        return Solution(weights, scores, C, unknown, unknown, unknown, ways, 0)

    def _started(self, C: float, start: Solution | None) -> _Front:
        """Return where to start, and what bounds the optimum from below already."""
        n_problems = self._loss.n_problems
        lower = np.zeros(n_problems)
        if start is None:
            columns = n_problems * self._loss.group
            weights = np.zeros((columns, self._features.r))
            scores = np.zeros((columns, self._features.n))
        else:
            weights, scores = start.weights, start.scores
            if start.C <= C:
                # The optimum grows with C: what bounded it for a smaller one still does.
                lower = start.lower_bounds
        return _Front(
            np.arange(n_problems),
            self._loss,
            weights,
            scores,
            self._loss.at(scores),
            lower,
            np.full(n_problems, np.inf),
            np.zeros(n_problems),
            np.full(n_problems, Way.ITERATED, np.int8) if start is None else start.ways.copy(),
        )

    def _own(self, found: Array, lower: Array, front: _Front) -> Array:
        """Return what each open problem's gap is told as a share of.

        Problems of one set are asked together: as bounds from below only grow, their gaps sum
        up to no more than the share asked of the set's objective.
        """
        if self._set_size == 1:
            return found
        means = lower.reshape(-1, self._set_size).mean(axis=1)
        own: Array = 0.5 * (lower + np.repeat(means, self._set_size))[front.problems]
        return own

    def _step(
        self, C: float, front: _Front, gradient: Array, invert: Preconditioner, forcing: Array
    ) -> Array:
        """Return a step, made for each problem in the way that suited it before."""
        step = np.zeros_like(gradient)
        iterated = np.flatnonzero(front.ways <= Way.ITERATED_DOUBLE)
        if len(iterated):
            is_short = (front.ways == Way.ITERATED_DOUBLE).any() or forcing.min() < SINGLE_FORCING
            columns, part = self._part(front, iterated)
            if len(iterated) < len(front.problems):
                invert = self._features.preconditioner(C, part.curvature, self._penalty)
            step[columns], is_solved = self._steps.iterated(
                C,
                part,
                gradient[columns],
                invert,
                forcing=forcing[iterated],
                group=self._loss.group,
                dtype=np.dtype(np.float64 if is_short else np.float32),
            )
            if self._steps.can_be_exact:
                front.ways[iterated[~is_solved]] = Way.EXACT_SINGLE
        for way, dtype in ((Way.EXACT_SINGLE, np.float32), (Way.EXACT_DOUBLE, np.float64)):
            columns = np.flatnonzero(front.ways == way)
            if len(columns):
                step[columns] = self._steps.exact(
                    C,
                    front.at,
                    front.scores,
                    front.weights,
                    columns,
                    np.dtype(dtype),
                    front.problems[columns],
                )
        return step

    def _part(self, front: _Front, places: np.ndarray) -> tuple[np.ndarray, LossAt]:
        """Return the columns of some open problems, and the loss there."""
        group = self._loss.group
        columns = (places[:, None] * group + np.arange(group)).ravel()
        if len(places) == len(front.problems):
            return columns, front.at
        return columns, front.loss.only(places).at(front.scores[columns])

    def _lower_bounds(self, C: float, front: _Front, gradient: Array) -> Array:
        """Return a bound of each problem's optimum, from a dual point."""
        if self._loss.is_bias_penalised:
            dual = gradient - self._penalty * front.weights  # C slope Z, at hand
        else:
            dual = C * self._features.pull(front.at.dual_slope)
        return front.at.lower_bounds(C, self._half_norms(dual, front.loss.group))

    def _moved(self, C: float, front: _Front, step: Array, slopes: Array) -> np.ndarray:
        """Move to where the slope along the step is nearly gone; which problems may go on.

        Newton's method on the slope, kept inside a bracket by bisection. `slopes` are
        those at the start; a problem whose step is not downhill stays where it is, and goes on
        only where its next step is made in more digits.
        """
        group = front.loss.group
        moved = self._features.scores(step)
        penalised = self._penalty * step
        linear = dots(penalised, front.weights, group)
        square = dots(penalised, step, group)
        goes_on = self._check(C, front, moved, slopes, square)
        is_downhill = slopes < 0.0
        lengths = is_downhill.astype(np.float64)
        low, high = np.zeros_like(lengths), np.full_like(lengths, np.inf)
        is_flat = ~is_downhill
        scores, at = front.scores, front.at
        for _ in range(MAX_TRIALS):
            if is_flat.all():
                break
            scores = front.scores + spread(lengths, group) * moved
            at = front.loss.at(scores)
            left = C * dots(at.slope, moved, group) + linear + lengths * square
            is_flat = (np.abs(left) <= STEEPNESS * np.abs(slopes)) | ~is_downhill
            low = np.where(left < 0.0, lengths, low)
            high = np.where(left > 0.0, lengths, high)
            bent = C * dots(at.bend(moved), moved, group) + square
            guess = lengths - np.divide(left, bent, out=np.zeros_like(left), where=bent > 0.0)
            middle = np.where(np.isfinite(high), (low + high) / 2.0, 2.0 * lengths)
            is_inside = (guess > low) & (guess < high)
            lengths = np.where(is_flat, lengths, np.where(is_inside, guess, middle))
        if not is_flat.all():
            # Short of all that is downhill, which no rounding has told otherwise.
            lengths = np.where(is_flat, lengths, low)
            scores = front.scores + spread(lengths, group) * moved
            at = front.loss.at(scores)
        front.weights = front.weights + spread(lengths, group) * step
        front.scores, front.at = scores, at
        return goes_on | (lengths > 0.0)

    def _check(
        self, C: float, front: _Front, moved: Array, slopes: Array, square: Array
    ) -> np.ndarray:
        """Return which problems get more digits from now on: their step had too few."""
        bent = C * dots(front.at.bend(moved), moved, front.loss.group) + square
        is_off = (np.abs(bent + slopes) > LOOSE * np.abs(slopes)) | ~(slopes < 0.0)
        can_be_better = (front.ways == Way.ITERATED) | (front.ways == Way.EXACT_SINGLE)
        changes: np.ndarray = is_off & can_be_better
        front.ways = np.where(changes, front.ways + 1, front.ways)
        return changes

    def _half_norms(self, weights: Array, group: int) -> Array:
        norms: Array = 0.5 * dots(self._penalty * weights, weights, group)
        return norms
