"""What a choice is made from, beside the images: kinds, Cs, and ways to read their layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from icecore.probes.errors import InputInvalid
from icecore.probes.linear_probe import ProbeKind
from icecore.probes.preprocessing import FOR_ANY, Preprocessing
from icecore.probes.solving.weighting import ALIKE, Weighting
from icecore.probes.training_data import TrainingData

DEFAULT_CS: Final = {
    ProbeKind.SOFTMAX: (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0),
    ProbeKind.SVM: (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0),
}
"""On standardised codes: wide layers want the small ones, a first layer of few channels
the large. An SVM's are a tenth, since its loss is eight times as curved."""

C_RANGE: Final = (1e-12, 1e8)
"""Outside, float64 no longer tells a probe from its best one: by far too small a C weights
vanish beside the loss, by far too large a one the loss beside its own rounding: from 1e9 on
gaps of wide codes were above 1e-6, and at 1e12 some were not told at all."""


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What is asked of a search, beside the data.

    `positions` are the layers' depths as shares of the network's; None for one that is no
    neighbour of others, or for all of them. `outputs` are keys of logits, whose softmax is a
    candidate too. `alternatives` has for a layer's key those of other codes of the same layer
    (other poolings); like `preprocessings` they are tried once the layer is chosen.
    """

    kind: ProbeKind
    Cs: tuple[float, ...]
    positions: Mapping[str, float | None] | None = None
    outputs: Sequence[str] = ()
    alternatives: Mapping[str, Sequence[str]] = field(default_factory=dict)
    preprocessings: Sequence[Preprocessing] = FOR_ANY
    may_shortlist: bool = True
    weighting: Weighting = ALIKE
    threads: int = 1

    def check(self, data: TrainingData) -> None:
        """Raises InputInvalid: a key without codes, or a position out of range."""
        others = self.others
        for key in (*self.outputs, *self.alternatives, *others):
            if key not in data.codes:
                raise InputInvalid(f"{key!r} is named, but there are no codes of that key")
        for key in data.codes if self.positions is not None else ():
            position = (self.positions or {}).get(key, 0.0)
            if key not in others and position is not None and not 0.0 < position <= 1.0:
                raise InputInvalid(
                    f"the position of layer {key!r} is {(self.positions or {}).get(key)!r}, but "
                    "must be above 0 and at most 1, or None"
                )

    @property
    def others(self) -> frozenset[str]:
        """Keys that are no layers by themselves, but alternatives of some."""
        return frozenset(key for keys in self.alternatives.values() for key in keys)


def checked_kind(kind: ProbeKind | str) -> ProbeKind:
    """Raises InputInvalid: another than there are."""
    try:
        return ProbeKind(kind)
    except ValueError:
        known = ", ".join(repr(each.value) for each in ProbeKind)
        raise InputInvalid(f"probe kind {str(kind)!r} is not one of {known}") from None


def checked_ways(preprocessings: Sequence[Preprocessing | str]) -> tuple[Preprocessing, ...]:
    """Raises InputInvalid: none, or others than `FOR_ANY`."""
    try:
        ways = tuple(dict.fromkeys(Preprocessing(each) for each in preprocessings))
    except ValueError:
        ways = ()
    if not ways or not set(ways) <= set(FOR_ANY):
        known = ", ".join(repr(each.value) for each in FOR_ANY)
        raise InputInvalid(f"preprocessings are {list(preprocessings)!r}, but some of {known} are")
    return ways


def checked_grid(Cs: Sequence[float]) -> tuple[float, ...]:
    """Raises InputInvalid: none, or one outside `C_RANGE`."""
    values = tuple(sorted({float(C) for C in Cs}))
    least, most = C_RANGE
    if not values or not all(least <= C <= most for C in values):
        raise InputInvalid(
            f"Cs are {tuple(Cs)!r}, but must be one or more numbers from {least:g} to {most:g}"
        )
    return values
