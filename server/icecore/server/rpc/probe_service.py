"""ProbeService: linear classifiers over codes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from functools import partial

from icecore.server.errors import InvalidArgument, Unimplemented
from icecore.server.rpc import advice_answers, arguments, inputs, probe_answers
from icecore.server.rpc.calls import current_call
from icecore.server.rpc.finishing import finish
from icecore.server.rpc.following import followed
from icecore.server.rpc.streams import in_order
from icecore.server.rpc.training_asked import kind, train_request
from icecore.server.storage.promise import Store, TenantStore
from icecore.server.training.advising.adviser import Adviser
from icecore.server.training.advising.request import MAX_IMAGES, AdviceRequest
from icecore.server.training.comparing import Comparer
from icecore.server.training.contender import Contender
from icecore.server.training.opening import ready_version
from icecore.server.training.predictor import Predictor
from icecore.server.training.promoting import promote
from icecore.server.training.trainer import Trainer
from icecore.v1 import probe_pb2 as pb
from icecore.v1 import probe_pb2_grpc


class ProbeService(probe_pb2_grpc.ProbeServiceServicer):
    """Every call works on the data of the tenant that makes it."""

    def __init__(
        self,
        store: Store,
        trainer: Trainer,
        comparer: Comparer,
        predictor: Predictor,
        adviser: Adviser,
    ) -> None:
        self._store = store
        self._trainer = trainer
        self._comparer = comparer
        self._predictor = predictor
        self._adviser = adviser

    async def TrainProbe(
        self, request: pb.TrainProbeRequest, context: object
    ) -> pb.TrainProbeResponse:
        tenant_id = current_call().tenant_id
        record = await self._trainer.train(
            tenant_id,
            train_request(request),
            mutation=arguments.mutation(request.request_id, request),
        )
        return pb.TrainProbeResponse(version=probe_answers.version(tenant_id, record))

    async def WatchProbe(
        self, request: pb.WatchProbeRequest, context: object
    ) -> AsyncIterator[pb.WatchProbeResponse]:
        tenant_id = current_call().tenant_id
        probe_id = arguments.named("probe", request.probe_id)
        states = self._trainer.watch(tenant_id, probe_id, _version_or_0(request.version))
        async with aclosing(states):
            async for state in states:
                yield probe_answers.progress(tenant_id, state)

    async def CancelTraining(
        self, request: pb.CancelTrainingRequest, context: object
    ) -> pb.CancelTrainingResponse:
        tenant_id = current_call().tenant_id
        record = await self._trainer.cancel(
            tenant_id,
            arguments.named("probe", request.probe_id),
            arguments.version(request.version),
            mutation=arguments.mutation(request.request_id, request),
        )
        return pb.CancelTrainingResponse(version=probe_answers.version(tenant_id, record))

    async def GetProbe(self, request: pb.GetProbeRequest, context: object) -> pb.GetProbeResponse:
        probe_id = arguments.named("probe", request.probe_id)
        tenant = await self._tenant()
        record = await asyncio.to_thread(tenant.probe, probe_id)
        return pb.GetProbeResponse(probe=probe_answers.probe(tenant.tenant_id, record))

    async def ListProbes(
        self, request: pb.ListProbesRequest, context: object
    ) -> pb.ListProbesResponse:
        size = arguments.page_size(request.page_size, default=100, most=1000)
        after = arguments.page_start(request.page_token)
        tenant = await self._tenant()
        found = await asyncio.to_thread(tenant.probes, after=after, limit=size + 1)
        page = found[:size]
        return pb.ListProbesResponse(
            probes=[probe_answers.probe(tenant.tenant_id, record) for record in page],
            next_page_token=arguments.page_token(page[-1].probe_id) if len(found) > size else "",
        )

    async def PromoteVersion(
        self, request: pb.PromoteVersionRequest, context: object
    ) -> pb.PromoteVersionResponse:
        probe_id = arguments.named("probe", request.probe_id)
        version = arguments.version(request.version)
        mutation = arguments.mutation(request.request_id, request)
        tenant = await self._tenant()
        record = await promote(
            tenant,
            self._comparer,
            probe_id,
            version,
            not_worse_by=request.not_worse_by if request.HasField("not_worse_by") else None,
            expected_version=(
                request.expected_version if request.HasField("expected_version") else None
            ),
            mutation=mutation,
        )
        return pb.PromoteVersionResponse(probe=probe_answers.probe(tenant.tenant_id, record))

    async def DeleteVersion(
        self, request: pb.DeleteVersionRequest, context: object
    ) -> pb.DeleteVersionResponse:
        probe_id = arguments.named("probe", request.probe_id)
        version = arguments.version(request.version)
        mutation = arguments.mutation(request.request_id, request)
        tenant = await self._tenant()
        delete = partial(tenant.delete_version, probe_id, version, mutation=mutation)
        await finish(self._delete(tenant.tenant_id, probe_id, delete))
        return pb.DeleteVersionResponse()

    async def DeleteProbe(
        self, request: pb.DeleteProbeRequest, context: object
    ) -> pb.DeleteProbeResponse:
        probe_id = arguments.named("probe", request.probe_id)
        mutation = arguments.mutation(request.request_id, request)
        tenant = await self._tenant()
        delete = partial(tenant.delete_probe, probe_id, mutation=mutation)
        await finish(self._delete(tenant.tenant_id, probe_id, delete))
        return pb.DeleteProbeResponse()

    async def Predict(self, request: pb.PredictRequest, context: object) -> pb.PredictResponse:
        return await self._predict(request)

    async def PredictStream(
        self, request_iterator: AsyncIterator[pb.PredictRequest], context: object
    ) -> AsyncIterator[pb.PredictResponse]:
        async for answer in in_order(request_iterator, self._predict):
            yield answer

    async def CompareVersions(
        self, request: pb.CompareVersionsRequest, context: object
    ) -> pb.CompareVersionsResponse:
        probe_id = arguments.named("probe", request.probe_id)
        versions = [arguments.version(n) for n in (request.version_a, request.version_b)]
        collection_id = request.collection_id
        if collection_id:
            arguments.named("collection", collection_id)
        tenant = await self._tenant()
        records = [
            await asyncio.to_thread(ready_version, tenant, probe_id, version)
            for version in versions
        ]
        a, b = [await asyncio.to_thread(Contender.stored, tenant, record) for record in records]
        found = await self._comparer.compare(
            tenant, probe_id, a, b, collection_id or records[1].collection_id
        )
        return probe_answers.compared(found)

    async def Explain(self, request: pb.ExplainRequest, context: object) -> pb.ExplainResponse:
        raise Unimplemented("this server explains no predictions yet")

    async def ExportProbe(
        self, request: pb.ExportProbeRequest, context: object
    ) -> AsyncIterator[pb.ExportProbeResponse]:
        for chunk in _no_export():
            yield chunk

    async def AdviseTransfer(
        self, request: pb.AdviseTransferRequest, context: object
    ) -> AsyncIterator[pb.AdviseTransferResponse]:
        wanted = AdviceRequest(
            collection_id=arguments.named("collection", request.collection_id),
            backbones=tuple(arguments.named("backbone", name) for name in request.backbones),
            kind=kind(request.kind),
            seed=request.seed,
            max_images=request.max_images or MAX_IMAGES,
        )
        progress: asyncio.Queue[tuple[str, float]] = asyncio.Queue()
        work = asyncio.create_task(
            self._adviser.advise(
                await self._tenant(),
                wanted,
                on_progress=lambda stage, share: progress.put_nowait((stage, share)),
            )
        )
        async with followed(work, progress) as told:
            async for stage, share in told:
                yield pb.AdviseTransferResponse(stage=stage, progress=share)
        yield pb.AdviseTransferResponse(
            stage="done", progress=1.0, advice=advice_answers.advice(work.result())
        )

    async def _predict(self, request: pb.PredictRequest) -> pb.PredictResponse:
        probe_id = arguments.named("probe", request.probe_id)
        version = _version_or_0(request.version)
        priority = inputs.priority(request.priority)
        if request.WhichOneof("input") is None:
            raise InvalidArgument("the request has no input: images or codes")
        tenant = await self._tenant()
        found = await self._predictor.predict(
            tenant,
            probe_id,
            version,
            inputs.codes(request.codes)
            if request.WhichOneof("input") == "codes"
            else inputs.images(request.images.images),
            priority=priority,
            deadline=current_call().deadline,
        )
        return probe_answers.predicted(found)

    async def _delete(self, tenant_id: str, probe_id: str, delete: Callable[[], None]) -> None:
        """Delete something, then what is kept of it and works on it."""
        try:
            await asyncio.to_thread(delete)
        finally:
            self._predictor.forget(tenant_id, probe_id)
        await self._trainer.forget(tenant_id, probe_id)

    async def _tenant(self) -> TenantStore:
        return await asyncio.to_thread(self._store.tenant, current_call().tenant_id)


def _version_or_0(number: int) -> int:
    return arguments.version(number) if number else 0


def _no_export() -> Iterator[pb.ExportProbeResponse]:
    raise Unimplemented("this server exports no probes yet")
