"""Probes trained anew on float32 and on int8 codes, judged by the same folds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import numpy as np
import numpy.typing as npt

from icecore.probes.choosing import choose
from icecore.probes.cross_validation import Folds, judge
from icecore.probes.intervals import paired_difference
from icecore.probes.linear_probe import ProbeKind
from icecore.probes.question import DEFAULT_CS
from icecore.probes.training_data import TrainingData

FloatArray = npt.NDArray[np.float32]

DEALS: Final = 3
"""How often images are dealt into folds; accuracies are means over them. One deal moves a
difference by a point or so on 200 images, whatever was quantised."""

KIND: Final = ProbeKind.SOFTMAX


@dataclass(frozen=True, slots=True)
class Compared:
    """Held-out accuracies, and the paired 95 % interval of int8 minus float32."""

    plain: float
    int8: float
    low: float
    high: float


def compare_probes(
    codes: Mapping[str, tuple[FloatArray, FloatArray]], labels: Sequence[str]
) -> dict[str, Compared]:
    """Return for each layer how probes on its float32 and its int8 codes do.

    Five outer folds, C chosen in three inner ones for each side by itself; both sides
    have the same folds. Copies of an image, by their float32 codes, share a fold.

    Args:
        codes: (n, d) of float32 and of int8, by layer.
        labels: n class names.

    Raises:
        ProbesError: the labels are nothing to learn from.
    """
    groups = _copies([plain for plain, _ in codes.values()])
    sides = [
        TrainingData.of({name: both[side] for name, both in codes.items()}, labels, groups)
        for side in (0, 1)
    ]
    counts = {name: np.zeros(4) for name in codes}
    y, k = sides[0].y, len(sides[0].classes)
    for deal in range(DEALS):
        folds = Folds.of(y, sides[0].groups, deal)
        right = [_right(side, y, k, folds) for side in sides]
        for name in codes:
            plain, int8 = right[0][name], right[1][name]
            counts[name] += [
                (plain & int8).sum(),
                (plain & ~int8).sum(),
                (~plain & int8).sum(),
                (~plain & ~int8).sum(),
            ]
    return {name: _compared(*(found / DEALS).tolist()) for name, found in counts.items()}


def _right(
    data: TrainingData, y: np.ndarray, k: int, folds: Folds
) -> dict[str, npt.NDArray[np.bool_]]:
    """Which held-out images are right at each layer."""
    judgements = {
        name: judge(array, y, k, folds, kind=KIND, Cs=DEFAULT_CS[KIND], on_fold=_nothing)
        for name, array in data.codes.items()
    }
    return choose(judgements, folds).right_of


def _compared(both: float, plain_only: float, int8_only: float, neither: float) -> Compared:
    n = both + plain_only + int8_only + neither
    low, high = paired_difference(both, plain_only, int8_only, neither)
    return Compared((both + plain_only) / n, (both + int8_only) / n, low, high)


def _copies(codes: Sequence[FloatArray]) -> list[str]:
    """A name for each image, the same for images whose codes are."""
    return [
        sha256(b"".join(array[row].tobytes() for array in codes)).hexdigest()
        for row in range(len(codes[0]))
    ]


def _nothing() -> None: ...
