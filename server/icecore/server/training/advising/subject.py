"""What is judged: a collection's labelled images, and their codes at every depth."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.graphs.layers import Layer
from icecore.server.embedding.embedder import Embedder
from icecore.server.embedding.recomputing import ImageChanged, Recomputing, n_dims
from icecore.server.errors import ExampleNotFound, InvalidArgument
from icecore.server.storage.promise import TenantStore
from icecore.server.storage.records import CodeArray, ExampleRecord
from icecore.server.training.advising.thinning import thinned
from icecore.wire.taps import TapId

MAX_CODE_BYTES: Final = 1 << 30
"""Float32 codes of all layers of all backbones; this process and the worker hold them."""

_READ_BYTES: Final = 256 << 20
"""Of stored codes read at once, of which most are let go where images are left out."""


@dataclass(frozen=True, slots=True, eq=False)
class LayerCodes:
    """One layer that may be chosen; `codes` is (n, d)."""

    backbone: Backbone
    layer: Layer
    codes: CodeArray


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """`examples` are judged, in order of id, of `n_labelled` that there are.

    `layers` are every depth of every backbone, then their own outputs.
    """

    n_labelled: int
    examples: Sequence[ExampleRecord]
    layers: Sequence[LayerCodes]


class Gathering:
    """Reads what is stored and computes what is not, as background work of the tenant's."""

    def __init__(
        self,
        store: TenantStore,
        embedder: Embedder,
        collection_id: str,
        own: Backbone,
        core: Sequence[TapId],
        backbones: Sequence[Backbone],
        on_share: Callable[[float], None],
    ) -> None:
        self._store = store
        self._collection_id = collection_id
        self._own = own
        self._core = frozenset(core)
        self._backbones = backbones
        self._on_share = on_share
        self._computed = [
            Recomputing(store, collection_id, embedder, one, self._missing(one))
            for one in backbones
        ]

    async def subject(self, max_images: int, *, seed: int) -> Subject:
        """Return the images of one moment with their codes.

        Raises:
            CollectionNotFound, StorageCorrupt: as the store.
            InvalidArgument: the codes would pass `MAX_CODE_BYTES`.
            ExampleNotFound: images change faster than they are read.
        """
        for _ in range(2):
            snapshot = await asyncio.to_thread(self._store.snapshot, self._collection_id)
            labelled = [example for example in snapshot.examples if example.label]
            chosen = thinned(labelled, max_images, seed=seed)
            self._check_bytes(len(chosen))
            try:
                return Subject(
                    len(labelled), chosen, await self._layers(chosen, len(snapshot.examples))
                )
            except ImageChanged as changed:
                last = changed
        raise changed_meanwhile(self._collection_id, last.example_id) from last

    async def _layers(self, chosen: Sequence[ExampleRecord], n_all: int) -> list[LayerCodes]:
        for place, computed in enumerate(self._computed):
            await computed.fill(chosen, partial(self._told, place))
        found: list[LayerCodes] = []
        outputs: list[LayerCodes] = []
        for backbone, computed in zip(self._backbones, self._computed, strict=True):
            stored = {}
            if backbone.digest == self._own.digest:
                stored = await self._stored(chosen, n_all)
            for layer in _layers(backbone):
                codes = stored.get(layer.name)
                if codes is None:
                    codes = await asyncio.to_thread(computed.codes, backbone.tap(layer), chosen)
                where = outputs if layer is backbone.outputs else found
                where.append(LayerCodes(backbone, layer, codes))
        return found + outputs

    async def _stored(self, chosen: Sequence[ExampleRecord], n_all: int) -> dict[str, CodeArray]:
        """The core as it was stored, of these examples, a few layers at a time."""
        found: dict[str, CodeArray] = {}
        waiting = [one for one in _layers(self._own) if self._own.tap(one) in self._core]
        while waiting:
            names: list[str] = []
            n_bytes = 0
            while waiting and (not names or n_bytes < _READ_BYTES):
                layer = waiting.pop(0)
                names.append(layer.name)
                n_bytes += 4 * n_all * layer.dims
            found |= await asyncio.to_thread(self._rows, names, chosen)
        return found

    def _rows(self, names: list[str], chosen: Sequence[ExampleRecord]) -> dict[str, CodeArray]:
        """Raises ImageChanged. Codes of an image never change, so that any snapshot serves."""
        snapshot = self._store.snapshot(self._collection_id, names)
        place = {
            (x.example_id, x.image_sha256, x.label): i for i, x in enumerate(snapshot.examples)
        }
        rows = np.empty(len(chosen), np.intp)
        for i, example in enumerate(chosen):
            key = (example.example_id, example.image_sha256, example.label)
            if key not in place:
                raise ImageChanged(example.example_id)
            rows[i] = place[key]
        found: dict[str, CodeArray] = {}
        for name in names:
            found[name] = snapshot.codes[name][rows]
        return found

    def _told(self, place: int, share: float) -> None:
        self._on_share((place + share) / len(self._computed))

    def _missing(self, backbone: Backbone) -> list[TapId]:
        """What is not stored of a backbone."""
        return [tap for tap in map(backbone.tap, _layers(backbone)) if tap not in self._core]

    def _check_bytes(self, n: int) -> None:
        layers = [(one, layer) for one in self._backbones for layer in _layers(one)]
        n_bytes = 4 * n * sum(n_dims(one.tap(layer), layer) for one, layer in layers)
        if n_bytes > MAX_CODE_BYTES:
            raise InvalidArgument(
                f"the codes of {n:,} images at {len(layers)} layers have {n_bytes:,} bytes, but "
                f"{MAX_CODE_BYTES:,} are the most: ask for fewer backbones, or fewer images "
                "(max_images)"
            )


def _layers(backbone: Backbone) -> list[Layer]:
    """Every depth, then the network's own answers."""
    outputs = backbone.outputs
    return [*backbone.ranked, *(() if outputs is None else (outputs,))]


def kept_image(store: TenantStore, collection_id: str, example: ExampleRecord) -> bytes:
    """Return the image as it is kept.

    Raises:
        ExampleNotFound: it was deleted or replaced since.
    """
    try:
        data = store.image(collection_id, example.example_id)
    except ExampleNotFound as error:
        raise changed_meanwhile(collection_id, example.example_id) from error
    if hashlib.sha256(data).hexdigest() != example.image_sha256:
        raise changed_meanwhile(collection_id, example.example_id)
    return data


def changed_meanwhile(collection_id: str, example_id: str) -> ExampleNotFound:
    """Return the error of an image that is not what it was when the work began."""
    return ExampleNotFound(
        f"example {example_id!r} of collection {collection_id!r} was deleted or changed while it "
        "was judged: ask again"
    )
