"""From the points of a learning curve to what more images would bring, with its uncertainty.

A posterior over power laws, worked out on a grid: nothing is drawn at random.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from icecore.probes.advising.learning_curve import LearningCurve
from icecore.probes.linear_probe import Array

SHARED_TRAINING: Final = 1.5
"""Held-out images' own variance is multiplied by this, since folds share what they train on.
1.25, 1.5 and 1.75 held .854, .896 and .906 of 96 truths at three times the images for Gaussian
classes, and .926, .945 and .969 of 256 for codes of SqueezeNet and MobileNetV2, where the tenant's
images are part of those that judge; intervals are of 90 %. `held_out_accuracy` has 2.25 (Nadeau
and Bengio), for one training set a fold; here several are averaged."""

BEND: Final = 0.3
"""Distance of a point from a power law, one standard deviation, as a part of what was learnt
between it and the largest size: few images a class come out nearer to chance than it says. A
part of the error itself would let no flat curve be called flat."""

ROUGHNESS: Final = 0.02
"""The same for every point, as a part of its error."""

RATES: Final = (0.2, 1.5)
"""Exponents c, each octave as likely as another. Half of what is not the ceiling is learnt with
32 times the images, or with 1.6 times."""

PLATEAU: Final = (0.1, 0.8)
"""One curve in ten is taken beforehand for one that has nearly ended: at least four fifths of its
error stay. Without them 7 % of COLLECT_MORE for Gaussian classes, which do end, brought less than
a point; with two in ten, 43 in place of 14 of 256 forecasts for EfficientNet-Lite0's codes, which
all gained one, were UNDECIDED."""

_STEPS: Final = (61, 20, 20)
_REACH: Final = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Extrapolation:
    """Curves error(m) = e (r + (1 - r) (m / n) ** -c) and how likely each is.

    `e` is the error with today's `n` images, `r` the part of it that no number of images takes
    away, `c` the rate. All (curves,) float64; `weights` sum to 1.

    Before anything is seen, e is uniform, c log-uniform in `RATES`, and r has the density
    2 (1 - r) but for the `PLATEAU`. On EfficientNet-Lite0's codes a uniform r, and exponents from
    .1 on, foretold an error at three times the images that was .065 too high.

    Source: the inverse power law of Cortes et al., "Learning curves: asymptotic values and
    rate of convergence", 1994, fitted by weights as in Figueroa et al., "Predicting sample size
    required for classification performance", 2012; that it is the best of the simple families,
    and no more: Viering and Loog, "The shape of learning curves: a review", 2021.
    """

    n: int
    e: Array
    r: Array
    c: Array
    weights: Array

    @classmethod
    def of(cls, curve: LearningCurve) -> Self:
        """Return the posterior that a curve's points leave.

        They are taken as normal about a power law, with the covariance that single images give
        them (the same images were held out at every size), images of one group counting as
        copies of each other.
        """
        h = curve.right.shape[1]
        observed = 1.0 - curve.right.mean(axis=1) if h else np.full(len(curve.sizes), 0.5)
        covariance = _covariance(curve, observed)
        last, spread = observed[-1], np.sqrt(covariance[-1, -1])
        low, high = max(last - _REACH * spread, 1e-4), min(last + _REACH * spread, 1.0)
        parts = (np.arange(_STEPS[1]) + 0.5) / _STEPS[1]
        e, r, c = (
            axis.ravel()
            for axis in np.meshgrid(
                np.linspace(low, high, _STEPS[0]),
                parts,
                np.geomspace(*RATES, _STEPS[2]),
                indexing="ij",
            )
        )
        apart = np.stack([_errors(e, r, c, size / curve.n) for size in curve.sizes])
        is_possible = apart.max(axis=0) <= 1.0
        apart -= observed[:, None]
        distance = np.einsum("sg,sg->g", apart, np.linalg.solve(covariance, apart))
        log = np.log(_prior(r)) - 0.5 * distance
        log[~is_possible] = -np.inf
        weights = np.exp(log - log.max())
        return cls(curve.n, e, r, c, weights / weights.sum())

    def errors(self, multiple: float) -> Array:
        """Return each curve's error (curves,) with `multiple` times today's images."""
        return _errors(self.e, self.r, self.c, multiple)

    def mean(self, values: Array) -> float:
        """Return the posterior mean of `values` (curves,)."""
        return float(self.weights @ values)

    def interval(self, values: Array, level: float) -> tuple[float, float]:
        """Return the central interval of `values` (curves,) that holds `level`."""
        order = np.argsort(values)
        cumulated = np.cumsum(self.weights[order])
        tail = (1.0 - level) / 2.0
        low, high = np.searchsorted(cumulated, [tail, 1.0 - tail]).clip(max=len(order) - 1)
        return float(values[order[low]]), float(values[order[high]])


def _prior(r: Array) -> Array:
    share, begins = PLATEAU
    density: Array = (1.0 - share) * 2.0 * (1.0 - r) + share * (r > begins) / (1.0 - begins)
    return density


def _errors(e: Array, r: Array, c: Array, multiple: float) -> Array:
    errors: Array = e * (r + (1.0 - r) * multiple**-c)
    return errors


def _covariance(curve: LearningCurve, observed: Array) -> Array:
    """Return that of the points, (s, s), never singular."""
    s, h = curve.right.shape
    if not h:
        return np.eye(s)
    counts = np.unique(curve.groups, return_counts=True)[1].astype(np.float64)
    copies = float(np.square(counts).sum() / h)
    between = np.cov(curve.right, bias=True).reshape(s, s)
    # No error seen in h images is not none, by Laplace's rule; and of any two sizes one image
    # more might have been right at one of them only.
    seen = float(observed[-1])
    smoothed = (seen * h + 1.0) / (h + 2.0)
    missing = max(smoothed * (1.0 - smoothed) - seen * (1.0 - seen), 0.0)
    learnt, relative = observed - seen, np.maximum(observed, 1.0 / h)
    own = np.square(BEND * learnt) + np.square(ROUGHNESS * relative) + copies / (h * (h + 2.0))
    covariance: Array = SHARED_TRAINING * copies * (between + missing) / h + np.diag(own)
    return covariance
