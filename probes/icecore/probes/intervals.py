"""Accuracy with its 95 % interval."""

from dataclasses import dataclass
from typing import Final

import numpy as np

Z_95: Final = 1.959963984540054
"""The normal distribution's 97.5 % quantile."""

PAIRED: Final = 0.6
"""Of what folds that share training images add to the variance of an accuracy, the share that is
allowed for in a difference of two contestants: much of it is common to both. Over 30 cells of real
codes (three networks, five sets, 56 to 150 images, ten draws each; seven contestants, probes of
one network in the same folds) the mean square of what differences were off by was 1.45 ± 0.07
times that of independent answers, from .81 to 2.62, of single accuracies 1.92 times. This share,
1.75 for five folds, was chosen so that 95 % intervals hold the difference in .95 of all and .90 of
the worst cell: .968 and .910; all of the correction in .985 and .948, none in .903 and .824. Seen
on other cases since: `comparing.compare`. `bench/choosing/shared_folds.py`."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """An estimate and its 95 % interval, all in 0..1."""

    estimate: float
    low: float
    high: float


def held_out_accuracy(is_right: np.ndarray, groups: np.ndarray, *, n_folds: int) -> Accuracy:
    """Return the accuracy that pooled held-out predictions of `n_folds` folds show.

    A Wilson score interval, for it holds near 1 and for few images, on fewer images
    than there are:
    - those of one group count as copies of each other (Kish's effective sample size);
    - folds share training images, so their errors are not independent, and no unbiased
      estimate of the variance exists (Bengio and Grandvalet, 2004). The binomial
      variance is multiplied by 1 + n_folds / (n_folds - 1), 2.25 for five folds, which is
      the correction of Nadeau and Bengio, "Inference for the generalization error",
      2003, for pooled predictions.

    Simulated (Gaussian classes, five folds, n = 40..200, d = 20..1000, 400 runs each), it
    held the accuracy of the probe fitted on all images in 95 to 99.5 % of runs; without
    the second correction in 76 to 93 %. It is too narrow where accuracy still grows
    fast with n (91 % at n = 200, d = 1000): folds train on 80 % of the images, so the estimate
    is a little low. With layer and C chosen too (three layers, 120 or 150 runs each) it held
    97 to 99 %. On 60 of 200 photos at five layers of a real network (100 runs) it held the
    mean accuracy of such probes in 94 %, and what each reached on the other 140, which is
    uncertain itself and which it does not promise, in 85 %. It knows nothing of images
    that are alike but not in one group (bursts of a camera), nor of images other than
    these at work.

    Args:
        is_right: (n,) bool, one a held-out image; each was predicted once.
        groups: (n,) int.
        n_folds: two or more.

    Source: Wilson, "Probable inference, the law of succession, and statistical
    inference", 1927; its use in such corrections: Bates, Hastie and Tibshirani,
    "Cross-validation: what does it estimate and how well does it do it?", 2023.
    """
    factors = np.full(len(is_right), shared_training_factor(n_folds))
    return share(is_right, effective_size(groups, factors))


def share(is_right: np.ndarray, n_effective: float) -> Accuracy:
    """Return the share of right answers, and Wilson's interval as if they were `n_effective`."""
    if not len(is_right):
        return Accuracy(0.0, 0.0, 1.0)
    p = float(np.mean(is_right))
    low, high = _wilson(p, n_effective)
    return Accuracy(p, low, high)


def shared_training_factor(n_folds: int) -> float:
    """Return what the variance of pooled predictions of so many folds is multiplied by.

    2.25 for five folds; source and reason in `held_out_accuracy`.
    """
    return 1.0 + n_folds / (n_folds - 1.0)


def paired_training_factor(n_folds: int) -> float:
    """Return what the variance of a difference counts where one of so many folds answered.

    In units of that of independent answers; 1.75 for five folds, see `PAIRED`.
    """
    return 1.0 + PAIRED * n_folds / (n_folds - 1.0)


def effective_size(groups: np.ndarray, factors: np.ndarray) -> float:
    """Return how many independent answers some answers are worth; 0 for none.

    Args:
        groups: (n,) int; answers of one group say the same.
        factors: (n,) what the variance of each is multiplied by; within a group the mean.

    Source: Kish, "Survey sampling", 1965, for the groups.
    """
    _, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if not len(inverse):
        return 0.0
    # Each answer adds factor * (size of its group) to the sum over groups of factor * size^2.
    return float(len(inverse) ** 2 / (factors * sizes[inverse]).sum())


def paired_difference(
    both: float, first_only: float, second_only: float, neither: float
) -> tuple[float, float]:
    """Return the 95 % interval of the second's accuracy minus the first's.

    The four count the images that each of two classifiers gets right; together they are
    the images. Counts may be means over several sets of folds.

    Source: Newcombe, "Improved confidence intervals for the difference between binomial
    proportions based on paired data", 1998, method 10.
    """
    n = both + first_only + second_only + neither
    if n <= 0.0:
        return -1.0, 1.0
    first, second = (both + first_only) / n, (both + second_only) / n
    low1, high1 = _wilson(first, n)
    low2, high2 = _wilson(second, n)
    lean = both * neither - first_only * second_only
    if lean > 0.0:
        lean = max(lean - n / 2.0, 0.0)
    spread = n**4 * first * (1.0 - first) * second * (1.0 - second)
    phi = lean / np.sqrt(spread) if spread > 0.0 else 0.0

    def reach(one: float, other: float) -> float:
        return float(np.sqrt(max(one**2 - 2.0 * phi * one * other + other**2, 0.0)))

    difference = second - first
    return (
        difference - reach(second - low2, high1 - first),
        difference + reach(high2 - second, first - low1),
    )


def _wilson(p: float, n: float) -> tuple[float, float]:
    """Wilson's score interval of a share `p` of `n`."""
    z2 = Z_95**2 / n
    middle = (p + z2 / 2.0) / (1.0 + z2)
    half = float(np.sqrt(z2 * p * (1.0 - p) + z2**2 / 4.0)) / (1.0 + z2)
    # Rounding must not put the estimate outside where it is 0 or 1.
    return min(max(middle - half, 0.0), p), max(min(middle + half, 1.0), p)
