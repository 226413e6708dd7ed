"""Examples into a collection: check, leave out what is there, embed, store."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.catalog import Catalog
from icecore.server.backbones.running.poolings import codes_shape
from icecore.server.embedding.core import core_of
from icecore.server.embedding.embedder import Embedder, Priority
from icecore.server.embedding.example_input import ExampleInput, check_examples
from icecore.server.embedding.gathering import FLOAT16_MAX
from icecore.server.embedding.keeping import Kept, keep
from icecore.server.embedding.preparing import check
from icecore.server.errors import CollectionNotFound, ExampleExists, ImagesTooMany
from icecore.server.storage.promise import TenantStore
from icecore.server.storage.records import (
    AddedCounts,
    CodeArray,
    CollectionRecord,
    ExampleRecord,
    Metadata,
    Mutation,
    NewBatch,
    NewExample,
    OnDuplicate,
)
from icecore.wire.taps import TapId

__all__ = ["ExampleInput", "Ingest", "compact"]


class Ingest:
    """Brings examples into collections, a batch at a time, each whole or not at all."""

    def __init__(
        self, catalog: Catalog, embedder: Embedder, *, max_examples_a_batch: int = 1024
    ) -> None:
        self._catalog = catalog
        self._embedder = embedder
        self._max_examples_a_batch = max_examples_a_batch

    async def add(
        self,
        store: TenantStore,
        collection_id: str,
        examples: Sequence[ExampleInput],
        *,
        on_duplicate: OnDuplicate = OnDuplicate.REFUSE,
        mutation: Mutation | None = None,
        deadline: float | None = None,
    ) -> AddedCounts:
        """Store the examples with their core, and return once that is durable.

        No pass is run for a retry that was answered before, nor for examples
        that the collection already holds and keeps. Nothing is stored unless
        every image of the batch could be decoded. `deadline` is as in `Embedder.embed`.

        Raises:
            ImagesEmpty, ImagesTooMany, NameInvalid, MetadataInvalid, IdDuplicate,
            TensorInvalid: before anything is decoded.
            ExampleExists: with REFUSE.
            StorageQuotaExceeded: before any pass where that can be told, else as the store.
            CollectionNotFound, RequestIdReused, StorageFull: as the store; the first
                also where the collection was made anew while its codes were computed.
            ImageInvalid and the others of `Embedder.embed`: naming the example.
        """
        answered = await _answered(store, mutation)
        if answered is not None:
            return answered
        try:
            return await self._add_new(
                store, collection_id, examples, on_duplicate, mutation, deadline
            )
        except (ExampleExists, CollectionNotFound):
            # The same request, sent twice at once: what is in the way may be its twin's work.
            answered = await _answered(store, mutation)
            if answered is None:
                raise
            return answered

    async def _add_new(
        self,
        store: TenantStore,
        collection_id: str,
        examples: Sequence[ExampleInput],
        on_duplicate: OnDuplicate,
        mutation: Mutation | None,
        deadline: float | None,
    ) -> AddedCounts:
        if len(examples) > self._max_examples_a_batch:
            raise ImagesTooMany(
                f"the batch has {len(examples):,} examples, "
                f"but {self._max_examples_a_batch:,} are the most: send several batches"
            )
        metadata = check_examples(examples)
        collection = await asyncio.to_thread(store.collection, collection_id)
        backbone = await asyncio.to_thread(self._catalog.by_digest, collection.digest)
        incoming = await asyncio.to_thread(_keep_all, examples, metadata, collection, backbone)
        known = await asyncio.to_thread(
            store.known_examples, collection_id, [example.example_id for example in examples]
        )
        wanted = [one for one in incoming if not one.is_there(known, on_duplicate, collection_id)]
        if not any(one.new.example_id in known for one in wanted):  # else some bytes go
            taps = core_of(backbone, collection)
            await asyncio.to_thread(store.check_room, _least_bytes(wanted, backbone, taps))
        batch = NewBatch(
            examples=tuple(one.new for one in wanted),
            core=await self._core(
                backbone, core_of(backbone, collection), wanted, store.tenant_id, deadline
            ),
            n_unchanged=len(incoming) - len(wanted),
        )
        return await asyncio.to_thread(
            store.add_examples,
            collection_id,
            batch,
            on_duplicate=on_duplicate,
            number=collection.number,
            mutation=mutation,
        )

    async def _core(
        self,
        backbone: Backbone,
        taps: Sequence[TapId],
        wanted: "Sequence[_Incoming]",
        tenant_id: str,
        deadline: float | None,
    ) -> Mapping[str, CodeArray]:
        if not wanted:
            return {}
        embedded = await self._embedder.embed(
            backbone,
            taps,
            [one.example.image for one in wanted],
            tenant_id=tenant_id,
            names=[_what(one.example) for one in wanted],
            priority=Priority.BULK,
            may_wait=True,
            deadline=deadline,
        )
        return {tap.layer: compact(codes) for tap, codes in zip(taps, embedded.codes, strict=True)}


@dataclass(frozen=True, slots=True)
class _Incoming:
    example: ExampleInput
    new: NewExample

    def is_there(
        self,
        known: Mapping[str, ExampleRecord],
        on_duplicate: OnDuplicate,
        collection_id: str,
    ) -> bool:
        """Return whether the collection's own example of this id stays as it is.

        Raises ExampleExists with REFUSE.
        """
        there = known.get(self.new.example_id)
        if there is None:
            return False
        if on_duplicate is OnDuplicate.REFUSE:
            raise ExampleExists(
                f"collection {collection_id!r} already has the example {self.new.example_id!r}: "
                "replace or skip those that exist, or take another id"
            )
        return on_duplicate is OnDuplicate.SKIP or (
            there.image_sha256 == self.new.image_sha256
            and there.label == self.new.label
            and dict(there.metadata) == dict(self.new.metadata)
        )


def compact(codes: npt.NDArray[Any]) -> CodeArray:
    """Return float16, or float32 where a value passes what float16 holds."""
    if codes.dtype != np.float16 and np.abs(codes).max(initial=0.0) > FLOAT16_MAX:
        return codes.astype(np.float32)
    return codes.astype(np.float16)


async def _answered(store: TenantStore, mutation: Mutation | None) -> AddedCounts | None:
    """Return the answer that the request was given before, if it was."""
    return None if mutation is None else await asyncio.to_thread(store.added_before, mutation)


def _least_bytes(wanted: Sequence[_Incoming], backbone: Backbone, taps: Sequence[TapId]) -> int:
    """What new examples will take in the store at least, with codes of two bytes a value."""
    shapes = [codes_shape(backbone.layer_of(tap), tap.pooling) for tap in taps]
    codes = 2 * sum(map(prod, shapes))
    return sum(
        len(one.new.image or b"")
        + codes
        + len(one.new.example_id.encode())
        + len(one.new.label.encode())
        for one in wanted
    )


def _what(example: ExampleInput) -> str:
    return f"the image of example {example.example_id!r}"


def _keep_all(
    examples: Sequence[ExampleInput],
    metadata: Sequence[Metadata],
    collection: CollectionRecord,
    backbone: Backbone,
) -> list[_Incoming]:
    incoming = []
    for example, checked in zip(examples, metadata, strict=True):
        check(example.image, backbone.recipe, what=_what(example))
        kept: Kept = keep(
            example.image,
            backbone.recipe,
            what=_what(example),
            keep_images=collection.keep_images,
        )
        new = NewExample(example.example_id, example.label, checked, kept.sha256, kept.data)
        incoming.append(_Incoming(example, new))
    return incoming
