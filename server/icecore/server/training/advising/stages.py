"""How far an advice is, in shares of the time it takes, which is reckoned before it begins.

Its stages share the time otherwise for few images, when most of it goes into random twins, than
for many, when fits take most.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

READING: Final = 2.2e-11
"""Seconds that codes take, a multiply-add of an image. All figures here are of one core of a
machine that does other things too; only how they stand to each other counts. Measured over 182
images of 4 classes, 960 of 8 and 2,000 of 10, with EfficientNet-Lite0."""

JUDGING: Final = 4.2e-9
"""Seconds that a layer takes, a value of its codes and the smaller side of their matrix."""

COMPARING: Final = 3.0e-9
"""The same of baselines."""

JOINING: Final = 1.7e-9
"""The same of the layers read together."""

DRAWING: Final = 1.8e-8
"""Seconds that drawing all twins takes, a multiply-add of an image."""

LOOKING: Final = 7.6e-11
"""Seconds that decoding and running all twins takes, a multiply-add of each image."""

CURVE_S: Final = 1.0
CURVE_LAYERS: Final = 2.4
"""A learning curve takes a second, and as long as so many of the layers."""

TWINS: Final = 3
DESCRIPTOR_DIMS: Final = (3_072, 4_356)
"""As `looking` has them, which brings scipy with it: no start of a server is to wait for that."""


@dataclass(frozen=True, slots=True)
class Stages:
    """Where each stage begins and how much of the whole it is, in 0..1.

    `drawing` is the part of the stage "twins" that drawing their weights is.
    """

    shares: Mapping[str, tuple[float, float]]
    drawing: float

    @classmethod
    def of(
        cls,
        n: int,
        *,
        dims: Sequence[int],
        twin_dims: Sequence[int],
        joined_dims: Sequence[int],
        macs: int,
        computed_macs: int,
    ) -> Self:
        """Return the stages of judging `n` images.

        Args:
            n: images, 1 or more.
            dims: of every layer that is judged.
            twin_dims: of every layer of a twin.
            joined_dims: of every layer of the backbone whose layers are read together.
            macs: multiply-adds of an image through a twin.
            computed_macs: multiply-adds of an image through all networks whose codes are not
                stored.
        """
        layers = JUDGING * sum(_work(n, d) for d in dims)
        compared = (*TWINS * tuple(twin_dims), *DESCRIPTOR_DIMS)
        baselines = COMPARING * sum(_work(n, d) for d in compared)
        baselines += JOINING * sum(_work(n, d) for d in joined_dims)
        drawing, looking = DRAWING * macs, LOOKING * macs * n
        seconds = {
            "codes": READING * computed_macs * n,
            "layers": layers,
            "twins": drawing + looking,
            "baselines": baselines,
            "curve": CURVE_S + CURVE_LAYERS * layers / max(len(dims), 1),
        }
        whole, begin = sum(seconds.values()), 0.0
        shares: dict[str, tuple[float, float]] = {}
        for stage, each in seconds.items():
            shares[stage] = (begin, each / whole)
            begin += each / whole
        return cls(shares, drawing / max(drawing + looking, 1e-30))

    def at(self, stage: str, share: float) -> float:
        """Return the share of the whole that is done when `share` of a stage is."""
        begin, width = self.shares[stage]
        return min(1.0, begin + width * min(share, 1.0))

    def drawn(self, share: float) -> float:
        """Return the share of the stage "twins" when `share` of their weights is drawn."""
        return self.drawing * share

    def looked(self, share: float) -> float:
        """Return the share of the stage "twins" when `share` of the images is looked at."""
        return self.drawing + (1.0 - self.drawing) * share

    def to_json(self) -> dict[str, Any]:
        return {"shares": dict(self.shares), "drawing": self.drawing}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        shares = {key: (begin, width) for key, (begin, width) in value["shares"].items()}
        return cls(shares, value["drawing"])


def _work(n: int, d: int) -> float:
    return float(n * d * min(n, d))
