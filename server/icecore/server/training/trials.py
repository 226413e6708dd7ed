"""What cross-validation saw, typed: of a version as a whole, of its layers, and of poolings."""

from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from icecore.server.storage.records import Json
from icecore.wire.taps import Pooling, PoolingKind

NONE: Final = "none"
"""How versions preprocess that were trained before there was a choice."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """An estimate and its 95 % interval, all in 0..1."""

    estimate: float
    low: float
    high: float

    def to_json(self) -> Json:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        return cls(float(fields["estimate"]), float(fields["low"]), float(fields["high"]))


@dataclass(frozen=True, slots=True)
class JoinedGain:
    """What layers read together gain over the best one by itself, whose accuracy `alone` is."""

    alone: Accuracy
    difference: float
    low: float
    high: float

    def to_json(self) -> Json:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        return cls(
            Accuracy.from_json(fields["alone"]),
            float(fields["difference"]),
            float(fields["low"]),
            float(fields["high"]),
        )


@dataclass(frozen=True, slots=True)
class LayerTrial:
    """What cross-validation saw at one candidate layer; `depth` 0: it has none."""

    layer: str
    depth: int
    accuracy: Accuracy
    C: float
    is_chosen: bool
    preprocessing: str = NONE

    def to_json(self) -> Json:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        return cls(
            layer=str(fields["layer"]),
            depth=int(fields["depth"]),
            accuracy=Accuracy.from_json(fields["accuracy"]),
            C=float(fields["C"]),
            is_chosen=bool(fields["is_chosen"]),
            preprocessing=str(fields.get("preprocessing", NONE)),
        )


@dataclass(frozen=True, slots=True)
class PoolingTrial:
    """What cross-validation saw of one pooling at the chosen layer."""

    pooling: Pooling
    accuracy: Accuracy
    C: float
    is_chosen: bool
    preprocessing: str

    def to_json(self) -> Json:
        pooling = self.pooling
        return {**asdict(self), "pooling": pooling.kind.value, "gem_p": pooling.gem_p}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        return cls(
            pooling=Pooling(PoolingKind(fields["pooling"]), float(fields["gem_p"])),
            accuracy=Accuracy.from_json(fields["accuracy"]),
            C=float(fields["C"]),
            is_chosen=bool(fields["is_chosen"]),
            preprocessing=str(fields["preprocessing"]),
        )
