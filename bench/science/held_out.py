"""Who is right on images that a probe has not seen, and what differs between two probes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from icecore.probes.cross_validation import OUTER_FOLDS
from icecore.probes.intervals import (
    Z_95,
    Accuracy,
    paired_difference,
    paired_training_factor,
)
from icecore.probes.selection import train
from icecore.probes.training import Training
from science.core_files import FloatArray

Bools = npt.NDArray[np.bool_]

SHARED_TRAINING: Final = paired_training_factor(OUTER_FOLDS)
"""Predictions of folds are not independent: the variance of a difference counts so many times."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The second's accuracy minus the first's with its 95 % interval, all in -1..1."""

    estimate: float
    low: float
    high: float

    @property
    def is_sure(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0.0 or self.high < 0.0

    def __str__(self) -> str:
        points = 100 * self.estimate, 100 * self.low, 100 * self.high
        return "{:+.1f} ({:+.1f} to {:+.1f})".format(*points)


def trained(
    codes: Mapping[str, FloatArray],
    labels: Sequence[str],
    groups: Sequence[str],
    positions: Mapping[str, float | None] | None = None,
) -> tuple[Training, Bools]:
    """Return a training by softmax over layers, and which images its outer folds got right.

    In each outer fold C and, of several, the layer are chosen without its held-out images.

    Args:
        codes: (n, d) by layer.
        labels, groups: n each; images of one group share a fold.
        positions: depths as shares of the network's, as `train` wants them.

    Returns:
        `right` is (n,) bool.
    """
    training = train(codes, labels, kind="softmax", groups=groups, positions=positions)
    named = np.array(training.classes)[training.predicted]
    is_right: Bools = (training.predicted >= 0) & (named == np.array(labels))
    return training, is_right


def paired(first: Bools, second: Bools) -> Difference:
    """Return the second's accuracy minus the first's on the same images, (n,) each.

    Newcombe's interval for paired answers, on fewer images than there are: see
    `SHARED_TRAINING`.
    """
    cells = [
        float(np.count_nonzero(cell)) / SHARED_TRAINING
        for cell in (first & second, first & ~second, ~first & second, ~first & ~second)
    ]
    low, high = paired_difference(*cells)
    return Difference(float(second.mean() - first.mean()), low, high)


def paired_means(first: Sequence[Bools], second: Sequence[Bools]) -> Difference:
    """Return by how much the second of each pair is better in the mean over all pairs.

    An image is one observation: its mean over the pairs, which are not independent.

    Args:
        first, second: as many arrays (n,) each, in the same order.
    """
    means = np.mean([b.astype(float) - a for a, b in zip(first, second, strict=True)], axis=0)
    half = Z_95 * float(means.std(ddof=1)) * (SHARED_TRAINING / len(means)) ** 0.5
    middle = float(means.mean())
    return Difference(middle, middle - half, middle + half)


def written(accuracy: Accuracy) -> str:
    """Return an accuracy with its interval, as the tables have it."""
    return f"{accuracy.estimate:.3f} ({accuracy.low:.3f} to {accuracy.high:.3f})"
