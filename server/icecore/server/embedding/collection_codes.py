"""A collection's codes at any tap: read where they are stored, else computed again."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.catalog import Catalog
from icecore.server.embedding.core import core_of
from icecore.server.embedding.embedder import Embedder
from icecore.server.embedding.recomputing import (
    ImageChanged,
    OnProgress,
    Recomputing,
    n_dims,
)
from icecore.server.errors import (
    CollectionNotFound,
    ImagesNotKept,
    PoolingInvalid,
    StorageCorrupt,
)
from icecore.server.storage.promise import TenantStore
from icecore.server.storage.records import CodeArray, CollectionRecord, ExampleRecord, Snapshot
from icecore.wire.taps import TapId


@dataclass(frozen=True, slots=True, eq=False)
class TapSnapshot:
    """Examples of one moment, in order of id, and their codes a tap, (n, d).

    Whole maps (pooling NONE) are laid out as d = c * h * w. Stored codes are as
    they are stored, mostly float16; those computed again are float32.
    """

    sequence: int
    examples: Sequence[ExampleRecord]
    codes: Mapping[TapId, CodeArray]


class CollectionCodes:
    """Reads codes of collections; computes at most `max_bytes` of them a call."""

    def __init__(self, catalog: Catalog, embedder: Embedder, *, max_bytes: int = 1 << 30) -> None:
        self._catalog = catalog
        self._embedder = embedder
        self._max_bytes = max_bytes

    async def read(
        self,
        store: TenantStore,
        collection_id: str,
        taps: Sequence[TapId],
        *,
        number: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> TapSnapshot:
        """Return the codes of all examples at the taps, all of one moment.

        `number` is that of the collection that is meant. None: whichever has the id.
        `on_progress` hears shares from 0 to 1, also when nothing is computed.

        Raises:
            CollectionNotFound, StorageCorrupt: as the store; the first also where
                the collection was deleted, and made anew, since it was looked at.
            TapMismatch: a tap is of another backbone than the collection.
            ImagesNotKept: a tap is not stored and there are no images to compute it from.
            PoolingInvalid: the computed codes would pass `max_bytes`.
        """
        collection = await asyncio.to_thread(store.collection, collection_id)
        if number is not None and collection.number != number:
            raise _made_anew(collection_id)
        backbone = await asyncio.to_thread(self._catalog.by_digest, collection.digest)
        self.check(collection, backbone, taps)
        core = frozenset(core_of(backbone, collection))
        stored = tuple(dict.fromkeys(tap for tap in taps if tap in core))
        missing = _missing(core, taps)
        recomputing = Recomputing(store, collection_id, self._embedder, backbone, missing)
        snapshot = await self._snapshot(store, collection_id, stored, recomputing, on_progress)
        if snapshot.number != collection.number:  # perhaps over another backbone
            raise _made_anew(collection_id)
        codes = {tap: _stored(snapshot, tap, backbone) for tap in stored}
        for tap in missing:
            codes[tap] = await asyncio.to_thread(recomputing.codes, tap, snapshot.examples)
        if on_progress is not None:
            on_progress(1.0)
        return TapSnapshot(snapshot.sequence, snapshot.examples, codes)

    def check(
        self, collection: CollectionRecord, backbone: Backbone, taps: Sequence[TapId]
    ) -> None:
        """Refuse what `read` would refuse, before any work; `backbone` is the collection's.

        Raises:
            TapMismatch, ImagesNotKept, PoolingInvalid: as `read`.
        """
        for tap in taps:
            backbone.layer_of(tap)
        core = core_of(backbone, collection)
        missing = _missing(frozenset(core), taps)
        if missing and not collection.keep_images:
            (asked, *_) = missing
            is_late = asked in core_of(backbone, replace(collection, has_outputs=True))
            way_out = (
                "they are stored since later, so add the images to a new collection"
                if is_late
                else "for that add the images to one made with keep_images"
            )
            raise ImagesNotKept(
                f"collection {collection.collection_id!r} keeps no images, so its codes can be "
                f"read at its {len(core)} layers that are stored, as trained with pooling 'avg', "
                f"but not at '{asked}': {way_out}"
            )
        n_values = sum(n_dims(tap, backbone.layer_of(tap)) for tap in missing)
        n_bytes = 4 * n_values * collection.n_examples
        if n_bytes > self._max_bytes:
            raise PoolingInvalid(
                f"the codes of {collection.n_examples:,} examples at '{missing[0]}'"
                f"{' and others' if len(missing) > 1 else ''} have {n_bytes:,} bytes, but "
                f"{self._max_bytes:,} are the most: choose a pooling with fewer values"
            )

    async def _snapshot(
        self,
        store: TenantStore,
        collection_id: str,
        stored: Sequence[TapId],
        recomputing: Recomputing,
        on_progress: OnProgress | None,
    ) -> Snapshot:
        """Return a snapshot all of whose images could be had as they were in it."""
        sequence = None
        while True:
            snapshot = await asyncio.to_thread(
                store.snapshot, collection_id, [tap.layer for tap in stored]
            )
            try:
                await recomputing.fill(snapshot.examples, on_progress)
            except ImageChanged as changed:
                if snapshot.sequence == sequence:  # changed, and yet nobody changed it
                    raise StorageCorrupt(
                        f"the image of example {changed.example_id!r} in collection "
                        f"{collection_id!r} is not the one that was stored"
                    ) from changed
                sequence = snapshot.sequence
            else:
                return snapshot


def _made_anew(collection_id: str) -> CollectionNotFound:
    return CollectionNotFound(
        f"collection {collection_id!r} was deleted, and made anew, since this call began"
    )


def _stored(snapshot: Snapshot, tap: TapId, backbone: Backbone) -> CodeArray:
    if not snapshot.examples:
        return np.zeros((0, n_dims(tap, backbone.layer_of(tap))), np.float16)
    return snapshot.codes[tap.layer]


def _missing(core: frozenset[TapId], taps: Sequence[TapId]) -> tuple[TapId, ...]:
    """The taps that are not in the core, each once."""
    return tuple(dict.fromkeys(tap for tap in taps if tap not in core))
