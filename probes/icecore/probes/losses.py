"""The losses a probe is fitted with, as functions of the scores.

They take scores (n, m), one column a weight vector, and never see codes. A further
loss is one more class here. All sums are over rows and columns.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import expit, xlogy

from icecore.probes.linear_probe import Array, ProbeKind


class LossAt(Protocol):
    """A loss at given scores, with what its derivatives there have in common."""

    @property
    def values(self) -> Array:
        """The loss of each column (m,) where the loss is separable, else of all, (1,)."""

    @property
    def slope(self) -> Array:
        """The derivative by each score, (n, m)."""

    @property
    def curvature(self) -> Array:
        """The second derivative by each score alone, (n, m), never negative."""

    def bend(self, steps: Array) -> Array:
        """Return the second derivatives applied to `steps`, (n, m)."""

    @property
    def dual_slope(self) -> Array:
        """`slope`, moved where a free bias asks that its columns sum to zero, (n, m)."""

    def lower_bounds(self, C: float, half_norms: Array) -> Array:
        """Return lower bounds of min C * loss + |w|² / 2, shaped like `values`.

        `half_norms` are |C Zᵀ dual_slope|² / 2, shaped alike. Source: Fenchel duality
        (Boyd and Vandenberghe, "Convex optimization", 2004, ch. 5).
        """


class Loss(Protocol):
    """A convex loss against the targets it holds."""

    @property
    def m(self) -> int:
        """Columns of scores: 1 for two classes, else one a class."""

    @property
    def is_bias_penalised(self) -> bool: ...

    @property
    def is_separable(self) -> bool:
        """Whether each column is a problem of its own."""

    def at(self, scores: Array) -> LossAt: ...


def loss_of(kind: ProbeKind, y: np.ndarray, k: int) -> Loss:
    """Return the loss of a probe kind for classes `y` (n,) in 0..k-1."""
    wanted = np.equal.outer(y, [1] if k == 2 else np.arange(k)).astype(np.float64)
    if kind is ProbeKind.SVM:
        return SquaredHinge(2.0 * wanted - 1.0)
    return Logistic(wanted) if k == 2 else Softmax(wanted)


@dataclass(frozen=True, slots=True, eq=False)
class SquaredHinge:
    """One-vs-rest squared hinge; `signs` (n, m) are -1 or 1.

    The bias is penalised like a weight, as in scikit-learn's LinearSVC with
    `intercept_scaling=1`.
    """

    signs: Array
    is_bias_penalised: bool = True
    is_separable: bool = True

    @property
    def m(self) -> int:
        return int(self.signs.shape[1])

    def at(self, scores: Array) -> "SquaredHingeAt":
        return SquaredHingeAt(self.signs, np.maximum(0.0, 1.0 - self.signs * scores))


@dataclass(frozen=True, slots=True, eq=False)
class SquaredHingeAt:
    signs: Array
    missing: Array

    @property
    def values(self) -> Array:
        values: Array = np.square(self.missing).sum(axis=0)
        return values

    @property
    def slope(self) -> Array:
        return -2.0 * self.signs * self.missing

    @property
    def curvature(self) -> Array:
        return np.where(self.missing > 0.0, 2.0, 0.0)

    def bend(self, steps: Array) -> Array:
        return self.curvature * steps

    @property
    def dual_slope(self) -> Array:
        return self.slope

    def lower_bounds(self, C: float, half_norms: Array) -> Array:
        # Any positive multiple t of the dual point is feasible; this takes each column's
        # best. It matters where a fit starts from that of another C.
        linear = 2.0 * C * self.missing.sum(axis=0)
        square = C * self.values + half_norms
        t = np.divide(linear, 2.0 * square, out=np.zeros_like(linear), where=square > 0.0)
        bounds: Array = t * linear - t**2 * square
        return bounds


@dataclass(frozen=True, slots=True, eq=False)
class Logistic:
    """Binary log loss; `wanted` (n, 1) is 0 or 1. The bias is free, as in scikit-learn's
    LogisticRegression.
    """

    wanted: Array
    is_bias_penalised: bool = False
    is_separable: bool = True
    m: int = 1

    def at(self, scores: Array) -> "LogisticAt":
        values = (np.logaddexp(0.0, scores) - self.wanted * scores).sum(axis=0)
        return LogisticAt(self.wanted, values, expit(scores))


@dataclass(frozen=True, slots=True, eq=False)
class LogisticAt:
    wanted: Array
    values: Array
    p: Array

    @property
    def slope(self) -> Array:
        return self.p - self.wanted

    @property
    def curvature(self) -> Array:
        return self.p * (1.0 - self.p)

    def bend(self, steps: Array) -> Array:
        return self.curvature * steps

    @property
    def dual_slope(self) -> Array:
        return self._balanced()[:, 1:] - self.wanted

    def lower_bounds(self, C: float, half_norms: Array) -> Array:
        bounds: Array = C * _entropy(self._balanced()) - half_norms
        return bounds

    def _balanced(self) -> Array:
        both = np.hstack([1.0 - self.p, self.p])
        return _balanced(both, np.hstack([1.0 - self.wanted, self.wanted]))


@dataclass(frozen=True, slots=True, eq=False)
class Softmax:
    """Multinomial log loss; `wanted` (n, k) is one-hot. The bias is free, as there."""

    wanted: Array
    is_bias_penalised: bool = False
    is_separable: bool = False

    @property
    def m(self) -> int:
        return int(self.wanted.shape[1])

    def at(self, scores: Array) -> "SoftmaxAt":
        below = scores - scores.max(axis=1, keepdims=True)
        p = np.exp(below)
        sums = p.sum(axis=1, keepdims=True)
        values = np.array([np.log(sums).sum() - (below * self.wanted).sum()])
        p /= sums
        return SoftmaxAt(self.wanted, values, p)


@dataclass(frozen=True, slots=True, eq=False)
class SoftmaxAt:
    wanted: Array
    values: Array
    p: Array

    @property
    def slope(self) -> Array:
        return self.p - self.wanted

    @property
    def curvature(self) -> Array:
        return self.p * (1.0 - self.p)

    def bend(self, steps: Array) -> Array:
        weighted: Array = self.p * steps
        bent: Array = weighted - self.p * weighted.sum(axis=1, keepdims=True)
        return bent

    @property
    def dual_slope(self) -> Array:
        return _balanced(self.p, self.wanted) - self.wanted

    def lower_bounds(self, C: float, half_norms: Array) -> Array:
        bounds: Array = C * _entropy(_balanced(self.p, self.wanted)) - half_norms
        return bounds


def _balanced(p: Array, wanted: Array) -> Array:
    """Return `p` mixed with as little of one fixed distribution as makes column sums right.

    With column sums S of `p` and N of `wanted`, (1 - t) p + t q is a distribution in
    each row, and its columns sum to N, for q = (N - (1 - t) S) / (t n); q is not
    negative from t = max(1 - N / S) on. At the optimum t is zero.
    """
    S, N = p.sum(axis=0), wanted.sum(axis=0)
    t = float((1.0 - N / np.maximum(S, np.finfo(np.float64).tiny)).max())
    q = np.maximum(N - (1.0 - t) * S, 0.0)
    if t <= 0.0 or not q.any():
        return p  # balanced, or off by rounding alone
    mixed: Array = (1.0 - t) * p + t * (q / q.sum())
    return mixed


def _entropy(p: Array) -> float:
    return float(-xlogy(p, p).sum())
