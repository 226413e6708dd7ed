"""Where the images stand in the field's two by two: how many, and how like the backbone's."""

from dataclasses import dataclass
from enum import StrEnum


class Size(StrEnum):
    """How many images there are, for training more than a probe."""

    SMALL = "SMALL"
    LARGE = "LARGE"


class Similarity(StrEnum):
    """How like the images are to those the backbone was trained on."""

    SIMILAR = "SIMILAR"
    PARTLY = "PARTLY"
    DIFFERENT = "DIFFERENT"


class Recommendation(StrEnum):
    """What the field's two by two advises. icecore itself trains probes only."""

    PROBE_AT_LAST = "PROBE_AT_LAST"
    PROBE_AT_ANY = "PROBE_AT_ANY"
    PROBE_EARLIER = "PROBE_EARLIER"
    FINE_TUNE = "FINE_TUNE"
    FINE_TUNE_WHOLE = "FINE_TUNE_WHOLE"


@dataclass(frozen=True, slots=True)
class Measured:
    """A measured value and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """A cell of the field's two by two, what it recommends, and what put the images there.

    `familiarity` is the backbone's confidence on these images over its accuracy on its own, None
    where it has no outputs; `earlier_gain` the accuracy of the best earlier layer less the
    last's. `is_contradicted`: the images prefer the other end of the network; trust them.
    """

    size: Size
    similarity: Similarity
    recommendation: Recommendation
    familiarity: Measured | None
    earlier_gain: Measured
    is_contradicted: bool
