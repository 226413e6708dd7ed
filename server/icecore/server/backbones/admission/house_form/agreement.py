"""Whether graphs say the same of the same images: alone, in a batch, before and after a change."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from icecore.server.backbones.admission.house_form.draft import Draft
from icecore.server.backbones.admission.house_form.plain_runs import NotRunnable, PlainRun

Arrays = list[npt.NDArray[Any]]

TOLERANCE: Final = 1e-4
"""Of the peak; runtimes add in another order for another batch, a wrong graph is far beyond."""

LOOSE: Final = 0.1
"""The same for half precision, and for int8, where a value between two steps falls either way."""


def apart(run: PlainRun, images: npt.NDArray[Any], batch: int) -> Arrays:
    """Return the outputs for images that are run `batch` at a time.

    Raises:
        NotRunnable: the run fails, or an output has not one row an image.
    """
    parts = [run(images[start : start + batch]) for start in range(0, len(images), batch)]
    for output in parts[0]:
        if output.ndim == 0 or len(output) != batch:
            raise NotRunnable(f"an output of shape {output.shape!r} has not one row an image")
    return [np.concatenate(output) for output in zip(*parts, strict=True)]


def agree(ones: Sequence[npt.NDArray[Any]], others: Arrays, tolerance: float) -> bool:
    """Whether all outputs differ by at most `tolerance` of their peak; NaN where NaN is."""
    for one, other in zip(ones, others, strict=True):
        if one.shape != other.shape:
            return False
        if not np.array_equal(np.isfinite(one), np.isfinite(other)):
            return False
        finite = np.isfinite(other)
        if not finite.any():
            continue
        a, b = one[finite].astype(np.float64), other[finite].astype(np.float64)
        if np.abs(a - b).max() > tolerance * np.abs(b).max():
            return False
    return True


def tolerance(draft: Draft) -> float:
    """Return what a graph's outputs may differ by on account of rounding."""
    quantised = any(node.op_type == "QuantizeLinear" for node in draft.nodes)
    return LOOSE if quantised else TOLERANCE
