"""What a solver needs of the images' features: products with them, and how large they are.

Two forms keep this promise: `directions` (in memory, rotated) and `row_blocks` (read in
blocks, as they are). In both the last feature is the constant one, whose weight is the bias.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from icecore.probes.linear_probe import Array
from icecore.probes.solving.floats import Floats

Numbers: TypeAlias = npt.NDArray[Any]
"""float32 or float64, as what was given."""

Preconditioner: TypeAlias = Callable[[Floats], Floats]
"""An approximate H⁻¹ for gradients (columns, r), in their dtype."""


class Features(Protocol):
    """`n` images of `r` features, the bias' one included."""

    @property
    def n(self) -> int: ...

    @property
    def r(self) -> int: ...

    def scores(self, weights: Floats) -> Numbers:
        """Return weights (m, r) times features, (m, n), computed in the dtype of `weights`."""

    def pull(self, slopes: Floats) -> Numbers:
        """Return slopes (m, n) times features, (m, r), computed in the dtype of `slopes`."""

    def preconditioner(self, C: float, curvature: Floats, penalty: Array) -> Preconditioner:
        """Return an approximate inverse of H = diag(penalty) + C Zᵀ diag(curvature) Z.

        `curvature` is (m, n) float32, one a column; `penalty` (r,).
        """

    def exact(self) -> "ExactRows | None":
        """Return what exact steps are made of; None where they would cost too much."""


class ExactRows(Protocol):
    """Features at hand, for systems over the rows a squared hinge is active on."""

    @property
    def r(self) -> int: ...

    def inner_products(
        self, rows: np.ndarray, others: np.ndarray, dtype: np.dtype[np.floating]
    ) -> Floats:
        """Return the inner products of some images with others, (rows, others)."""

    def outer_products(
        self, rows: np.ndarray, weights: Array, dtype: np.dtype[np.floating]
    ) -> Floats:
        """Return the sum of weight times z zᵀ over some images, (r, r)."""
