"""What a training is given, checked once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from icecore.probes.errors import ClassesTooFew, ClassTooSmall, CodesInvalid, LabelsInvalid
from icecore.probes.linear_probe import CodeArray, check_finite

LARGEST_CODE: Final = 1e30
"""Weights on larger codes would be too small for float32."""

_SHOWN: Final = 5


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """Codes of `n` images at one or more layers, their classes and groups.

    `y` and `groups` are (n,) int64; `y` counts in the sorted `classes`.
    """

    codes: Mapping[str, CodeArray]
    classes: tuple[str, ...]
    y: np.ndarray
    groups: np.ndarray

    @classmethod
    def of(
        cls, codes: Mapping[str, CodeArray], labels: Sequence[str], groups: Sequence[str] | None
    ) -> Self:
        """Return the data if a probe can be learnt and judged from them.

        Raises:
            CodesInvalid: no layer, no float matrix of n rows, or a value that is not finite
                or beyond `LARGEST_CODE`.
            LabelsInvalid: no label or group an image.
            ClassesTooFew: no class or one only.
            ClassTooSmall: a class of one image, copies of it (one group) aside.
        """
        n = len(labels)
        if not codes:
            raise CodesInvalid("there are no codes: one layer or more is needed")
        for key, array in codes.items():
            _check(array, key, n)
        if groups is not None and len(groups) != n:
            raise LabelsInvalid(f"there are {len(groups)} groups for {n} labels")
        classes, y = np.unique(np.asarray(labels, dtype=object), return_inverse=True)
        if len(classes) < 2:
            named = f"is one class only, {classes[0]!r}" if n else "are no images"
            raise ClassesTooFew(f"there {named}: a probe needs two classes or more")
        members = np.arange(n)
        if groups is not None:
            members = np.unique(np.asarray(groups, dtype=object), return_inverse=True)[1]
        _check_sizes(classes, y, members)
        return cls(dict(codes), tuple(str(label) for label in classes), y, members)


def _check(array: CodeArray, key: str, n: int) -> None:
    if array.ndim != 2 or array.dtype.kind != "f" or not array.shape[1]:
        raise CodesInvalid(
            f"codes at {key!r} are {array.dtype.name!r} of shape {array.shape!r}, "
            "but must be a float array of shape (n, d)"
        )
    if len(array) != n:
        raise CodesInvalid(f"codes at {key!r} are of {len(array)} images, but there are {n} labels")
    check_finite(array, f"codes at {key!r}")
    largest = max(float(array.max(initial=0.0)), -float(array.min(initial=0.0)))
    if largest > LARGEST_CODE:
        raise CodesInvalid(
            f"codes at {key!r} reach {largest:.3g}, but {LARGEST_CODE:g} is the most a probe "
            "can be fitted on"
        )


def _check_sizes(classes: np.ndarray, y: np.ndarray, groups: np.ndarray) -> None:
    sizes = np.bincount(y)
    different = [len(np.unique(groups[y == label])) for label in range(len(classes))]
    small = [
        f"{classes[label]!r}" + (f" ({sizes[label]} copies of it)" if sizes[label] > 1 else "")
        for label, count in enumerate(different)
        if count < 2
    ]
    if small:
        more = f" and {len(small) - _SHOWN} more" if len(small) > _SHOWN else ""
        raise ClassTooSmall(
            f"there is one image only of class {', '.join(small[:_SHOWN])}{more}: each class "
            "needs two or more, one to learn from and one held out"
        )
