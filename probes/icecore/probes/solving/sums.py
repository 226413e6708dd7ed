"""Sums over the columns of each problem, of several that are solved side by side.

Columns lie in the order of their problems, `group` to each.
"""

import numpy as np

from icecore.probes.linear_probe import Array
from icecore.probes.solving.floats import Floats


def dots(a: Floats, b: Floats, group: int) -> Array:
    """Return the inner product of each problem's columns, (problems,) float64."""
    found = np.vecdot(a, b)
    if group > 1:
        found = found.reshape(-1, group).sum(axis=1, dtype=np.float64)
    sums: Array = found.astype(np.float64, copy=False)
    return sums


def spread(values: Array, group: int) -> Array:
    """Return one value a problem (problems,) as a factor of its columns, (columns, 1)."""
    column: Array = (values if group == 1 else np.repeat(values, group))[:, None]
    return column


def ratio(a: Array, b: Array) -> Array:
    found: Array = np.divide(a, b, out=np.zeros_like(a), where=b > 0.0)
    return found
