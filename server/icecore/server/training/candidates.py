"""Which taps a training may choose from, and whether a collection can teach at all.

Everything here is known before any work begins, so that the caller's mistakes
are answered at once and make no version.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.graphs.layers import Layer
from icecore.server.backbones.graphs.roles import LOGITS
from icecore.server.embedding.core import core_of, outputs_in
from icecore.server.embedding.recomputing import n_dims
from icecore.server.errors import (
    ClassesTooFew,
    ClassTooSmall,
    CollectionEmpty,
    InvalidArgument,
    PoolingInvalid,
)
from icecore.server.storage.records import CollectionRecord
from icecore.server.training.identities import identity
from icecore.server.training.request import TrainRequest
from icecore.wire.taps import AVG, GEM_P, Pooling, PoolingKind, TapId

FEWEST_DEPTHS: Final = 5
"""Of those evenly spread over the network, with the last: fewer are no choice."""

MIN_PER_CLASS: Final = 2
"""Images a class needs: one to learn from, one held out."""

MAX_CODE_BYTES: Final = 2 << 30
"""Float32 codes of one training, all layers together. Server and worker hold them, and fitting
takes the worker up to seven times the widest layer's besides (at 40,000 images of 640 values).
Joined layers are one wide one, and took nine times their codes (6,000 images of 4 x 500)."""

MAX_COMPUTED_BYTES: Final = 1 << 29
"""As much of it may "auto" have computed from images anew."""

_SHOWN: Final = 5


TRIED_POOLINGS: Final = (
    AVG,
    Pooling(PoolingKind.MAX),
    Pooling(PoolingKind.GEM, GEM_P),
    Pooling(PoolingKind.CLS),
)
"""Where pooling is to be chosen. A grid has ten times the values, and the whole map more."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a training may read: `layers` to choose from, or to join, in topological order.

    `others` are taps of the same layers, pooled otherwise, to be tried at the chosen one.
    """

    layers: tuple[TapId, ...]
    others: Mapping[TapId, tuple[TapId, ...]] = field(default_factory=dict)
    logits: TapId | None = None
    """The one of `layers` whose softmax are probabilities."""
    is_joined: bool = False
    may_shortlist: bool = False

    @property
    def taps(self) -> tuple[TapId, ...]:
        """All that must be read, each once."""
        return (*self.layers, *(tap for taps in self.others.values() for tap in taps))

    def key(self, tap: TapId) -> str:
        """Return what probes call the tap, each otherwise."""
        return tap.layer if tap in self.layers else identity(tap)

    @property
    def n_copies(self) -> int:
        """How often codes count: joined ones are fitted all at once, not layer by layer."""
        return 4 if self.is_joined else 1


def candidates_of(
    backbone: Backbone, collection: CollectionRecord, request: TrainRequest
) -> Candidates:
    """Return what to choose from.

    The order counts: of equally good layers the earlier one is chosen. "auto" and "all" take every
    depth if their codes fit in memory, else as many as do, evenly spread, and the network's
    own answers where they are stored.

    Raises:
        LayerNotFound: a layer that the backbone does not have.
        PoolingInvalid: as `Backbone.tap`.
        InvalidArgument: the codes would not fit in memory.
    """
    if not (request.is_auto or request.is_joined):
        found = _candidates(backbone, backbone.select(request.layers), (), request)
        check_bytes(backbone, collection.n_examples, found)
        return found
    outputs = outputs_in(backbone, collection)
    if request.is_joined and len(backbone.ranked) + len(outputs) < 2:
        raise InvalidArgument(
            f"backbone {backbone.name!r} has one layer to read, {backbone.ranked[0].name!r}, and "
            "nothing to join it to: leave out layers 'all'"
        )
    core = set(core_of(backbone, collection))
    n_depths = len(backbone.ranked)
    while True:
        found = _candidates(backbone, backbone.spread(n_depths), outputs, request)
        room = MAX_CODE_BYTES if set(found.taps) <= core else MAX_COMPUTED_BYTES
        if _n_bytes(backbone, collection.n_examples, found) <= room:
            return found
        if n_depths <= FEWEST_DEPTHS:
            check_bytes(backbone, collection.n_examples, found)
            return found
        n_depths = max(n_depths // 2, FEWEST_DEPTHS)


def check_classes(collection_id: str, counts: Mapping[str, int]) -> None:
    """Refuse labels that nothing can be learnt from; "" counts images without one.

    Raises:
        CollectionEmpty: no images.
        ClassesTooFew: no labels, or one only.
        ClassTooSmall: a class with a single image.
    """
    sizes = {label: n for label, n in sorted(counts.items()) if label and n}
    if not any(counts.values()):
        raise CollectionEmpty(f"collection {collection_id!r} is empty: add labelled images first")
    if not sizes:
        raise ClassesTooFew(
            f"collection {collection_id!r} has {sum(counts.values())} images but no labels: "
            "a probe needs two classes or more"
        )
    if len(sizes) == 1:
        (label,) = sizes
        raise ClassesTooFew(
            f"collection {collection_id!r} has one class only, {label!r}: a probe needs two or more"
        )
    if small := [label for label, n in sizes.items() if n < MIN_PER_CLASS]:
        raise ClassTooSmall(
            f"collection {collection_id!r} has one image only of class {_listed(small)}: "
            f"each class needs {MIN_PER_CLASS} or more, one to learn from and one held out"
        )


def _candidates(
    backbone: Backbone, asked: Sequence[Layer], outputs: Sequence[TapId], request: TrainRequest
) -> Candidates:
    names = {layer.name for layer in asked}
    chosen = [layer for layer in backbone.layers if layer.name in names]
    layers = {
        backbone.tap(layer, activation=request.activation, pooling=request.pooling): layer
        for layer in chosen
    }
    others = {
        tap: _pooled_otherwise(backbone, layer, tap)
        for tap, layer in layers.items()
        if request.choose_pooling
    }
    taps = (*layers, *outputs)
    logits = [tap for tap in taps if backbone.layer_of(tap).role == LOGITS]
    return Candidates(
        taps,
        others,
        logits[-1] if logits else None,
        is_joined=request.is_joined,
        may_shortlist=request.is_auto or request.is_joined,
    )


def _pooled_otherwise(backbone: Backbone, layer: Layer, tap: TapId) -> tuple[TapId, ...]:
    """Of a layer that is no map all poolings are the same."""
    if layer.height * layer.width == 1:
        return ()
    found = []
    for pooling in TRIED_POOLINGS:
        try:
            found.append(backbone.tap(layer, activation=tap.activation, pooling=pooling))
        except PoolingInvalid:
            continue  # it has no class token
    return tuple(other for other in found if other != tap)


def _n_bytes(backbone: Backbone, n: int, found: Candidates) -> int:
    values = sum(n_dims(tap, backbone.layer_of(tap)) for tap in found.taps)
    return 4 * n * values * found.n_copies


def check_bytes(backbone: Backbone, n: int, found: Candidates) -> None:
    """Raises InvalidArgument: the codes of `n` images would not fit in memory."""
    n_bytes = _n_bytes(backbone, n, found)
    if n_bytes > MAX_CODE_BYTES:
        raise InvalidArgument(
            f"the codes of {n:,} images at {len(found.taps)} layers, pooled by "
            f"'{found.layers[0].pooling}', have {n_bytes:,} bytes, but {MAX_CODE_BYTES:,} are the "
            "most: choose fewer layers or pooling 'avg'"
        )


def _listed(labels: Sequence[str]) -> str:
    shown = ", ".join(repr(label) for label in labels[:_SHOWN])
    return shown if len(labels) <= _SHOWN else f"{shown} and {len(labels) - _SHOWN} more"
