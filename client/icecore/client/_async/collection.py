"""AsyncClient's calls about collections and their examples."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence

from icecore.client._async.calls import AsyncCalls
from icecore.client._async.transport import batched
from icecore.client._batches import Batcher
from icecore.client._operations import collection as operations
from icecore.client._operations import search as search_operations
from icecore.client._operations.places import image_bytes
from icecore.client.collection_values import (
    Added,
    Collection,
    Example,
    Hit,
    Metric,
    NewExample,
    OnDuplicate,
)
from icecore.client.input_values import ImageInput, LayerSpec
from icecore.wire.codes import Codes
from icecore.wire.taps import AVG, Activation, Pooling


class AsyncCollectionCalls(AsyncCalls):
    async def create_collection(
        self,
        collection_id: str,
        *,
        backbone: str = "",
        keep_images: bool = True,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> Collection:
        """As `Client.create_collection`."""
        operation = operations.create_collection(
            collection_id, backbone=backbone, keep_images=keep_images, request_id=request_id
        )
        return await self._transport.unary(operation, timeout_s)

    async def collection(self, collection_id: str, *, timeout_s: float | None = None) -> Collection:
        """As `Client.collection`."""
        return await self._transport.unary(operations.collection(collection_id), timeout_s)

    async def collections(self, *, timeout_s: float | None = None) -> list[Collection]:
        """As `Client.collections`."""
        return [item async for item in self._transport.pages(operations.collections, timeout_s)]

    async def delete_collection(
        self, collection_id: str, *, request_id: str | None = None, timeout_s: float | None = None
    ) -> None:
        """As `Client.delete_collection`."""
        operation = operations.delete_collection(collection_id, request_id=request_id)
        await self._transport.unary(operation, timeout_s)

    async def add_examples(
        self,
        collection_id: str,
        examples: Iterable[NewExample] | AsyncIterable[NewExample],
        *,
        on_duplicate: OnDuplicate | str = OnDuplicate.REFUSE,
        batch_size: int = 32,
        on_batch: Callable[[Added], None] | None = None,
        timeout_s: float | None = None,
    ) -> Added:
        """As `Client.add_examples`."""
        plan = operations.add_plan(collection_id, on_duplicate=on_duplicate)
        batcher = Batcher[NewExample](
            lambda example: image_bytes(example.image), batch_size=batch_size
        )
        requests = batched(examples, batcher, plan.batch)
        total = Added()
        async for added in self._transport.exchange(requests, timeout_s):
            total += added
            if on_batch is not None:
                on_batch(added)
        return total

    def list_examples(
        self,
        collection_id: str,
        *,
        filter: str = "",  # noqa: A002 - the word of the contract and the command line
        page_size: int = 1000,
        timeout_s: float | None = None,
    ) -> AsyncIterator[Example]:
        """As `Client.list_examples`."""
        return self._transport.pages(
            lambda token: operations.examples(
                collection_id, where=filter, page_size=page_size, page_token=token
            ),
            timeout_s,
        )

    async def delete_examples(
        self,
        collection_id: str,
        example_ids: Sequence[str],
        *,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> int:
        """As `Client.delete_examples`."""
        operation = operations.delete_examples(collection_id, example_ids, request_id=request_id)
        return await self._transport.unary(operation, timeout_s)

    async def search(
        self,
        collection_id: str,
        images: Sequence[ImageInput] | None = None,
        *,
        example_ids: Sequence[str] | None = None,
        codes: Codes | None = None,
        k: int = 10,
        layer: LayerSpec = -1,
        activation: Activation | str = Activation.AS_TRAINED,
        pooling: Pooling | str = AVG,
        metric: Metric | str = Metric.COSINE,
        filter: str = "",  # noqa: A002 - the word of the contract and the command line
        timeout_s: float | None = None,
    ) -> list[list[Hit]]:
        """As `Client.search`."""
        operation = await asyncio.to_thread(
            search_operations.search,
            collection_id,
            images=images,
            example_ids=example_ids,
            codes=codes,
            k=k,
            layer=layer,
            activation=activation,
            pooling=pooling,
            metric=metric,
            where=filter,
        )
        return await self._transport.unary(operation, timeout_s)
