"""Whether transfer helps, against what costs less than a backbone."""

from dataclasses import dataclass
from enum import StrEnum

from icecore.client.accuracy_values import Accuracy


class VerdictKind(StrEnum):
    """Whether transfer helps on these images."""

    POSITIVE = "POSITIVE"
    """Better than every baseline."""
    NO_GAIN = "NO_GAIN"
    """Over one of them no gain worth its cost is left."""
    NEGATIVE = "NEGATIVE"
    """Worse than one of them."""
    UNDECIDED = "UNDECIDED"
    """These images do not tell."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What costs less than a backbone: "majority", "pixels", "hog" or "random twin".

    `difference` is transfer less this one, `low` and `high` its one-sided bounds of 95 %, in
    -1..1; `p` is one-sided, of transfer being no better.
    """

    name: str
    accuracy: Accuracy
    difference: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether transfer helps. `limiting` names the baseline that decided or stands in the way.

    A gain smaller than `margin`, 0..1, counts as none. `more_images` is UNDECIDED's: how many
    more would decide, None where that cannot be said.
    """

    kind: VerdictKind
    limiting: str
    margin: float
    more_images: int | None
    baselines: tuple[Baseline, ...]
