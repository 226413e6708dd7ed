"""When requests are sent where nobody waits for answers: a Poisson process."""

from collections.abc import Iterator

import numpy as np


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Return the moments in [0, seconds), ascending, of a Poisson process.

    Args:
        rate: arrivals a second, on average.
        seed: the same one gives the same moments.
    """
    return list(_moments(rate, seconds, np.random.default_rng(seed)))


def _moments(rate: float, seconds: float, random: np.random.Generator) -> Iterator[float]:
    if rate <= 0:
        return
    at = random.exponential(1 / rate)
    while at < seconds:
        yield float(at)
        at += random.exponential(1 / rate)
