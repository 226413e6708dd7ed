"""The squared hinge, of one-vs-rest problems."""

from dataclasses import dataclass
from functools import cached_property
from math import inf

import numpy as np

from icecore.probes.linear_probe import Array
from icecore.probes.solving.floats import Floats


@dataclass(frozen=True, slots=True, eq=False)
class SquaredHinge:
    """Squared hinge; `signs` (problems, n) are -1 or 1.

    The bias is penalised like a weight, as in scikit-learn's LinearSVC with
    `intercept_scaling=1`.
    """

    signs: Array
    weights: Array
    group: int = 1
    is_bias_penalised: bool = True
    furthest: float = inf

    @property
    def n_problems(self) -> int:
        return len(self.signs)

    def at(self, scores: Array) -> "SquaredHingeAt":
        missing = self.signs * scores
        np.subtract(1.0, missing, out=missing)
        np.maximum(missing, 0.0, out=missing)
        return SquaredHingeAt(self, missing)

    def only(self, problems: np.ndarray) -> "SquaredHinge":
        return SquaredHinge(self.signs[problems], self.weights[problems])


@dataclass(frozen=True, eq=False)
class SquaredHingeAt:
    loss: SquaredHinge
    missing: Array

    @cached_property
    def weighted(self) -> Array:
        weighted: Array = self.loss.weights * self.missing
        return weighted

    @cached_property
    def values(self) -> Array:
        values: Array = np.einsum("pn,pn->p", self.weighted, self.missing)
        return values

    @cached_property
    def slope(self) -> Array:
        return -2.0 * self.loss.signs * self.weighted

    @cached_property
    def curvature(self) -> Floats:
        return (2.0 * self.loss.weights * (self.missing > 0.0)).astype(np.float32)

    def bend(self, steps: Floats) -> Floats:
        if steps.dtype == np.float32:
            single: Floats = self.curvature * steps
            return single
        double: Floats = 2.0 * self.loss.weights * (self.missing > 0.0) * steps
        return double

    @property
    def dual_slope(self) -> Array:
        return self.slope

    def lower_bounds(self, C: float, half_norms: Array) -> Array:
        # Any positive multiple t of the dual point is feasible; this takes each one's
        # best. It matters where a fit starts from that of another C.
        linear = 2.0 * C * self.weighted.sum(axis=1)
        square = C * self.values + half_norms
        t = np.divide(linear, 2.0 * square, out=np.zeros_like(linear), where=square > 0.0)
        bounds: Array = t * linear - t**2 * square
        return bounds
