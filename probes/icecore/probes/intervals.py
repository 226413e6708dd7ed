"""Accuracy with its 95 % interval."""

from dataclasses import dataclass
from typing import Final

import numpy as np

Z_95: Final = 1.959963984540054
"""The normal distribution's 97.5 % quantile."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """An estimate and its 95 % interval, all in 0..1."""

    estimate: float
    low: float
    high: float


def held_out_accuracy(is_right: np.ndarray, groups: np.ndarray) -> Accuracy:
    """Return the accuracy of pooled held-out predictions.

    Args:
        is_right: (n,) bool, one a held-out image; each was predicted once.
        groups: (n,) int; images of one group count as copies of each other.
    """
    n = len(is_right)
    if not n:
        return Accuracy(0.0, 0.0, 1.0)
    sizes = np.bincount(groups)
    n_effective = n**2 / float(np.square(sizes, dtype=np.float64).sum())
    p = float(np.mean(is_right))
    z2 = Z_95**2 / n_effective
    middle = (p + z2 / 2.0) / (1.0 + z2)
    half = np.sqrt(z2 * p * (1.0 - p) + z2**2 / 4.0) / (1.0 + z2)
    return Accuracy(p, max(float(middle - half), 0.0), min(float(middle + half), 1.0))
