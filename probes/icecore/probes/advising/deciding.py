"""The rules of the verdict on evidence, now and as more images would have it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from icecore.probes.advising.paired import LEVEL, PSEUDO, Array, Evidence, SeedSpread, kish

POWER: Final = 0.8
"""Probability of a decision that the number of images promises; the custom since Cohen, 1988."""

MOST: Final = 10
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
    positive = (low > 0.0).all(axis=-1) & ~small
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

    The least number at which the outcomes to be expected are decided with probability
    `POWER`. Expected is what the images leave open: true differences as the adjusted interval
    has them, with the correction for folds, and the chance of the images to come. So an
    uncertain difference asks for more than the one observed would (the power at the observed one
    is a promise kept half of the time). Differences are taken to stay what they
    are while contestants learn from more images.

    Source: O'Hagan, Stevens and Campbell, "Assurance in clinical trial design", 2005; Spiegelhalter
    and Freedman, "A predictive approach to selecting the size of a clinical trial", 1986.
    """
    m, today = len(standing.mean), standing.n_images
    centre = today * standing.mean / (today + PSEUDO)
    spread = (today * standing.products + PSEUDO * np.eye(m)) / (today + PSEUDO) - np.outer(
        centre, centre
    )
    values, vectors = np.linalg.eigh(spread)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    random = np.random.default_rng(_SEED)
    true = centre + random.standard_normal((_DRAWS, m)) @ root.T / np.sqrt(today + PSEUDO)
    chance = random.standard_normal((_DRAWS, m)) @ root.T
    for times in np.geomspace(1.0, MOST, _STEPS)[1:]:
        mean = np.clip(true + chance / np.sqrt(today * times), -1.0, 1.0)
        kind, _ = outcome(standing.expected(mean, float(times)), margin)
        if np.mean(kind != Outcome.UNDECIDED) >= POWER:
            return ceil(n * (float(times) - 1.0))
    return None
