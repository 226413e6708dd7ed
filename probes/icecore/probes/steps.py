"""Newton steps: -H⁻¹ gradient for H = P + C Zᵀ D Z, by two ways.

Conjugate gradients where the rotated basis has made H nearly diagonal; where it has not
(a squared hinge at a large C, whose few active rows are not the rows that were rotated),
an exact solution over the active rows.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from icecore.probes.linear_probe import Array
from icecore.probes.losses import Loss, LossAt

MAX_INNER: Final = 400
"""Conjugate-gradient iterations in one step."""

MIN_INNER: Final = 8

FEW_VECTORS: Final = 16

MAX_GRAM_ROWS: Final = 4096
"""Rows up to which all inner products are kept, 128 MB; beyond, those needed are made."""

SINGLE_FORCING: Final = 1e-3
"""Steps that may leave this share of the gradient or more are made with products in float32,
which know six or seven digits and take half the time. What a step is worth, where it ends and
how far that is from the optimum is told in float64."""


class Steps:
    """Steps for one training set and loss.

    Source: preconditioned conjugate gradients as in Hsia, Chiang and Lin,
    "Preconditioned conjugate gradient methods in truncated Newton frameworks for
    large-scale linear classification", 2018; the exact step as in Chapelle, "Training a
    support vector machine in the primal", 2007.
    """

    def __init__(self, Z: Array, penalty: Array, loss: Loss) -> None:
        self._Z = Z
        self._single: npt.NDArray[np.float32] = Z.astype(np.float32)
        self._squares = np.square(self._single)
        self._penalty = penalty
        self._loss = loss
        self._can_be_exact = loss.is_separable and loss.is_bias_penalised
        self._gram: Array | None = None

    def step(
        self, C: float, at: LossAt, gradient: Array, forcing: Array, is_open: np.ndarray
    ) -> Array:
        """Return a step (r, m); zero in the columns of problems that are not open.

        `forcing` is the share of the gradient's norm, by H⁻¹'s diagonal, that may stay.
        """
        curvature = at.curvature
        budget = self._budget(curvature[:, is_open]) if self._can_be_exact else MAX_INNER
        step, is_done = self._conjugate_gradients(
            C, at, curvature, gradient * is_open, forcing, budget
        )
        if self._can_be_exact:
            for column in np.flatnonzero(is_open & ~is_done):
                step[:, column] = self._exact(C * curvature[:, column], gradient[:, column])
        return step

    def _budget(self, curvature: Array) -> int:
        """Return after how many iterations the exact step would have cost as much."""
        n, r = self._Z.shape
        active = np.count_nonzero(curvature, axis=0).astype(np.float64)
        small = np.minimum(active, r)
        m = max(len(active), 1)
        forming = 0.0 if n <= MAX_GRAM_ROWS and (active < r).all() else small * active * r
        # A product with a few vectors runs at a third of the speed of one of matrices.
        slowness = 3.0 if m <= FEW_VECTORS else 1.0
        iterations = (forming + small**3 / 3.0).sum() / (4.0 * slowness * n * r * m)
        return int(np.clip(iterations, MIN_INNER, MAX_INNER))

    def _conjugate_gradients(
        self, C: float, at: LossAt, curvature: Array, gradient: Array, forcing: Array, budget: int
    ) -> tuple[Array, np.ndarray]:
        """Return a step, and which problems it solves as well as `forcing` asks."""
        Z: npt.NDArray[np.floating[Any]] = (
            self._single if forcing.min() >= SINGLE_FORCING else self._Z
        )
        # Only how fast the iterations go depends on it: float32 will do.
        diagonal = self._penalty + C * (self._squares.T @ curvature.astype(np.float32))
        np.maximum(diagonal, 1e-12 * diagonal.max(), out=diagonal)
        step = np.zeros_like(gradient)
        residual = -gradient
        direction = scaled = residual / diagonal
        sizes = self.sums(residual * scaled)
        enough = forcing**2 * sizes
        for _ in range(budget):
            moved = at.bend((Z @ direction.astype(Z.dtype)).astype(np.float64))
            bent = C * (Z.T @ moved.astype(Z.dtype)) + self._penalty * direction
            lengths = _ratio(sizes, self.sums(direction * bent))
            step = step + lengths * direction
            residual = residual - lengths * bent
            scaled = residual / diagonal
            sizes, previous = self.sums(residual * scaled), sizes
            if (sizes <= enough).all():
                break
            # A problem that is done stands still.
            direction = np.where(sizes > enough, scaled + _ratio(sizes, previous) * direction, 0.0)
        return step, sizes <= enough

    def _exact(self, weights: Array, gradient: Array) -> Array:
        """Return -(I + Zᵀ W Z)⁻¹ gradient, solved on the smaller of rows and columns."""
        active = np.flatnonzero(weights)
        roots = np.sqrt(weights[active])
        if len(active) >= len(gradient):
            B = roots[:, None] * self._Z[active]
            H = B.T @ B
            H.flat[:: len(H) + 1] += 1.0
            return -_solved(H, gradient)
        K = self._inner_products(active)
        K *= roots[:, None]
        K *= roots
        K.flat[:: len(K) + 1] += 1.0
        solved = np.zeros(len(weights))
        solved[active] = roots * _solved(K, roots * (self._Z @ gradient)[active])
        inner: Array = self._Z.T @ solved - gradient
        return inner

    def _inner_products(self, active: np.ndarray) -> Array:
        if len(self._Z) > MAX_GRAM_ROWS:
            Z = self._Z[active]
            made: Array = Z @ Z.T
            return made
        if self._gram is None:
            self._gram = self._Z @ self._Z.T
        products: Array = self._gram[np.ix_(active, active)]
        return products

    def sums(self, values: Array) -> Array:
        """Sum over each problem: columns (m,) of a separable loss, else everything (1,)."""
        sums: Array = values.sum(axis=0 if self._loss.is_separable else None)
        return np.atleast_1d(sums)


def _solved(A: Array, b: Array) -> Array:
    """Return A⁻¹ b for positive definite A, which is overwritten."""
    factor = cho_factor(A, lower=True, overwrite_a=True, check_finite=False)
    solution: Array = cho_solve(factor, b, check_finite=False)
    return solution


def _ratio(a: Array, b: Array) -> Array:
    ratio: Array = np.divide(a, b, out=np.zeros_like(a), where=b > 0.0)
    return ratio
