"""Which of several layers a set of held-out answers prefers.

Accuracy on a few hundred images is noisy, and the best of thirty noisy layers is mostly the
luckiest. Two things are known beforehand: layers next to each other are alike, and an earlier
layer is cheaper. What has no depth, as the network's own answers, has no neighbours to tell luck
from worth, and costs the whole network: it has to show more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, nan
from typing import Final, Self

import numpy as np

from icecore.probes.linear_probe import Array

BANDWIDTH: Final = 0.12
"""Share of the network's depth over which layers lend each other their answers."""

OCTAVES: Final = 0.5
"""How far they may differ in width, in powers of two: a block's narrow layers tell little of its
wide ones. SqueezeNet, whose widths alternate, lost 4 points on one set without."""

STANDARD_ERRORS: Final = 0.5
"""A layer within so many of the best one counts as its equal (after Breiman, Friedman, Olshen
and Stone, "Classification and regression trees", 1984, who take one). On eleven pairs of set and
network of 90 to 300 images a whole one cost 0.6 points more than a half, for layers
4 % of the depth earlier."""

EVIDENCE: Final = 1.0
"""Standard errors that a candidate without a depth has to be ahead of the preferred layer, told by
McNemar's statistic, for which one image is not enough. When a network's logits and their softmax
were layers far from all others, their answers, averaged with none, were the luckiest, and by their
scatter many a layer was within the error of them: in 93 draws (23 pairs of set and network,
30 to 600 images), 41 of which took them, this cost 0.54 ± 0.26 points against layers alone.
Beside the last depth they cost 0.85 ± 0.28. So they gain 0.03 ± 0.08, taken three times; 97 other
draws had decided for it."""


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where layers stand: depth as a share of the network's, and values of a code, (layers,).

    A depth is NaN for what has none: it is nobody's neighbour.
    """

    depths: Array
    widths: Array

    @classmethod
    def of(cls, depths: Sequence[float | None], widths: Sequence[int]) -> Self:
        """Return the places; None is no depth."""
        known = [nan if depth is None else depth for depth in depths]
        return cls(np.array(known, np.float64), np.array(widths, np.float64))

    def smoothed(self, answers: Array) -> Array:
        """Return `answers` (layers, m), each row averaged with those of layers like it.

        By a Gaussian kernel over depth and the logarithm of width.
        """
        octaves = np.log2(np.maximum(self.widths, 1.0))
        away = np.square((self.depths[:, None] - self.depths) / BANDWIDTH)
        away += np.square((octaves[:, None] - octaves) / OCTAVES)
        kernel = np.exp(-0.5 * np.where(np.isnan(away), inf, away))
        np.fill_diagonal(kernel, 1.0)
        averaged: Array = kernel @ answers / kernel.sum(axis=1, keepdims=True)
        return averaged


def preferred(right: np.ndarray, loss: Array, places: Places | None) -> int:
    """Return the row of the earliest layer that is as good as the best, or of better answers.

    Each layer's answers are averaged with those of layers near it. The best mean is the best
    layer's, of equals that of the smaller loss; of those whose mean is within
    `STANDARD_ERRORS` of it, told by paired answers, the first is preferred. Of candidates without
    a depth those more than `EVIDENCE` standard errors ahead of it, by its own answers and
    theirs, are preferred to it: the best of them, and of equals that of the smaller loss.

    Args:
        right: (layers, n) bool, from the first layer to the last.
        loss: (layers,), summed held-out loss.
        places: of the layers; None, or no depth at all: they are no neighbours.
    """
    n = right.shape[1]
    if not n:
        return 0
    own = right.astype(np.float64)
    answers = own if places is None else places.smoothed(own)
    is_apart = np.zeros(len(own), np.bool_) if places is None else np.isnan(places.depths)
    if is_apart.all():
        is_apart[:] = False
    layers = np.flatnonzero(~is_apart)
    means = answers.mean(axis=1)
    best = min(layers, key=lambda i: (-round(means[i], 6), loss[i], i))
    less = answers[best] - answers[layers]
    errors = less.std(axis=1) / np.sqrt(n)
    is_equal = less.mean(axis=1) <= STANDARD_ERRORS * errors + 1e-6
    first = int(layers[np.argmax(is_equal)])
    more = own - own[first]
    chance = np.sqrt(np.square(more).sum(axis=1))
    ahead = np.flatnonzero(is_apart & (more.sum(axis=1) > EVIDENCE * chance + 1e-6))
    return int(min(ahead, key=lambda i: (-round(means[i], 6), loss[i], i), default=first))
