"""An exact solver: penalised losses of several problems side by side, by Newton's method.

It returns what it reached and a bound on what is left, and never merely stops. Problems
(folds, classes of an SVM) share their features, so that a step of all of them is two products
of matrices; one that is done leaves the others to go on.
"""

from typing import Final

import numpy as np

from icecore.probes.linear_probe import Array
from icecore.probes.solving.exact_steps import factors_at_once
from icecore.probes.solving.features import Features
from icecore.probes.solving.fronts import Front, Way
from icecore.probes.solving.line_search import move
from icecore.probes.solving.losses import Loss
from icecore.probes.solving.solution import Solution, start_of
from icecore.probes.solving.steps import Steps
from icecore.probes.solving.sums import dots

MAX_STEPS: Final = 100
"""Newton steps; fits take 3 to 25. One that needed more would tell by its gap."""

STUCK: Final = 1e-10
"""A relative gap below this that no longer shrinks is rounding."""

NOTHING: Final = 1e-20
"""A mean loss below this goes on to zero for ever: of two classes only one counts."""

PROMISING: Final = 10.0
"""A bound is worth its product where the gradient promises a distance within so many times
what is asked."""

SINGLE_FORCING: Final = 1e-3
"""Steps that may leave this share of the gradient or more are made with products in float32,
which know six or seven digits and take half the time. What a step is worth, where it ends and
how far that is from the optimum is told in float64."""


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
        self._exact_at_once = factors_at_once(features.n, features.r)

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
        front = start_of(self._loss, self._features.n, self._features.r, C, start)
        reached = Solution.begun(front, C)
        waiting = list(front.parts(self._exact_at_once))
        while waiting:
            front = waiting.pop(0)
            waiting += self._descend(front, reached, tol, weights_tol)
            if self._steps.exact is not None:
                self._steps.exact.forget()
        if not self._loss.is_bias_penalised and self._loss.group > 1:
            # softmax does not notice; scikit-learn's sum to zero too
            bias = reached.weights[:, -1].reshape(-1, self._loss.group)
            mean = np.repeat(bias.mean(axis=1), self._loss.group)
            reached.weights[:, -1] -= mean
            reached.scores -= mean[:, None]
        return reached

    def started_at(self, C: float, weights: Array) -> Solution:
        """Return a start of `solve` at `weights` (columns, r); nothing bounds its optimum yet."""
        unknown = np.zeros(self._loss.n_problems)
        ways = np.full(self._loss.n_problems, Way.ITERATED, np.int8)
        scores = self._features.scores(weights)
        return Solution(weights, scores, C, unknown, unknown, unknown, ways)

    def _descend(
        self, front: Front, reached: Solution, tol: float, weights_tol: float
    ) -> list[Front]:
        """Go on until all problems of a front are done, as `reached` then says.

        But for those whose steps had better be exact from now on: fronts of these are returned.
        """
        C = reached.C
        turned: list[Front] = []
        while True:
            gradient, is_open, forcing = self._looked_at(front, reached, tol, weights_tol)
            if not is_open.any():
                return turned
            gradient = gradient[np.repeat(is_open, self._loss.group)]
            front, forcing = front.only(is_open), forcing[is_open]
            if front.is_exact:
                step, added = self._exact_step(C, front, min(tol, weights_tol**2))
            else:
                step, is_solved = self._iterated_step(C, front, gradient, forcing)
                if self._steps.exact is not None and not is_solved.all():
                    turned += front.turned(~is_solved).parts(self._exact_at_once)
                    if not is_solved.any():
                        return turned
                    front, gradient = front.only(is_solved), gradient[is_solved]
                    step = step[is_solved]
                added = self._features.scores(step)
            slopes = dots(gradient, step, self._loss.group)
            may_go_on = move(front, C, step, added, slopes, self._penalty)
            if not may_go_on.any():
                return turned
            front = front.only(may_go_on)

    def _looked_at(
        self, front: Front, reached: Solution, tol: float, weights_tol: float
    ) -> tuple[Array, np.ndarray, Array]:
        """Tell `reached` where a front is; return gradients, and which problems are open.

        And the share of its gradient that a problem's next step may leave, if that is iterated.
        """
        C, group = reached.C, self._loss.group
        gradient = C * self._features.pull(front.at.slope) + self._penalty * front.weights
        half_norms = self._half_norms(front.weights)
        found = C * front.at.values + half_norms
        promised = np.zeros_like(found)
        if not front.is_exact:
            invert = self._features.preconditioner(C, front.at.curvature, self._penalty)
            promised = 0.5 * dots(gradient, invert(gradient), group)
        near = PROMISING * np.maximum(np.minimum(tol, weights_tol**2), STUCK) * found
        is_last = front.steps == MAX_STEPS
        if self._loss.is_bias_penalised or is_last or (promised <= near).any():
            front.lower = np.maximum(front.lower, self._lower_bounds(C, front, gradient))
        reached.lower_bounds[front.problems] = front.lower
        own = self._own(found, reached.lower_bounds, front)
        enough = tol * own
        if np.isfinite(weights_tol):
            enough = np.minimum(enough, weights_tol**2 * half_norms)
        left, previous = found - front.lower, front.gaps
        front.gaps = np.divide(
            np.maximum(left, 0.0), found, out=np.zeros_like(found), where=found > 0.0
        )
        is_stuck = (front.gaps < STUCK) & (front.gaps >= previous)
        is_nothing = found <= NOTHING * C * front.loss.weights.sum(axis=1)
        reached.keep(front, found)
        norms = np.sqrt(dots(gradient, gradient, group))
        front.first = np.where(front.first > 0.0, front.first, norms)
        tiny = np.finfo(np.float64).tiny
        forcing = np.sqrt(norms / np.maximum(front.first, tiny))
        short = 0.3 * np.sqrt(np.divide(enough, promised, out=found, where=promised > 0.0))
        is_done = (left <= enough) | is_stuck | is_nothing | is_last
        return gradient, ~is_done, np.minimum(0.1, np.maximum(forcing, short))

    def _own(self, found: Array, lower: Array, front: Front) -> Array:
        """Return what each open problem's gap is told as a share of.

        Problems of one set are asked together: as bounds from below only grow, their gaps sum
        up to no more than the share asked of the set's objective.
        """
        if self._set_size == 1:
            return found
        means = lower.reshape(-1, self._set_size).mean(axis=1)
        own: Array = 0.5 * (lower + np.repeat(means, self._set_size))[front.problems]
        return own

    def _iterated_step(
        self, C: float, front: Front, gradient: Array, forcing: Array
    ) -> tuple[Array, np.ndarray]:
        is_short = (front.ways == Way.ITERATED_DOUBLE).any() or forcing.min() < SINGLE_FORCING
        return self._steps.iterated(
            C,
            front.at,
            gradient,
            self._features.preconditioner(C, front.at.curvature, self._penalty),
            forcing=forcing,
            group=self._loss.group,
            dtype=np.dtype(np.float64 if is_short else np.float32),
        )

    def _exact_step(self, C: float, front: Front, tol: float) -> tuple[Array, Array]:
        """Return exact steps, and what they add to scores."""
        step, added = np.empty_like(front.weights), np.empty_like(front.scores)
        for way, dtype in ((Way.EXACT_SINGLE, np.float32), (Way.EXACT_DOUBLE, np.float64)):
            columns = np.flatnonzero(front.ways == way)
            if len(columns) and self._steps.exact is not None:
                step[columns], added[columns] = self._steps.exact.towards(
                    C,
                    front.at,
                    front.scores,
                    front.weights,
                    columns,
                    np.dtype(dtype),
                    front.problems[columns],
                    tol=tol,
                )
        return step, added

    def _lower_bounds(self, C: float, front: Front, gradient: Array) -> Array:
        """Return a bound of each problem's optimum, from a dual point."""
        if self._loss.is_bias_penalised:
            dual = gradient - self._penalty * front.weights  # C slope Z, at hand
        else:
            dual = C * self._features.pull(front.at.dual_slope)
        return front.at.lower_bounds(C, self._half_norms(dual))

    def _half_norms(self, weights: Array) -> Array:
        norms: Array = 0.5 * dots(self._penalty * weights, weights, self._loss.group)
        return norms
