"""What a training is asked, as a value that is stored with its version."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self, cast

from icecore.server.errors import InvalidArgument, NameInvalid, StorageCorrupt
from icecore.server.storage.records import Json
from icecore.wire.names import check_id
from icecore.wire.taps import AVG, Activation, Pooling, PoolingKind

AUTO: Final = "auto"
"""The layer's name that asks for a choice among some that are spread over all depths."""

KINDS: Final = ("svm", "softmax")

ALL: Final = "all"
"""The name that asks for layers read together."""

_MAX_SEED = 2**64 - 1


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """A probe to be trained on a collection.

    `layers` holds depths or names to choose from; none, or `("auto",)`, asks for a choice among
    all depths, `("all",)` for as many of them joined as are of use. With `choose_pooling`,
    `pooling` is the first of those tried at the chosen layer. `promote` moves the probe's pointer
    once it is READY; with `not_worse_by`, an accuracy in 0..1, only if it passes
    `promoting.check_not_worse`. With `base_version`, kind, taps and C are that version's of the
    same probe, which `kind` repeats and `layers`, `activation` and `pooling` do not; 0: they are
    chosen.

    Raises:
        NameInvalid: the probe's or the collection's id.
        InvalidArgument: another kind, a seed or an accuracy out of range, "auto" among other
            layers, or a condition for what is not to be promoted.
    """

    probe_id: str
    collection_id: str
    kind: str = "softmax"
    layers: tuple[str, ...] = (AUTO,)
    activation: Activation = Activation.AS_TRAINED
    pooling: Pooling = AVG
    seed: int = 0
    promote: bool = True
    not_worse_by: float | None = None
    base_version: int = 0
    choose_pooling: bool = False

    def __post_init__(self) -> None:
        try:
            check_id("probe", self.probe_id)
            check_id("collection", self.collection_id)
        except ValueError as error:
            raise NameInvalid(str(error)) from error
        if self.kind not in KINDS:
            raise InvalidArgument(f"kind {self.kind!r} is not known: there are 'svm' and 'softmax'")
        if not 0 <= self.seed <= _MAX_SEED:
            raise InvalidArgument(f"seed is {self.seed!r}, but must be in 0..{_MAX_SEED}")
        if self.not_worse_by is not None:
            check_margin("promote_if_not_worse_by", self.not_worse_by)
            if not self.promote:
                raise InvalidArgument(
                    "leave_unpromoted and promote_if_not_worse_by are both set, but a version "
                    "that is not to be promoted needs no condition"
                )
        if not self.layers:
            object.__setattr__(self, "layers", (AUTO,))
        for name in (AUTO, ALL):
            if name in self.layers and len(self.layers) > 1:
                raise InvalidArgument(
                    f"layers are {list(self.layers)!r}, but {name!r} chooses them itself: "
                    f"give {name!r} alone, or the layers to choose from"
                )
        if self.choose_pooling and self.is_joined:
            raise InvalidArgument(
                "pooling is to be chosen, but layers are joined as they are pooled: name a "
                "pooling, or let one layer be chosen"
            )

    @property
    def is_joined(self) -> bool:
        return self.layers == (ALL,)

    @property
    def is_auto(self) -> bool:
        return self.layers == (AUTO,)

    def to_json(self) -> Json:
        return {
            "probe_id": self.probe_id,
            "collection_id": self.collection_id,
            "kind": self.kind,
            "layers": list(self.layers),
            "activation": self.activation.value,
            "pooling": self.pooling.kind.value,
            "gem_p": self.pooling.gem_p,
            "seed": self.seed,
            "promote": self.promote,
            "not_worse_by": self.not_worse_by,
            "base_version": self.base_version,
            "choose_pooling": self.choose_pooling,
        }

    @classmethod
    def from_json(cls, fields: Json) -> Self:
        """Return the request that `to_json` wrote.

        Raises:
            StorageCorrupt: a field is missing, of another type or out of range.
        """
        values = cast(Mapping[str, str | float | list[str]], fields)
        try:
            margin = values.get("not_worse_by")  # requests of before have none, as is the base
            return cls(
                probe_id=str(values["probe_id"]),
                collection_id=str(values["collection_id"]),
                kind=str(values["kind"]),
                layers=tuple(cast(list[str], values["layers"])),
                activation=Activation(cast(str, values["activation"])),
                pooling=Pooling(
                    PoolingKind(cast(str, values["pooling"])), float(cast(float, values["gem_p"]))
                ),
                seed=int(cast(int, values["seed"])),
                promote=bool(values["promote"]),
                not_worse_by=None if margin is None else float(cast(float, margin)),
                base_version=int(cast(int, values.get("base_version", 0))),
                choose_pooling=bool(values.get("choose_pooling", False)),
            )
        except (KeyError, TypeError, ValueError, InvalidArgument) as error:
            raise StorageCorrupt(f"the stored training request is broken: {error!r}") from error


def check_margin(noun: str, margin: float) -> None:
    """Raises InvalidArgument: no accuracy in 0..1."""
    if not 0.0 <= margin <= 1.0:
        raise InvalidArgument(f"{noun} is {margin!r}, but must be an accuracy in 0..1")
