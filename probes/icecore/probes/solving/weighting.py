"""How much each image counts in a fit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from icecore.probes.errors import InputInvalid
from icecore.probes.linear_probe import Array

BALANCED = "balanced"


@dataclass(frozen=True, slots=True, eq=False)
class Weighting:
    """`samples` (n,) is each image's own weight, `classes` (k,) that of its class.

    None in place of either counts all alike. With `is_balanced` each class counts alike in
    whatever is trained on: n / (k * its images), as scikit-learn's `class_weight="balanced"`.
    """

    samples: Array | None = None
    classes: Array | None = None
    is_balanced: bool = False

    @classmethod
    def of(
        cls,
        sample_weight: Array | None,
        class_weight: Mapping[str, float] | str | None,
        classes: tuple[str, ...],
        n: int,
    ) -> Self:
        """Return the weighting that scikit-learn's arguments of these names ask for.

        Raises:
            InputInvalid: weights that are not finite or negative, not one an image, or of a
                class that is not there.
        """
        samples = None
        if sample_weight is not None:
            samples = np.asarray(sample_weight, np.float64)
            if samples.shape != (n,) or not np.isfinite(samples).all() or (samples < 0.0).any():
                raise InputInvalid(
                    f"sample weights have shape {samples.shape!r}, but must be {n} numbers, "
                    "finite and not negative"
                )
        if class_weight is None or isinstance(class_weight, str):
            if class_weight not in (None, BALANCED):
                raise InputInvalid(
                    f"class weight {class_weight!r} is not known: a number a class, or 'balanced'"
                )
            return cls(samples, None, class_weight == BALANCED)
        for name, weight in class_weight.items():
            if name not in classes:
                raise InputInvalid(f"class weight of {name!r}, but there is no such class")
            if not np.isfinite(weight) or weight <= 0.0:
                raise InputInvalid(f"class weight of {name!r} is {weight!r}, but must be above 0")
        each = [float(class_weight.get(name, 1.0)) for name in classes]
        return cls(samples, np.array(each), False)

    def over(self, y: np.ndarray, k: int, rows: np.ndarray) -> Array:
        """Return the weights (n,) of a fit on some rows; the others have 0."""
        weights = np.zeros(len(y))
        weights[rows] = 1.0 if self.samples is None else self.samples[rows]
        if self.is_balanced:
            sizes = np.bincount(y[rows], minlength=k)
            weights *= (len(rows) / (np.count_nonzero(sizes) * np.maximum(sizes, 1)))[y]
        elif self.classes is not None:
            weights *= self.classes[y]
        return weights


ALIKE = Weighting()
