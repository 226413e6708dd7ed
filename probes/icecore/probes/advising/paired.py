"""Paired differences of accuracy: what the same held-out images say of two contestants.

One-sided statements at 5 % each, so that `low` and `high` of a comparison are together a
90 % interval, as in two one-sided tests of equivalence.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri, stdtrit

from icecore.probes.intervals import effective_size, paired_training_factor

Array = npt.NDArray[np.float64]

LEVEL: Final = 0.05
"""Of a one-sided test."""

PSEUDO: Final = 2.0
"""Images added, one that speaks for each side."""

_FAR: Final = 37.0
"""Normal quantile of the smallest p a float64 holds."""

_HALVINGS: Final = 60


def n_effective(groups: npt.NDArray[Any], *, n_folds: int) -> float:
    """Return how many independent images the held-out ones are worth, above 0.

    As `comparing.compare` counts: copies as one (Kish), and for folds that share training
    images the variance as `intervals.PAIRED` has it.

    Args:
        groups: (n,), at least one.
        n_folds: two or more.
    """
    return effective_size(groups, np.full(len(groups), paired_training_factor(n_folds)))


def kish(groups: npt.NDArray[Any]) -> float:
    """Return the effective sample size of `n` images in groups, 1..n."""
    return effective_size(groups, np.ones(len(groups)))


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Differences in accuracy, the transfer's less each baseline's, as their tests see them.

    All are (..., m) for m baselines. `centre` is shrunk towards 0, `error` its standard error;
    of its square, seeds make up the share `of_seeds`, which (m,) `n_seeds` have shown.

    Source: Bonett and Price, "Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data", 2012: one image more on either side, so that ten of ten
    are not taken for certain. Here on effective images, and on shares of being right too.
    The spread of random seeds is another source of error, which more images do not lessen; where
    both meet, quantiles are weighted after Cochran, "Approximate significance levels of the
    Behrens-Fisher test", 1964, which errs on the safe side (Satterthwaite's does not, of so few).
    """

    centre: Array
    error: Array
    of_seeds: Array
    n_seeds: Array

    @classmethod
    def of(
        cls, mean: Array, square: Array, n: float, seed_variance: Array, n_seeds: Array
    ) -> "Evidence":
        """Return what tests see.

        Args:
            mean: (..., m), of the differences an image, -1..1.
            square: (..., m), the mean of their squares; for right or wrong the share of
                images on which the two differ.
            n: effective images, above 0.
            seed_variance: (m,), what the draw of seeds adds to the variance; 0 where
                nothing was drawn.
            n_seeds: (m,), 2 or more where it is above 0.
        """
        centre = n * mean / (n + PSEUDO)
        spread = (n * np.maximum(square, mean**2) + PSEUDO) / (n + PSEUDO) - centre**2
        variance = spread / (n + PSEUDO) + seed_variance
        return cls(centre, np.sqrt(variance), seed_variance / variance, n_seeds)

    def low(self, level: float = LEVEL) -> Array:
        """Return the one-sided lower bounds of 1 - level."""
        return self.centre + self._quantile(np.asarray(ndtri(level))) * self.error

    def high(self, level: float = LEVEL) -> Array:
        """Return the one-sided upper bounds of 1 - level."""
        return self.centre - self._quantile(np.asarray(ndtri(level))) * self.error

    def p_better(self) -> Array:
        """Return the one-sided p of being no better than each baseline."""
        seen = -self.centre / self.error
        least, most = np.full_like(seen, -_FAR), np.full_like(seen, _FAR)
        for _ in range(_HALVINGS):
            middle = (least + most) / 2.0
            is_below = self._quantile(middle) < seen
            least, most = np.where(is_below, middle, least), np.where(is_below, most, middle)
        p: Array = ndtr(least)
        return p

    def _quantile(self, z: Array) -> Array:
        """Return the quantiles at the probability that the normal distribution has below z."""
        tail = ndtr(-np.abs(z))
        student = np.copysign(stdtrit(np.maximum(self.n_seeds - 1.0, 1.0), tail), z)
        quantile: Array = (1.0 - self.of_seeds) * z + self.of_seeds * student
        return quantile


@dataclass(frozen=True, slots=True)
class SeedSpread:
    """How the accuracies of one network with random weights differ over its `n_seeds` seeds.

    `true` is the variance of what they are in truth, `of_images` what the images there are make
    of equal ones, both 0 or more.

    Source: the moment estimator of DerSimonian and Laird, "Meta-analysis in clinical trials",
    1986; why seeds count as a source of variance: Bouthillier et al., "Accounting for variance
    in machine learning benchmarks", 2021.
    """

    n_seeds: int
    true: float
    of_images: float

    @classmethod
    def of(cls, right: Array, groups: npt.NDArray[Any]) -> "SeedSpread":
        """Return the spread of answers (seeds, n), shares of being right; of one seed, none."""
        n_seeds = len(right)
        if n_seeds < 2:
            return cls(n_seeds, 0.0, 0.0)
        products = np.cov(right, ddof=0)
        # Half the mean variance of the difference of two: their mean variance less covariance.
        own = float(np.trace(products)) / n_seeds
        shared = (float(products.sum()) - own * n_seeds) / (n_seeds * (n_seeds - 1))
        of_images = max(own - shared, 0.0) / kish(groups)
        seen = float(np.var(right.mean(axis=1), ddof=1))
        return cls(n_seeds, max(seen - of_images, 0.0), of_images)

    def variance(self, times: float = 1.0) -> float:
        """Return what the draw of seeds adds to the variance of a difference to their mean.

        Half of what images explain stays in, since three seeds often show no spread where
        there is one. Simulated (60 to 5,000 images, three seeds, a fourth as "transfer", seeds
        that differ by 0 to 4 points, 1,500 trials each), the fourth was taken for better than
        its like in 4.9 % at most, and in 5.2 % where folds need all of the correction that they
        get; with nothing left in, in 5.3 and 8.2 %. To beat each seed on its own, as if it were no
        draw, let 18 % pass.

        For `times` as many images as there are it is a forecast. In that, the half shrinks with
        the root of their number alone: it also stands for a spread not seen yet.
        """
        return (self.true + self.of_images / sqrt(times) / 2.0) * (1.0 + 1.0 / self.n_seeds)
