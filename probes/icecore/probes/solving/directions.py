"""Features in the basis of their principal directions, in memory.

A linear model with an L2 penalty does not notice a rotation of its features, and its
weights lie in the span of the images. So `d` standardised features become `r <= min(n, d)`
uncorrelated ones, by one eigendecomposition; any set of folds, any C and both losses are then
fitted on its rows. There the Hessian is nearly diagonal, which is what makes Newton's steps
cheap.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from icecore.probes.linear_probe import Array, CodeArray
from icecore.probes.solving.features import Numbers, Preconditioner
from icecore.probes.solving.floats import Floats
from icecore.probes.solving.once import Once
from icecore.probes.solving.standardising import Standardisation, blocks

RANK_TOLERANCE: Final = 1e-14
"""Directions whose variance is a smaller part of the largest are left out of an
eigendecomposition of X Xᵀ: rounding made them, and what they cost is rounding too."""

MAX_GRAM_ROWS: Final = 4096
"""Rows up to which all inner products are kept, 64 MB in float32."""

_BLOCK: Final = 1 << 20
"""Values squared at once: 4 MB, which caches hold."""


@dataclass(frozen=True, eq=False)
class Rotation:
    """All images' codes (n, d), standardised and rotated; it can be undone.

    Inner products are kept.
    """

    features: "Directions"
    standardisation: Standardisation
    _codes: CodeArray
    _back: Array
    """(d, r), or (n, r) where the basis is spanned by images."""
    _is_spanned_by_rows: bool

    @classmethod
    def of(cls, codes: CodeArray, standardisation: Standardisation | None = None) -> "Rotation":
        """Return the rotation that `codes` (n, d) define, standardised by themselves if not given.

        Source: the smaller of XᵀX and XXᵀ, as in kernel principal components
        (Schölkopf, Smola and Müller, 1998). Wide codes are read in blocks of columns.
        """
        standardisation = standardisation or Standardisation.of(codes)
        n, d = codes.shape
        if d <= n:
            products = np.zeros((d, d))
            for rows in blocks(d, n):
                X = standardisation.apply(codes[rows], slice(0, d))
                products += X.T @ X
            _, V = principal(products)
            Z = np.ones((n, d + 1))
            for rows in blocks(d, n):
                Z[rows, :d] = standardisation.apply(codes[rows], slice(0, d)) @ V
            return cls(Directions(Z), standardisation, codes, V, False)
        K = np.zeros((n, n))
        for columns in blocks(n, d):
            X = standardisation.apply(codes, columns)
            K += X @ X.T
        variances, U = principal(K)
        kept = variances > RANK_TOLERANCE * max(variances[-1], 0.0)
        lengths = np.sqrt(variances[kept])
        U = U[:, kept]
        Z = np.hstack([U * lengths, np.ones((n, 1))])
        return cls(Directions(Z), standardisation, codes, U / lengths, True)

    def unrotated(self, coefficients: Array) -> Array:
        """Return weights (m, d) over standardised features for `coefficients` (m, r)."""
        if not self._is_spanned_by_rows:
            whole: Array = coefficients @ self._back.T
            return whole
        over_rows = coefficients @ self._back.T
        n, d = self._codes.shape
        weights = np.empty((len(coefficients), d))
        for columns in blocks(n, d):
            weights[:, columns] = over_rows @ self.standardisation.apply(self._codes, columns)
        return weights


def principal(products: Array) -> tuple[Array, Array]:
    """Return eigenvalues, ascending, and eigenvectors of a symmetric matrix, which is lost.

    All eigendecompositions of this package are made here.
    """
    values, vectors = eigh(products, driver="evd", overwrite_a=True, check_finite=False)
    return values, vectors


@dataclass(frozen=True, eq=False)
class Directions:
    """`Z` is (n, r) float64, the last column ones. Keeps `Features` and `ExactRows`."""

    Z: Array
    _once: Once = field(default_factory=Once, init=False, repr=False)

    @property
    def n(self) -> int:
        return len(self.Z)

    @property
    def r(self) -> int:
        return int(self.Z.shape[1])

    @property
    def _single(self) -> npt.NDArray[np.float32]:
        return self._once.get("single", lambda: self.Z.astype(np.float32))

    def scores(self, weights: Floats) -> Numbers:
        product: Numbers = weights @ self._in(weights.dtype).T
        return product

    def pull(self, slopes: Floats) -> Numbers:
        product: Numbers = slopes @ self._in(slopes.dtype)
        return product

    def preconditioner(self, C: float, curvature: Floats, penalty: Array) -> Preconditioner:
        """The diagonal of H: only how fast iterations go depends on it, so float32 will do."""
        squares = np.zeros((len(curvature), self.r), np.float32)
        step = max(1, _BLOCK // self.r)
        for start in range(0, self.n, step):
            rows = slice(start, start + step)
            squares += curvature[:, rows] @ np.square(self._single[rows])
        diagonal = penalty + C * squares
        np.maximum(diagonal, 1e-12 * diagonal.max(axis=1, keepdims=True), out=diagonal)
        inverse = 1.0 / diagonal
        return lambda gradients: gradients * inverse.astype(gradients.dtype, copy=False)

    def exact(self) -> "Directions":
        return self

    def inner_products(self, rows: np.ndarray, others: np.ndarray, dtype: np.dtype[Any]) -> Floats:
        if self.n <= MAX_GRAM_ROWS:
            gram = self._once.get(f"gram {dtype}", lambda: self._in(dtype) @ self._in(dtype).T)
            kept: Floats = gram.take(rows, axis=0).take(others, axis=1)
            return kept
        Z = self._in(dtype)[rows]
        # A matrix with itself is half the work.
        products: Floats = Z @ (Z if rows is others else self._in(dtype)[others]).T
        return products

    def outer_products(self, rows: np.ndarray, weights: Array, dtype: np.dtype[Any]) -> Floats:
        Z = self._in(dtype)[rows]
        Z *= np.sqrt(weights).astype(dtype)[:, None]
        products: Floats = Z.T @ Z
        return products

    def _in(self, dtype: np.dtype[Any]) -> Floats:
        return self._single if dtype == np.float32 else self.Z
