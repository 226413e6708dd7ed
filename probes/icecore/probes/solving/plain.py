"""Standardised features in memory, not rotated: for a few fits that start near their end.

An eigendecomposition pays off over many fits. A single one that begins at the weights of an
earlier probe takes a few Newton steps, and the Cholesky factor of the features' products, a
tenth of an eigendecomposition's work, conditions these about as well.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, cho_factor, cho_solve, solve_triangular
from scipy.linalg.lapack import dpstrf

from icecore.probes.linear_probe import Array, CodeArray
from icecore.probes.solving.directions import Directions
from icecore.probes.solving.features import Preconditioner
from icecore.probes.solving.floats import Floats
from icecore.probes.solving.standardising import Standardisation, blocks

RIDGE: Final = float(np.finfo(np.float32).eps)
"""Of the trace, added where a matrix is factored in float32: less is lost in its rounding."""

NEAR: Final = 2.5
"""Powers of two that the curvatures of columns may be apart and still share one factor. One fit
of 2,000 x 1280 x 20, softmax at C = .01, .1, 1 and 10: 0.35, 0.51, 0.61 and 0.93 s of a processor;
where each column had its own power of two 0.45, 0.87, 0.88 and 1.05."""

Factor = tuple[npt.NDArray[np.float32], bool]


@dataclass(frozen=True, eq=False)
class PlainFeatures(Directions):
    """`Z` (n, r) as in `Directions`, but correlated; columns other than the last have mean 0."""

    _factors: dict[int, Factor] = field(default_factory=dict)

    def preconditioner(self, C: float, curvature: Floats, penalty: Array) -> Preconditioner:
        """H as if all images were curved alike, each column by about its mean.

        So columns share a few factors, which are kept from step to step. The bias goes
        by itself: its feature is uncorrelated with the others.
        """
        sums = np.maximum(C * curvature.sum(axis=1, dtype=np.float64), 1e-30)
        powers = _powers(np.log2(sums / self.n))
        parts = [(np.flatnonzero(powers == each), int(each)) for each in np.unique(powers)]
        factors = [(columns, self._factor(power)) for columns, power in parts]
        bias = 1.0 / np.maximum(penalty[-1] + sums, 1e-30)

        def invert(gradients: Floats) -> Floats:
            found = np.empty_like(gradients)
            for columns, factor in factors:
                inner = gradients[columns, :-1].astype(np.float32)
                found[columns, :-1] = cho_solve(factor, inner.T, check_finite=False).T
            found[:, -1] = gradients[:, -1] * bias
            return found

        return invert

    @cached_property
    def _products(self) -> npt.NDArray[np.float32]:
        X = self._single[:, :-1]
        products: npt.NDArray[np.float32] = X.T @ X
        return products

    def _factor(self, power: int) -> Factor:
        """Return the factor of the identity plus 2 ** power times the products."""
        if power not in self._factors:
            scaled = self._products * np.float32(2.0**power)
            places = np.diag_indices_from(scaled)
            ridge = np.float32(RIDGE * scaled.trace(dtype=np.float64))
            scaled[places] += np.float32(1.0)
            while power not in self._factors:
                scaled[places] += ridge
                try:
                    factor = cho_factor(scaled, lower=True, check_finite=False)
                except LinAlgError:
                    ridge *= np.float32(10.0)
                else:
                    self._factors[power] = factor
        return self._factors[power]


def _powers(octaves: Array) -> npt.NDArray[np.int64]:
    """Return the power of two that stands for the curvature 2 ** octaves of each column.

    One for all, where they are near each other: a factor costs as much to apply to one column as
    to many, and the images of a column differ by far more than the columns do.
    """
    if np.ptp(octaves) <= NEAR:
        powers = np.full(len(octaves), np.round(np.median(octaves)))
    else:
        powers = 2.0 * np.round(octaves / 2.0)
    # A direction that nothing bends is bent by the penalty alone.
    return np.maximum(powers, -64.0).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Plain:
    """All images' codes (n, d), standardised; keeps `Material`, and undoes `unrotated`.

    Where images are fewer than features, these are taken in a basis that some of the images
    span, since weights lie in their span. A triangular factor finds one.
    """

    features: PlainFeatures
    standardisation: Standardisation
    _spanning: CodeArray | None
    """(r, d) raw codes of the images that span; None: features are the codes' own."""
    _factor: Array | None
    """(r, r) lower: the products of these images, standardised, are it times its transpose."""

    @classmethod
    def of(cls, codes: CodeArray, standardisation: Standardisation | None = None) -> "Plain":
        """Return the form of `codes` (n, d), standardised by themselves if not given.

        Wide codes are read in blocks of columns.

        Source: the pivoted Cholesky factorisation of X Xᵀ (Higham, "Analysis of the
        Cholesky decomposition of a semi-definite matrix", 1990).
        """
        standardisation = standardisation or Standardisation.of(codes)
        n, d = codes.shape
        if d <= n:
            Z = np.ones((n, d + 1))
            for columns in blocks(n, d):
                Z[:, columns] = standardisation.apply(codes, columns)
            return cls(PlainFeatures(Z), standardisation, None, None)
        products = np.zeros((n, n), order="F")
        for columns in blocks(n, d):
            X = standardisation.apply(codes, columns)
            products += X @ X.T
        factor, pivots, rank, _ = dpstrf(products, lower=1, overwrite_a=1)
        factor, order = np.tril(factor)[:, :rank], pivots - 1
        Z = np.ones((n, rank + 1))
        Z[order, :rank] = factor
        return cls(PlainFeatures(Z), standardisation, codes[order[:rank]], factor[:rank])

    def unrotated(self, coefficients: Array) -> Array:
        """Return weights (m, d) over standardised features for `coefficients` (m, r)."""
        if self._spanning is None or self._factor is None:
            return coefficients
        over_rows = solve_triangular(
            self._factor, coefficients.T, lower=True, trans=1, check_finite=False
        ).T
        n, d = self._spanning.shape
        weights = np.empty((len(coefficients), d))
        for columns in blocks(n, d):
            weights[:, columns] = over_rows @ self.standardisation.apply(self._spanning, columns)
        return weights

    def coefficients(self, weights: Array) -> Array:
        """Return (m, r) for `weights` (m, d) over standardised features.

        What of them no image can see is dropped.
        """
        if self._spanning is None or self._factor is None:
            return weights
        n, d = self._spanning.shape
        seen = np.zeros((n, len(weights)))
        for columns in blocks(n, d):
            seen += self.standardisation.apply(self._spanning, columns) @ weights[:, columns].T
        found: Array = solve_triangular(self._factor, seen, lower=True, check_finite=False).T
        return found
