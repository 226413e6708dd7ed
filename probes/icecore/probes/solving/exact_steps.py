"""Newton steps of a squared hinge, solved over its active rows or, where these are more, features.

They end in finitely many steps, which conjugate gradients at a large C do not: the few rows
that are active then are not the rows that were rotated.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from scipy.linalg import LinAlgError

from icecore.probes.linear_probe import Array
from icecore.probes.solving.factors import Factor
from icecore.probes.solving.features import ExactRows, Features
from icecore.probes.solving.losses import LossAt
from icecore.probes.solving.row_systems import RowSystem
from icecore.probes.solving.sums import ratio

FACTOR_VALUES: Final = 40_000_000
"""Values of the factors held at once, 160 MB in float32."""

REFINEMENTS: Final = 2
"""Of a solution by a float32 factor, at most. Each leaves about the factor's error of what was
left."""

SOLVED: Final = 1e-3
"""A solution's share of a relative gap that is asked for: of what it is to end at, in its norm."""


def factors_at_once(n: int, r: int) -> int:
    """Return how many problems' factors may be held, each over `n` rows or `r` features."""
    return max(1, FACTOR_VALUES // min(n, r) ** 2)


class ExactSteps:
    """Exact steps for one set of features; of columns that are problems of their own.

    The curvature at an active row must be the same from step to step, and all weights
    penalised. Source: Chapelle, "Training a support vector machine in the primal", 2007.
    """

    def __init__(self, features: Features, exact: ExactRows) -> None:
        self._features = features
        self._exact = exact
        self._kept: dict[int, RowSystem] = {}
        self._kept_for_C = 0.0

    def towards(
        self,
        C: float,
        at: LossAt,
        scores: Array,
        weights: Array,
        columns: np.ndarray,
        dtype: np.dtype[Any],
        problems: np.ndarray,
        *,
        tol: float,
    ) -> tuple[Array, Array]:
        """Return the steps from `weights` to where the gradient is zero by today's curvature.

        And what they add to scores: (len, r) and (len, n). They lead to the weights that come
        nearest to targets t = score - slope / curvature, with curvatures as weights:
        (I + Zᵀ D Z) w = Zᵀ D t, which a large C does not blur as it does a gradient.

        Systems are factored in `dtype`, in float64 also where float32 finds one not positive.
        What float32 missed is looked at in float64 and solved for again, by the same factor,
        until it makes no difference to a relative gap of `tol`.
        Factors in float32 are kept for the next step of `problems` (len,).
        """
        if self._kept_for_C != C:
            self._kept, self._kept_for_C = {}, C
        steps = np.empty((len(columns), self._features.r))
        moved = np.empty((len(columns), self._features.n))
        width = factors_at_once(self._features.n, self._features.r)
        for first in range(0, len(columns), width):
            part = slice(first, first + width)
            some = columns[part]
            curvature = at.curvature[some].astype(np.float64)
            targets = scores[some] - ratio(at.slope[some], curvature)
            curvature *= C
            factors = [
                self._factor(each, dtype, int(problem))
                for each, problem in zip(curvature, problems[part], strict=True)
            ]
            turns = 1 + REFINEMENTS if dtype == np.float32 else 1
            found, reached = self._solved(factors, curvature, targets, turns, SOLVED * tol)
            steps[part], moved[part] = found - weights[some], reached - scores[some]
        return steps, moved

    def forget(self) -> None:
        """Let go of the factors kept."""
        self._kept = {}

    def _factor(self, weights: Array, dtype: np.dtype[Any], problem: int) -> Factor | RowSystem:
        """Factor the system on the smaller of active rows and features."""
        active = np.flatnonzero(weights)
        try:
            if len(active) < self._features.r:
                return self._over_rows(active, weights, dtype, problem)
            system = self._exact.outer_products(active, weights[active], dtype)
            system.flat[:: len(system) + 1] += dtype.type(1.0)
            return Factor.of(system)
        except LinAlgError:
            if dtype == np.float64:
                return self._ridged(active, weights)
            return self._factor(weights, np.dtype(np.float64), problem)

    def _ridged(self, active: np.ndarray, weights: Array) -> Factor:
        """Factor what float64, too, finds not positive: over features, with a ridge.

        Its step is still downhill, and its end is told by the gap.
        """
        products = self._exact.outer_products(active, weights[active], np.dtype(np.float64))
        ridge = np.finfo(np.float64).eps * max(1.0, float(products.trace()))
        while True:
            system = products.copy()
            system.flat[:: len(system) + 1] += 1.0 + ridge
            try:
                return Factor.of(system)
            except LinAlgError:
                ridge *= 10.0

    def _over_rows(
        self, active: np.ndarray, weights: Array, dtype: np.dtype[Any], problem: int
    ) -> RowSystem:
        if dtype == np.float64:
            return RowSystem.over(self._exact, active, weights, dtype)
        system = self._kept.get(problem)
        if system is not None and system.turn_to(active, weights):
            return system
        self._kept.pop(problem, None)
        system = RowSystem.over(self._exact, active, weights, dtype)
        if len(self._kept) < factors_at_once(self._features.n, self._features.r):
            self._kept[problem] = system
        return system

    def _solved(
        self,
        factors: Sequence[Factor | RowSystem],
        curvature: Array,
        targets: Array,
        turns: int,
        share: float,
    ) -> tuple[Array, Array]:
        """Return the weights nearest to `targets` (len, n), and their scores.

        Over active rows they are Zᵀ a, and (D⁻¹ + Z Zᵀ) a = t. A residual times what it is
        solved to is the objective it stands for; the next one's is as much smaller again.
        """
        found, reached = np.zeros((len(factors), self._features.r)), np.zeros_like(targets)
        over_rows, pulled = np.zeros_like(targets), np.zeros_like(found)
        by_rows = np.array([isinstance(factor, RowSystem) for factor in factors])
        whole, before = np.zeros(len(factors)), np.zeros(len(factors))
        for turn in range(turns):
            left = targets - reached
            pulled[~by_rows] = self._features.pull(curvature[~by_rows] * left[~by_rows])
            pulled[~by_rows] -= found[~by_rows]
            left -= ratio(over_rows, curvature)
            sizes = np.empty(len(factors))
            for place, factor in enumerate(factors):
                more = factor.solve(left[place] if by_rows[place] else pulled[place])
                if isinstance(factor, RowSystem):
                    over_rows[place, factor.rows] += more
                    sizes[place] = left[place, factor.rows] @ more
                else:
                    found[place] += more
                    sizes[place] = pulled[place] @ more
            found[by_rows] = self._features.pull(over_rows[by_rows])
            reached = self._features.scores(found)
            if turn == 0:
                whole = sizes
            elif (sizes**2 <= share * whole * before).all():
                break
            before = sizes
        return found, reached
