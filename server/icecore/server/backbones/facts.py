"""What is known of a backbone beyond its card: found by us, not told by its source."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class LayerFidelity:
    """`cosine` is the mean over images between average-pooled codes; `depth` 0 where none."""

    name: str
    depth: int
    cosine: float


@dataclass(frozen=True, slots=True)
class ProbeFidelity:
    """A probe trained anew on either network's codes at `layer`, over the same folds.

    Accuracies are shares; `low` and `high` are the paired 95 % interval of int8 minus float32.
    """

    set: str
    layer: str
    n_images: int
    float32_accuracy: float
    int8_accuracy: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Fidelity:
    """An int8 backbone against the float32 one it was made of.

    `throughput_ratio` is images a second, int8 to float32, whole network, one thread.
    """

    n_calibration_images: int
    throughput_ratio: float
    has_vnni: bool
    layers: tuple[LayerFidelity, ...] = ()
    probes: tuple[ProbeFidelity, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Return what `to_json` wrote."""
        return cls(
            n_calibration_images=int(fields["n_calibration_images"]),
            throughput_ratio=float(fields["throughput_ratio"]),
            has_vnni=bool(fields["has_vnni"]),
            layers=tuple(LayerFidelity(**one) for one in fields["layers"]),
            probes=tuple(ProbeFidelity(**one) for one in fields["probes"]),
        )


@dataclass(frozen=True, slots=True)
class Facts:
    """Where a stored backbone comes from, and what was done to its file.

    `file_sha256` is of the file as it was given; `derived_from` the digest of
    the backbone that an int8 one was made of; `changes` are sentences.
    """

    added_by: str = ""
    file_sha256: str = ""
    recipe_source: str = ""
    changes: tuple[str, ...] = ()
    derived_from: str = ""
    fidelity: Fidelity | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "added_by": self.added_by,
            "file_sha256": self.file_sha256,
            "recipe_source": self.recipe_source,
            "changes": list(self.changes),
            "derived_from": self.derived_from,
            "fidelity": None if self.fidelity is None else self.fidelity.to_json(),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Return what `to_json` wrote; what is missing is not known."""
        fidelity = fields.get("fidelity")
        return cls(
            added_by=str(fields.get("added_by", "")),
            file_sha256=str(fields.get("file_sha256", "")),
            recipe_source=str(fields.get("recipe_source", "")),
            changes=tuple(str(change) for change in fields.get("changes", ())),
            derived_from=str(fields.get("derived_from", "")),
            fidelity=None if fidelity is None else Fidelity.from_json(fidelity),
        )


NO_FACTS = Facts()
"""Of a backbone that icecore brings itself."""
