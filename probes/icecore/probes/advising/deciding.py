"""The rules of the verdict on evidence, now and as more images would have it."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from icecore.probes.advising.paired import LEVEL, PSEUDO, Array, Evidence, SeedSpread, kish

POWER: Final = 0.9
"""Probability of a decision, were the observed differences the true ones. They are not, and those
that look large are rather too large: of nine tenths, four fifths are left, the usual power."""

USUAL: Final = 0.15
"""Standard deviation of gains before any image is seen: 15 points. On few images the differences
that seem large enough to be decided soon are mostly luck; they are shrunk towards 0 accordingly.
Without it, a gain of 10 points on 60 images was decided at the number told in two thirds of
samples. On 500 images it hardly counts."""

MOST: Final = 20
"""Times today's images: further off, today's say nothing of what the difference will be."""

_DRAWS: Final = 1000
_STEPS: Final = 120
_SEED: Final = 0


class Outcome(StrEnum):
    """What transfer does on these images."""

    POSITIVE = "POSITIVE"
    NO_GAIN = "NO_GAIN"
    NEGATIVE = "NEGATIVE"
    UNDECIDED = "UNDECIDED"


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """The transfer against m baselines on the images there are.

    `mean` (m,) and `products` (m, m), the mean products of the differences an image;
    `n_images` (Kish's, copies as one) and `n_effective`, fewer, as tests count them; `seeds`,
    of each baseline.
    """

    mean: Array
    products: Array
    n_images: float
    n_effective: float
    seeds: tuple[SeedSpread, ...]

    @classmethod
    def of(
        cls,
        right: Array,
        baselines: Sequence[Array],
        groups: npt.NDArray[Any],
        n_effective: float,
    ) -> Self:
        """Return the standing from answers (n,) and (seeds, n) for each baseline, 0..1."""
        differences = np.stack([right - answers.mean(axis=0) for answers in baselines], axis=1)
        return cls(
            mean=differences.mean(axis=0),
            products=differences.T @ differences / len(right),
            n_images=kish(groups),
            n_effective=n_effective,
            seeds=tuple(SeedSpread.of(answers, groups) for answers in baselines),
        )

    def evidence(self) -> Evidence:
        """Return what tests see."""
        return self.expected(self.mean, 1.0)

    def expected(self, mean: Array, times: float) -> Evidence:
        """Return what tests would see of other means (..., m) on `times` as many images."""
        return Evidence.of(
            mean,
            np.diagonal(self.products),
            self.n_effective * times,
            np.array([spread.variance(times) for spread in self.seeds]),
            np.array([float(spread.n_seeds) for spread in self.seeds]),
        )


def outcome(evidence: Evidence, margin: float) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.intp]]:
    """Return the outcome (...,) and the place of the baseline (...,) that decides it."""
    corrected = LEVEL / evidence.centre.shape[-1]
    high, low = evidence.high(corrected), evidence.low()
    is_worse = (high < 0.0) & (low <= -margin)
    is_small = high < margin
    negative, small = is_worse.any(axis=-1), is_small.any(axis=-1)
    positive = (low > 0.0).all(axis=-1)
    # The first that holds: a small gain, shown, is no gain.
    kind = np.select(
        [negative, small, positive],
        [Outcome.NEGATIVE, Outcome.NO_GAIN, Outcome.POSITIVE],
        Outcome.UNDECIDED,
    )
    against = np.where(is_worse.any(axis=-1, keepdims=True) & ~is_worse, np.inf, high)
    place = np.where(small | negative, against.argmin(axis=-1), low.argmin(axis=-1))
    return kind, place


def more_images(standing: Standing, n: int, margin: float) -> int | None:
    """Return how many more images would decide, or None where `MOST` times today's would not.

    The number at which the rules decide with probability `POWER` over the chance of images to
    come, the true differences being the observed ones, shrunk (`USUAL`), and staying so while
    contestants learn from more images. The tests to come count images as today's do, more
    cautious than this forecast. What lies near the margin has no such number.
    Measured: `bench/advice/verdict.py`. To draw the true differences too, from all that the
    images leave open (assurance, O'Hagan, Stevens and Campbell, 2005), left most of the
    undecided without a number, and those that had one were no surer of it.

    Source: Cohen, "Statistical power analysis for the behavioral sciences", 1988, here simulated.
    """
    m, today = len(standing.mean), standing.n_images
    centre = today * standing.mean / (today + PSEUDO)
    spread = (today * standing.products + PSEUDO * np.eye(m)) / (today + PSEUDO)
    spread -= np.outer(centre, centre)
    centre = centre * USUAL**2 / (USUAL**2 + np.diagonal(spread) / today)
    values, vectors = np.linalg.eigh(spread)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    chance = np.random.default_rng(_SEED).standard_normal((_DRAWS, m)) @ root.T
    steps = np.geomspace(1.0, MOST, _STEPS)

    def decides(step: int) -> bool:
        times = float(steps[step])
        mean = np.clip(centre + chance / np.sqrt(today * times), -1.0, 1.0)
        kind, _ = outcome(standing.expected(mean, times), margin)
        return bool(np.mean(kind != Outcome.UNDECIDED) >= POWER)

    if not decides(_STEPS - 1):
        return None
    step = bisect_left(range(1, _STEPS - 1), True, key=decides) + 1
    return ceil(n * (float(steps[step]) - 1.0))
