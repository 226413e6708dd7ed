"""Systems over the rows that a squared hinge is active on, from one step to the next.

The hinge is as curved at a row as long as the row is active. So a step's system differs from
the one before by the rows that came and went, and is solved by the factor of before
and a small system over these: a fraction of a new factor's work.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from scipy.linalg.lapack import dgetrf, dgetrs, sgetrf, sgetrs

from icecore.probes.linear_probe import Array
from icecore.probes.solving.factors import Factor
from icecore.probes.solving.features import ExactRows
from icecore.probes.solving.floats import Floats

WORTH_CHANGING: Final = 0.7
"""Changes may be this share of a new factor's work, which also makes those to come fewer."""


@dataclass(slots=True, eq=False)
class RowSystem:
    """D⁻¹ + Z Zᵀ over `rows`, ascending, where D are their curvatures.

    Known by a factor L Lᵀ over the rows of the start, and by changes: a row that went is held
    at nothing by a multiplier, one that came stands beside. With these as columns U
    the system is [[L Lᵀ, U], [Uᵀ, W]], and V = L⁻¹ U and W - Vᵀ V are what is needed.
    Source: Bisschop and Meeraus, "Matrix augmentation and partitioning in the
    updating of the basis inverse", 1977.
    """

    rows: np.ndarray
    _exact: ExactRows
    _factor: Factor
    _start: np.ndarray
    _changed: np.ndarray
    """(c,) rows that came or went at some time since the start."""
    _columns: Floats
    """(c, len(start)), Vᵀ."""
    _beside: Floats
    """(c, c), W - Vᵀ V."""
    _today: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    """Places in `_changed` of those that differ from the start now."""
    _solved: tuple[Floats, np.ndarray] | None = None
    """What LAPACK makes of `_beside` for `_today`."""

    @classmethod
    def over(
        cls, exact: ExactRows, rows: np.ndarray, curvature: Array, dtype: np.dtype[Any]
    ) -> "RowSystem":
        """Factor the system over `rows`, ascending, of `curvature` (n,).

        Raises:
            scipy.linalg.LinAlgError: in its digits it is not positive definite.
        """
        system = exact.inner_products(rows, rows, dtype)
        system.flat[:: len(rows) + 1] += (1.0 / curvature[rows]).astype(dtype)
        none = np.empty(0, np.int64)
        columns, beside = np.empty((0, len(rows)), dtype), np.empty((0, 0), dtype)
        return cls(rows, exact, Factor.of(system), rows, none, columns, beside)

    def turn_to(self, rows: np.ndarray, curvature: Array) -> bool:
        """Let it be over other `rows`, ascending; False where it had better be made anew.

        What `curvature` (n,) says of rows that were active before is what it was then.
        """
        differs = np.zeros(len(curvature), np.bool_)
        differs[rows] = True
        differs[self._start] ^= True
        today = np.flatnonzero(differs)
        differs[self._changed] = False
        new = np.flatnonzero(differs)
        came = new[np.isin(new, rows, assume_unique=True)]
        m, c, r = len(self._start), len(self._changed) + len(new), self._exact.r
        work = len(new) * (m + 2 * c) * m + 2 * r * len(came) * (m + c) + c**3
        if work > WORTH_CHANGING * (r + m / 3) * m**2:
            return False
        if len(new):
            self._add(came, np.setdiff1d(new, came, assume_unique=True), curvature)
        order = np.argsort(self._changed)
        self._today = order[np.searchsorted(self._changed, today, sorter=order)]
        self.rows, self._solved = rows, None
        if len(today):
            getrf = sgetrf if self._beside.dtype == np.float32 else dgetrf
            factor, pivots, info = getrf(self._beside[np.ix_(self._today, self._today)].T)
            self._solved = factor, pivots
            return bool(info == 0)
        return True

    def solve(self, wanted: Array) -> Array:
        """Return the solution (rows,) for what is `wanted` (n,) of them."""
        dtype = self._beside.dtype
        at_start = wanted[self._start]
        if self._solved is None:
            return self._factor.solve(at_start)
        changed = self._changed[self._today]
        places, went = self._at_start(changed)
        at_start[places[went]] = 0.0  # its multiplier would take it off again, and round
        half = self._factor.halfway(at_start)
        columns = self._columns[self._today]
        left = np.where(went, 0.0, wanted[changed]).astype(dtype) - columns @ half
        getrs = sgetrs if dtype == np.float32 else dgetrs
        beside, _ = getrs(*self._solved, left, overwrite_b=1)
        found = np.zeros(len(wanted))
        found[self._start] = self._factor.back(half - beside @ columns)
        found[changed[~went]] = beside[~went]
        solution: Array = found[self.rows]
        return solution

    def _add(self, came: np.ndarray, went: np.ndarray, curvature: Array) -> None:
        dtype = self._beside.dtype
        known, m = len(self._changed), len(self._start)
        changed = np.concatenate([self._changed, came, went])
        fresh = np.zeros((len(came) + len(went), m), dtype)
        fresh[: len(came)] = self._exact.inner_products(came, self._start, dtype)
        places, _ = self._at_start(went)
        fresh[np.arange(len(came), len(fresh)), places] = 1.0
        fresh = self._factor.halfway_of_many(fresh)
        columns = np.concatenate([self._columns, fresh])
        across = fresh @ -columns.T
        _, has_gone = self._at_start(changed)
        beside_each = np.flatnonzero(~has_gone)
        among = self._exact.inner_products(came, changed[beside_each], dtype)
        across[: len(came), beside_each] += among
        own = np.arange(len(came))
        across[own, known + own] += (1.0 / curvature[came]).astype(dtype)
        beside = np.empty((len(changed), len(changed)), dtype)
        beside[:known, :known] = self._beside
        beside[known:] = across
        beside[:known, known:] = across[:, :known].T
        self._changed, self._columns, self._beside = changed, columns, beside

    def _at_start(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the place of rows among those of the start, and which are there."""
        places = np.searchsorted(self._start, rows).clip(max=len(self._start) - 1)
        return places, self._start[places] == rows
