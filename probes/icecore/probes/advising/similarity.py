"""How like its own a backbone finds a tenant's images, measured in two ways.

By its confidence in its own classes, for which no labels are needed, and by where in its depth
the tenant's classes are told apart best.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from icecore.probes.advising.paired import PSEUDO, kish, n_effective
from icecore.probes.cross_validation import OUTER_FOLDS
from icecore.probes.errors import CodesInvalid
from icecore.probes.intervals import Z_95, paired_difference
from icecore.probes.linear_probe import CodeArray, check_finite

EARLIER: Final = 0.8
"""The part of all depths that counts as earlier; what follows is the last layer all but in name."""

_PARTS: Final = 5


@dataclass(frozen=True, slots=True)
class Measured:
    """A measured value and its 95 % interval."""

    value: float
    low: float
    high: float


def familiarity_of(logits: CodeArray, groups: np.ndarray, own_accuracy: float) -> Measured:
    """Return the mean confidence in the best of the backbone's classes, over `own_accuracy`.

    Args:
        logits: (n, classes) float, before any softmax.
        groups: (n,) int; images of one group count as copies of each other.
        own_accuracy: the backbone's top-1 accuracy on images like its own, above 0, at most 1.

    Raises:
        CodesInvalid: no matrix of one row an image, or not finite.

    Source: confidence as a sign of unfamiliar images, Hendrycks and Gimpel, "A baseline for
    detecting misclassified and out-of-distribution examples in neural networks", 2017. The
    energy of Liu et al., "Energy-based out-of-distribution detection", 2020, orders the sets
    nearly alike, but on a scale of each network's own (ants and bees: 10.3 of EfficientNet-Lite0,
    24.0 of SqueezeNet), so that no cut would serve two.
    """
    n = len(groups)
    if logits.ndim != 2 or len(logits) != n or logits.dtype.kind != "f" or not n:
        raise CodesInvalid(
            f"logits are {logits.dtype.name!r} of shape {logits.shape!r}, "
            f"but must be a float array of shape ({n}, classes)"
        )
    check_finite(logits, "logits")
    scores = logits.astype(np.float64)
    # The best class's own term of the softmax's sum is exp(0) = 1.
    confidence = 1.0 / np.exp(scores - scores.max(axis=1, keepdims=True)).sum(axis=1)
    value = float(confidence.mean())
    # No folds: nothing was trained on these images. A single one has no spread: it may be anything.
    size = kish(groups)
    half = Z_95 * _error(confidence, size) if size > 1.0 else 1.0
    low, high = max(value - half, 0.0), min(value + half, 1.0)
    return Measured(value / own_accuracy, low / own_accuracy, high / own_accuracy)


def _error(confidence: np.ndarray, size: float) -> float:
    """Return the standard error of a mean of values in 0..1, on `size` images.

    With one image of 0 and one of 1 added, as proportions have it (Agresti and Coull, 1998), so
    that a few that happen to agree are no certainty.
    """
    mean, square = float(confidence.mean()), float(np.square(confidence).mean())
    centre = (size * mean + 1.0) / (size + PSEUDO)
    spread = (size * square + 1.0) / (size + PSEUDO) - centre**2
    return float((spread / (size + PSEUDO)) ** 0.5)


def earlier_gain_of(right: np.ndarray, groups: np.ndarray) -> Measured:
    """Return the best earlier layer's accuracy minus the last's, chosen and judged apart.

    Args:
        right: (layers, h) bool, by depth: which held-out images each layer's probe got right,
            in `OUTER_FOLDS` folds.
        groups: (h,) int; images of one group count as copies of each other. Every fifth group
            is judged by the layer that the other four prefer.

    Source: the interval is Newcombe's, see `paired_difference`, on effective images, see
    `n_effective`.
    """
    earlier = right[: int(EARLIER * len(right))]
    last, h = right[-1], right.shape[1]
    if not len(earlier) or not h:
        return Measured(0.0, -1.0, 1.0)
    chosen = np.empty(h, np.bool_)
    part = np.unique(groups, return_inverse=True)[1] % _PARTS
    for one in range(_PARTS):
        others = part != one
        # Of equals the earliest, which is the cheapest.
        chosen[~others] = earlier[int(earlier[:, others].sum(axis=1).argmax()), ~others]
    cells = (last & chosen, last & ~chosen, ~last & chosen, ~last & ~chosen)
    size = n_effective(groups, n_folds=OUTER_FOLDS)
    both, last_only, chosen_only, neither = (float(cell.mean()) * size for cell in cells)
    low, high = paired_difference(both, last_only, chosen_only, neither)
    return Measured(float(chosen.mean() - last.mean()), low, high)
