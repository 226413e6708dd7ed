"""Which of several layers a set of held-out answers prefers.

Accuracy on a few hundred images is noisy, and the best of thirty noisy layers is mostly the
luckiest. Two things are known beforehand: layers next to each other are alike, and an earlier
layer is cheaper.
"""

from typing import Final

import numpy as np

from icecore.probes.linear_probe import Array

BANDWIDTH: Final = 0.08
"""Share of the network's depth over which layers lend each other their answers."""

STANDARD_ERRORS: Final = 1.0
"""A layer within so many of the best one counts as its equal (Breiman, Friedman, Olshen and
Stone, "Classification and regression trees", 1984)."""


def smoothed(answers: Array, positions: Array | None) -> Array:
    """Return `answers` (layers, m), each row averaged with those of layers near it."""
    if positions is None or len(positions) < 2:
        return answers
    kernel = np.exp(-0.5 * ((positions[:, None] - positions) / BANDWIDTH) ** 2)
    averaged: Array = kernel @ answers / kernel.sum(axis=1, keepdims=True)
    return averaged


def preferred(right: np.ndarray, loss: Array, positions: Array | None) -> int:
    """Return the row of the earliest layer that is as good as the best.

    Each layer's answers are averaged with those of layers near it, by a Gaussian kernel over
    depth. The best mean is the best layer's, of equals that of the smaller loss; of those
    whose mean is within one standard error of it, told by paired answers, the first is
    preferred.

    Args:
        right: (layers, n) bool, from the first layer to the last.
        loss: (layers,), summed held-out loss.
        positions: (layers,) each one's depth as a share of the network's; None: they are
            no neighbours.
    """
    answers = smoothed(right.astype(np.float64), positions)
    if not answers.shape[1]:
        return 0
    means = answers.mean(axis=1)
    best = min(range(len(means)), key=lambda i: (-round(means[i], 12), loss[i], i))
    less = answers[best] - answers
    errors = less.std(axis=1) / np.sqrt(answers.shape[1])
    is_equal = less.mean(axis=1) <= STANDARD_ERRORS * errors + 1e-12
    return int(np.argmax(is_equal))
