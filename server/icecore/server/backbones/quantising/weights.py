"""Numbers in 8 bits: steps of activations, integers of weights and biases."""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float32]

_LARGEST_BIAS: Final = 2.0**30
"""In steps; half of int32, whose other half is left for the sum."""

_SMALLEST_STEP: Final = 2.0**-100
"""Of what is always zero; a normal float32, also times a weight's scale."""


@dataclass(frozen=True, slots=True)
class Step:
    """An activation's step, and the uint8 that stands for zero."""

    scale: np.float32
    zero_point: np.uint8

    @classmethod
    def of(cls, low: float, high: float, *, is_signed: bool = False) -> "Step":
        """Return the step that covers low..high, which holds zero; zero is exact.

        Where low is zero the largest value never passes `high`, not even by rounding:
        so a threshold at `high` (a ReLU6's) needs no kernel of its own.

        Args:
            is_signed: leave a code below zero, though little or nothing there was seen.
                Zero as the least code says that there is a threshold.
        """
        if is_signed:
            low = min(low, -max(high / 254.0, _SMALLEST_STEP))
        scale = np.float32(max((high - low) / 255.0, _SMALLEST_STEP))
        # A `high` below the smallest step is far out of reach: it would take years.
        while low == 0.0 and np.float32(255) * scale > np.float32(high) and scale > _SMALLEST_STEP:
            scale = np.nextafter(scale, np.float32(0))
        zero_point = np.uint8(np.clip(np.rint(-low / float(scale)), 0, 255))
        return cls(scale, zero_point)


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """(c, ...) int8, their (c,) scales, and the (c,) int32 bias in units of input times scale."""

    values: npt.NDArray[np.int8]
    scales: FloatArray
    bias: npt.NDArray[np.int32] | None


def quantise_weights(
    weight: FloatArray,
    bias: FloatArray | None,
    step: Step,
    *,
    axis: int,
    means: npt.NDArray[np.float64] | None = None,
) -> Weights:
    """Return weights in -127..127, with a scale for each channel along `axis`.

    A channel whose bias would pass int32 takes a coarser scale.

    Args:
        weight: (o, i / groups, kh, kw) of a Conv, else (o, i) or (i, o).
        means: (i,) of the input's channels. With them the bias takes back what
            rounding the weights adds to the mean of each output channel; borders
            that are padded are counted as if they were not.

    Source of the correction: Nagel et al., "Data-free quantization through weight
    equalization and bias correction", 2019, section 4.2.
    """
    others = tuple(place for place in range(weight.ndim) if place != axis)
    scales = np.abs(weight.astype(np.float64)).max(axis=others) / 127.0
    scales = np.maximum(scales, _SMALLEST_STEP / float(step.scale))
    wide = None if bias is None else bias.astype(np.float64)
    if wide is not None:
        scales = np.maximum(scales, np.abs(wide) / (float(step.scale) * _LARGEST_BIAS))
    kept = scales.astype(np.float32)
    along = [1] * weight.ndim
    along[axis] = -1
    units = kept.astype(np.float64).reshape(along)
    values = np.clip(np.rint(weight / units), -127, 127).astype(np.int8)
    if wide is None:
        return Weights(values, kept, None)
    if means is not None:
        wide = wide - _added(values * units - weight, means, axis)
    steps = kept.astype(np.float64) * float(step.scale)
    return Weights(values, kept, np.rint(wide / steps).astype(np.int32))


def _added(
    error: npt.NDArray[np.float64], means: npt.NDArray[np.float64], axis: int
) -> npt.NDArray[np.float64]:
    """What an error of the weights adds to the mean of each output channel, (o,)."""
    if error.ndim == 2:
        total: npt.NDArray[np.float64] = error @ means if axis == 0 else means @ error
        return total
    taps = error.sum(axis=tuple(range(2, error.ndim)))
    n_out, n_in = taps.shape
    groups = len(means) // n_in
    read = np.repeat(means.reshape(groups, n_in), n_out // groups, axis=0)
    return np.asarray((taps * read).sum(axis=1))
