"""CodesService: images in, codes out."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.catalog import Catalog
from icecore.server.embedding.embedder import Embedded, Embedder
from icecore.server.rpc import answers, arguments, inputs
from icecore.server.rpc.by_name import with_backbone
from icecore.server.rpc.calls import current_call
from icecore.server.rpc.streams import in_order
from icecore.v1 import codes_pb2 as pb
from icecore.v1 import codes_pb2_grpc
from icecore.wire import messages
from icecore.wire.codes import Codes
from icecore.wire.taps import TapId

WRITTEN_AT_ONCE: Final = 256 << 10
"""Bytes of codes that are written on the event loop: 0.1 ms, which is less than a thread costs."""


class CodesService(codes_pb2_grpc.CodesServiceServicer):
    """Nothing is kept of what passes."""

    def __init__(self, catalog: Catalog, embedder: Embedder) -> None:
        self._catalog = catalog
        self._embedder = embedder

    async def Embed(self, request: pb.EmbedRequest, context: object) -> pb.EmbedResponse:
        return await self._embed(request)

    async def EmbedStream(
        self, request_iterator: AsyncIterator[pb.EmbedRequest], context: object
    ) -> AsyncIterator[pb.EmbedResponse]:
        async for answer in in_order(request_iterator, self._embed):
            yield answer

    async def _embed(self, request: pb.EmbedRequest) -> pb.EmbedResponse:
        layers = inputs.layers(request.layers)
        activation = inputs.activation(request.activation)
        pooling = inputs.pooling(request.pooling)
        dtype = inputs.dtype(request.dtype)
        images = inputs.images(request.images)
        priority = inputs.priority(request.priority)
        name = arguments.named("backbone", request.backbone) if request.backbone else ""

        async def embed(backbone: Backbone) -> pb.EmbedResponse:
            chosen = inputs.check_number_of_layers(backbone.select(layers))
            taps = [backbone.tap(layer, activation=activation, pooling=pooling) for layer in chosen]
            embedded = await self._embedder.embed(
                backbone,
                taps,
                images,
                dtype=dtype,
                tenant_id=current_call().tenant_id,
                is_cached=True,
                priority=priority,
                deadline=current_call().deadline,
            )
            if sum(values.nbytes for values in embedded.codes) <= WRITTEN_AT_ONCE:
                return _answer(embedded, taps)
            return await asyncio.to_thread(_answer, embedded, taps)

        return await with_backbone(self._catalog, name, embed)


def _answer(embedded: Embedded, taps: Sequence[TapId]) -> pb.EmbedResponse:
    """Whole maps of a few images are hundreds of megabytes: write it in a thread."""
    return pb.EmbedResponse(
        codes=[
            messages.codes_to_message(Codes(values, tap))
            for values, tap in zip(embedded.codes, taps, strict=True)
        ],
        timings=answers.timings(embedded.timings),
    )
