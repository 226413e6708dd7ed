"""Where a probe could read, how well it would do there, and what it would cost."""

from dataclasses import dataclass

from icecore.client.accuracy_values import Accuracy, Difference


@dataclass(frozen=True, slots=True)
class LayerPlace:
    """A layer of a backbone; `depth` is None where it has none."""

    backbone: str
    layer: str
    depth: int | None


@dataclass(frozen=True, slots=True)
class LayerAdvice:
    """Held-out accuracy at one layer, with C chosen inside, and what it costs to get there.

    `dims` are values of a code; `n_bytes` the weights up to there as they are stored, with the
    probe's, and `macs` the multiply-accumulates of one image.
    """

    place: LayerPlace
    accuracy: Accuracy
    C: float
    dims: int
    n_bytes: int
    macs: int


@dataclass(frozen=True, slots=True)
class JoinedAdvice:
    """Several layers read together. `difference` is their accuracy less that of one, chosen."""

    places: tuple[LayerPlace, ...]
    accuracy: Accuracy
    difference: Difference

    @property
    def is_offered(self) -> bool:
        """Whether they are shown to be better: `layers="all"` of a training."""
        return self.difference.low > 0.0
