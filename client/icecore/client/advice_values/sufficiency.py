"""Whether there are enough images: the learning curve, and where it goes from here."""

from dataclasses import dataclass
from enum import StrEnum

from icecore.client.accuracy_values import Accuracy


class SufficiencyKind(StrEnum):
    """What to do about the number of images."""

    COLLECT_MORE = "COLLECT_MORE"
    ENOUGH = "ENOUGH"
    CEILING = "CEILING"
    """More images of this kind would not help, though errors are left."""
    UNDECIDED = "UNDECIDED"


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Accuracy measured with so many images to learn from."""

    n_images: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """Accuracy expected with so many images, and its 90 % interval."""

    n_images: int
    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class WeakClass:
    """A class recognised less often than images are on the whole."""

    label: str
    n_images: int
    recall: Accuracy


@dataclass(frozen=True, slots=True)
class Sufficiency:
    """Whether there are enough images.

    `n_more` is COLLECT_MORE's, 0 otherwise. `forecasts` are for 1, 1.5, 2 and 3 times today's
    images. `gain` is what three times the images would add, with its 90 % interval;
    `probability` is that of a point or more. `weakest_classes` has the worst first.
    """

    kind: SufficiencyKind
    n_more: int
    points: tuple[CurvePoint, ...]
    forecasts: tuple[Forecast, ...]
    gain: float
    gain_low: float
    gain_high: float
    probability: float
    weakest_classes: tuple[WeakClass, ...]
