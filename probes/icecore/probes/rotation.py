"""A training set in the basis of its principal directions.

A linear model with an L2 penalty does not notice a rotation of its features, and its
weights lie in the span of the training rows. So `d` standardised features become
`r <= min(n, d)` uncorrelated ones, from one eigendecomposition that serves every C and
both losses; there the Hessian is nearly diagonal, which is what makes Newton's steps
cheap. What serves several training sets at once (folds, layers joined) belongs here.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from scipy.linalg import eigh

from icecore.probes.linear_probe import Array, CodeArray
from icecore.probes.standardising import Standardisation, blocks

RANK_TOLERANCE: Final = 1e-14
"""Directions whose variance is a smaller part of the largest are left out of an
eigendecomposition of X Xᵀ: rounding made them, and what they cost is rounding too."""


@dataclass(frozen=True, slots=True, eq=False)
class Rotation:
    """Training rows and held-out rows as (n, r) and (m, r) float64.

    Inner products of training rows are kept. `weights` undoes the rotation.
    """

    train: Array
    held: Array
    standardisation: Standardisation
    _codes: CodeArray
    _rows: np.ndarray
    _back: Array
    """(d, r), or (n, r) where the basis is spanned by training rows."""
    _is_spanned_by_rows: bool

    @classmethod
    def of(cls, codes: CodeArray, rows: np.ndarray, held_rows: np.ndarray) -> Self:
        """Return the rotation that the training `rows` of `codes` (n, d) define.

        Standardisation and directions are those of the training rows alone.

        Source: the smaller of XᵀX and XXᵀ, as in kernel principal components
        (Schölkopf, Smola and Müller, 1998). Wide codes are read in blocks of columns.
        """
        standardisation = Standardisation.of(codes, rows)
        n, d = len(rows), codes.shape[1]
        both = np.concatenate([rows, held_rows])
        if d <= n:
            X = standardisation.apply(codes, both, slice(0, d))
            _, V = eigh(X[:n].T @ X[:n], driver="evd", overwrite_a=True, check_finite=False)
            Z = X @ V
            return cls(Z[:n], Z[n:], standardisation, codes, rows, V, False)
        K, K_held = np.zeros((n, n)), np.zeros((len(held_rows), n))
        for columns in blocks(len(both), d):
            X = standardisation.apply(codes, both, columns)
            K += X[:n] @ X[:n].T
            K_held += X[n:] @ X[:n].T
        variances, U = eigh(K, driver="evd", overwrite_a=True, check_finite=False)
        kept = variances > RANK_TOLERANCE * max(variances[-1], 0.0)
        lengths = np.sqrt(variances[kept])
        U = U[:, kept]
        back = U / lengths
        return cls(U * lengths, K_held @ back, standardisation, codes, rows, back, True)

    def weights(self, coefficients: Array) -> Array:
        """Return weights (m, d) over standardised features for `coefficients` (r, m)."""
        back = self._back @ coefficients
        if not self._is_spanned_by_rows:
            return np.ascontiguousarray(back.T)
        d = self._codes.shape[1]
        weights = np.empty((back.shape[1], d))
        for columns in blocks(len(self._rows), d):
            X = self.standardisation.apply(self._codes, self._rows, columns)
            weights[:, columns] = back.T @ X
        return weights
