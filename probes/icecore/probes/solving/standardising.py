"""Standardisation of codes: learnt from all images, folded into weights afterwards."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from icecore.probes.linear_probe import Array, CodeArray

BLOCK_VALUES: Final = 4_000_000
"""Float64 values held at once while working through wide codes: 32 MB."""

SMALLEST_SCALE: Final = 1e-30
"""A feature that varies less is constant: its folded weight would not fit in float32."""


LEAST_SHARE: Final = 0.25
"""Of the median scale; a unit that varies less is divided by that. Units that fire on a few
images only would else be the loudest. On 400 images of Omniglot at EfficientNet-Lite0's last
layer it took accuracy from .677 to .706, and the folds' estimate, 2.3 points too high since
images held out had a part in such scales, to 0.1. On seven other sets of codes it moved
accuracy by 0.1 to 1.5 points, always up. Half the median does as well, all of it less."""


@dataclass(frozen=True, slots=True, eq=False)
class Standardisation:
    """Mean and scale of each feature, (d,) float64; a constant feature has scale 1.

    Scales are standard deviations, but none is below `LEAST_SHARE` of their median. Codes of one
    layer share a unit, so that they can be compared.

    Source: scikit-learn's StandardScaler with its rule for constant features, which
    counts a variance within the rounding error of the mean as none (Chan, Golub and
    LeVeque, "Algorithms for computing the sample variance", 1983).
    """

    mean: Array
    scale: Array

    @classmethod
    def of(cls, codes: CodeArray) -> Self:
        """Return the standardisation of `codes` (n, d)."""
        n, d = codes.shape
        mean, scale = np.empty(d), np.empty(d)
        for columns in blocks(n, d):
            block = codes[:, columns].astype(np.float64)
            mean[columns] = block.mean(axis=0)
            scale[columns] = block.std(axis=0)
        eps = np.finfo(np.float64).eps
        noise = n * eps * scale**2 + (n * mean * eps) ** 2
        is_constant = (scale**2 <= noise) | (scale < SMALLEST_SCALE)
        if not is_constant.all():
            np.maximum(scale, LEAST_SHARE * np.median(scale[~is_constant]), out=scale)
        scale[is_constant] = 1.0
        return cls(mean, scale)

    @classmethod
    def joined(cls, parts: Sequence["Standardisation"]) -> "Standardisation":
        """Return that of several layers' codes side by side, each of which weighs the same.

        A layer of many units would else drown one of few: each varies as much as one of their
        mean width.
        """
        width = np.mean([len(part.scale) for part in parts])
        return cls(
            np.concatenate([part.mean for part in parts]),
            np.concatenate([part.scale * np.sqrt(len(part.scale) / width) for part in parts]),
        )

    def apply(self, codes: CodeArray, columns: slice) -> Array:
        """Return some columns of `codes` (n, d), standardised, as new float64."""
        block = codes[:, columns].astype(np.float64)
        block -= self.mean[columns]
        block /= self.scale[columns]
        return block

    def fold(self, weights: Array, bias: Array) -> tuple[np.ndarray, Array]:
        """Return weights (rows, d) float32 and bias float64 that act on raw codes.

        The bias is made from the weights as rounded, so that rounding acts on the
        deviations from the mean only, however far the mean is from zero.
        """
        folded = (weights / self.scale).astype(np.float32)
        return folded, bias - folded.astype(np.float64) @ self.mean


def blocks(n: int, d: int) -> Iterator[slice]:
    """Yield slices of the `d` columns, each of at most `BLOCK_VALUES` values in `n` rows."""
    width = max(1, BLOCK_VALUES // max(n, 1))
    for start in range(0, d, width):
        yield slice(start, min(start + width, d))
