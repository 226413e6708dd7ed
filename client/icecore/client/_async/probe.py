"""AsyncClient's calls about trained probes: promoted, compared, deleted, applied."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence

from icecore.client._async.calls import AsyncCalls
from icecore.client._async.transport import batched
from icecore.client._batches import Batcher
from icecore.client._operations import predict as predict_operations
from icecore.client._operations import probe as operations
from icecore.client._operations.places import image_bytes, require_many
from icecore.client.accuracy_values import Comparison
from icecore.client.input_values import ImageInput, Priority
from icecore.client.probe_values import Prediction, Probe
from icecore.wire.codes import Codes


class AsyncProbeCalls(AsyncCalls):
    async def probe(self, probe_id: str, *, timeout_s: float | None = None) -> Probe:
        """As `Client.probe`."""
        return await self._transport.unary(operations.probe(probe_id), timeout_s)

    async def probes(self, *, timeout_s: float | None = None) -> list[Probe]:
        """As `Client.probes`."""
        return [item async for item in self._transport.pages(operations.probes, timeout_s)]

    async def promote_version(
        self,
        probe_id: str,
        version: int,
        *,
        expected_version: int | None = None,
        not_worse_by: float | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> Probe:
        """As `Client.promote_version`."""
        operation = operations.promote_version(
            probe_id,
            version,
            expected_version=expected_version,
            not_worse_by=not_worse_by,
            request_id=request_id,
        )
        return await self._transport.unary(operation, timeout_s)

    async def compare_versions(
        self,
        probe_id: str,
        version_a: int,
        version_b: int,
        *,
        collection_id: str = "",
        timeout_s: float | None = None,
    ) -> Comparison:
        """As `Client.compare_versions`."""
        operation = operations.compare_versions(
            probe_id, version_a, version_b, collection_id=collection_id
        )
        return await self._transport.unary(operation, timeout_s)

    async def delete_version(
        self,
        probe_id: str,
        version: int,
        *,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """As `Client.delete_version`."""
        operation = operations.delete_version(probe_id, version, request_id=request_id)
        await self._transport.unary(operation, timeout_s)

    async def delete_probe(
        self, probe_id: str, *, request_id: str | None = None, timeout_s: float | None = None
    ) -> None:
        """As `Client.delete_probe`."""
        operation = operations.delete_probe(probe_id, request_id=request_id)
        await self._transport.unary(operation, timeout_s)

    async def predict(
        self,
        probe_id: str,
        images: Sequence[ImageInput] | None = None,
        *,
        codes: Codes | None = None,
        version: int = 0,
        priority: Priority | str = Priority.INTERACTIVE,
        timeout_s: float | None = None,
    ) -> list[Prediction]:
        """As `Client.predict`."""
        operation = await asyncio.to_thread(
            predict_operations.predict,
            probe_id,
            images,
            codes=codes,
            version=version,
            priority=priority,
        )
        return await self._transport.unary(operation, timeout_s)

    def predict_stream(
        self,
        probe_id: str,
        images: Iterable[ImageInput] | AsyncIterable[ImageInput],
        *,
        version: int = 0,
        priority: Priority | str = Priority.INTERACTIVE,
        batch_size: int = 32,
        timeout_s: float | None = None,
    ) -> AsyncIterator[Prediction]:
        """As `Client.predict_stream`."""
        require_many(images)
        batcher = Batcher[ImageInput](image_bytes, batch_size=batch_size)
        plan = predict_operations.predict_plan(probe_id, version, priority)
        answers = self._transport.exchange(batched(images, batcher, plan), timeout_s)
        return (prediction async for answer in answers for prediction in answer)
