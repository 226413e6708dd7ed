"""Cholesky factors of the systems that exact steps solve."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError
from scipy.linalg.blas import dtrsm, dtrsv, strsm, strsv
from scipy.linalg.lapack import dpotrf, spotrf

from icecore.probes.linear_probe import Array
from icecore.probes.solving.floats import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """A Cholesky factor of a symmetric system (m, m), in its digits."""

    upper: Floats
    """(m, m) in Fortran order; below its diagonal is what was there."""

    @classmethod
    def of(cls, system: Floats) -> "Factor":
        """Factor a symmetric system in C order, which is lost.

        Raises:
            scipy.linalg.LinAlgError: in its digits it is not positive definite.
        """
        potrf = spotrf if system.dtype == np.float32 else dpotrf
        # Its transpose lies as LAPACK wants it, and is not copied.
        upper, info = potrf(system.T, lower=0, clean=0, overwrite_a=1)
        if info != 0:
            raise LinAlgError(f"the leading minor {info} of {len(system)} is not positive")
        return cls(upper)

    def solve(self, wanted: Array) -> Array:
        if not len(wanted):
            return wanted
        return self.back(self.halfway(wanted)).astype(np.float64)

    def halfway(self, wanted: Array) -> Floats:
        """Return L⁻¹ `wanted` (m,) for the system L Lᵀ."""
        # A third of the time of LAPACK's potrs, which is made for many right-hand sides.
        half: Floats = self._trsv(self.upper, wanted.astype(self.upper.dtype), trans=1)
        return half

    def halfway_of_many(self, wanted: Floats) -> Floats:
        """Return that of the rows of `wanted` (q, m), which are lost."""
        trsm = strsm if self.upper.dtype == np.float32 else dtrsm
        half: Floats = trsm(1.0, self.upper, wanted.T, trans_a=1, overwrite_b=1).T
        return half

    def back(self, half: Floats) -> Floats:
        """Return L⁻ᵀ `half` (m,), which is lost."""
        found: Floats = self._trsv(self.upper, half, overwrite_x=1)
        return found

    @property
    def _trsv(self) -> Any:
        return strsv if self.upper.dtype == np.float32 else dtrsv
