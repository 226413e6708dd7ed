"""The orders of likeness, and their exact arithmetic in float64.

Here is what a score *is*: everything faster has to agree with it.
"""

from enum import StrEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Float64Array: TypeAlias = npt.NDArray[np.float64]


class Metric(StrEnum):
    """L2 hits ascend, the others descend."""

    COSINE = "cosine"
    L2 = "l2"
    INNER_PRODUCT = "inner-product"

    @property
    def is_ascending(self) -> bool:
        return self is Metric.L2


def exact_scores(metric: Metric, rows: Float64Array, query: Float64Array) -> Float64Array:
    """Return the score of each row, (m, d) and (d,) to (m,), all float64.

    Sums run along each row alone (no BLAS), so that a row's score is the same
    to the bit whatever rows are scored beside it. COSINE with a zero vector is
    0, and never leaves [-1, 1]; L2 is the distance, not its square.

    float32 values can neither overflow nor vanish here: their squares lie
    between 1e-90 and 1e77.
    """
    if metric is Metric.L2:
        difference = rows - query
        return _lengths(difference)
    products: Float64Array = np.sum(rows * query, axis=1)
    if metric is Metric.INNER_PRODUCT:
        return products
    lengths = _lengths(rows) * _lengths(query[None])
    cosines: Float64Array = np.zeros_like(products)
    np.divide(products, lengths, out=cosines, where=lengths > 0)
    return cosines.clip(-1.0, 1.0)


def _lengths(rows: Float64Array) -> Float64Array:
    squares: Float64Array = np.sum(rows * rows, axis=1)
    return np.sqrt(squares)
