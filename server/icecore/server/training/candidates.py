"""Which taps a training may choose from, and whether a collection can teach at all.

Everything here is known before any work begins, so that the caller's mistakes
are answered at once and make no version.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.graphs.layers import Layer
from icecore.server.embedding.recomputing import n_dims
from icecore.server.errors import (
    ClassesTooFew,
    ClassTooSmall,
    CollectionEmpty,
    InvalidArgument,
)
from icecore.server.storage.records import CollectionRecord
from icecore.server.training.request import TrainRequest
from icecore.wire.taps import TapId

FEWEST_DEPTHS: Final = 5
"""Of those evenly spread over the network, with the last: fewer are no choice."""

MIN_PER_CLASS: Final = 2
"""Images a class needs: one to learn from, one held out."""

MAX_CODE_BYTES: Final = 2 << 30
"""Float32 codes of one training, all layers together. Server and worker hold them, and fitting
takes the worker up to seven times the widest layer's besides (at 40,000 images of 640 values)."""

MAX_COMPUTED_BYTES: Final = 1 << 29
"""As much of it may "auto" have computed from images anew."""

_SHOWN: Final = 5


def candidate_taps(
    backbone: Backbone, collection: CollectionRecord, request: TrainRequest
) -> tuple[TapId, ...]:
    """Return the taps to choose from, each once, in topological order.

    The order counts: of equally good layers the earlier one is chosen. "auto" takes every depth
    if their codes fit in memory, else as many as do, evenly spread.

    Raises:
        LayerNotFound: a layer that the backbone does not have.
        PoolingInvalid: as `Backbone.tap`.
        InvalidArgument: the codes would not fit in memory.
    """
    if not request.is_auto:
        taps = _taps(backbone, backbone.select(request.layers), request)
        check_bytes(backbone, collection.n_examples, taps)
        return taps
    n_depths = len(backbone.ranked)
    while True:
        taps = _taps(backbone, backbone.spread(n_depths), request)
        room = MAX_CODE_BYTES if set(taps) <= set(backbone.core) else MAX_COMPUTED_BYTES
        if _n_bytes(backbone, collection.n_examples, taps) <= room:
            return taps
        if n_depths <= FEWEST_DEPTHS:
            check_bytes(backbone, collection.n_examples, taps)
            return taps
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


def _taps(backbone: Backbone, asked: Sequence[Layer], request: TrainRequest) -> tuple[TapId, ...]:
    names = {layer.name for layer in asked}
    return tuple(
        backbone.tap(layer, activation=request.activation, pooling=request.pooling)
        for layer in backbone.layers
        if layer.name in names
    )


def _n_bytes(backbone: Backbone, n: int, taps: Sequence[TapId]) -> int:
    return 4 * n * sum(n_dims(tap, backbone.layer_of(tap)) for tap in taps)


def check_bytes(backbone: Backbone, n: int, taps: Sequence[TapId]) -> None:
    """Raises InvalidArgument: the codes of `n` images would not fit in memory."""
    n_bytes = _n_bytes(backbone, n, taps)
    if n_bytes > MAX_CODE_BYTES:
        raise InvalidArgument(
            f"the codes of {n:,} images at {len(taps)} layers, pooled by "
            f"'{taps[0].pooling}', have {n_bytes:,} bytes, but {MAX_CODE_BYTES:,} are the most: "
            "choose fewer layers or pooling 'avg'"
        )


def _listed(labels: Sequence[str]) -> str:
    shown = ", ".join(repr(label) for label in labels[:_SHOWN])
    return shown if len(labels) <= _SHOWN else f"{shown} and {len(labels) - _SHOWN} more"
