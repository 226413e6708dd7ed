"""Features as they are stored, read in blocks of rows: for codes too many or too wide to rotate.

Codes may be a memory-mapped file of float16: a block is converted when its turn comes, and
standardisation is folded into what they are multiplied with, so that no second copy is
made of codes that do not fit.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from icecore.probes.linear_probe import Array, CodeArray
from icecore.probes.solving.directions import principal
from icecore.probes.solving.features import Numbers, Preconditioner
from icecore.probes.solving.floats import Floats
from icecore.probes.solving.once import Once
from icecore.probes.solving.standardising import Standardisation

BLOCK_VALUES: Final = 8_000_000
"""Values converted at once, 32 MB in float32."""

KEPT_BYTES: Final = 1 << 30
"""Up to here codes are kept in float32: conversion takes as long as a product with a few rows."""

SAMPLED_ROWS: Final = 1500
"""Images whose directions precondition the iterations of all; evenly spread, so that the
same codes give the same ones."""

DIRECTIONS: Final = 400


@dataclass(frozen=True, eq=False)
class RowBlocks:
    """Codes (n, d) and how they are standardised; keeps `Features` and `Material`."""

    codes: CodeArray
    standardisation: Standardisation
    _once: Once = field(default_factory=Once, init=False, repr=False)

    @classmethod
    def of(cls, codes: CodeArray, standardisation: Standardisation | None = None) -> "RowBlocks":
        return cls(codes, standardisation or Standardisation.of(codes))

    @property
    def features(self) -> "RowBlocks":
        return self

    @property
    def n(self) -> int:
        return len(self.codes)

    @property
    def r(self) -> int:
        return int(self.codes.shape[1]) + 1

    def unrotated(self, coefficients: Array) -> Array:
        return coefficients

    def scores(self, weights: Floats) -> Numbers:
        dtype = weights.dtype
        on_raw = weights[:, :-1] / self.standardisation.scale
        offset = weights[:, -1] - on_raw @ self.standardisation.mean
        on_raw = on_raw.astype(dtype, copy=False)
        found = np.empty((len(weights), self.n), dtype)
        for rows, block in self._blocks(dtype):
            np.matmul(on_raw, block.T, out=found[:, rows])
        found += offset.astype(dtype)[:, None]
        return found

    def pull(self, slopes: Floats) -> Numbers:
        dtype = slopes.dtype
        found = np.zeros((len(slopes), self.r))
        for rows, block in self._blocks(dtype):
            found[:, :-1] += slopes[:, rows] @ block
        sums = slopes.sum(axis=1, dtype=np.float64)
        found[:, :-1] -= np.outer(sums, self.standardisation.mean)
        found[:, :-1] /= self.standardisation.scale
        found[:, -1] = sums
        return found.astype(dtype, copy=False)

    def preconditioner(self, C: float, curvature: Floats, penalty: Array) -> Preconditioner:
        """H as the sampled images show it: its large directions, and one level beyond them.

        Source: Frangella, Tropp and Udell, "Randomized Nyström preconditioning", 2023,
        here with a sample of rows in place of a sketch, which would need a pass over all.
        """
        V, variances = self._once.get("sampled", self._sampled)
        sums = C * curvature.sum(axis=1, dtype=np.float64)[:, None]
        large = 1.0 + sums * variances
        level = large[:, -1:] if len(variances) else np.ones_like(sums)
        bias = (penalty[-1] + sums).astype(np.float32)
        turn = (1.0 / large - 1.0 / level).astype(np.float32)
        flat = (1.0 / level).astype(np.float32)

        def invert(gradients: Floats) -> Floats:
            inner = gradients[:, :-1].astype(np.float32)
            found = np.empty_like(gradients)
            found[:, :-1] = inner * flat + ((inner @ V.T) * turn) @ V
            found[:, -1:] = gradients[:, -1:] / np.maximum(bias, 1e-30)
            return found

        return invert

    def exact(self) -> None:
        return None

    def _sampled(self) -> tuple[npt.NDArray[np.float32], Array]:
        """Directions (l, d) of the sampled images, and the variance along each, ascending."""
        rows = np.unique(np.linspace(0, self.n - 1, SAMPLED_ROWS).astype(np.int64))
        X = (self.codes[rows] - self.standardisation.mean) / self.standardisation.scale
        X = X.astype(np.float32)
        values, U = principal((X @ X.T).astype(np.float64))
        kept = np.flatnonzero(values > 1e-6 * values[-1])[-DIRECTIONS:][::-1]
        over_rows = (U[:, kept] / np.sqrt(values[kept])).T
        V: npt.NDArray[np.float32] = np.matmul(over_rows.astype(np.float32), X, dtype=np.float32)
        return V, values[kept] / len(rows)

    def _kept(self) -> npt.NDArray[np.float32] | None:
        if 4 * self.codes.size > KEPT_BYTES:
            return None
        return self.codes.astype(np.float32)

    def _blocks(self, dtype: np.dtype[Any]) -> Iterator[tuple[slice, Floats]]:
        source: CodeArray = self.codes
        if dtype == np.float32:
            kept = self._once.get("kept", self._kept)
            source = self.codes if kept is None else kept
        step = max(1, BLOCK_VALUES // source.shape[1])
        for start in range(0, self.n, step):
            rows = slice(start, min(start + step, self.n))
            yield rows, source[rows].astype(dtype, copy=False)
