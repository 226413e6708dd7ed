"""How much each image counts in a fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from icecore.probes.errors import InputInvalid
from icecore.probes.linear_probe import Array

BALANCED = "balanced"

LARGEST: Final = 1e10
"""C times an image's weight. By 1e12 gaps of small wide problems were up to 7e-4 (60 features, 40
images), by 1e16 up to all; up to here they were at most 1.5e-6."""


@dataclass(frozen=True, slots=True, eq=False)
class Weighting:
    """`samples` (n,) is each image's own weight, `classes` (k,) that of its class.

    None in place of either counts all alike. With `is_balanced` each class counts alike in
    whatever is trained on: all weight there / (k * the class' share of it), as
    scikit-learn's `class_weight="balanced"`.
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

    def of_sets(self, y: np.ndarray, k: int, training: Sequence[np.ndarray]) -> tuple[Array, Array]:
        """Return how much images and classes count in fits on some rows each.

        Args:
            y: (n,) int, 0..k-1.
            training: the rows of each fit's training set.

        Returns:
            Weights of images (sets, n), 0 for those of other rows, and of classes (sets, k).
        """
        images, classes = np.zeros((len(training), len(y))), np.ones((len(training), k))
        for place, rows in enumerate(training):
            images[place, rows] = 1.0 if self.samples is None else self.samples[rows]
            if self.is_balanced:
                sizes = np.bincount(y, images[place], minlength=k)
                is_there = sizes > 0.0
                classes[place, is_there] = sizes.sum() / (is_there.sum() * sizes[is_there])
            elif self.classes is not None:
                classes[place] = self.classes
        return images, classes


def check_strength(C: float, images: Array, classes: Array) -> None:
    """Raise where weights as `Weighting.of_sets` returns them are too large for a C.

    Raises:
        InputInvalid: with them float64 does not tell a probe from its best one.
    """
    largest = C * float(images.max()) * float(classes.max())
    if not largest <= LARGEST:
        raise InputInvalid(
            f"C times the weight of an image is up to {largest:.3g}, "
            f"but must be at most {LARGEST:g}"
        )


ALIKE = Weighting()
