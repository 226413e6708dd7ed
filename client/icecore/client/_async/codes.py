"""AsyncClient's calls that turn images into codes."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence

import numpy.typing as npt

from icecore.client._async.bulk import embed_many
from icecore.client._async.calls import AsyncCalls
from icecore.client._async.transport import batched
from icecore.client._batches import Batcher
from icecore.client._bulk.patience import Patience
from icecore.client._bulk.plan import BulkPlan
from icecore.client._operations import codes as operations
from icecore.client._operations.places import image_bytes, require_many
from icecore.client.bulk_values import CodesBatch, OnError
from icecore.client.input_values import ImageInput, LayerSpec, Priority
from icecore.wire.codes import Codes
from icecore.wire.taps import AVG, Activation, Pooling


class AsyncCodesCalls(AsyncCalls):
    async def embed(
        self,
        images: Sequence[ImageInput],
        *,
        backbone: str = "",
        layers: LayerSpec | Sequence[LayerSpec] = -1,
        activation: Activation | str = Activation.AS_TRAINED,
        pooling: Pooling | str = AVG,
        dtype: npt.DTypeLike = "float32",
        priority: Priority | str = Priority.INTERACTIVE,
        timeout_s: float | None = None,
    ) -> list[Codes]:
        """As `Client.embed`."""
        plan = operations.embed_plan(
            backbone=backbone,
            layers=layers,
            activation=activation,
            pooling=pooling,
            dtype=dtype,
            priority=priority,
        )
        operation = await asyncio.to_thread(plan.embed, images)
        return await self._transport.unary(operation, timeout_s)

    def embed_stream(
        self,
        images: Iterable[ImageInput] | AsyncIterable[ImageInput],
        *,
        backbone: str = "",
        layers: LayerSpec | Sequence[LayerSpec] = -1,
        activation: Activation | str = Activation.AS_TRAINED,
        pooling: Pooling | str = AVG,
        dtype: npt.DTypeLike = "float32",
        priority: Priority | str = Priority.INTERACTIVE,
        batch_size: int = 32,
        timeout_s: float | None = None,
    ) -> AsyncIterator[list[Codes]]:
        """As `Client.embed_stream`."""
        plan = operations.embed_plan(
            backbone=backbone,
            layers=layers,
            activation=activation,
            pooling=pooling,
            dtype=dtype,
            priority=priority,
        )
        require_many(images)
        batcher = Batcher[ImageInput](image_bytes, batch_size=batch_size)
        requests = batched(images, batcher, plan.embed_stream)
        return self._transport.exchange(requests, timeout_s)

    def embed_many(
        self,
        images: Iterable[ImageInput] | AsyncIterable[ImageInput],
        *,
        backbone: str = "",
        layers: LayerSpec | Sequence[LayerSpec] = -1,
        activation: Activation | str = Activation.AS_TRAINED,
        pooling: Pooling | str = AVG,
        dtype: npt.DTypeLike = "float32",
        priority: Priority | str = Priority.BULK,
        on_error: OnError = "raise",
        batch_size: int = 32,
        in_flight: int = 4,
        in_order: bool = True,
        downscale: bool = False,
        timeout_s: float | None = None,
    ) -> AsyncIterator[CodesBatch]:
        """As `Client.embed_many`."""
        plan = BulkPlan(
            operations.embed_plan(
                backbone=backbone,
                layers=layers,
                activation=activation,
                pooling=pooling,
                dtype=dtype,
                priority=priority,
            ),
            Patience(timeout_s, met=self._transport.met),
            on_error=on_error,
            batch_size=batch_size,
            in_flight=in_flight,
            in_order=in_order,
            downscales=downscale,
        )
        require_many(images)
        return embed_many(self._transport, images, plan)
