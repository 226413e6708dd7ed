"""Are there enough images? What a learning curve advises, and how sure that is.

The points come from `learning_curve`, what lies beyond them from `extrapolation`; the rule that
makes advice of it is here.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from icecore.probes.advising.extrapolation import Extrapolation
from icecore.probes.advising.learning_curve import LearningCurve
from icecore.probes.cross_validation import OUTER_FOLDS
from icecore.probes.errors import InputInvalid
from icecore.probes.intervals import Accuracy, held_out_accuracy

MULTIPLES: Final = (1.0, 1.5, 2.0, 3.0)
"""Of today's images. Nothing is told beyond three times: curves are known to bend there."""

LEVEL: Final = 0.9
"""Of all intervals here, which are for forecasts."""

MARGIN: Final = 0.01
"""Accuracy not worth collecting images for: one point."""

SURE_OF_GAIN: Final = 0.9
"""COLLECT_MORE costs somebody's time, so it is said only where it is this likely to pay."""

SURE_OF_NONE: Final = 0.8
"""ENOUGH and CEILING cost nothing that asking again does not bring back."""

LEFT: Final = 0.05
"""An error above this that more images leave is a CEILING. Below, it may be the labels': of ten
much-used test sets 3.4 % of labels are wrong on average (Northcutt, Athalye and Mueller,
"Pervasive label errors in test sets destabilize machine learning benchmarks", 2021)."""


class MoreImages(StrEnum):
    """Whether more images are worth collecting."""

    COLLECT_MORE = "COLLECT_MORE"
    """Three times the images would very likely gain the margin or more."""
    ENOUGH = "ENOUGH"
    """They would very likely not, and few errors are left."""
    CEILING = "CEILING"
    """They would very likely not, and errors are left: another layer or backbone, or
    labels looked through again, may take them away, more images of this kind will not."""
    UNDECIDED = "UNDECIDED"
    """These images do not tell."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The accuracy of a probe trained on `n_images`, and its 90 % interval, all in 0..1."""

    n_images: int
    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Gain:
    """What three times the images would add to accuracy, and its 90 % interval, in -1..1.

    `probability` is that of the margin or more.
    """

    estimate: float
    low: float
    high: float
    probability: float


@dataclass(frozen=True, slots=True)
class WeakClass:
    """A class that is recognised less often than images are on the whole.

    `label` counts in the classes, `n_images` are those of the set; `recall` with its 95 %
    interval, which ends below the accuracy over all images.
    """

    label: int
    n_images: int
    recall: Accuracy


@dataclass(frozen=True, slots=True)
class Sufficiency:
    """MoreImages, and what it rests on.

    `n_more` images are advised, 0 unless the advice is COLLECT_MORE; together with those of
    today they are at most three times as many. `points` are (images trained on, held-out
    accuracy), measured; `forecasts` are at `MULTIPLES` of today's images. `weakest_classes`,
    the lowest recall first, are where additional images (or another look at the labels) are
    needed most; a class may be missing for want of images to judge it by.
    """

    advice: MoreImages
    n_more: int
    points: tuple[tuple[float, float], ...]
    forecasts: tuple[Forecast, ...]
    gain: Gain
    weakest_classes: tuple[WeakClass, ...]


def sufficiency(curve: LearningCurve, *, margin: float = MARGIN) -> Sufficiency:
    """Return whether there are enough images, for one layer and kind of probe.

    COLLECT_MORE: P(gain at three times >= margin) >= `SURE_OF_GAIN`; as many as it takes to
    come within the margin of what three times would reach.
    ENOUGH or CEILING: P(gain at three times < margin) >= `SURE_OF_NONE`; CEILING where also the
    90 % interval of the error that is then left lies above `LEFT`.
    UNDECIDED otherwise, and where what most curves do would decide without this one's evidence:
    where all points are of one size, and where nothing is seen to be learnt, which is where the
    95 % interval of the accuracy at the largest size does not lie above the share of the largest
    class. Random labels look like the foot of a steep curve: of 20 images in two classes they
    were told COLLECT_MORE in 18 of 25 draws before this was asked.

    Args:
        curve: of the layer that was chosen.
        margin: accuracy worth collecting for, above 0 and below 1.

    Raises:
        InputInvalid: another margin.
    """
    if not 0.0 < margin < 1.0:
        raise InputInvalid(f"the margin is {margin!r}, but must be above 0 and below 1")
    found = Extrapolation.of(curve)
    forecasts = tuple(_forecast(found, multiple) for multiple in MULTIPLES)
    gain = _gain(found, margin)
    advice = _advice(gain.probability, 1.0 - forecasts[-1].high)
    if len(curve.sizes) < 2 or not _is_learnt(curve):
        advice = MoreImages.UNDECIDED
    return Sufficiency(
        advice,
        _more(found, margin) if advice is MoreImages.COLLECT_MORE else 0,
        tuple(
            (float(size), float(right.mean()))
            for size, right in zip(curve.sizes, curve.right, strict=True)
            if len(right)
        ),
        forecasts,
        gain,
        _weakest(curve),
    )


def _is_learnt(curve: LearningCurve) -> bool:
    """Return whether the images show more than the largest class told of all would."""
    seen = held_out_accuracy(curve.right[-1], curve.groups, n_folds=OUTER_FOLDS)
    return seen.low > float(curve.class_sizes.max() / curve.class_sizes.sum())


def _advice(probability: float, least_error_left: float) -> MoreImages:
    if probability >= SURE_OF_GAIN:
        return MoreImages.COLLECT_MORE
    if 1.0 - probability < SURE_OF_NONE:
        return MoreImages.UNDECIDED
    return MoreImages.CEILING if least_error_left > LEFT else MoreImages.ENOUGH


def _forecast(found: Extrapolation, multiple: float) -> Forecast:
    errors = found.errors(multiple)
    low, high = found.interval(errors, LEVEL)
    return Forecast(round(multiple * found.n), 1.0 - found.mean(errors), 1.0 - high, 1.0 - low)


def _gain(found: Extrapolation, margin: float) -> Gain:
    gains = found.errors(1.0) - found.errors(MULTIPLES[-1])
    low, high = found.interval(gains, LEVEL)
    return Gain(found.mean(gains), low, high, found.mean((gains >= margin).astype(np.float64)))


def _more(found: Extrapolation, margin: float) -> int:
    """Return the smallest number of additional images within `margin` of three times."""
    most = MULTIPLES[-1]
    reached = found.mean(found.errors(most))
    low, high = found.n, round(most * found.n)
    while high - low > 1:
        middle = (low + high) // 2
        if found.mean(found.errors(middle / found.n)) - reached > margin:
            low = middle
        else:
            high = middle
    return high - found.n


def _weakest(curve: LearningCurve) -> tuple[WeakClass, ...]:
    right = curve.right[-1]
    found = []
    for label in np.unique(curve.y):
        members = curve.y == label
        recall = held_out_accuracy(right[members], curve.groups[members], n_folds=OUTER_FOLDS)
        if recall.high < right.mean():
            found.append(WeakClass(int(label), int(curve.class_sizes[label]), recall))
    return tuple(sorted(found, key=lambda weak: (weak.recall.estimate, weak.label)))
