"""The losses a probe is fitted with, as functions of the scores.

They take scores (columns, n), one row a weight vector, and never see codes. Columns belong to
problems that are solved side by side: a fold's softmax is one problem of k columns, a
fold's one-vs-rest SVM is k problems of one. `weights` (problems, n) say how much an image counts
in each; 0: it is held out. Sums are over images and a problem's columns.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import expit, xlogy

from icecore.probes.linear_probe import Array, ProbeKind

Floats: TypeAlias = npt.NDArray[np.floating[Any]]


class LossAt(Protocol):
    """A loss at given scores, with what its derivatives there have in common."""

    @property
    def values(self) -> Array:
        """The loss of each problem, (problems,)."""

    @property
    def slope(self) -> Array:
        """The derivative by each score, (columns, n)."""

    @property
    def curvature(self) -> Floats:
        """The second derivative by each score alone, (columns, n) float32, never negative."""

    def bend(self, steps: Floats) -> Floats:
        """Return the second derivatives applied to `steps` (columns, n), in their dtype."""

    @property
    def dual_slope(self) -> Array:
        """`slope`, moved where a free bias asks that its sums over images are zero."""

    def lower_bounds(self, C: float, half_norms: Array) -> Array:
        """Return a lower bound of min C * loss + |w|² / 2 for each problem, (problems,).

        `half_norms` (problems,) are |C dual_slope Z|² / 2. Source: Fenchel duality
        (Boyd and Vandenberghe, "Convex optimization", 2004, ch. 5).
        """


class Loss(Protocol):
    """A convex loss of several problems, against the targets it holds."""

    @property
    def n_problems(self) -> int: ...

    @property
    def group(self) -> int:
        """Columns of scores a problem has."""

    @property
    def is_bias_penalised(self) -> bool: ...

    @property
    def weights(self) -> Array:
        """(problems, n), how much each image counts."""

    def at(self, scores: Array) -> LossAt: ...

    def only(self, problems: np.ndarray) -> "Loss":
        """Return the loss of some of the problems."""


def columns_of(k: int) -> int:
    """Return how many weight vectors a probe of `k` classes has."""
    return 1 if k == 2 else k


def loss_of(
    kind: ProbeKind,
    y: np.ndarray,
    k: int,
    weights: Array,
    class_weights: Array | None = None,
    classes: slice = slice(None),
) -> Loss:
    """Return the loss of probes of one kind, one for each row of `weights` (sets, n).

    Args:
        y: (n,) int, 0..k-1.
        weights: not negative; a set's zeros are not learnt from.
        class_weights: (sets, k), above 0. In an SVM of more than two classes that of a
            class acts on its own images in its own problem, and not where they are among
            the rest: so LinearSVC has it, and one weight of all classes is not a larger C.
        classes: of an SVM of more than two: those whose problems are wanted.
    """
    each = np.ones((len(weights), k)) if class_weights is None else class_weights
    if kind is ProbeKind.SOFTMAX or k == 2:
        weights = weights * each[:, y]
    if ProbeKind(kind) is ProbeKind.SOFTMAX:
        return Logistic(y == 1, weights) if k == 2 else Softmax(y, k, weights)
    wanted = np.equal.outer([1] if k == 2 else np.arange(k)[classes], y)
    signs = np.where(wanted, 1.0, -1.0)
    sets, m = len(weights), len(signs)
    if k > 2 and class_weights is not None:
        own = np.where(wanted, class_weights[:, classes, None], 1.0)
        weights = (weights[:, None] * own).reshape(sets * m, -1)
    else:
        weights = np.repeat(weights, m, axis=0)
    return SquaredHinge(np.tile(signs, (sets, 1)), weights)


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


@dataclass(frozen=True, slots=True, eq=False)
class Logistic:
    """Binary log loss; `wanted` (n,) bool. The bias is free, as in scikit-learn's
    LogisticRegression.
    """

    wanted: np.ndarray
    weights: Array
    group: int = 1
    is_bias_penalised: bool = False

    @property
    def n_problems(self) -> int:
        return len(self.weights)

    def at(self, scores: Array) -> "LogisticAt":
        return LogisticAt(self, scores, expit(scores))

    def only(self, problems: np.ndarray) -> "Logistic":
        return Logistic(self.wanted, self.weights[problems])


@dataclass(frozen=True, eq=False)
class LogisticAt:
    loss: Logistic
    scores: Array
    p: Array

    @cached_property
    def values(self) -> Array:
        losses = np.logaddexp(0.0, np.where(self.loss.wanted, -self.scores, self.scores))
        values: Array = np.einsum("pn,pn->p", self.loss.weights, losses)
        return values

    @cached_property
    def slope(self) -> Array:
        slope: Array = self.loss.weights * (self.p - self.loss.wanted)
        return slope

    @cached_property
    def _curvature(self) -> Array:
        return self.loss.weights * self.p * (1.0 - self.p)

    @cached_property
    def curvature(self) -> Floats:
        return self._curvature.astype(np.float32)

    def bend(self, steps: Floats) -> Floats:
        bent: Floats = (self.curvature if steps.dtype == np.float32 else self._curvature) * steps
        return bent

    @cached_property
    def _balanced(self) -> Array:
        """(problems, 2, n)"""
        both = np.stack([1.0 - self.p, self.p], axis=1)
        wanted = np.stack([~self.loss.wanted, self.loss.wanted])
        return _balanced(both, self.loss.weights, wanted.astype(np.float64))

    @property
    def dual_slope(self) -> Array:
        slope: Array = self.loss.weights * (self._balanced[:, 1] - self.loss.wanted)
        return slope

    def lower_bounds(self, C: float, half_norms: Array) -> Array:
        bounds: Array = C * _entropy(self._balanced, self.loss.weights) - half_norms
        return bounds


@dataclass(frozen=True, slots=True, eq=False)
class Softmax:
    """Multinomial log loss of classes `y` (n,). The bias is free, as in scikit-learn's
    LogisticRegression.
    """

    y: np.ndarray
    group: int
    weights: Array
    is_bias_penalised: bool = False

    @property
    def n_problems(self) -> int:
        return len(self.weights)

    def at(self, scores: Array) -> "SoftmaxAt":
        below = scores.reshape(self.n_problems, self.group, -1)
        below = below - below.max(axis=1, keepdims=True)
        p = np.exp(below)
        sums = p.sum(axis=1)
        p /= sums[:, None]
        own = below[:, self.y, np.arange(len(self.y))]
        return SoftmaxAt(self, p, np.einsum("pn,pn->p", self.weights, np.log(sums) - own))

    def only(self, problems: np.ndarray) -> "Softmax":
        return Softmax(self.y, self.group, self.weights[problems])


@dataclass(frozen=True, eq=False)
class SoftmaxAt:
    """`p` is (problems, k, n)."""

    loss: Softmax
    p: Array
    values: Array

    @cached_property
    def slope(self) -> Array:
        return self._slope(self.p)

    @cached_property
    def curvature(self) -> Floats:
        p, w = self._single
        curvature: Floats = w[:, None] * p * (1.0 - p)
        return curvature.reshape(-1, curvature.shape[2])

    def bend(self, steps: Floats) -> Floats:
        p, w = self._single if steps.dtype == np.float32 else (self.p, self.loss.weights)
        weighted = p * steps.reshape(p.shape)
        mean = np.einsum("pkn->pn", weighted)
        weighted -= p * mean[:, None]
        weighted *= w[:, None]
        return weighted.reshape(steps.shape)

    @cached_property
    def _single(self) -> tuple[Floats, Floats]:
        return self.p.astype(np.float32), self.loss.weights.astype(np.float32)

    @cached_property
    def _balanced(self) -> Array:
        y = self.loss.y
        wanted = np.equal.outer(np.arange(self.loss.group), y).astype(np.float64)
        return _balanced(self.p, self.loss.weights, wanted)

    @property
    def dual_slope(self) -> Array:
        return self._slope(self._balanced)

    def lower_bounds(self, C: float, half_norms: Array) -> Array:
        bounds: Array = C * _entropy(self._balanced, self.loss.weights) - half_norms
        return bounds

    def _slope(self, p: Array) -> Array:
        slope = p * self.loss.weights[:, None]
        slope[:, self.loss.y, np.arange(slope.shape[2])] -= self.loss.weights
        flat: Array = slope.reshape(-1, slope.shape[2])
        return flat


def _balanced(p: Array, weights: Array, wanted: Array) -> Array:
    """Return `p` (problems, k, n) mixed with as little as makes sums over images right.

    With weighted sums S of `p` and N of `wanted` (k, n), (1 - t) p + t q is a distribution
    for each image, and it sums to N, for q = (N - (1 - t) S) / (t sum(weights)); q is not
    negative from t = max(1 - N / S) on. At the optimum t is zero. A class that a problem has
    no images of gets nothing.
    """
    N = weights @ wanted.T
    is_absent = N <= 0.0
    if is_absent.any():
        p = np.where(is_absent[:, :, None], 0.0, p)
        p /= np.maximum(p.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    S = np.einsum("pkn,pn->pk", p, weights)
    short = 1.0 - N / np.maximum(S, np.finfo(np.float64).tiny)
    t = np.where(is_absent, 0.0, short).max(axis=1).clip(0.0, 1.0)
    q = np.maximum(N - (1.0 - t)[:, None] * S, 0.0)
    total = q.sum(axis=1)
    is_off = (t > 0.0) & (total > 0.0)  # else balanced, or off by rounding alone
    if not is_off.any():
        return p
    share = np.where(is_off, t, 0.0)[:, None]
    q *= share / np.where(is_off, total, 1.0)[:, None]
    mixed: Array = (1.0 - share)[:, :, None] * p + q[:, :, None]
    return mixed


def _entropy(p: Array, weights: Array) -> Array:
    entropy: Array = -np.einsum("pkn,pn->p", xlogy(p, p), weights)
    return entropy
