"""The log losses: of two classes, and of more."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from scipy.special import expit, xlogy

from icecore.probes.linear_probe import Array
from icecore.probes.solving.floats import Floats

FURTHEST: Final = 10.0
"""By how much a step may change scores. Probabilities then change by no more than a factor e to the
tenth; a step from nothing, free to go further, left them at 1e-17, and the next one at a loss: of
1,500 x 900 x 100 at C = 100, over the same rungs, a softmax took 40 s, and takes 1.9."""


@dataclass(frozen=True, slots=True, eq=False)
class Logistic:
    """Binary log loss; `wanted` (n,) bool. The bias is free, as in scikit-learn's
    LogisticRegression.
    """

    wanted: np.ndarray
    weights: Array
    group: int = 1
    is_bias_penalised: bool = False
    furthest: float = FURTHEST

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
    furthest: float = FURTHEST

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
