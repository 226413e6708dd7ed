"""What is done to each image's codes by itself, before standardisation and weights.

It belongs to a probe: what it was trained with is done again to whatever it judges.
"""

from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_SMALLEST: Final = 1e-30
"""A code without a larger value is that of nothing, and becomes zero."""


class Preprocessing(StrEnum):
    """The kinds there are, from the plainest on."""

    NONE = "none"
    L2 = "l2"
    """Scaled to the length that codes have where all values are 1 or -1: contrast and
    exposure no longer count."""
    SIGNED_ROOT = "signed-root"
    """The root of each value, its sign kept, then as L2: a few loud units no longer drown
    the others (Perronnin, Sanchez and Mensink, "Improving the Fisher kernel", 2010)."""
    SOFTMAX = "softmax"
    """Of a classifier's logits: its probabilities."""


FOR_ANY: Final = (Preprocessing.NONE, Preprocessing.L2, Preprocessing.SIGNED_ROOT)
"""What suits codes of any layer."""


def preprocessed(codes: npt.NDArray[Any], how: Preprocessing) -> npt.NDArray[Any]:
    """Return `codes` (n, d), preprocessed; the very array where nothing is done.

    float64 stays float64, all else becomes float32. Each row depends on itself alone.
    """
    if how is Preprocessing.NONE:
        return codes
    values = codes if codes.dtype == np.float64 else codes.astype(np.float32)
    if how is Preprocessing.SOFTMAX:
        shares = np.exp(values - values.max(axis=1, keepdims=True))
        probabilities: npt.NDArray[Any] = shares / shares.sum(axis=1, keepdims=True)
        return probabilities
    if how is Preprocessing.SIGNED_ROOT:
        values = np.copysign(np.sqrt(np.abs(values)), values)
    largest = np.abs(values).max(axis=1, keepdims=True, initial=0.0)
    values = np.where(largest > _SMALLEST, values, 0.0).astype(values.dtype)
    values /= np.maximum(largest, _SMALLEST)  # squares of it neither vanish nor pass
    lengths = np.sqrt(np.mean(np.square(values), axis=1, keepdims=True, dtype=np.float64))
    scaled: npt.NDArray[Any] = values / np.maximum(lengths, _SMALLEST).astype(values.dtype)
    return scaled
