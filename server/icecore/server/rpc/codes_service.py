"""CodesService: images in, codes out.

Its two methods are the ones called most, so their messages are read and written by hand
(`embed_reading`, `embed_writing`), to the same bytes.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, Final

import grpc

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.catalog import Catalog
from icecore.server.embedding.embedder import Embedder
from icecore.server.embedding.images import ImageInput
from icecore.server.rpc import answer_room, embed_reading, inputs
from icecore.server.rpc.by_name import with_backbone
from icecore.server.rpc.calls import current_call
from icecore.server.rpc.embed_reading import EmbedRequest, Wanted
from icecore.server.rpc.embed_writing import Reading, write
from icecore.server.rpc.streams import in_order
from icecore.v1 import codes_pb2
from icecore.wire.taps import TapId

WRITTEN_AT_ONCE: Final = 256 << 10
"""Bytes of codes that are written on the event loop: 0.1 ms, which is less than a thread costs.
Whole maps of a few images are hundreds of megabytes."""

_MOST_KEPT: Final = 1024
_MOST_LAYERS_KEPT: Final = 256
"""More than a network has: who names all of them many times is not worth megabytes."""


class CodesService:
    """Nothing is kept of what passes but which layers were asked for."""

    def __init__(self, catalog: Catalog, embedder: Embedder) -> None:
        self._catalog = catalog
        self._embedder = embedder
        self._readings: dict[tuple[str, str, Wanted], Reading] = {}

    async def Embed(self, request: EmbedRequest, context: object) -> bytes:
        return await self._embed(request)

    async def EmbedStream(
        self, request_iterator: AsyncIterator[EmbedRequest], context: object
    ) -> AsyncIterator[bytes]:
        async for answer in in_order(request_iterator, self._embed):
            yield answer

    async def _embed(self, request: EmbedRequest) -> bytes:
        wanted = request.wanted()
        act = partial(self._codes, wanted, request.images())
        return await with_backbone(self._catalog, wanted.backbone, act)

    async def _codes(
        self, wanted: Wanted, images: Sequence[ImageInput], backbone: Backbone
    ) -> bytes:
        call = current_call()
        reading = self._reading_of(backbone, wanted)
        await answer_room.take(reading.n_values, len(images), wanted.dtype)
        embedded = await self._embedder.embed(
            backbone,
            reading.taps,
            images,
            dtype=wanted.dtype,
            tenant_id=call.tenant_id,
            is_cached=True,
            priority=wanted.priority,
            deadline=call.deadline,
        )
        if sum([values.nbytes for values in embedded.codes]) <= WRITTEN_AT_ONCE:
            return reading.written(embedded)
        return await asyncio.to_thread(reading.written, embedded)

    def _reading_of(self, backbone: Backbone, wanted: Wanted) -> Reading:
        key = (backbone.digest, backbone.name, wanted)
        reading = self._readings.get(key)
        if reading is None:
            chosen = inputs.check_number_of_layers(backbone.select(wanted.layers))
            taps = tuple(
                backbone.tap(layer, activation=wanted.activation, pooling=wanted.pooling)
                for layer in chosen
            )
            reading = Reading(taps, answer_room.values_at(backbone, taps))
            if is_worth_keeping(wanted, reading.taps):
                if len(self._readings) >= _MOST_KEPT:
                    self._readings.clear()
                self._readings[key] = reading
        return reading


def is_worth_keeping(wanted: Wanted, taps: Sequence[TapId]) -> bool:
    """Return whether it may be asked for again, and a request's layers take little memory."""
    return wanted.is_kept and len(wanted.layers) + len(taps) <= _MOST_LAYERS_KEPT


def add_codes_service(service: CodesService, server: "grpc.aio.Server") -> None:
    """Serve it, as the generated function would."""
    forms: dict[str, Any] = {
        "request_deserializer": embed_reading.read,
        "response_serializer": write,
    }
    name = codes_pb2.DESCRIPTOR.services_by_name["CodesService"].full_name
    handlers = {
        "Embed": grpc.unary_unary_rpc_method_handler(service.Embed, **forms),
        "EmbedStream": grpc.stream_stream_rpc_method_handler(service.EmbedStream, **forms),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
