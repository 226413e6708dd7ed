"""Ranges of tensors, from histograms that grow as values come in.

Bins are a power of two wide and begin at a multiple of it, so widening them adds
neighbours exactly: what is counted depends neither on the order of the images nor on
how they were batched.
"""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float32]

N_BINS: Final = 4096
"""On each side of zero. A range is cut at a bin's edge: off by 1/2048 of it at most."""

_SMALLEST: Final = -40
"""Exponent of the narrowest bins; values below them count as zero."""


class Histogram:
    """Counts of the values of one tensor."""

    def __init__(self) -> None:
        self._exponent = _SMALLEST
        self._counts = np.zeros(2 * N_BINS, np.int64)
        self.low = 0.0
        self.high = 0.0

    def add(self, values: FloatArray) -> None:
        """Count all values; they must be finite.

        Raises:
            FloatingPointError: one is not.
        """
        low, high = float(values.min()), float(values.max())
        if not np.isfinite(low) or not np.isfinite(high):
            raise FloatingPointError("a value is not finite")
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._widen(max(-low, high))
        scaled = values.ravel() * np.float32(2.0**-self._exponent)
        np.floor(scaled, out=scaled)
        places = scaled.astype(np.int32)
        places += N_BINS
        self._counts += np.bincount(places, minlength=2 * N_BINS)

    def range(self, percentile: float) -> tuple[float, float]:
        """Return the range around zero that holds `percentile` percent of the values.

        As many of those outside lie below as above, where there are any below zero;
        the end of a side that holds fewer is the least or largest value.
        """
        total = int(self._counts.sum())
        outside = total * (1.0 - percentile / 100.0)
        below = int(self._counts[:N_BINS].sum())
        if below:
            outside /= 2.0
        edges = (np.arange(2 * N_BINS + 1) - N_BINS) * 2.0**self._exponent
        upward = np.cumsum(self._counts)
        first = int(np.searchsorted(upward, outside, side="right"))
        last = 2 * N_BINS - int(np.searchsorted(np.cumsum(self._counts[::-1]), outside, "right"))
        low = max(self.low, float(edges[min(first, N_BINS)]))
        high = min(self.high, float(edges[max(last, N_BINS)]))
        return min(low, 0.0), max(high, 0.0)

    def _widen(self, largest: float) -> None:
        """Make the bins wide enough for a value so far from zero."""
        while largest >= N_BINS * 2.0**self._exponent:
            merged = self._counts.reshape(N_BINS, 2).sum(axis=1)
            self._counts = np.zeros(2 * N_BINS, np.int64)
            self._counts[N_BINS // 2 : N_BINS // 2 + N_BINS] = merged
            self._exponent += 1
